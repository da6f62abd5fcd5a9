//! Whether a folder of ours is empty.
//!
//! Most queues have no stories and no pauses most of the time, and to look for one that is not there takes a while. A
//! folder that was seen to be empty still is, as long as nothing has changed it.

use super::layout::{is_empty, stat};
use super::mark::Mark;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How long is waited, where the folder was not empty, until it is looked into again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a folder.
#[derive(Debug)]
pub(super) struct Vacancy {
    /// Its path from the Maildir.
    folder: &'static str,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Seen {
    #[default]
    Nothing,
    /// It was empty, and had this mark.
    Empty(Mark),
    /// It was not empty at this time.
    Used(SystemTime),
}

impl Vacancy {
    /// Of the folder at this path from the Maildir nothing is known yet.
    pub(super) fn of(folder: &'static str) -> Self {
        Vacancy { folder, seen: Mutex::default() }
    }

    /// Whether it is known to be empty, in the Maildir `root`. `now` is not later than this call.
    pub(super) fn is_certain(&self, root: impl AsFd, now: SystemTime) -> bool {
        let seen = *self.seen();
        if let Seen::Used(at) = seen
            && now.duration_since(at).is_ok_and(|time| time < LOOK_AGAIN)
        {
            return false;
        }
        let Ok(found) = stat(&root, self.folder) else { return false };
        let mark = Mark::of(&found);
        match seen {
            Seen::Empty(empty) if empty == mark => return true,
            // What is put there now might not show.
            _ if !mark.is_settled(now) => return false,
            _ => {}
        }
        let is_empty = is_empty(root, self.folder).unwrap_or(false);
        *self.seen() = if is_empty { Seen::Empty(mark) } else { Seen::Used(now) };
        is_empty
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Keep, Layout, STORY};
    use super::*;
    use std::fs;
    use std::path::PathBuf;

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
            Bench { layout, folder, vacancy: Vacancy::of(STORY), _temporary: temporary }
        }

        fn changed(&self) -> SystemTime {
            Mark::of(&stat(self.layout.root(), STORY).unwrap()).changed()
        }

        fn is_certain(&self, now: SystemTime) -> bool {
            self.vacancy.is_certain(self.layout.root(), now)
        }

        /// Changes it, once more where the system's clock had not ticked since the last change.
        fn change(&self, mut change: impl FnMut()) {
            let before = self.changed();
            while self.changed() == before {
                change();
            }
        }
    }

    #[test]
    fn of_a_folder_that_has_just_changed_nothing_is_certain() {
        let bench = Bench::new();
        assert!(!bench.is_certain(bench.changed()));
        assert!(bench.is_certain(bench.changed() + LOOK_AGAIN));
    }

    #[test]
    fn what_is_put_there_is_seen_at_once() {
        let bench = Bench::new();
        let story = bench.folder.join("id");
        let later = bench.changed() + LOOK_AGAIN;
        assert!(bench.is_certain(later));
        bench.change(|| fs::write(&story, "").and_then(|()| fs::remove_file(&story)).unwrap());
        fs::write(&story, "").unwrap();
        assert!(!bench.is_certain(later));
        assert!(!bench.is_certain(bench.changed() + LOOK_AGAIN));
    }

    #[test]
    fn that_it_has_become_empty_is_seen_later() {
        let bench = Bench::new();
        let story = bench.folder.join("id");
        bench.change(|| fs::write(&story, "").unwrap());
        let later = bench.changed() + LOOK_AGAIN;
        assert!(!bench.is_certain(later));
        fs::remove_file(&story).unwrap();
        assert!(!bench.is_certain(later), "it was looked into just before");
        assert!(bench.is_certain(bench.changed() + 2 * LOOK_AGAIN));
    }

    #[test]
    fn of_a_folder_that_cannot_be_looked_at_nothing_is_certain() {
        let bench = Bench::new();
        let later = bench.changed() + LOOK_AGAIN;
        assert!(bench.is_certain(later));
        fs::remove_dir(&bench.folder).unwrap();
        assert!(!bench.is_certain(later));
    }
}
