//! What a person holds back: a marker in `maildirq/paused/` for each target that gets nothing of this
//! Maildir's mail.

use super::layout::{OpenError, PAUSED};
use super::served::Maildir;
use crate::engine::text::printable;
use rustix::fs::{Access, AtFlags, CWD, Dir, Mode, OFlags, accessat, openat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::SystemTime;

/// A target that a person has paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pause {
    /// Its name.
    pub target: OsString,
    /// The marker.
    pub marker: PathBuf,
    /// Since when.
    pub since: SystemTime,
}

/// All that is paused for the Maildir at `path`.
///
/// # Errors
/// The Maildir cannot be read.
pub fn pauses(path: &Path) -> Result<Vec<Pause>, OpenError> {
    let folder = path.join(PAUSED);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The standard library's reader panics where a folder fails to close.
    let entries = match openat(CWD, &folder, flags, Mode::empty()).and_then(Dir::new) {
        Ok(entries) => entries,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(OpenError::io(path, PAUSED)(error)),
    };
    let pause = |name: &OsStr| {
        let marker = folder.join(name);
        // What is removed meanwhile is no pause any more.
        let since = marker.symlink_metadata().and_then(|marker| marker.modified()).ok()?;
        Some(Pause { target: name.to_owned(), marker, since })
    };
    let mut pauses = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            pauses.extend(pause(OsStr::from_bytes(name)));
        }
    }
    pauses.sort();
    Ok(pauses)
}

impl Maildir {
    /// Whether an operator has paused this target for this Maildir.
    pub(super) fn is_paused(&self, target: &str) -> bool {
        accessat(self.layout.root(), format!("{PAUSED}/{target}"), Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// A person has paused a target for this Maildir, or has let go of it.
    pub(super) fn pause_changed(&self, target: &OsStr) {
        self.tell_of_pause(target);
        self.let_go();
    }

    /// Says whether a target is paused, where that is news.
    fn tell_of_pause(&self, name: &OsStr) {
        let (queue, maildir, target) = (&*self.options.queue, self.shown(), printable(name.as_bytes()));
        let is_paused = name.to_str().is_some_and(|name| self.is_paused(name));
        let mut told = self.told_paused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = if is_paused { told.insert(name.to_owned()) } else { told.remove(name) };
        drop(told);
        if is_news && is_paused {
            tracing::warn!(event = "paused", queue, maildir, target, "mail for it waits until its marker is removed");
        } else if is_news {
            tracing::info!(event = "resumed", queue, maildir, target);
        }
    }

    /// Looks which targets are paused, for what no event told of.
    pub(super) fn look_at_pauses(&self) {
        // A folder that cannot be read pauses nothing new; a claim looks for its marker itself.
        let marked = pauses(self.layout.path()).unwrap_or_default();
        let mut targets: BTreeSet<_> = marked.into_iter().map(|pause| pause.target).collect();
        let told = self.told_paused.lock().unwrap_or_else(PoisonError::into_inner);
        targets.extend(told.iter().cloned());
        drop(told);
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
