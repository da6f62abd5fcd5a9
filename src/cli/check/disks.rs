//! Trap: a disk that is nearly full.

use super::finding::{Finding, shown, word};
use super::subject::Subject;
use rustix::fs::{StatVfs, statvfs};
use std::collections::BTreeSet;
use std::path::Path;

/// Less than this is little, in percent.
const LITTLE: u64 = 5;

/// Looks at the disk of each Maildir, at each disk once.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for home in &subject.maildirs {
        // That the Maildir cannot be looked at was told of with it.
        let Ok(disk) = statvfs(&home.path) else { continue };
        if known.insert(disk.f_fsid) || disk.f_fsid == 0 {
            found.extend(about(&home.path, &disk));
        }
    }
    found
}

fn about(path: &Path, disk: &StatVfs) -> Vec<Finding> {
    let room = percent_left(disk.f_bavail, disk.f_blocks).map(|left| {
        let text = format!("the disk of {} is nearly full: {left} % are left", shown(path));
        Finding::warning(text, format!("df -h {}", word(path)))
    });
    // Some file systems have as many as there is room for, and say 0.
    let inodes = percent_left(disk.f_favail, disk.f_files).map(|left| {
        let text = format!("the disk of {} has nearly no inodes for more files: {left} % are left", shown(path));
        Finding::warning(text, format!("df -i {}", word(path)))
    });
    room.into_iter().chain(inodes).collect()
}

/// How much is left, where it is little.
fn percent_left(free: u64, all: u64) -> Option<u64> {
    let left = (u128::from(free) * 100).checked_div(u128::from(all))?;
    u64::try_from(left).ok().filter(|left| *left < LITTLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_less_than_one_in_twenty() {
        for (free, all, expected) in
            [(5, 100, None), (49, 1000, Some(4)), (0, 10, Some(0)), (0, 0, None), (u64::MAX, u64::MAX, None)]
        {
            assert_eq!(percent_left(free, all), expected, "{free} of {all}");
        }
    }
}
