//! What is watched of each Maildir. inotify, for hints.
//!
//! An event says *look here*, never *this is so*: a lost, doubled or stale one does no harm, for a
//! claim finds out the truth and a search finds what no event told of.
//!
//! What comes is heard by whoever works on it (`arrivals`), changes that people and other processes make by a watcher of
//! their own: an event mask belongs to a watcher, and our own opening and removing of messages must wake nobody (that
//! would cost more than the rest of the work on them). `docs/adr/0002-notify.md` has the figures.

use super::arrivals::{Arrivals, Folder, Watched};
use super::common::Common;
use super::layout::{HANDS, PAUSED, STORY};
use super::sentinel;
use super::served::Maildir;
use super::wishes::Wish;
use crate::engine::Id;
use notify::{Config, ErrorKind, Event, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};

/// How many folders of a Maildir are watched.
pub const WATCHES_OF_ONE: u64 = 5 + sentinel::WATCHES;

/// What watches all Maildirs.
pub(super) struct Watch {
    arrivals: Arc<Arrivals>,
    changes: RecommendedWatcher,
    followed: BTreeMap<u32, Followed>,
}

/// What is watched of a Maildir.
#[derive(Default)]
struct Followed {
    /// Its `new/`: that may be renamed and made anew. Held open, so that no other folder can come to have its inode.
    /// None where something is not watched yet.
    new: Option<File>,
    arrivals: Vec<Watched>,
}

impl Watch {
    /// Starts without anything to watch.
    ///
    /// # Errors
    /// There is no inotify to be had.
    pub(super) fn start(common: &Arc<Common>) -> notify::Result<Self> {
        // A person's `touch` of a story is IN_ATTRIB, their `touch -m` IN_MODIFY.
        let touch = EventKindMask::MODIFY_META | EventKindMask::MODIFY_DATA;
        let change = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME | touch;
        let changes = watcher(common, change)?;
        Ok(Watch { arrivals: common.arrivals().map_err(as_told)?, changes, followed: BTreeMap::new() })
    }

    /// Watches a Maildir, and the folder that is its `new/` now. To be called before it is searched, so
    /// that nothing falls in between. Returns whether `new/` is another one than before.
    ///
    /// # Errors
    /// There is none, or not enough inotify.
    pub(super) fn follow(&mut self, maildir: &Maildir) -> notify::Result<bool> {
        let (layout, number) = (&maildir.layout, maildir.number);
        let folder = File::from(
            openat(layout.root(), "new", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(io::Error::from)?,
        );
        let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        let followed = self.followed.entry(number).or_default();
        if let Some(new) = &followed.new
            && inode(new)? == inode(&folder)?
        {
            return Ok(false);
        }
        // Watches go with the old folder.
        followed.stop(&self.arrivals);
        let watch = |folder, part| self.arrivals.watch(number, folder, &layout.path().join(part)).map_err(as_told);
        followed.arrivals.push(watch(Folder::Hands, HANDS)?);
        for part in ["", STORY, PAUSED] {
            self.changes.watch(&layout.path().join(part), RecursiveMode::NonRecursive)?;
        }
        followed.arrivals.push(watch(Folder::New, "new")?);
        followed.new = Some(folder);
        Ok(true)
    }

    /// Watches a Maildir no more.
    pub(super) fn forget(&mut self, maildir: &Maildir) {
        if let Some(mut followed) = self.followed.remove(&maildir.number) {
            followed.stop(&self.arrivals);
        }
        let path = maildir.layout.path();
        let unwatched = ["", STORY, PAUSED].map(|part| unwatch(&mut self.changes, &path.join(part)));
        for error in unwatched.into_iter().filter_map(Result::err) {
            tracing::debug!(event = "not_unwatched", reason = %error);
        }
    }
}

impl Followed {
    fn stop(&mut self, arrivals: &Arrivals) {
        self.new = None;
        self.arrivals.drain(..).for_each(|watched| arrivals.leave(watched));
    }
}

/// An error of inotify, as a watcher tells it.
fn as_told(error: Errno) -> notify::Error {
    match error {
        Errno::NOSPC => notify::Error::new(ErrorKind::MaxFilesWatch),
        Errno::NOENT => notify::Error::path_not_found(),
        error => notify::Error::io(error.into()),
    }
}

fn unwatch(watcher: &mut RecommendedWatcher, path: &Path) -> notify::Result<()> {
    match watcher.unwatch(path) {
        Err(error) if !matches!(error.kind, ErrorKind::WatchNotFound) => Err(error),
        _ => Ok(()),
    }
}

fn watcher(common: &Arc<Common>, mask: EventKindMask) -> notify::Result<RecommendedWatcher> {
    let common = Arc::downgrade(common);
    let config = Config::default().with_event_kinds(mask).with_follow_symlinks(false);
    RecommendedWatcher::new(move |event| heard(&common, event), config)
}

fn heard(common: &Weak<Common>, event: notify::Result<Event>) {
    let Some(common) = common.upgrade() else { return };
    match event {
        Ok(event) if event.need_rescan() => common.overflowed(),
        Ok(event) => event.paths.iter().for_each(|path| look(&common, path)),
        Err(error) => {
            tracing::warn!(event = "watch_failed", reason = %error);
            common.search_all();
        }
    }
}

fn look(common: &Common, path: &Path) {
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else { return };
    let maildir_of = |part: &str| {
        let depth = part.split('/').count();
        let root = folder.ends_with(part).then(|| folder.ancestors().nth(depth)).flatten()?;
        common.served().at(root).cloned()
    };
    if let Some(maildir) = maildir_of(STORY) {
        if let Some(id) = name.to_str().and_then(Id::parse) {
            maildir.story_changed(id);
        }
    } else if let Some(maildir) = maildir_of(PAUSED) {
        maildir.pause_changed(name);
    } else if name == "new"
        && let Some(maildir) = common.served().at(folder)
    {
        common.wishes.ask(maildir.number, Wish::Search);
    }
}
