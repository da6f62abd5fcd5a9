//! inotify, for hints.
//!
//! An event says *look here*, never *this is so*: a lost, doubled or stale one does no harm, for a
//! claim finds out the truth and a search finds what no event told of.
//!
//! Two watchers, because an event mask belongs to a watcher: one for arrivals, which must not wake
//! for our own opening and removing of messages (that would cost more than the rest of the work on
//! them), one for changes that people and other processes make. `docs/adr/0002-notify.md` has the
//! figures.

use super::common::Common;
use super::layout::{HANDS, PAUSED, STORY};
use super::sentinel;
use super::served::Maildir;
use super::wishes::Wish;
use crate::engine::Id;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, ErrorKind, Event, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fs::{Mode, OFlags, openat};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};

/// How many folders of a Maildir are watched.
pub const WATCHES_OF_ONE: u64 = 5 + sentinel::WATCHES;

/// The watchers of all Maildirs.
pub(super) struct Watch {
    arrivals: RecommendedWatcher,
    changes: RecommendedWatcher,
    /// The `new/` that is watched of each Maildir: it may be renamed and made anew. Held open, so that
    /// no other folder can come to have its inode.
    followed: BTreeMap<u32, File>,
}

impl Watch {
    /// Starts without anything to watch.
    ///
    /// # Errors
    /// There is no inotify to be had.
    pub(super) fn start(common: &Arc<Common>) -> notify::Result<Self> {
        // IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE; a rename into the folder is only passed on
        // where the mask has MODIFY_NAME, too.
        let arrive = EventKindMask::CREATE | EventKindMask::MODIFY_NAME | EventKindMask::ACCESS_CLOSE;
        // A person's `touch` of a story is IN_ATTRIB, their `touch -m` IN_MODIFY.
        let touch = EventKindMask::MODIFY_META | EventKindMask::MODIFY_DATA;
        let change = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME | touch;
        Ok(Watch { arrivals: watcher(common, arrive)?, changes: watcher(common, change)?, followed: BTreeMap::new() })
    }

    /// Watches a Maildir, and the folder that is its `new/` now. To be called before it is searched, so
    /// that nothing falls in between. Returns whether `new/` is another one than before.
    ///
    /// # Errors
    /// There is none, or not enough inotify.
    pub(super) fn follow(&mut self, maildir: &Maildir) -> notify::Result<bool> {
        let layout = &maildir.layout;
        let folder = File::from(
            openat(layout.root(), "new", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(io::Error::from)?,
        );
        let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        match self.followed.remove(&maildir.number) {
            Some(followed) if inode(&followed)? == inode(&folder)? => {
                self.followed.insert(maildir.number, followed);
                return Ok(false);
            }
            _ => {}
        }
        self.arrivals.watch(&layout.path().join(HANDS), RecursiveMode::NonRecursive)?;
        for part in ["", STORY, PAUSED] {
            self.changes.watch(&layout.path().join(part), RecursiveMode::NonRecursive)?;
        }
        let new = layout.path().join("new");
        // The watch goes with the old folder; watching the same path again would do nothing.
        unwatch(&mut self.arrivals, &new)?;
        self.arrivals.watch(&new, RecursiveMode::NonRecursive)?;
        self.followed.insert(maildir.number, folder);
        Ok(true)
    }

    /// Watches a Maildir no more.
    pub(super) fn forget(&mut self, maildir: &Maildir) {
        let path = maildir.layout.path();
        self.followed.remove(&maildir.number);
        let unwatched = ["new", HANDS].map(|part| unwatch(&mut self.arrivals, &path.join(part)));
        let unwatched =
            unwatched.into_iter().chain(["", STORY, PAUSED].map(|p| unwatch(&mut self.changes, &path.join(p))));
        for error in unwatched.filter_map(Result::err) {
            tracing::debug!(event = "not_unwatched", reason = %error);
        }
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
        Ok(event) if event.need_rescan() => {
            tracing::warn!(event = "overflow", "more mail came at once than inotify could tell of; searching for it");
            search_all(&common);
        }
        Ok(event) => event.paths.iter().for_each(|path| look(&common, event.kind, path)),
        Err(error) => {
            tracing::warn!(event = "watch_failed", reason = %error);
            search_all(&common);
        }
    }
}

fn search_all(common: &Common) {
    for maildir in common.served().all() {
        common.wishes.ask(maildir.number, Wish::Search);
    }
}

fn look(common: &Common, kind: EventKind, path: &Path) {
    let was_written = matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else { return };
    let maildir_of = |part: &str| {
        let depth = part.split('/').count();
        let root = folder.ends_with(part).then(|| folder.ancestors().nth(depth)).flatten()?;
        common.served().at(root).cloned()
    };
    if let Some(maildir) = maildir_of("new") {
        maildir.arrived(name, was_written);
    } else if let Some(maildir) = maildir_of(HANDS) {
        if was_written {
            common.wishes.ask(maildir.number, Wish::Recover);
        }
    } else if let Some(maildir) = maildir_of(STORY) {
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
