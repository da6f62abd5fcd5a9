//! What a person does to a message: retry, bury, drop, erase.
//!
//! Each is at most one append to the message's story and one rename, under the message's lock. So it is safe beside
//! any number of running processes, and whoever is killed in the midst of it leaves the message in one state.
//! `docs/on-disk.md` has the table.

mod forget;
mod seen;
#[cfg(test)]
mod tests;

pub use forget::Forgotten;
pub use seen::Seen;

use super::crash;
use super::layout::{DEAD, Keep, Layout, OpenError, STORY, TRASH};
use super::lease::move_to;
use super::names::name_without_flags;
use super::story::{self, Appended, Event, Line, Story};
use super::sweep::names as names_in;
use crate::engine::State;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, fsync, openat, renameat_with, unlinkat};
use rustix::io::Errno;
use seen::Held;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What is to be done to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is tried again: waiting, dead or dropped.
    Retry(Retry),
    /// It is tried no more: one that waits becomes dead.
    Bury {
        /// Why, in a person's words; may be empty.
        reason: String,
    },
    /// One that waits or is dead goes into the trash.
    Drop,
    /// One that is in the trash is removed for good, and its story.
    Erase,
    /// The same, wherever it lies that is kept: in the trash, dead or done.
    Forget,
}

impl Act {
    /// Why this cannot be done to a message in this state; None where it can.
    pub fn unfit_for(&self, state: State) -> Option<&'static str> {
        match state {
            State::New | State::Running | State::Retry => self.unfit_in(Folder::New),
            State::Dead => self.unfit_in(Folder::Dead),
            State::Trash => self.unfit_in(Folder::Trash),
            State::Done | State::Opened if *self == Act::Forget => None,
            State::Done => Some("it is done: its target has it"),
            State::Opened => Some("a mail client has opened it, so it is not in the queue"),
        }
    }

    fn unfit_in(&self, folder: Folder) -> Option<&'static str> {
        match (self, folder) {
            (Act::Retry(_), Folder::New | Folder::Dead | Folder::Trash)
            | (Act::Bury { .. }, Folder::New)
            | (Act::Drop, Folder::New | Folder::Dead)
            | (Act::Erase, Folder::Trash)
            | (Act::Forget, Folder::Trash | Folder::Dead | Folder::Aside) => None,
            (_, Folder::New) => Some("it waits for its target"),
            (Act::Erase, Folder::Dead) => Some("it is not in the trash"),
            (_, Folder::Dead) => Some("it is dead already"),
            (_, Folder::Trash) => Some("it is in the trash"),
            (_, Folder::Aside) => Some("it is not in the queue"),
        }
    }
}

/// How a message is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// When; now, where it is not said.
    pub at: Option<SystemTime>,
    /// Where to, whatever its routes say.
    pub target: Option<String>,
    /// Whether attempts and age count anew. Of dead and dropped mail they always do.
    pub reset: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// Somebody works on the message just now.
    InHand,
    /// It is not what it was when it was looked at.
    Changed,
    /// This cannot be done to such a message: why.
    Unfit(&'static str),
}

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    New,
    Dead,
    Trash,
    /// Kept when done, or opened by a mail client.
    Aside,
}

/// A Maildir in the hands of a person.
#[derive(Debug)]
pub struct Operator {
    layout: Layout,
    /// Who it is.
    by: String,
    /// The folders in which something has changed since the last sync.
    dirty: BTreeSet<OsString>,
}

impl Operator {
    /// Takes the Maildir at `path` in hand, for the person who is called `by`.
    ///
    /// # Errors
    /// As [`Layout::open`].
    pub fn open(path: &Path, by: &str) -> Result<Self, OpenError> {
        let layout = Layout::open(path, Keep::Remove)?;
        Ok(Operator { layout, by: by.to_owned(), dirty: BTreeSet::new() })
    }

    /// Does this to a message, unless it has changed since it was looked at.
    ///
    /// # Errors
    /// The disk. The message is in one state all the same.
    pub fn act(&mut self, seen: &Seen, act: &Act) -> io::Result<Acted> {
        let held = match seen::hold(&self.layout, seen)? {
            Ok(held) => held,
            Err(acted) => return Ok(acted),
        };
        crash::point("after a person's lock is taken")?;
        if let Some(why) = act.unfit_in(held.folder) {
            return Ok(Acted::Unfit(why));
        }
        match act {
            Act::Retry(retry) if held.folder == Folder::New => self.make_due(&held, retry),
            Act::Retry(retry) => self.revive(&held, retry),
            Act::Bury { reason } => self.bury(&held, reason),
            Act::Drop => self.drop_it(&held),
            Act::Erase | Act::Forget => self.erase(&held),
        }
    }

    /// Sees to it that what was done outlives a power cut.
    ///
    /// # Errors
    /// A folder cannot be written back.
    pub fn sync(&mut self) -> io::Result<()> {
        for folder in std::mem::take(&mut self.dirty) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let synced = openat(self.layout.root(), &*folder, flags, Mode::empty()).and_then(fsync);
            synced.map_err(|error| self.layout.error(&folder, error))?;
        }
        Ok(())
    }

    fn make_due(&self, held: &Held, retry: &Retry) -> io::Result<Acted> {
        let told = self.ask(held, retry, retry.reset)?;
        if retry.target.is_some() || retry.reset {
            told.in_full().map_err(|error| self.layout.error(story::path(held.id), error))?;
        }
        Ok(Acted::Done)
    }

    /// Told first, so that whoever takes it knows when and where to it goes.
    fn revive(&mut self, held: &Held, retry: &Retry) -> io::Result<Acted> {
        let is_plain = retry.at.is_none() && retry.target.is_none();
        match self.ask(held, retry, true).and_then(Appended::in_full) {
            Ok(()) => {}
            // A disk without room still takes the rename; and one that was dead starts afresh in any case.
            Err(error) if is_plain && story::is_full(&error) => {}
            Err(error) => return Err(self.layout.error(story::path(held.id), error)),
        }
        let mut to = OsString::from("new/");
        to.push(name_without_flags(&held.path));
        match renameat_with(self.layout.root(), &held.path, self.layout.root(), &*to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Acted::Unfit("another one of its name waits already")),
            Err(error) => return Err(self.layout.error("new", error)),
        }
        self.moved(held, "new");
        crash::point("after the move to new")?;
        Ok(Acted::Done)
    }

    fn ask(&self, held: &Held, retry: &Retry, reset: bool) -> io::Result<Appended> {
        let now = SystemTime::now();
        let due = retry.at.unwrap_or(now);
        let target = retry.target.clone().unwrap_or_default();
        let line = Line { due: Some(due), target, reset, ..self.line(now, Event::Asked) };
        let told = story::append(self.layout.root(), held.id, line, due);
        crash::point("after it is asked for")?;
        told
    }

    /// As the engine sets a message aside: declared dead for good before it is moved.
    fn bury(&mut self, held: &Held, reason: &str) -> io::Result<Acted> {
        let root = self.layout.root();
        let story = Story::read(root, held.id)?.unwrap_or_default();
        let now = SystemTime::now();
        let colon = if reason.is_empty() { "" } else { ": " };
        let line = Line {
            attempt: story.history.tries,
            target: story.last.map(|last| last.target).unwrap_or_default(),
            ctime: Some(held.ctime),
            reason: format!("buried by {}{colon}{reason}", self.by),
            ..self.line(now, Event::Dead)
        };
        story::append(root, held.id, line, now)
            .and_then(Appended::in_full)
            .and_then(|()| story::sync(root, held.id))
            .map_err(|error| self.layout.error(story::path(held.id), error))?;
        crash::point("after a person's burial is told")?;
        move_to(&self.layout, held.path.as_os_str(), DEAD).map_err(|error| self.layout.error(DEAD, error))?;
        self.moved(held, &format!("{DEAD}/new"));
        crash::point("after a person's burial")?;
        Ok(Acted::Done)
    }

    /// Moved first: a message in the trash is dropped, whatever its story says.
    fn drop_it(&mut self, held: &Held) -> io::Result<Acted> {
        move_to(&self.layout, held.path.as_os_str(), TRASH).map_err(|error| self.layout.error(TRASH, error))?;
        self.moved(held, &format!("{TRASH}/new"));
        crash::point("after the move to the trash")?;
        let now = SystemTime::now();
        if let Err(error) = story::append(self.layout.root(), held.id, self.line(now, Event::Dropped), now) {
            let reason = self.layout.error(story::path(held.id), error);
            tracing::warn!(event = "drop_not_written", id = %held.id, %reason, "it is in the trash; who put it there stands nowhere");
        }
        Ok(Acted::Done)
    }

    fn erase(&mut self, held: &Held) -> io::Result<Acted> {
        remove(&self.layout, held)?;
        self.moved(held, STORY);
        Ok(Acted::Done)
    }

    fn moved(&mut self, held: &Held, to: &str) {
        self.dirty.insert(held.folder_path());
        self.dirty.insert(to.into());
    }

    fn line(&self, at: SystemTime, event: Event) -> Line {
        Line { by: self.by.clone(), ..Line::new(at, event) }
    }
}

/// Removes a message for good, and what is told of it. A story that is left behind is swept.
fn remove(layout: &Layout, held: &Held) -> io::Result<()> {
    match unlinkat(layout.root(), &held.path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(layout.error(&held.path, error)),
    }
    crash::point("after a message is erased")?;
    story::remove(layout.root(), held.id).map_err(|error| layout.error(story::path(held.id), error))
}

/// Removes for good what has been in the trash for at least `age`. Returns how many messages.
///
/// # Errors
/// The trash cannot be read, or one of its messages cannot be removed: the others are.
pub(super) fn empty_trash(layout: &Layout, age: Duration, now: SystemTime) -> io::Result<usize> {
    let (mut removed, mut failed) = (0, None);
    for folder in ["new", "cur"].map(|part| format!("{TRASH}/{part}")) {
        for name in names_in(layout, &folder)? {
            match remove_old(layout, &Path::new(&folder).join(&name), age, now) {
                Ok(is_removed) => removed += usize::from(is_removed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// Removes one that has been in the trash for long. Returns whether it did.
fn remove_old(layout: &Layout, path: &Path, age: Duration, now: SystemTime) -> io::Result<bool> {
    // It came into the trash by a rename, which is the last change of its status.
    let Some(seen) = seen::see(layout, path)? else { return Ok(false) };
    if now.duration_since(seen.changed()).is_ok_and(|since| since >= age)
        && let Ok(held) = seen::hold(layout, &seen)?
    {
        remove(layout, &held)?;
        return Ok(true);
    }
    Ok(false)
}
