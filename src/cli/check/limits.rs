//! Trap: limits of the system that many Maildirs and much mail at a time run into.

use super::finding::{Finding, counted};
use super::subject::Subject;
use crate::maildir::WATCHES_OF_ONE;
use crate::wire::{self, Crowd};
use rustix::fs::inotify::{CreateFlags, init};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const MAX_WATCHES: &str = "/proc/sys/fs/inotify/max_user_watches";
/// How many inotify instances the daemon has.
const INSTANCES: usize = 3;

/// Compares what is needed with what is allowed.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let maildirs = subject.maildirs.len();
    let hands: usize = subject.config.targets.iter().map(|target| target.concurrency).sum();
    let crowd = Crowd::of(subject.config, maildirs);
    let files = about_files(getrlimit(Resource::Nofile).maximum, crowd, hands);
    // Without /proc nobody knows, and the daemon says what it cannot watch.
    let allowed = fs::read_to_string(MAX_WATCHES).ok().and_then(|text| text.trim().parse().ok());
    let watches = allowed.and_then(|allowed| about_watches(allowed, maildirs, || watches_of(subject.daemon().uid)));
    // That it cannot become the daemon was told of with the Maildir.
    let has_instances = subject.as_daemon(can_have_instances).unwrap_or(true);
    let instances = (!has_instances).then(|| {
        let text = format!(
            "uid {} has no inotify instances left: new mail is only found by searching for it",
            subject.daemon().uid
        );
        Finding::warning(text, "sysctl -w fs.inotify.max_user_instances=1024")
    });
    files.into_iter().chain(watches).chain(instances).collect()
}

fn about_files(allowed: Option<u64>, crowd: Crowd, hands: usize) -> Option<Finding> {
    let room = wire::hands_within(allowed, crowd);
    let allowed = allowed.filter(|_| room < hands)?;
    let needed = wire::files_for(hands, crowd);
    let text = format!(
        "at most {allowed} files may be open: enough for {} at a time, not for the {hands} of `concurrency`",
        counted(room, "message")
    );
    Some(Finding::warning(text, format!("LimitNOFILE={needed} in the unit, or: ulimit -n {needed}")))
}

fn about_watches(allowed: u64, maildirs: usize, taken: impl FnOnce() -> u64) -> Option<Finding> {
    let needed = WATCHES_OF_ONE * maildirs as u64;
    let taken = taken();
    if taken + needed <= allowed {
        return None;
    }
    let text = format!(
        "{} need {needed} inotify watches, and {} of {allowed} are left: some are only searched now and then",
        counted(maildirs, "Maildir"),
        allowed.saturating_sub(taken)
    );
    let enough = (taken + needed).next_power_of_two();
    Some(Finding::warning(text, format!("sysctl -w fs.inotify.max_user_watches={enough}   # and in /etc/sysctl.d/")))
}

fn can_have_instances() -> bool {
    let instances: Result<Vec<_>, _> = (0..INSTANCES).map(|_| init(CreateFlags::CLOEXEC)).collect();
    instances.is_ok()
}

/// How many watches the other processes of this user have, as far as they let us see.
fn watches_of(uid: u32) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_other = |process: &Path| {
        let is_theirs = process.metadata().is_ok_and(|found| found.uid() == uid);
        // A maildirq that runs already makes way for the next.
        is_theirs && fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() != "maildirq")
    };
    let others = processes.map(|process| process.path()).filter(|process| is_other(process));
    others.map(|process| watches_in(&process)).sum()
}

fn watches_in(process: &Path) -> u64 {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let inotify = files.filter(|file| fs::read_link(file.path()).is_ok_and(|to| to == Path::new("anon_inode:inotify")));
    let about = inotify.filter_map(|file| fs::read_to_string(process.join("fdinfo").join(file.file_name())).ok());
    about.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::inotify::{WatchFlags, add_watch};

    #[test]
    fn few_open_files_are_told_of_with_the_number_that_is_enough() {
        assert_eq!(about_files(None, Crowd { maildirs: 1000, workers: 1000 }, 1000), None);
        for workers in [0, 100] {
            let crowd = Crowd { maildirs: 1, workers };
            let enough = wire::files_for(8, crowd);
            assert_eq!(about_files(Some(enough), crowd, 8), None);
            let finding = about_files(Some(enough - 1), crowd, 8).unwrap().to_string();
            assert!(finding.contains("enough for 7 messages at a time, not for the 8"), "{finding}");
            assert!(finding.contains(&format!("LimitNOFILE={enough}")), "{finding}");
        }
    }

    #[test]
    fn watches_that_others_have_are_counted() {
        assert_eq!(about_watches(8000, 1000, || 0), None);
        let finding = about_watches(8000, 1000, || 1).unwrap().to_string();
        assert!(finding.contains("1000 Maildirs need 8000 inotify watches, and 7999 of 8000 are left"), "{finding}");
        assert!(finding.contains("max_user_watches=8192"), "{finding}");
    }

    #[test]
    fn a_watch_of_a_process_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let before = watches_in(Path::new("/proc/self"));
        let instance = init(CreateFlags::CLOEXEC).unwrap();
        add_watch(&instance, folder.path(), WatchFlags::CREATE).unwrap();
        assert!(watches_in(Path::new("/proc/self")) > before);
    }
}
