//! What is another after each change of a file.

use super::story::system_time;
use rustix::fs::Stat;
use std::time::{Duration, SystemTime};

/// The system's clock for the times of files ticks every few milliseconds. What was left alone for so long shows each
/// further change.
const SETTLED_FOR: Duration = Duration::from_millis(100);
/// The same where the file system keeps whole seconds only, as ext4 does with small inodes.
const SETTLED_FOR_SECONDS: Duration = Duration::from_secs(3);

/// A file as it is at a moment. Whoever writes, renames, links or removes it gives it another mark; but for two changes
/// within one tick of the system's clock, which are as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    /// When its status was last changed: seconds and nanoseconds.
    pub ctime: (i64, u64),
    size: i64,
}

impl Mark {
    pub(super) fn of(found: &Stat) -> Self {
        let ctime = (found.st_ctime, found.st_ctime_nsec);
        Mark { device: found.st_dev, inode: found.st_ino, ctime, size: found.st_size }
    }

    /// When the file was last changed.
    pub(super) fn changed(self) -> SystemTime {
        let (seconds, nanoseconds) = self.ctime;
        system_time(seconds, nanoseconds)
    }

    /// Whether it was left alone for so long before `now` that whatever changes the file from then on gives it another
    /// mark.
    pub(super) fn is_settled(self, now: SystemTime) -> bool {
        let (_, nanoseconds) = self.ctime;
        let wanted = if nanoseconds == 0 { SETTLED_FOR_SECONDS } else { SETTLED_FOR };
        now.duration_since(self.changed()).is_ok_and(|time| time >= wanted)
    }

    /// Whether both are of one file.
    pub(super) fn is_of_same_file(self, other: Mark) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::stat;
    use super::*;
    use rustix::fs::CWD;
    use std::fs;
    use std::path::Path;

    fn mark(path: &Path) -> Mark {
        Mark::of(&stat(CWD, path).unwrap())
    }

    /// Until the system's clock has ticked nothing shows.
    fn shows(mut change: impl FnMut(), path: &Path) {
        let before = mark(path);
        while mark(path) == before {
            change();
        }
        assert!(mark(path).changed() > before.changed() && mark(path).is_of_same_file(before));
    }

    #[test]
    fn each_change_of_a_file_and_its_names_shows() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "a").unwrap();
        shows(|| fs::rename(&one, &other).and_then(|()| fs::rename(&other, &one)).unwrap(), &one);
        shows(|| fs::hard_link(&one, &other).and_then(|()| fs::remove_file(&other)).unwrap(), &one);
        shows(|| fs::write(&one, "b").unwrap(), &one);
        let before = mark(&one);
        fs::write(&other, "").unwrap();
        assert!(!mark(&other).is_of_same_file(before));
    }

    #[test]
    fn what_was_left_alone_for_longer_than_a_tick_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        for (nanoseconds, tick) in [(1, SETTLED_FOR), (0, SETTLED_FOR_SECONDS)] {
            let mark = Mark { ctime: (1_762_087_331, nanoseconds), ..mark(folder.path()) };
            let changed = mark.changed();
            assert!(mark.is_settled(changed + tick) && !mark.is_settled(changed + tick / 2));
            assert!(!mark.is_settled(changed - tick), "a time that is still to come");
        }
    }
}
