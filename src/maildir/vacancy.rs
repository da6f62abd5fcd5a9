//! Whether a folder of ours is empty.
//!
//! Most queues have no stories and no pauses most of the time, and to look for one that is not there takes a while. A
//! folder that was seen to be empty still is, as long as nothing was put into it.

use super::layout::{PAUSED, STORY, is_empty};
use super::sentinel::{Sentinel, Watched};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// To watch a folder and to look into it takes far longer than to look for one thing that is not there: so it has to be
/// asked for this often in a second.
const OFTEN: u32 = 8;
const SECOND: Duration = Duration::from_secs(1);
/// How long is waited, where the folder was not empty, until it is looked into again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long is believed that there was no event: not every file system tells of what was done behind its back.
const BELIEVED_FOR: Duration = Duration::from_secs(30);

/// The folders of a Maildir that are empty most of the time.
#[derive(Debug)]
pub(super) struct Vacancies {
    pub stories: Vacancy,
    pub pauses: Vacancy,
}

/// What is known of a folder.
#[derive(Debug)]
pub(super) struct Vacancy {
    /// Its path from the Maildir.
    folder: &'static str,
    sentinel: Arc<Sentinel>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Nothing. In the second from this time on it was asked for so often.
    Nothing(SystemTime, u32),
    /// It was empty at this time, and has been watched since before.
    Empty(Watched, SystemTime),
    /// At this time it was not empty, or nobody could tell.
    Used(SystemTime),
}

impl Vacancies {
    /// Of both nothing is known yet.
    pub(super) fn unknown(sentinel: &Arc<Sentinel>) -> Self {
        Vacancies { stories: Vacancy::of(STORY, sentinel), pauses: Vacancy::of(PAUSED, sentinel) }
    }
}

impl Vacancy {
    /// Of the folder at this path from the Maildir nothing is known yet.
    fn of(folder: &'static str, sentinel: &Arc<Sentinel>) -> Self {
        Vacancy { folder, sentinel: Arc::clone(sentinel), seen: Mutex::new(Seen::Nothing(SystemTime::UNIX_EPOCH, 0)) }
    }

    /// Whether it is known to be empty, in the Maildir `root`. If so, [`was_certain`](Vacancy::was_certain) of the
    /// other folder goes by what had happened before this call.
    pub(super) fn is_certain(&self, root: impl AsFd, now: SystemTime) -> bool {
        let mut seen = self.seen();
        match &mut *seen {
            Seen::Empty(watched, at) if is_within(BELIEVED_FOR, *at, now) && self.sentinel.is_still(*watched) => {
                return true;
            }
            Seen::Used(at) if is_within(LOOK_AGAIN, *at, now) => return false,
            Seen::Nothing(since, asked) if is_within(SECOND, *since, now) => {
                *asked += 1;
                if *asked < OFTEN {
                    return false;
                }
            }
            other => {
                *other = Seen::Nothing(now, 1);
                return false;
            }
        }
        drop(seen);
        let is_empty = || is_empty(&root, self.folder).unwrap_or(false);
        // What happens in a folder that is used need not be told. In one that is not, something may until it is watched.
        let watched = if is_empty() { self.sentinel.watch(&root, self.folder) } else { None };
        let is_vacant = watched.is_some() && is_empty();
        *self.seen() = match watched {
            Some(watched) if is_vacant => Seen::Empty(watched, now),
            _ => Seen::Used(now),
        };
        if let Some(watched) = watched.filter(|_| !is_vacant) {
            self.sentinel.leave(watched);
        }
        is_vacant
    }

    /// The same, as of the last time that it was so of any folder that the same sentinel watches.
    pub(super) fn was_certain(&self, now: SystemTime) -> bool {
        let seen = *self.seen();
        matches!(seen, Seen::Empty(watched, at) if is_within(BELIEVED_FOR, at, now) && self.sentinel.was_still(watched))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Vacancy {
    fn drop(&mut self) {
        if let Seen::Empty(watched, _) = *self.seen() {
            self.sentinel.leave(watched);
        }
    }
}

/// Whether it is no longer ago than this.
fn is_within(time: Duration, at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|past| past < time)
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Keep, Layout};
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    struct Bench {
        layout: Layout,
        folder: PathBuf,
        vacancy: Vacancy,
        _temporary: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            fs::create_dir(temporary.path().join("new")).unwrap();
            let layout = Layout::open(temporary.path(), Keep::Remove).unwrap();
            let folder = temporary.path().join(STORY);
            let vacancy = Vacancy::of(STORY, &Arc::default());
            Bench { layout, folder, vacancy, _temporary: temporary }
        }

        fn is_certain(&self, now: SystemTime) -> bool {
            self.vacancy.is_certain(self.layout.root(), now)
        }

        /// Asked for often enough that somebody looks.
        fn is_certain_at_last(&self, now: SystemTime) -> bool {
            (0..OFTEN).any(|_| self.is_certain(now))
        }
    }

    #[test]
    fn where_mail_comes_now_and_then_nobody_looks() {
        let bench = Bench::new();
        assert!((0..4 * OFTEN).all(|time| !bench.is_certain(START + time * SECOND / (OFTEN - 1))));
        assert!(bench.is_certain_at_last(START));
    }

    #[test]
    fn what_is_put_there_is_seen_at_once() {
        let bench = Bench::new();
        let story = bench.folder.join("id");
        assert!(bench.is_certain_at_last(START) && bench.is_certain(START));
        fs::write(&story, "").unwrap();
        assert!(!bench.is_certain_at_last(START));
        assert!(!bench.is_certain_at_last(START + LOOK_AGAIN));
    }

    #[test]
    fn that_it_has_become_empty_is_seen_later() {
        let bench = Bench::new();
        let story = bench.folder.join("id");
        fs::write(&story, "").unwrap();
        assert!(!bench.is_certain_at_last(START));
        fs::remove_file(&story).unwrap();
        assert!(!bench.is_certain_at_last(START + LOOK_AGAIN / 2), "it was looked into just before");
        assert!(bench.is_certain_at_last(START + LOOK_AGAIN));
    }

    #[test]
    fn what_has_come_and_gone_leaves_it_empty() {
        let bench = Bench::new();
        let story = bench.folder.join("id");
        assert!(bench.is_certain_at_last(START));
        fs::write(&story, "").and_then(|()| fs::remove_file(&story)).unwrap();
        assert!(!bench.is_certain(START));
        assert!(bench.is_certain_at_last(START));
    }

    #[test]
    fn what_no_event_told_of_is_seen_later() {
        let bench = Bench::new();
        assert!(bench.is_certain_at_last(START));
        fs::write(bench.folder.join("id"), "").unwrap();
        let Seen::Empty(watched, _) = *bench.vacancy.seen() else { panic!("it was empty") };
        bench.vacancy.sentinel.miss(watched);
        assert!(bench.is_certain(START + BELIEVED_FOR / 2) && bench.vacancy.was_certain(START + BELIEVED_FOR / 2));
        assert!(!bench.vacancy.was_certain(START + BELIEVED_FOR));
        assert!(!bench.is_certain_at_last(START + BELIEVED_FOR));
    }

    #[test]
    fn of_a_folder_that_cannot_be_looked_at_nothing_is_certain() {
        let bench = Bench::new();
        assert!(bench.is_certain_at_last(START));
        fs::remove_dir(&bench.folder).unwrap();
        assert!(!bench.is_certain_at_last(START));
    }

    #[test]
    fn nothing_is_certain_of_what_cannot_be_watched() {
        let bench = Bench::new();
        fs::create_dir(bench.folder.with_extension("elsewhere")).unwrap();
        fs::remove_dir(&bench.folder).unwrap();
        // It may lead to another folder at any time.
        symlink(bench.folder.with_extension("elsewhere"), &bench.folder).unwrap();
        assert!(!bench.is_certain_at_last(START) && !bench.is_certain_at_last(START + LOOK_AGAIN));
    }
}
