//! Is somebody still writing this file?
//!
//! Deliveries by `link` or `rename` put whole files into `new/`. A `cp` into it does not, so a file
//! that is open for writing anywhere is left alone. fcntl(2) knows: a read lease is refused as long
//! as anyone has the file open for writing.
//!
//! One of the two modules with `unsafe` code: no safe wrapper of `F_SETLEASE` exists.

use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

/// How long a file must have been unchanged where leases are not to be had (another owner's file, a
/// file system without them).
const UNCHANGED_FOR: Duration = Duration::from_secs(2);

/// Takes the sting out of SIGIO, which the kernel sends when somebody opens a leased file for
/// writing, and whose default is to kill. To be called once before [`has_writer`].
///
/// # Errors
/// The signal handler cannot be set.
pub(super) fn disarm_lease_signal() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGIO, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Whether the file is open for writing somewhere, or may be.
pub(super) fn has_writer(file: &File, changed: SystemTime, now: SystemTime) -> bool {
    match set_lease(file, libc::F_RDLCK) {
        Ok(()) => {
            // The lease was only the question. Giving it back cannot fail for its holder.
            let _ = set_lease(file, libc::F_UNLCK);
            false
        }
        Err(Errno::AGAIN) => true,
        Err(_) => now.duration_since(changed).unwrap_or_default() < UNCHANGED_FOR,
    }
}

#[expect(unsafe_code, reason = "fcntl(2) has no safe wrapper for leases")]
fn set_lease(file: &File, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and F_SETLEASE takes an
    // integer; no memory is handed over.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn a_file_is_left_alone_while_it_is_open_for_writing() {
        let _no_forks = crate::FORKS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        disarm_lease_signal().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        assert!(has_writer(&reader, long_ago, SystemTime::now()));
        drop(writer);
        assert!(!has_writer(&reader, SystemTime::now(), SystemTime::now()));
        let appender = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(has_writer(&reader, long_ago, SystemTime::now()));
        drop(appender);
        assert!(!has_writer(&reader, long_ago, SystemTime::now()));
    }
}
