//! Settling a claim, in the order that makes every crash harmless.

use super::backlog::Key;
use super::claim::{Locked, Refused, in_new};
use super::crash;
use super::hands::Slot;
use super::layout::{DEAD, DONE, Keep, Layout, make_maildir_folder};
use super::names::{name_without_flags, shown, unique_name};
use super::served::Maildir;
use super::story::{self, Appended, Event, Line};
use super::suspect::Turn;
use super::sync::Changed;
use crate::engine::{BoxFuture, Lease, Note, Settlement, Taken};
use rustix::fs::{AtFlags, RenameFlags, renameat_with, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::future::ready;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Where a message belongs when its claim has ended.
enum Belongs {
    Nowhere,
    Ready,
    Waiting(SystemTime),
    Parked(Arc<str>),
    Paused(Arc<str>),
}

/// The right to work on one message of a Maildir: its flock, and our slot.
pub(super) struct MaildirLease {
    maildir: Arc<Maildir>,
    key: Key,
    locked: Option<Locked>,
    slot: Option<Slot>,
    /// While it is read, where a process has died over it.
    turn: Option<Turn>,
}

impl MaildirLease {
    pub(super) fn new(maildir: Arc<Maildir>, key: Key, locked: Locked, slot: Option<Slot>, turn: Option<Turn>) -> Self {
        MaildirLease { maildir, key, locked: Some(locked), slot, turn }
    }

    /// Sets a message aside that must not be tried, with the reason.
    pub(super) fn bury(mut self, reason: String) -> io::Result<()> {
        let note = Note { at: SystemTime::now(), target: "".into(), status: None, took: Duration::ZERO, reason };
        self.end(|lease, locked| lease.dead(locked, note))
    }

    /// Finishes what a process began that died between declaring a message dead and moving it.
    pub(super) fn finish_burial(mut self) -> io::Result<()> {
        self.end(|lease, locked| lease.move_to_dead(locked, Ok(())))
    }

    /// Ends the claim without a word; where the message belongs now, the caller knows.
    pub(super) fn hand_back(mut self) {
        self.clear_slot();
        if let Some(error) = self.locked.take().and_then(|locked| unlock(locked).err()) {
            tracing::warn!(event = "release_failed", reason = %error);
        }
    }

    fn layout(&self) -> &Layout {
        &self.maildir.layout
    }

    /// Settles by `how`, gives up slot and lock, and only then lets our own hands know where the
    /// message belongs now: they would find it busy. What cannot be settled is tried again later.
    fn end(&mut self, how: impl FnOnce(&mut Self, &Locked) -> io::Result<Belongs>) -> io::Result<()> {
        let Some(locked) = self.locked.take() else { return Ok(()) };
        let settled = how(self, &locked);
        self.clear_slot();
        let unlocked = unlock(locked);
        if crash::is_dead() {
            return settled.map(drop);
        }
        let now = SystemTime::now();
        let mut backlog = self.maildir.common.backlog();
        match &settled {
            Ok(Belongs::Nowhere) => backlog.forget(self.key),
            Ok(Belongs::Waiting(due)) => backlog.wait(self.key, *due),
            Ok(Belongs::Parked(target)) => backlog.park(self.key, Arc::clone(target), now),
            Ok(Belongs::Paused(target)) => backlog.pause(self.key, Arc::clone(target)),
            Ok(Belongs::Ready) => backlog.release(self.key, now),
            Err(_) => backlog.wait(self.key, now + Maildir::FAULT_WAIT),
        }
        drop(backlog);
        self.maildir.common.bell.set_timer();
        settled.and(unlocked)
    }

    /// Gives the message back because of a stop. Whoever still shares the open file, a child that does not end,
    /// keeps the lock until it has: nobody else is to work on the message meanwhile.
    fn release(&mut self) {
        let Some(locked) = self.locked.take() else { return };
        self.clear_slot();
        drop(locked);
        if !crash::is_dead() {
            self.maildir.common.backlog().release(self.key, SystemTime::now());
            self.maildir.common.bell.set_timer();
        }
    }

    fn clear_slot(&mut self) {
        if let (Some(hands), Some(slot), false) = (&self.maildir.hands, self.slot.take(), crash::is_dead()) {
            hands.clear(slot);
        }
    }

    /// Gives back the slot of a message that is gone.
    fn spend_slot(&mut self, has_more: bool) {
        if let (Some(hands), Some(slot), false) = (&self.maildir.hands, self.slot.take(), crash::is_dead()) {
            hands.spend(slot, has_more);
        }
    }

    /// The application has it: it leaves `new/`.
    fn done(&self, locked: &Locked) -> io::Result<()> {
        crash::point("before removal")?;
        let was_there = still_ours(locked, self.layout())?
            && remove(&self.maildir, &locked.name)
                .map_err(|error| self.layout().error(&*in_new(&locked.name), error))?;
        if !was_there {
            tracing::warn!(event = "moved_in_hand", id = %locked.id, file = shown(&locked.name), "somebody moved it while it was delivered");
        }
        crash::point("after removal")?;
        if locked.story.is_some() {
            story::remove(self.layout().root(), locked.id)?;
        }
        crash::point("after the story's removal")
    }

    /// It stays, and is due again later.
    fn retry(&self, locked: &Locked, due: SystemTime, charged: bool, note: Note) -> io::Result<Belongs> {
        crash::point("before the retry is told")?;
        let line = Line { due: Some(due), charged, ..self.line(locked, Event::Retry, note) };
        let told = story::append(self.layout().root(), locked.id, line, due);
        crash::point("after the retry is told")?;
        if let Err(error) = told {
            // Memory still knows when it is due, and how to say so.
            let reason = self.layout().error(story::path(locked.id), error);
            tracing::warn!(event = "retry_not_written", id = %locked.id, %reason, "after a restart it is tried early");
        }
        Ok(Belongs::Waiting(due))
    }

    /// It is set aside: declared dead for good before it is moved.
    fn dead(&mut self, locked: &Locked, note: Note) -> io::Result<Belongs> {
        crash::point("before the death is told")?;
        let at = note.at;
        let line = Line { ctime: Some(locked.mark.ctime), charged: true, ..self.line(locked, Event::Dead, note) };
        let told = story::append(self.layout().root(), locked.id, line, at).and_then(Appended::in_full);
        crash::point("after the death is told")?;
        self.move_to_dead(locked, told)
    }

    /// The move of one whose death was told, as far as that could be done.
    fn move_to_dead(&mut self, locked: &Locked, told: io::Result<()>) -> io::Result<Belongs> {
        // Whoever told of the death may be another process, which died before this.
        let is_safe = told.and_then(|()| story::sync(self.layout().root(), locked.id));
        if let Err(error) = is_safe {
            // A move needs no story. That it is dead, the folder says; why, only the log.
            let reason = self.layout().error(story::path(locked.id), error);
            tracing::warn!(event = "death_not_written", id = %locked.id, %reason, "why it is dead stands in this log only");
        }
        crash::point("after the death is on the disk")?;
        if still_ours(locked, self.layout())? {
            move_to(self.layout(), &in_new(&locked.name), DEAD).map_err(|error| self.layout().error(DEAD, error))?;
        }
        self.maildir.note(Changed::Dead);
        self.maildir.note(Changed::New);
        crash::point("after the move to dead")?;
        Ok(Belongs::Nowhere)
    }

    fn line(&self, locked: &Locked, event: Event, note: Note) -> Line {
        Line {
            stamp: self.slot.as_ref().map(|slot| slot.stamp.clone()).unwrap_or_default(),
            attempt: locked.story.as_ref().map_or(0, |story| story.history.tries) + 1,
            target: note.target.to_string(),
            status: note.status,
            ms: u64::try_from(note.took.as_millis()).unwrap_or(u64::MAX),
            reason: note.reason,
            ..Line::new(note.at, event)
        }
    }
}

impl Lease for MaildirLease {
    fn sending(&mut self) -> bool {
        if let (Some(hands), Some(slot)) = (&self.maildir.hands, &mut self.slot)
            && let Err(error) = hands.sending(slot).map_err(|error| self.layout().error("maildirq/hands", error))
        {
            self.maildir.suffer(&error);
            return false;
        }
        // It is read.
        self.turn = None;
        true
    }

    fn is_paused(&self, target: &str) -> bool {
        let is_surely_unpaused = self.locked.as_ref().is_some_and(|locked| locked.is_surely_unpaused);
        !is_surely_unpaused && self.maildir.is_paused(target)
    }

    fn taken(&self, taken: &Taken<'_>) {
        self.maildir.remember(taken);
    }

    fn settle(mut self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>> {
        let settled = match how {
            Settlement::Done if self.maildir.common.settings.removes_aside && self.maildir.common.slow.is_slow() => {
                return Box::pin(self.settle_done_aside());
            }
            Settlement::Done => self.settle_done(),
            Settlement::Retry { due, charged, note } => {
                self.end(|lease, locked| lease.retry(locked, due, charged, note))
            }
            Settlement::Dead { note } => self.end(|lease, locked| lease.dead(locked, note)),
            Settlement::Park { target } if self.maildir.is_paused(&target) => {
                self.end(|_, _| Ok(Belongs::Paused(target)))
            }
            Settlement::Park { target } => self.end(|_, _| Ok(Belongs::Parked(target))),
            Settlement::Release => {
                self.release();
                Ok(())
            }
        };
        Box::pin(ready(settled))
    }
}

impl MaildirLease {
    /// A message that was taken but cannot be removed must not be sent again: its lock is kept, and
    /// only its removal is tried again.
    fn settle_done(&mut self) -> io::Result<()> {
        let Some(locked) = self.locked.take() else { return Ok(()) };
        let began = Instant::now();
        let settled = self.done(&locked);
        if settled.is_ok() {
            let has_more = {
                let mut backlog = self.maildir.common.backlog();
                backlog.forget(self.key);
                backlog.ready_count() > 0
            };
            self.spend_slot(has_more);
            // The last close of a removed file may take longer than its removal.
            drop(locked);
            self.maildir.common.slow.took(began.elapsed());
        } else {
            self.clear_slot();
            if !crash::is_dead() {
                self.maildir.remove_later(self.key, locked);
            }
        }
        settled
    }

    /// On a disk where a removal takes long, it must not hold up the lane.
    async fn settle_done_aside(mut self: Box<Self>) -> io::Result<()> {
        tokio::task::spawn_blocking(move || self.settle_done()).await.map_err(io::Error::other)?
    }
}

impl Drop for MaildirLease {
    fn drop(&mut self) {
        if self.locked.is_some() && !crash::is_dead() {
            if let Err(error) = self.end(|_, _| Ok(Belongs::Ready)) {
                tracing::warn!(event = "release_failed", reason = %error);
            }
            self.maildir.common.bell.ring();
        }
    }
}

/// Gives up the lock, also where somebody shares the open file with us: a body that is still being
/// dropped, a child, or what a child has left behind.
fn unlock(locked: Locked) -> io::Result<()> {
    let unlocked = if crash::is_dead() { Ok(()) } else { fs2::FileExt::unlock(&*locked.file) };
    drop(locked);
    unlocked
}

fn still_ours(locked: &Locked, layout: &Layout) -> io::Result<bool> {
    locked.is_in_place(layout).map_err(|refused| match refused {
        Refused::Fault(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

/// Takes a message that its target has out of `new/`. Returns whether it was there.
pub(super) fn remove(maildir: &Maildir, name: &OsStr) -> io::Result<bool> {
    match maildir.options.keep {
        Keep::Remove => match unlinkat(maildir.layout.root(), &*in_new(name), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        },
        Keep::Done => {
            move_to(&maildir.layout, &in_new(name), DONE)?;
            maildir.note(Changed::Done);
        }
    }
    maildir.note(Changed::New);
    Ok(true)
}

/// Moves a message, by its path from the Maildir, into `new/` of another folder, never over another one. The
/// flags that a mail client has given one in `cur/` stay behind.
pub(super) fn move_to(layout: &Layout, from: &OsStr, folder: &str) -> io::Result<()> {
    let mut to = OsString::from(format!("{folder}/new/"));
    to.push(name_without_flags(Path::new(from)));
    let rename = |to: &OsStr| renameat_with(layout.root(), from, layout.root(), to, RenameFlags::NOREPLACE);
    match rename(&to) {
        Err(Errno::EXIST) => Ok(rename(format!("{folder}/new/{}", unique_name()).as_ref())?),
        Err(Errno::NOENT) if super::layout::stat(layout.root(), from).err() == Some(Errno::NOENT) => Ok(()),
        // A mail client may remove folders.
        Err(Errno::NOENT) => {
            make_maildir_folder(layout.root(), folder)?;
            Ok(rename(&to)?)
        }
        renamed => Ok(renamed?),
    }
}
