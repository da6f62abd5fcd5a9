//! What a person holds back: a marker in `maildirq/paused/` for each target that gets nothing of this
//! Maildir's mail.

use super::layout::{OpenError, PAUSED, read_folder};
use super::marker::{Marker, remove_ended};
use super::served::Maildir;
use crate::engine::text::printable;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

/// A target that a person has paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Its name.
    pub target: OsString,
    /// The marker.
    pub marker: PathBuf,
    /// Since when.
    pub since: SystemTime,
    /// Until when; None is until somebody goes on.
    pub until: Option<SystemTime>,
    /// Who has paused it; empty where that is not known. As it was written: not fit to be shown.
    pub by: String,
    /// Why; may be empty. As it was written: not fit to be shown.
    pub reason: String,
}

/// All that is paused for the Maildir at `path`, by name. A pause that has ended is none.
///
/// # Errors
/// The Maildir cannot be read.
pub fn pauses(path: &Path) -> Result<Vec<Pause>, OpenError> {
    let read = || -> Result<Vec<Pause>, Errno> {
        let root = File::from(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        let now = SystemTime::now();
        let pause = |target: OsString| {
            // What is removed meanwhile is no pause any more.
            let Marker { since, until, by, reason, .. } =
                Marker::read(&root, &target).filter(|marker| !marker.has_ended(now))?;
            let marker = path.join(PAUSED).join(&target);
            Some(Pause { target, marker, since, until, by, reason })
        };
        Ok(marked(&root)?.into_iter().filter_map(pause).collect())
    };
    read().map_err(OpenError::io(path, PAUSED))
}

/// The targets that have a marker, by name.
fn marked(root: impl AsFd) -> Result<BTreeSet<OsString>, Errno> {
    // The standard library's reader panics where a folder fails to close.
    let entries = match read_folder(root, PAUSED) {
        Ok(entries) => entries,
        Err(Errno::NOENT) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let names = entries.flatten().map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    Ok(names.filter(|name| name != "." && name != "..").collect())
}

/// Removes the markers of pauses that have ended. Returns how many.
///
/// # Errors
/// They cannot be read or removed.
pub(super) fn sweep_pauses(root: impl AsFd, now: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for target in marked(&root)? {
        removed += usize::from(remove_ended(&root, &target, now)?);
    }
    Ok(removed)
}

impl Maildir {
    /// Whether an operator has paused this target for this Maildir.
    pub(super) fn is_paused(&self, target: &str) -> bool {
        self.pause_of(OsStr::new(target)).is_some()
    }

    /// What pauses a target, if something does.
    fn pause_of(&self, target: &OsStr) -> Option<Marker> {
        let (root, now) = (self.layout.root(), SystemTime::now());
        if self.vacancies.pauses.is_certain(root, now) {
            return None;
        }
        Marker::read(root, target).filter(|marker| !marker.has_ended(now))
    }

    /// When the first of the pauses ends that have an end.
    pub(super) fn next_end_of_pause(&self) -> Option<SystemTime> {
        self.told_paused().values().flatten().min().copied()
    }

    fn told_paused(&self) -> MutexGuard<'_, BTreeMap<OsString, Option<SystemTime>>> {
        self.told_paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person has paused a target for this Maildir, or has let go of it.
    pub(super) fn pause_changed(&self, target: &OsStr) {
        self.tell_of_pause(target);
        self.let_go();
        // The upkeep is to wake at its end.
        self.common.wishes.attend_anew();
    }

    /// Says whether a target is paused, where that is news.
    fn tell_of_pause(&self, name: &OsStr) {
        let (queue, maildir, target) = (&*self.options.queue, self.shown(), printable(name.as_bytes()));
        let pause = self.pause_of(name);
        let (is_paused, until) = (pause.is_some(), pause.and_then(|pause| pause.until));
        let mut told = self.told_paused();
        let was_told = if is_paused { told.insert(name.to_owned(), until) } else { told.remove(name) };
        drop(told);
        let is_news = is_paused != was_told.is_some();
        if is_news {
            self.common.observer.paused(queue, &target, is_paused, SystemTime::now());
        }
        if is_news && is_paused {
            let until = until.map(|until| humantime::format_rfc3339_seconds(until).to_string());
            tracing::warn!(event = "paused", queue, maildir, target, until, "mail for it waits until it is resumed");
        } else if is_news {
            tracing::info!(event = "resumed", queue, maildir, target);
        }
    }

    /// Looks which targets are paused, for what no event told of.
    pub(super) fn look_at_pauses(&self) {
        // A folder that cannot be read pauses nothing new; a claim looks for its marker itself.
        let mut targets = marked(self.layout.root()).unwrap_or_default();
        targets.extend(self.told_paused().keys().cloned());
        for target in &targets {
            self.tell_of_pause(target);
        }
        self.let_go();
    }

    /// Mail goes on whose target is not paused any more.
    fn let_go(&self) {
        if self.common.backlog().resume(self.number, |target| self.is_paused(target), SystemTime::now()) {
            self.common.bell.ring();
        }
    }
}
