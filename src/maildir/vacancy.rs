//! Whether a folder of ours is empty.
//!
//! Most queues have no stories and no pauses most of the time, and to look for one that is not there takes a while. A
//! folder that was seen to be empty still is, as long as nothing has changed it. It is held open meanwhile: to ask for
//! its status takes less than to find it.

use super::layout::is_empty;
use super::mark::Mark;
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// How long what was seen there is taken for what is there: that it is not empty, or that its path leads to it. Who
/// moves it away changes it; who moves what it lies in does not.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a folder.
#[derive(Debug)]
pub(super) struct Vacancy {
    /// Its path from the Maildir.
    path: &'static str,
    seen: RwLock<Seen>,
}

#[derive(Debug, Default)]
enum Seen {
    #[default]
    Nothing,
    /// It was empty at this time, and had this mark.
    Empty(OwnedFd, Mark, SystemTime),
    /// It was not empty at this time.
    Used(SystemTime),
}

impl Vacancy {
    /// Of the folder at this path from the Maildir nothing is known yet.
    pub(super) fn of(path: &'static str) -> Self {
        Vacancy { path, seen: RwLock::default() }
    }

    /// Whether it is known to be empty, in the Maildir `root`. `now` is not later than this call.
    pub(super) fn is_certain(&self, root: impl AsFd, now: SystemTime) -> bool {
        let is_recent = |at: SystemTime| now.duration_since(at).is_ok_and(|time| time < LOOK_AGAIN);
        match &*self.seen.read().unwrap_or_else(PoisonError::into_inner) {
            Seen::Used(at) if is_recent(*at) => return false,
            Seen::Empty(folder, mark, at) if is_recent(*at) && has(folder, *mark) => return true,
            _ => {}
        }
        let Ok(seen) = self.look(root, now) else { return false };
        let is_empty = matches!(seen, Seen::Empty(..));
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = seen;
        is_empty
    }

    fn look(&self, root: impl AsFd, now: SystemTime) -> Result<Seen, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(root, self.path, flags, Mode::empty())?;
        let mark = Mark::of(&fstat(&folder)?);
        Ok(match () {
            // What is put there now might not show.
            () if !mark.is_settled(now) => Seen::Nothing,
            () if is_empty(&folder, c".")? => Seen::Empty(folder, mark, now),
            () => Seen::Used(now),
        })
    }
}

fn has(folder: &OwnedFd, mark: Mark) -> bool {
    fstat(folder).is_ok_and(|found| Mark::of(&found) == mark)
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Keep, Layout, STORY, stat};
    use super::*;
    use rustix::fs::CWD;
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

        /// Waits until a change would show.
        fn wait_for_tick(&self) {
            let clock = self.folder.with_extension("clock");
            let time = || {
                fs::write(&clock, "x").unwrap();
                Mark::of(&stat(CWD, &clock).unwrap()).changed()
            };
            while time() <= self.changed() {}
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
    fn another_folder_in_its_place_is_seen_at_once() {
        let bench = Bench::new();
        let later = bench.changed() + LOOK_AGAIN;
        assert!(bench.is_certain(later));
        bench.wait_for_tick();
        fs::rename(&bench.folder, bench.folder.with_extension("old")).unwrap();
        fs::create_dir(&bench.folder).unwrap();
        fs::write(bench.folder.join("id"), "").unwrap();
        assert!(!bench.is_certain(later));
    }

    #[test]
    fn another_folder_with_what_it_lies_in_is_seen_soon() {
        let bench = Bench::new();
        let later = bench.changed() + LOOK_AGAIN;
        assert!(bench.is_certain(later));
        let around = bench.folder.parent().unwrap();
        fs::rename(around, around.with_extension("old")).unwrap();
        fs::create_dir_all(&bench.folder).unwrap();
        fs::write(bench.folder.join("id"), "").unwrap();
        assert!(!bench.is_certain(later + LOOK_AGAIN));
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
