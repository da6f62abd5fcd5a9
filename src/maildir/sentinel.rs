//! Whether anything was put into a folder since it was looked into.
//!
//! inotify(7) has an event in its queue before the call returns that caused it. So whoever empties the queue knows of
//! all that was done before, by whatever process; what another thread has heard of it, as with the hints of `watch`, is
//! not enough for that.

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many folders the sentinel of a Maildir watches: those of stories and pauses, and the one that they are in.
pub(super) const WATCHES: u64 = 3;
/// How much is read at a time, in bytes: an event has 16, and a name of at most 255.
const EVENTS: usize = 4096;

/// One inotify instance, made when it is first needed. Each watch of it ends by the first event that it has: what is
/// watched has been still.
#[derive(Debug, Default)]
pub(super) struct Sentinel(Mutex<Watching>);

#[derive(Debug, Default)]
struct Watching {
    inotify: Option<OwnedFd>,
    still: BTreeSet<i32>,
}

/// A folder that is watched, and the one that it is in: that may be moved with all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched([i32; 2]);

impl Sentinel {
    /// Watches a folder, by its path from the Maildir `root`, from now on. None where that is not to be had. What has
    /// happened to other folders is heard, too.
    pub(super) fn watch(&self, root: impl AsFd, folder: &str) -> Option<Watched> {
        // inotify knows folders by their paths only.
        let path = format!("/proc/self/fd/{}/{folder}", root.as_fd().as_raw_fd());
        let (parent, _) = path.rsplit_once('/')?;
        let mut watching = self.watching();
        watching.hear();
        let watched = watching.watch(&path, parent);
        drop(watching);
        watched.inspect_err(|error| tracing::debug!(event = "not_watched", folder, reason = %error)).ok()
    }

    /// Whether nothing was put into it since it is watched, and it is where it was.
    pub(super) fn is_still(&self, watched: Watched) -> bool {
        let mut watching = self.watching();
        watching.hear();
        watching.is_still(watched)
    }

    /// The same, as of the last time that anybody asked about any folder.
    pub(super) fn was_still(&self, watched: Watched) -> bool {
        self.watching().is_still(watched)
    }

    /// Watches it no more.
    pub(super) fn leave(&self, watched: Watched) {
        let mut watching = self.watching();
        for watch in watched.0 {
            watching.leave(watch);
        }
    }

    /// Nobody was told of what has happened to this folder.
    #[cfg(test)]
    pub(super) fn miss(&self, watched: Watched) {
        let mut watching = self.watching();
        watching.hear();
        watching.still.extend(watched.0);
    }

    fn watching(&self) -> MutexGuard<'_, Watching> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    fn watch(&mut self, folder: &str, parent: &str) -> Result<Watched, Errno> {
        let once = WatchFlags::ONESHOT | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW | WatchFlags::MOVE_SELF;
        let inotify = match &mut self.inotify {
            Some(inotify) => inotify,
            none => none.insert(init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?),
        };
        let parent = add_watch(&*inotify, parent, once)?;
        self.still.insert(parent);
        let folder = add_watch(&*inotify, folder, once | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        self.still.insert(folder);
        Ok(Watched([folder, parent]))
    }

    fn is_still(&self, watched: Watched) -> bool {
        watched.0.iter().all(|watch| self.still.contains(watch))
    }

    fn hear(&mut self) {
        let Watching { inotify: Some(inotify), still } = self else { return };
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let mut events = Reader::new(inotify, &mut events);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => still.clear(),
                Ok(event) => drop(still.remove(&event.wd())),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(event = "sentinel_failed", reason = %error);
                    return still.clear();
                }
            }
        }
    }

    fn leave(&mut self, watch: i32) {
        if self.still.remove(&watch)
            && let Some(inotify) = &self.inotify
        {
            // One that has ended by itself cannot be removed.
            let _ = remove_watch(inotify, watch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};
    use tempfile::TempDir;

    struct Bench {
        temporary: TempDir,
        root: File,
        sentinel: Sentinel,
    }

    impl Bench {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            for folder in ["ours/one", "ours/other"] {
                fs::create_dir_all(temporary.path().join(folder)).unwrap();
            }
            let root = File::open(temporary.path()).unwrap();
            Bench { temporary, root, sentinel: Sentinel::default() }
        }

        fn at(&self, path: impl AsRef<Path>) -> PathBuf {
            self.temporary.path().join(path)
        }

        fn watch(&self, folder: &str) -> Watched {
            self.sentinel.watch(&self.root, folder).unwrap()
        }

        /// Whether one folder is still known to be so, and the other.
        fn after(&self, change: impl FnOnce(&Self)) -> (bool, bool) {
            let [one, other] = ["ours/one", "ours/other"].map(|folder| self.watch(folder));
            assert!(self.sentinel.is_still(one) && self.sentinel.is_still(other));
            change(self);
            let before = self.sentinel.was_still(one) && self.sentinel.was_still(other);
            assert!(before, "nobody has asked");
            let now = (self.sentinel.is_still(one), self.sentinel.is_still(other));
            assert_eq!((self.sentinel.was_still(one), self.sentinel.was_still(other)), now);
            now
        }
    }

    #[test]
    fn whatever_is_put_into_a_folder_shows_at_once() {
        let bench = Bench::new();
        assert_eq!(bench.after(|_| {}), (true, true));
        fs::write(bench.at("file"), "").unwrap();
        let make = |bench: &Bench| fs::write(bench.at("ours/one/made"), "").unwrap();
        let rename = |bench: &Bench| fs::rename(bench.at("file"), bench.at("ours/one/renamed")).unwrap();
        let link = |bench: &Bench| fs::hard_link(bench.at("ours/one/made"), bench.at("ours/one/linked")).unwrap();
        let changes: [&dyn Fn(&Bench); 3] = [&make, &rename, &link];
        for change in changes {
            assert_eq!(bench.after(change), (false, true));
        }
        assert_eq!(bench.after(|bench| fs::remove_file(bench.at("ours/one/made")).unwrap()), (true, true));
    }

    #[test]
    fn a_folder_that_is_another_one_now_is_not_still() {
        let bench = Bench::new();
        let replace = |folder: &str| {
            fs::rename(bench.at(folder), bench.at("moved")).unwrap();
            fs::create_dir_all(bench.at("ours/one")).unwrap();
            fs::create_dir_all(bench.at("ours/other")).unwrap();
        };
        assert_eq!(bench.after(|_| replace("ours/one")), (false, true));
        fs::remove_dir(bench.at("moved")).unwrap();
        assert_eq!(bench.after(|_| replace("ours")), (false, false));
        assert_eq!(bench.after(|bench| fs::remove_dir(bench.at("ours/other")).unwrap()), (true, false));
    }

    #[test]
    fn what_has_left_or_was_not_watched_is_not_still() {
        let bench = Bench::new();
        let (one, other) = (bench.watch("ours/one"), bench.watch("ours/other"));
        bench.sentinel.leave(one);
        assert!(!bench.sentinel.is_still(one));
        assert!(!bench.sentinel.is_still(other), "what they both are in is watched no more");
        let (one, other) = (bench.watch("ours/one"), bench.watch("ours/other"));
        assert!(bench.sentinel.is_still(one) && bench.sentinel.is_still(other));
        assert_eq!(bench.sentinel.watch(&bench.root, "ours/none"), None);
    }

    #[test]
    fn more_events_than_the_system_keeps_leave_nothing_still() {
        let bench = Bench::new();
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        let other = bench.watch("ours/other");
        let [one, ours] = ["ours/one", "ours"].map(|folder| bench.at(folder).into_os_string().into_string().unwrap());
        for _ in 0..=limit / 2 {
            // Its event, and the end of its watch. Nobody hears of them.
            bench.sentinel.watching().watch(&one, &ours).unwrap();
            fs::write(bench.at("ours/one/file"), "").unwrap();
            fs::remove_file(bench.at("ours/one/file")).unwrap();
        }
        assert!(!bench.sentinel.is_still(other));
        assert!(bench.sentinel.is_still(bench.watch("ours/other")));
    }
}
