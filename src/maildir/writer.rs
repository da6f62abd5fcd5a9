//! Is somebody still writing this file?
//!
//! Deliveries by `link` or `rename` put whole files into `new/`. A `cp` into it does not, so a file
//! that is open for writing anywhere is left alone. fcntl(2) knows: a read lease is refused as long
//! as anyone has the file open for writing.

use crate::system::try_read_lease;
use rustix::io::Errno;
use std::fs::File;
use std::io;
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
    match try_read_lease(file) {
        Ok(()) => false,
        Err(Errno::AGAIN) => true,
        Err(_) => now.duration_since(changed).unwrap_or_default() < UNCHANGED_FOR,
    }
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
