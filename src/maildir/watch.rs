//! inotify, for hints.
//!
//! An event says *look here*, never *this is so*: a lost, doubled or stale one does no harm, for a
//! claim finds out the truth and a search finds what no event told of.
//!
//! Two watchers, because an event mask belongs to a watcher: one for arrivals, which must not wake
//! for our own opening and removing of messages (that would cost more than the rest of the work on
//! them), one for changes that people and other processes make. `docs/adr/0002-notify.md` has the
//! figures.

use super::layout::{HANDS, Layout, PAUSED, STORY};
use super::queue::Shared;
use super::upkeep::Wish;
use crate::engine::Id;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, ErrorKind, Event, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// The watchers of one queue.
pub(super) struct Watch {
    arrivals: RecommendedWatcher,
    changes: RecommendedWatcher,
    root: PathBuf,
    /// The `new/` that is watched: it may be renamed and made anew. Held open, so that no other
    /// folder can come to have its inode.
    watched: Option<File>,
}

impl Watch {
    /// Starts watching. To be called before the first search, so that nothing falls in between.
    ///
    /// # Errors
    /// There is no inotify to be had, or not enough of it.
    pub(super) fn start(shared: &Arc<Shared>) -> notify::Result<Self> {
        // IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE; a rename into the folder is only passed on
        // where the mask has MODIFY_NAME, too.
        let arrive = EventKindMask::CREATE | EventKindMask::MODIFY_NAME | EventKindMask::ACCESS_CLOSE;
        // A person's `touch` of a story is IN_ATTRIB, their `touch -m` IN_MODIFY.
        let touch = EventKindMask::MODIFY_META | EventKindMask::MODIFY_DATA;
        let change = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME | touch;
        let root = shared.layout.path().to_owned();
        let mut watch =
            Watch { arrivals: watcher(shared, arrive)?, changes: watcher(shared, change)?, root, watched: None };
        watch.arrivals.watch(&watch.root.join(HANDS), RecursiveMode::NonRecursive)?;
        for folder in ["", STORY, PAUSED] {
            watch.changes.watch(&watch.root.join(folder), RecursiveMode::NonRecursive)?;
        }
        watch.follow_new(&shared.layout)?;
        Ok(watch)
    }

    /// Watches the folder that is `new/` now. Returns whether it is another one than before.
    ///
    /// # Errors
    /// There is none, or not enough inotify.
    pub(super) fn follow_new(&mut self, layout: &Layout) -> notify::Result<bool> {
        let folder = File::from(
            openat(layout.root(), "new", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(io::Error::from)?,
        );
        let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        if let Some(watched) = &self.watched
            && inode(watched)? == inode(&folder)?
        {
            return Ok(false);
        }
        self.watched = None;
        let new = self.root.join("new");
        // The watch goes with the old folder; watching the same path again would do nothing.
        match self.arrivals.unwatch(&new) {
            Err(error) if !matches!(error.kind, ErrorKind::WatchNotFound) => return Err(error),
            _ => self.arrivals.watch(&new, RecursiveMode::NonRecursive)?,
        }
        self.watched = Some(folder);
        Ok(true)
    }
}

fn watcher(shared: &Arc<Shared>, mask: EventKindMask) -> notify::Result<RecommendedWatcher> {
    let shared = Arc::downgrade(shared);
    let config = Config::default().with_event_kinds(mask).with_follow_symlinks(false);
    RecommendedWatcher::new(move |event| heard(&shared, event), config)
}

fn heard(shared: &Weak<Shared>, event: notify::Result<Event>) {
    let Some(shared) = shared.upgrade() else { return };
    match event {
        Ok(event) if event.need_rescan() => {
            tracing::warn!(event = "overflow", "more mail came at once than inotify could tell of; searching for it");
            shared.wishes.ask(Wish::Search);
        }
        Ok(event) => event.paths.iter().for_each(|path| look(&shared, event.kind, path)),
        Err(error) => {
            tracing::warn!(event = "watch_failed", reason = %error);
            shared.wishes.ask(Wish::Search);
        }
    }
}

fn look(shared: &Shared, kind: EventKind, path: &Path) {
    let root = shared.layout.path();
    let (Some(name), Some(folder)) =
        (path.file_name(), path.parent().and_then(|folder| folder.strip_prefix(root).ok()))
    else {
        return;
    };
    let was_written = matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
    match folder.to_str() {
        Some("new") => shared.arrived(name, was_written),
        Some(HANDS) if was_written => shared.wishes.ask(Wish::Recover),
        Some(STORY) => {
            if let Some(id) = name.to_str().and_then(Id::parse) {
                shared.story_changed(id);
            }
        }
        Some(PAUSED) => shared.bell.ring(),
        Some("") if name == "new" => shared.wishes.ask(Wish::Search),
        _ => {}
    }
}
