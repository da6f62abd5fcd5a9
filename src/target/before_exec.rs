//! What a process does between its birth and the program that it becomes.
//!
//! This is, beside `maildir::writer`, the one module with `unsafe`. Between fork and exec a child has one thread and a
//! copy of all our memory, as it was at that moment: a lock that another thread held stays locked for ever, the
//! allocator's among them. So the steps make system calls only, by way of `rustix`, which does nothing beside; all
//! that they need was made before, and nothing of it is dropped there.
//!
//! An error has to get to us as a number, for that is all that the standard library hands on. So the number
//! of the step is put above that of the error, and [`explained`] makes words of both.

#![allow(unsafe_code)]

use super::program::{Account, Limits, ProgramConfig};
use rustix::fs::{Access, FileType, access, fstat};
use rustix::io::{Errno, FdFlags, dup2, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, chdir, getpid, getppid, getrlimit, set_parent_process_death_signal,
    setrlimit,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The number that a program knows its lease by.
const LEASE: RawFd = 3;
/// Errors of Linux are smaller, so that the step has its place above them: see `errno(3)`.
const ERRORS: i32 = 1 << 12;

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

/// The steps, in their order.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Step {
    Lease = 1,
    Account,
    Directory,
    Limits,
    Parent,
}

impl Step {
    const ALL: [Step; 5] = [Step::Lease, Step::Account, Step::Directory, Step::Limits, Step::Parent];

    /// In the child.
    fn taken(self, result: rustix::io::Result<()>) -> io::Result<()> {
        result.map_err(|error| io::Error::from_raw_os_error(self as i32 * ERRORS + error.raw_os_error()))
    }
}

impl BeforeExec {
    /// Makes it so for this command. Where nothing is different but the directory no code of ours runs in the
    /// child, and so the standard library need not copy our memory to start it.
    ///
    /// # Errors
    /// There is no file descriptor to give, a path has a NUL byte, or nobody can be this account.
    pub(super) fn apply_to(self, command: &mut Command) -> io::Result<()> {
        let BeforeExec { limits, account, directory, lease, dies_with_us, open_files } = self;
        let account = account.filter(|account| !account.is_us()).as_ref().map(Identity::of).transpose()?;
        let is_limited = limits.memory.is_some() || limits.cpu.is_some();
        if account.is_none() && lease.is_none() && !is_limited && !dies_with_us && open_files.is_none() {
            if let Some(directory) = directory {
                command.current_dir(directory);
            }
            return Ok(());
        }
        let directory = directory.map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
        let lease = lease.map(Lease::new).transpose()?;
        let parent = dies_with_us.then(getpid);
        let steps = move || {
            if let Some(lease) = &lease {
                Step::Lease.taken(lease.put_in_place())?;
            }
            if let Some(account) = &account {
                Step::Account.taken(account.take())?;
            }
            if let Some(directory) = &directory {
                Step::Directory.taken(chdir(directory.as_c_str()))?;
            }
            if is_limited || lease.is_some() || account.is_some() || dies_with_us {
                Step::Limits.taken(limit(limits))?;
            }
            if let Some(open_files) = open_files {
                let maximum = getrlimit(Resource::Nofile).maximum;
                let current = Some(maximum.map_or(open_files, |maximum| maximum.min(open_files)));
                Step::Limits.taken(setrlimit(Resource::Nofile, Rlimit { current, maximum }))?;
            }
            if let Some(parent) = parent {
                // A change of user undoes it, so it comes last.
                Step::Parent.taken(die_with(parent))?;
            }
            Ok(())
        };
        // SAFETY: the steps make system calls and nothing else, on what they own. They neither allocate nor
        // lock nor panic: an error is made of a number, and nothing that they own is dropped in the child.
        unsafe { command.pre_exec(steps) };
        Ok(())
    }
}

/// What an error of starting this program means, if one of our steps failed; else the same error.
pub(super) fn explained(error: io::Error, run: &ProgramConfig) -> io::Error {
    let directory = || run.directory.as_deref().unwrap_or(Path::new("")).display();
    let in_step = |code: i32| Step::ALL.into_iter().find(|&step| step as i32 == code / ERRORS);
    let Some((code, step)) = error.raw_os_error().and_then(|code| Some((code, in_step(code)?))) else {
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
    let why = io::Error::from_raw_os_error(code % ERRORS);
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
struct Identity {
    user: Uid,
    group: Gid,
}

impl Identity {
    fn of(account: &Account) -> io::Result<Self> {
        // To the kernel this is no number but "as it is", see `setresuid(2)`.
        if account.uid == u32::MAX || account.gid == u32::MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is nobody that a program can be", account.name),
            ));
        }
        Ok(Identity { user: Uid::from_raw(account.uid), group: Gid::from_raw(account.gid) })
    }

    /// In the child, which is one thread. As qmail and Postfix do it there are no other groups.
    fn take(&self) -> rustix::io::Result<()> {
        let (user, group) = (self.user, self.group);
        set_thread_res_uid(None, Uid::ROOT, None)?;
        set_thread_groups(&[group])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    }
}

/// What becomes file descriptor 3.
struct Lease {
    file: OwnedFd,
    /// The file that has the number here. In the child it is overwritten.
    there: (u64, u64),
}

impl Lease {
    /// The standard library tells of a failed start through a pipe, and that must not have the number. So it is
    /// taken for good as soon as it is free.
    fn new(file: OwnedFd) -> io::Result<Self> {
        let there = loop {
            let placeholder = fcntl_dupfd_cloexec(File::open("/dev/null")?, LEASE)?;
            if placeholder.as_raw_fd() == LEASE {
                let _kept_open = placeholder.into_raw_fd();
            }
            match identity(number_three()) {
                // Another thread had it, and has closed it since.
                Err(Errno::BADF) => {}
                there => break there?,
            }
        };
        Ok(Lease { file, there })
    }

    /// In the child.
    fn put_in_place(&self) -> rustix::io::Result<()> {
        if self.file.as_raw_fd() == LEASE {
            return fcntl_setfd(&self.file, FdFlags::empty());
        }
        // Since we have looked another thread may have closed what was there, and the pipe have come instead.
        match identity(number_three()) {
            // Nothing is there, so the pipe is not.
            Err(Errno::BADF) => {}
            there => {
                if there? != self.there && is_pipe_or_socket(number_three())? {
                    return Err(Errno::BUSY);
                }
            }
        }
        // SAFETY: nothing in the child uses what has this number, and it is not closed here.
        let mut three = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(LEASE) });
        dup2(&self.file, &mut three)
    }
}

fn number_three() -> BorrowedFd<'static> {
    // SAFETY: it is looked at in a system call, which fails where it is closed.
    unsafe { BorrowedFd::borrow_raw(LEASE) }
}

fn identity(file: impl AsFd) -> rustix::io::Result<(u64, u64)> {
    let stat = fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn is_pipe_or_socket(file: impl AsFd) -> rustix::io::Result<bool> {
    Ok(matches!(FileType::from_raw_mode(fstat(file)?.st_mode), FileType::Fifo | FileType::Socket))
}

/// In the child. Never raises what holds for us.
fn limit(limits: Limits) -> rustix::io::Result<()> {
    if let Some(bytes) = limits.memory {
        lower(Resource::As, bytes, bytes)?;
    }
    if let Some(seconds) = limits.cpu {
        // SIGXCPU at the first, SIGKILL at the second: see `getrlimit(2)`.
        lower(Resource::Cpu, u64::from(seconds), u64::from(seconds) + 1)?;
    }
    // A memory dump would lay mail about.
    lower(Resource::Core, 0, 0)
}

fn lower(resource: Resource, soft: u64, hard: u64) -> rustix::io::Result<()> {
    let maximum = getrlimit(resource).maximum.map_or(hard, |present| present.min(hard));
    setrlimit(resource, Rlimit { current: Some(soft.min(maximum)), maximum: Some(maximum) })
}

/// In the child.
fn die_with(parent: Pid) -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever ended before that sent nothing.
    if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH) }
}

#[cfg(test)]
#[path = "before_exec_tests.rs"]
mod tests;
