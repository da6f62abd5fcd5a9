//! What a configuration needs of the world around it: environment variables, secret files, programs.

use super::accounts;
use crate::target::{Account, with_all_privileges};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// No secret is longer, in bytes.
const SECRET_LIMIT: u64 = 64 * 1024;

/// The world around a configuration.
pub trait World {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// A file that holds a secret.
    ///
    /// # Errors
    /// As the system says, or the file is none that could hold one.
    fn secret_file(&self, path: &Path) -> io::Result<SecretFile>;
    /// Whether references lead to real secrets. Where not, what they lead to need not make sense.
    fn has_secrets(&self) -> bool {
        true
    }
    /// Whether everybody can read a configuration. Then it must not hold a secret.
    fn is_for_all_to_see(&self, _configuration: &Path) -> bool {
        false
    }
    /// Whether there is a program here that can be run.
    fn is_program(&self, path: &Path) -> bool;
    /// Whether there is a folder here.
    fn is_folder(&self, path: &Path) -> bool {
        with_all_privileges(|| path.is_dir())
    }
    /// A user of this machine, by name; the group is the user's own.
    ///
    /// # Errors
    /// It cannot be found out.
    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        accounts::account(name)
    }
    /// The number of a group of this machine, by name.
    ///
    /// # Errors
    /// It cannot be found out.
    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        accounts::group(name)
    }
}

/// A file that holds a secret.
pub struct SecretFile {
    /// What is in it.
    pub contents: Vec<u8>,
    /// Who may do what with it, as in `chmod`.
    pub mode: u32,
}

/// Whether everybody can read a file of this mode.
pub(super) fn for_all_to_see(mode: u32) -> bool {
    mode & 0o004 != 0
}

/// The world of this process.
#[derive(Clone, Copy, Debug)]
pub struct Process;

impl World for Process {
    fn variable(&self, name: &str) -> Option<OsString> {
        // What no variable can be called, the standard library does not like to be asked for.
        let is_possible = !name.is_empty() && !name.contains(['=', '\0']);
        is_possible.then(|| std::env::var_os(name)).flatten()
    }

    fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
        // A pipe that nobody writes to must not hold us up.
        let file: File =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?.into();
        let status = file.metadata()?;
        if !status.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut contents = Vec::new();
        file.take(SECRET_LIMIT + 1).read_to_end(&mut contents)?;
        if contents.len() as u64 > SECRET_LIMIT {
            return Err(io::Error::other("it is larger than any secret (64 KiB)"));
        }
        Ok(SecretFile { contents, mode: status.mode() & 0o7777 })
    }

    fn is_for_all_to_see(&self, configuration: &Path) -> bool {
        configuration.metadata().is_ok_and(|status| for_all_to_see(status.mode()))
    }

    fn is_program(&self, path: &Path) -> bool {
        // At a reload as at the start: what another user runs may be where only that user gets.
        let found = with_all_privileges(|| std::fs::metadata(path));
        found.is_ok_and(|status| status.is_file() && status.permissions().mode() & 0o111 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_secret_file_is_a_regular_file_of_sensible_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "hunter2\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = Process.secret_file(&path).unwrap();
        assert_eq!((&*file.contents, file.mode), (&b"hunter2\n"[..], 0o640));
        fs::write(&path, vec![b'x'; 65_537]).unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        for (path, explained) in [(&*path, "64 KiB"), (folder.path(), "regular file"), (&fifo, "regular file")] {
            let error = Process.secret_file(path).err().unwrap().to_string();
            assert!(error.contains(explained), "{error}");
        }
        assert_eq!(Process.secret_file(Path::new("/nowhere")).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_is_a_file_that_can_be_run() {
        for (path, expected) in [("/bin/sh", true), ("/etc/passwd", false), ("/bin", false), ("/nowhere", false)] {
            assert_eq!(Process.is_program(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_name_that_no_variable_can_have_is_not_there() {
        for name in ["", "A=B", "A\0B", "MAILDIRQ_SURELY_UNSET"] {
            assert_eq!(Process.variable(name), None, "{name:?}");
        }
    }
}
