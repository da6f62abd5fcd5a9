//! What is different for a program than for us, from the moment at which it begins.

use super::program::{Account, Limits, ProgramConfig};
use crate::system::{Step, Steps};
use rustix::fs::{Access, access};
use rustix::process::{Gid, Uid};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is different for a program than for us.
#[derive(Debug, Default)]
pub(super) struct BeforeExec {
    /// What it may use; of the output somebody else takes care.
    pub limits: Limits,
    /// Who it runs as: see [`Account::can_be_had`]. What root keeps aside in us exec takes away.
    pub account: Option<Account>,
    /// Its working directory. It enters it as who it runs as.
    pub directory: Option<PathBuf>,
    /// Becomes its file descriptor 3. It is open here until the command is dropped.
    pub lease: Option<OwnedFd>,
    /// It is killed when the *thread* ends that starts it, and so when we do. Where it runs as somebody else
    /// the kernel lets us do that only with `CAP_KILL`.
    pub dies_with_us: bool,
    /// How many files it may have open, where that is not what we may; never more.
    pub open_files: Option<u64>,
}

impl BeforeExec {
    /// Makes it so for this command. Where nothing is different but the directory no code of ours runs in the
    /// child, and so the standard library need not copy our memory to start it.
    ///
    /// # Errors
    /// There is no file descriptor to give, a path has a NUL byte, or nobody can be this account.
    pub(super) fn apply_to(self, command: &mut Command) -> io::Result<()> {
        let BeforeExec { limits: Limits { memory, cpu, .. }, account, directory, lease, dies_with_us, open_files } =
            self;
        let user = account.filter(|account| !account.is_us()).as_ref().map(numbers).transpose()?;
        let is_limited = memory.is_some() || cpu.is_some() || open_files.is_some();
        if user.is_none() && lease.is_none() && !is_limited && !dies_with_us {
            if let Some(directory) = directory {
                command.current_dir(directory);
            }
            return Ok(());
        }
        let directory = directory.map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
        Steps { lease, user, directory, memory, cpu, open_files, dies_with_us }.are_taken_by(command)
    }
}

/// What an error of starting this program means, if one of our steps failed; else the same error.
pub(super) fn explained(error: io::Error, run: &ProgramConfig) -> io::Error {
    let directory = || run.directory.as_deref().unwrap_or(Path::new("")).display();
    let Some((step, why)) = Step::behind(&error) else {
        // Where the directory is the only difference the system does not tell it from the program.
        let is_of_path = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES | libc::ENOTDIR));
        let entered = run.directory.as_deref().map(|path| access(path, Access::EXEC_OK));
        return match entered {
            Some(Err(why)) if is_of_path => io::Error::other(format!(
                "cannot enter its working directory {}: {}",
                directory(),
                io::Error::from(why)
            )),
            _ => error,
        };
    };
    let what = match step {
        Step::Lease => "cannot hand over file descriptor 3".to_owned(),
        Step::Account => match &run.account {
            Some(Account { name, uid, gid, .. }) => format!("cannot become user {name} (uid {uid}, gid {gid})"),
            None => "cannot become another user".to_owned(),
        },
        Step::Directory => format!("cannot enter its working directory {}", directory()),
        Step::Limits => "cannot limit what it uses".to_owned(),
        Step::Parent => "cannot tie its life to ours".to_owned(),
    };
    io::Error::new(why.kind(), format!("{what}: {why}"))
}

/// The numbers of an account.
fn numbers(account: &Account) -> io::Result<(Uid, Gid)> {
    // To the kernel this is no number but "as it is", see `setresuid(2)`.
    if account.uid == u32::MAX || account.gid == u32::MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is nobody that a program can be", account.name),
        ));
    }
    Ok((Uid::from_raw(account.uid), Gid::from_raw(account.gid)))
}

#[cfg(test)]
#[path = "before_exec_tests.rs"]
mod tests;
