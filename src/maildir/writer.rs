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
/// writing, and whose default is to kill. To be called once before [`Writers::of`].
///
/// # Errors
/// The signal handler cannot be set.
pub(super) fn disarm_lease_signal() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGIO, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Who has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    Nobody,
    Somebody,
    /// The system does not tell.
    Unknown,
}

impl Writers {
    /// Those of this file, at this moment.
    pub(super) fn of(file: &File) -> Self {
        match try_read_lease(file) {
            Ok(()) => Writers::Nobody,
            Err(Errno::AGAIN) => Writers::Somebody,
            Err(_) => Writers::Unknown,
        }
    }

    /// Whether there may be one of a file that was last `changed` then.
    pub(super) fn may_be(self, changed: SystemTime, now: SystemTime) -> bool {
        match self {
            Writers::Nobody => false,
            Writers::Somebody => true,
            Writers::Unknown => now.duration_since(changed).unwrap_or_default() < UNCHANGED_FOR,
        }
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
        assert_eq!(Writers::of(&reader), Writers::Somebody);
        drop(writer);
        assert_eq!(Writers::of(&reader), Writers::Nobody);
        let appender = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(Writers::of(&reader), Writers::Somebody);
        drop(appender);
        assert_eq!(Writers::of(&reader), Writers::Nobody);
    }

    #[test]
    fn where_the_system_does_not_tell_a_file_must_have_been_left_alone_for_a_while() {
        let now = SystemTime::now();
        for (changed, all_unknown) in [(now - UNCHANGED_FOR, false), (now - UNCHANGED_FOR / 2, true), (now, true)] {
            assert!(Writers::Somebody.may_be(changed, now) && !Writers::Nobody.may_be(changed, now));
            assert_eq!(Writers::Unknown.may_be(changed, now), all_unknown);
        }
        // A file of the future.
        assert!(Writers::Unknown.may_be(now + UNCHANGED_FOR, now));
    }
}
