//! How many processes one maildirq may have, it and what it starts: a group of cgroups(7).

use std::fs;
use std::path::{Path, PathBuf};

use super::process::Maildirq;
use super::skip::skipped;
use super::wait::{SOON, comes_true};

/// Is gone when dropped, with whoever is in it back where all others are.
pub struct ProcessLimit {
    group: PathBuf,
}

impl ProcessLimit {
    /// None where there are no such groups to be made, and then it says so.
    pub fn of(maildirq: &Maildirq) -> Option<ProcessLimit> {
        const PLACES: [&str; 2] = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let Some(place) = PLACES.iter().find(|place| Path::new(place).join("cgroup.procs").exists()) else {
            skipped("there are no control groups here");
            return None;
        };
        let pid = maildirq.pid().as_raw_nonzero().to_string();
        let group = Path::new(place).join(format!("maildirq-test-{pid}"));
        let made = fs::create_dir(&group).and_then(|()| fs::metadata(group.join("pids.max")));
        let limit = ProcessLimit { group };
        match made.and_then(|_| fs::write(limit.group.join("cgroup.procs"), pid)) {
            Ok(()) => Some(limit),
            Err(why) => {
                skipped(format_args!("no control group can be made: {why}"));
                None
            }
        }
    }

    /// So many more than there are at this moment; or any number.
    pub fn allow(&self, more: Option<u64>) {
        let now: u64 = fs::read_to_string(self.group.join("pids.current")).unwrap().trim().parse().unwrap();
        let limit = more.map_or("max".to_owned(), |more| (now + more).to_string());
        fs::write(self.group.join("pids.max"), limit).unwrap();
    }
}

impl Drop for ProcessLimit {
    fn drop(&mut self) {
        let others = self.group.parent().expect("a group is in a group").join("cgroup.procs");
        for pid in fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default().lines() {
            // It may end meanwhile.
            let _ = fs::write(&others, pid);
        }
        comes_true(SOON, || fs::remove_dir(&self.group).is_ok());
    }
}
