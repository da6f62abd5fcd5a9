//! Settling a claim, in the order that makes every crash harmless.

use super::claim::{Locked, Refused, in_new};
use super::crash;
use super::hands::Slot;
use super::layout::{DEAD, DONE, Keep, Layout, PAUSED};
use super::names::{shown, unique_name};
use super::queue::Shared;
use super::story::{self, Event, Line, is_full};
use super::sync::Changed;
use crate::engine::{BoxFuture, Id, Lease, Note, Settlement};
use rustix::fs::{Access, AtFlags, RenameFlags, accessat, renameat_with, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

/// The right to work on one message of a Maildir: its flock, and our slot.
pub(super) struct MaildirLease {
    shared: Arc<Shared>,
    key: Id,
    locked: Option<Locked>,
    slot: Option<Slot>,
}

impl MaildirLease {
    pub(super) fn new(shared: Arc<Shared>, key: Id, locked: Locked, slot: Option<Slot>) -> Self {
        MaildirLease { shared, key, locked: Some(locked), slot }
    }

    /// Sets a message aside that must not be tried, with the reason.
    pub(super) fn bury(mut self, reason: String) -> io::Result<()> {
        let note =
            Note { at: SystemTime::now(), target: "".into(), status: None, took: std::time::Duration::ZERO, reason };
        self.end(|lease, locked| lease.dead(locked, note))
    }

    /// Finishes what a process began that died between declaring a message dead and moving it.
    pub(super) fn finish_burial(mut self) -> io::Result<()> {
        self.end(MaildirLease::move_to_dead)
    }

    /// Ends the claim without a word; where the message belongs now, the caller knows.
    pub(super) fn hand_back(mut self) {
        self.locked = None;
        self.clear_slot();
    }

    fn layout(&self) -> &Layout {
        &self.shared.layout
    }

    /// Settles by `how`; the lock is given up last. What cannot be settled is tried again later.
    fn end(&mut self, how: impl FnOnce(&mut Self, &Locked) -> io::Result<()>) -> io::Result<()> {
        let Some(locked) = self.locked.take() else { return Ok(()) };
        let settled = how(self, &locked);
        if settled.is_err() && !crash::is_dead() {
            self.shared.backlog().wait(self.key, SystemTime::now() + Shared::FAULT_WAIT);
            self.shared.bell.set_timer();
        }
        self.clear_slot();
        if Arc::strong_count(&locked.file) > 1 && !crash::is_dead() {
            // A body that is still being dropped, or a child process, shares the lock with us.
            fs2::FileExt::unlock(&*locked.file)?;
        }
        settled
    }

    fn clear_slot(&mut self) {
        if let (Some(hands), Some(slot), false) = (&self.shared.hands, self.slot.take(), crash::is_dead()) {
            hands.clear(slot);
        }
    }

    /// The application has it: it leaves `new/`.
    fn done(&mut self, locked: &Locked) -> io::Result<()> {
        crash::point("before removal")?;
        if !still_ours(locked, self.layout())? {
            tracing::warn!(event = "moved_in_hand", id = %locked.id, file = shown(&locked.name), "somebody moved it while it was delivered");
        } else if let Err(error) = remove(&self.shared, &locked.name) {
            return Err(self.layout().error(&*in_new(&locked.name), error));
        }
        self.shared.backlog().forget(self.key);
        crash::point("after removal")?;
        if locked.story.is_some() {
            story::remove(self.layout().root(), locked.id)?;
        }
        crash::point("after the story's removal")
    }

    /// It stays, and is due again later.
    fn retry(&mut self, locked: &Locked, due: SystemTime, charged: bool, note: Note) -> io::Result<()> {
        crash::point("before the retry is told")?;
        let line = Line { due: Some(due), charged, ..self.line(locked, Event::Retry, note) };
        let told = story::append(self.layout().root(), locked.id, line, due);
        crash::point("after the retry is told")?;
        if let Err(error) = told {
            // Memory still knows when it is due, and how to say so.
            let reason = self.layout().error(story::path(locked.id), error);
            tracing::warn!(event = "retry_not_written", id = %locked.id, %reason, "after a restart it is tried early");
        }
        self.shared.backlog().wait(self.key, due);
        self.shared.bell.set_timer();
        Ok(())
    }

    /// It is set aside: declared dead for good before it is moved.
    fn dead(&mut self, locked: &Locked, note: Note) -> io::Result<()> {
        crash::point("before the death is told")?;
        let at = note.at;
        let line = Line { ctime: Some(locked.ctime), charged: true, ..self.line(locked, Event::Dead, note) };
        match story::append(self.layout().root(), locked.id, line, at) {
            Ok(story) => {
                crash::point("after the death is told")?;
                story.sync_data()?;
            }
            // A move needs no room. That it is dead, the folder says; why, only the log.
            Err(error) if is_full(&error) => {
                let reason = self.layout().error(story::path(locked.id), error);
                tracing::warn!(event = "death_not_written", id = %locked.id, %reason, "why it is dead stands in this log only");
            }
            Err(error) => return Err(self.layout().error(story::path(locked.id), error)),
        }
        self.move_to_dead(locked)
    }

    fn move_to_dead(&mut self, locked: &Locked) -> io::Result<()> {
        if still_ours(locked, self.layout())? {
            move_to(self.layout(), &locked.name, DEAD).map_err(|error| self.layout().error(DEAD, error))?;
        }
        self.shared.sync.note(Changed::Dead);
        self.shared.sync.note(Changed::New);
        self.shared.backlog().forget(self.key);
        crash::point("after the move to dead")
    }

    fn line(&self, locked: &Locked, event: Event, note: Note) -> Line {
        Line {
            at: note.at,
            event,
            stamp: self.slot.as_ref().map(|slot| slot.stamp.clone()).unwrap_or_default(),
            attempt: locked.story.as_ref().map_or(0, |story| story.history.tries) + 1,
            target: note.target.to_string(),
            status: note.status,
            ms: u64::try_from(note.took.as_millis()).unwrap_or(u64::MAX),
            charged: false,
            due: None,
            ctime: None,
            reason: note.reason,
        }
    }
}

impl Lease for MaildirLease {
    fn is_paused(&self, target: &str) -> bool {
        is_paused(self.layout(), target)
    }

    fn sending(&mut self) -> io::Result<()> {
        match (&self.shared.hands, &self.slot) {
            (Some(hands), Some(slot)) => hands.sending(slot),
            _ => Ok(()),
        }
    }

    fn settle(mut self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>> {
        let settled = match how {
            Settlement::Done => self.settle_done(),
            Settlement::Retry { due, charged, note } => {
                self.end(|lease, locked| lease.retry(locked, due, charged, note))
            }
            Settlement::Dead { note } => self.end(|lease, locked| lease.dead(locked, note)),
            Settlement::Park { target } => self.end(|lease, _| {
                lease.shared.backlog().park(lease.key, target);
                Ok(())
            }),
            Settlement::Release => self.end(|lease, _| {
                lease.shared.backlog().release(lease.key, SystemTime::now());
                Ok(())
            }),
        };
        Box::pin(ready(settled))
    }
}

impl MaildirLease {
    /// A message that was taken but cannot be removed must not be sent again: its lock is kept, and
    /// only its removal is tried again.
    fn settle_done(&mut self) -> io::Result<()> {
        let Some(locked) = self.locked.take() else { return Ok(()) };
        let settled = self.done(&locked);
        self.clear_slot();
        if settled.is_err() && !crash::is_dead() {
            self.shared.remove_later(self.key, locked);
        }
        settled
    }
}

impl Drop for MaildirLease {
    fn drop(&mut self) {
        if self.locked.is_some() && !crash::is_dead() {
            let released = self.end(|lease, _| {
                lease.shared.backlog().release(lease.key, SystemTime::now());
                lease.shared.bell.ring();
                Ok(())
            });
            if let Err(error) = released {
                tracing::warn!(event = "release_failed", reason = %error);
            }
        }
    }
}

fn still_ours(locked: &Locked, layout: &Layout) -> io::Result<bool> {
    locked.is_in_place(layout).map_err(|refused| match refused {
        Refused::Fault(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

/// Takes a message that its target has out of `new/`.
pub(super) fn remove(shared: &Shared, name: &OsStr) -> io::Result<()> {
    match shared.options.keep {
        Keep::Remove => match unlinkat(shared.layout.root(), &*in_new(name), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        },
        Keep::Done => {
            move_to(&shared.layout, name, DONE)?;
            shared.sync.note(Changed::Done);
        }
    }
    shared.sync.note(Changed::New);
    Ok(())
}

/// Moves a message into `new/` of another folder, never over another one.
fn move_to(layout: &Layout, name: &OsStr, folder: &str) -> io::Result<()> {
    let from = in_new(name);
    let mut to = OsString::from(format!("{folder}/new/"));
    to.push(name);
    let rename = |to: &OsStr| renameat_with(layout.root(), &*from, layout.root(), to, RenameFlags::NOREPLACE);
    match rename(&to) {
        Err(Errno::EXIST) => Ok(rename(format!("{folder}/new/{}", unique_name()).as_ref())?),
        Err(Errno::NOENT) if super::layout::stat(layout.root(), &*from).err() == Some(Errno::NOENT) => Ok(()),
        renamed => Ok(renamed?),
    }
}

/// Whether an operator has paused this target.
pub(super) fn is_paused(layout: &Layout, target: &str) -> bool {
    accessat(layout.root(), format!("{PAUSED}/{target}"), Access::EXISTS, AtFlags::empty()).is_ok()
}
