//! inotify for what comes into `new/` and `hands/`, read by the lane that works on it: nobody has to be woken for it by
//! somebody else. `docs/adr/0015-a-lane-that-listens.md` has the figures.

use super::common::Common;
use super::wishes::Wish;
use crate::system::wait_for_reading;
use rustix::fs::inotify::{CreateFlags, Event, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::yield_now;

/// How much is read at a time, in bytes.
const EVENTS: usize = 4096;
/// The largest event, in bytes: 16, and a name of at most 255 with its end.
const LARGEST: usize = 272;
/// So many events of a read leave no doubt that there was room for one more.
const FEW: usize = EVENTS / LARGEST - 1;

/// A folder into which something comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Folder {
    /// Mail.
    New,
    /// What a process holds.
    Hands,
}

/// One inotify instance, for all Maildirs.
#[derive(Debug)]
pub(super) struct Arrivals {
    inotify: Arc<OwnedFd>,
    folders: Mutex<BTreeMap<i32, (u32, Folder)>>,
}

/// A folder that is watched.
#[derive(Debug)]
pub(super) struct Watched(i32);

impl Arrivals {
    /// Starts without anything to watch.
    ///
    /// # Errors
    /// There is no inotify to be had.
    pub(super) fn start() -> Result<Self, Errno> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Arrivals { inotify: Arc::new(inotify), folders: Mutex::default() })
    }

    /// Watches a folder of a Maildir, wherever it is moved.
    ///
    /// # Errors
    /// There is no such folder, or no watch to be had (`ENOSPC`).
    pub(super) fn watch(&self, maildir: u32, folder: Folder, path: &Path) -> Result<Watched, Errno> {
        let comes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
        // Nobody is told of the first event before it is known what it is of.
        let mut folders = self.folders();
        let watch = add_watch(&self.inotify, path, comes | WatchFlags::ONLYDIR)?;
        folders.insert(watch, (maildir, folder));
        Ok(Watched(watch))
    }

    /// Watches it no more.
    pub(super) fn leave(&self, Watched(watch): Watched) {
        self.folders().remove(&watch);
        // The watch of a folder that is gone has ended by itself.
        let _ = remove_watch(&self.inotify, watch);
    }

    /// Takes note of what comes, for as long as it is polled, within a runtime of tokio's with its I/O.
    ///
    /// # Errors
    /// The system cannot tell. What has come meanwhile has to be searched for.
    pub(super) async fn listen(&self, common: &Common) -> io::Result<()> {
        let inotify = wait_for_reading(Arc::clone(&self.inotify))?;
        loop {
            let mut news = inotify.readable().await?;
            if self.hear(common)? {
                // The hands of this lane have their turn in between.
                yield_now().await;
            } else {
                news.clear_ready();
            }
        }
    }

    /// Takes note of what one read tells. Returns whether there may be more: to look for that is spared where there was
    /// room for it.
    fn hear(&self, common: &Common) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        let mut count = 0;
        loop {
            match events.next() {
                Ok(event) => self.note(common, &event),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            count += 1;
            if events.is_buffer_empty() {
                return Ok(count > FEW);
            }
        }
    }

    fn note(&self, common: &Common, event: &Event<'_>) {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            return common.overflowed();
        }
        let Some((number, folder)) = self.folders().get(&event.wd()).copied() else { return };
        let was_written = event.events().contains(ReadFlags::CLOSE_WRITE);
        match (folder, event.file_name()) {
            (Folder::New, Some(name)) => {
                let maildir = common.served().get(number).cloned();
                if let Some(maildir) = maildir {
                    maildir.arrived(OsStr::from_bytes(name.to_bytes()), was_written);
                }
            }
            (Folder::Hands, Some(_)) if was_written => common.wishes.ask(number, Wish::Recover),
            _ => {}
        }
    }

    fn folders(&self) -> MutexGuard<'_, BTreeMap<i32, (u32, Folder)>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::common::Settings;
    use super::super::layout::{Keep, Layout};
    use super::super::queue::MaildirQueue;
    use super::super::served::Options;
    use super::*;
    use crate::engine::Queue;
    use std::fs;
    use std::time::SystemTime;
    use tempfile::TempDir;

    struct Bench {
        folder: TempDir,
        queue: MaildirQueue,
        arrivals: Arc<Arrivals>,
        watched: Option<Watched>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("new")).unwrap();
            let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
            let queue = MaildirQueue::of_one(layout, Options::default(), Settings::default()).unwrap();
            let arrivals = queue.common().arrivals().unwrap();
            let watched = arrivals.watch(queue.only().number, Folder::New, &folder.path().join("new")).unwrap();
            Bench { folder, queue, arrivals, watched: Some(watched) }
        }

        /// A name of this length; the file is made elsewhere, and comes by a rename, which is one event.
        fn deliver(&self, number: usize, length: usize) {
            let name = format!("{number:0length$}");
            let draft = self.folder.path().join("draft");
            fs::write(&draft, "Subject: x\n\n").unwrap();
            fs::rename(draft, self.folder.path().join("new").join(name)).unwrap();
        }

        fn hear(&self) -> bool {
            self.arrivals.hear(self.queue.common()).unwrap()
        }

        fn known(&self) -> usize {
            self.queue.common().backlog().ready_count()
        }
    }

    #[test]
    fn a_read_that_had_room_for_one_more_event_is_the_last() {
        for (length, count) in [(255, FEW), (20, FEW)] {
            let bench = Bench::new();
            (0..count).for_each(|number| bench.deliver(number, length));
            assert!(!bench.hear());
            assert_eq!(bench.known(), count);
            assert!(!bench.hear(), "there is nothing more");
        }
    }

    #[test]
    fn a_read_that_may_have_had_none_is_not() {
        for (length, count) in [(255, FEW + 1), (255, FEW + 2), (20, 500)] {
            let bench = Bench::new();
            (0..count).for_each(|number| bench.deliver(number, length));
            assert!(bench.hear());
            while bench.hear() {}
            assert_eq!(bench.known(), count);
        }
    }

    #[test]
    fn a_folder_that_is_watched_no_more_tells_of_nothing() {
        let mut bench = Bench::new();
        bench.deliver(1, 20);
        bench.arrivals.leave(bench.watched.take().unwrap());
        bench.deliver(2, 20);
        while bench.hear() {}
        assert_eq!(bench.known(), 0);
        assert!(bench.queue.claim(SystemTime::now(), &|_| true).is_none());
    }
}
