//! One Maildir that is served: taking its messages, and what keeps it from giving any.

use super::backlog::{Candidate, Key};
use super::claim::{self, Finding, Locked, Refused};
use super::common::Common;
use super::hands::{Hands, Slot};
use super::history;
use super::holders::{Holder, holders};
use super::known::Awaits;
use super::layout::{Keep, Layout};
use super::lease::MaildirLease;
use super::leftovers::Leftovers;
use super::names::{arrived, id_of_name, shown};
use super::retention::Retention;
use super::search::came;
use super::sync::Changed;
use super::trouble::Trouble;
use super::vacancy::Vacancies;
use super::wishes::{Room, Wish};
use super::{crash, story};
use crate::engine::{Body, Burial, Claim, Envelope, EnvelopeRules, Id, Message};
use crate::mail::Header;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// How one Maildir is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The name of the queue that it is, or belongs to.
    pub queue: Arc<str>,
    /// Its path, fit to be shown, where its queue has others, too.
    pub place: Option<Arc<str>>,
    /// What becomes of done mail.
    pub keep: Keep,
    /// The largest message that is delivered, in bytes; larger ones are set aside.
    pub max_size: u64,
    /// The time between searches for mail that no event told of.
    pub rescan: Duration,
    /// How the envelope of its mail is read.
    pub envelope: EnvelopeRules,
    /// What is kept of mail that is gone.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            queue: "main".into(),
            place: None,
            keep: Keep::Remove,
            max_size: 256 << 20,
            rescan: Duration::from_secs(30),
            envelope: EnvelopeRules::default(),
            retention: Retention::default(),
        }
    }
}

/// A Maildir that is served, or about to be.
pub struct Maildir {
    pub(super) number: u32,
    pub(super) layout: Arc<Layout>,
    pub(super) options: Options,
    pub(super) common: Arc<Common>,
    pub(super) hands: Option<Hands>,
    pub(super) vacancies: Vacancies,
    pub(super) leftovers: Leftovers,
    pub(super) history: history::Writer,
    pub(super) trouble: Mutex<Trouble>,
    /// The paused targets that the log has told of, and when their pauses end.
    pub(super) told_paused: Mutex<BTreeMap<OsString, Option<SystemTime>>>,
    is_closed: AtomicBool,
    /// Whether events tell of its mail.
    pub(super) is_watched: AtomicBool,
    /// The disk had no room for another slot when it was asked last.
    is_short_of_slots: AtomicBool,
}

impl Maildir {
    /// How long a message is left alone that could not be settled.
    pub(super) const FAULT_WAIT: Duration = Duration::from_secs(5);
    /// The longest wait for a time that only the disk tells of.
    const LOOK_AGAIN: Duration = Duration::from_hours(1);
    /// The waits for a message that is busy.
    const BUSY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
    /// So many times in a row it is busy before the log tells of it: a minute after the first.
    pub(super) const LONG_BUSY: u8 = 35;
    /// The wait for a message that is being written.
    const WRITING: Duration = Duration::from_secs(1);
    /// Makes ready to serve an opened Maildir.
    ///
    /// # Errors
    /// The disk; a full one is none, then deaths are not counted.
    pub(super) fn new(number: u32, layout: Layout, options: Options, common: Arc<Common>) -> io::Result<Self> {
        let layout = Arc::new(layout);
        let hands = match Hands::make(&layout, common.settings.hands) {
            Ok(hands) => Some(hands),
            Err(error) if story::is_full(&error) => {
                tracing::warn!(event = "hampered", reason = %layout.error("maildirq/hands", error), "goes on without counting crashes");
                None
            }
            Err(error) => return Err(layout.error("maildirq/hands", error)),
        };
        Ok(Maildir {
            number,
            layout,
            options,
            hands,
            vacancies: Vacancies::unknown(&common.sentinel),
            common,
            leftovers: Leftovers::default(),
            history: history::Writer::default(),
            trouble: Mutex::default(),
            told_paused: Mutex::default(),
            is_closed: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            is_short_of_slots: AtomicBool::new(false),
        })
    }

    /// Its path, fit to be shown.
    pub(super) fn shown(&self) -> String {
        shown(self.layout.path().as_os_str())
    }

    /// The key of the message with this name.
    pub(super) fn key(&self, name: &OsStr) -> Key {
        self.key_of(id_of_name(&self.layout.queue, name))
    }

    /// The key of the message that goes by this id.
    pub(super) fn key_of(&self, id: Id) -> Key {
        Key { maildir: self.number, id }
    }

    /// An event tells of a file in `new/`.
    pub(super) fn arrived(&self, name: &OsStr, was_written: bool) {
        if name.as_bytes().starts_with(b".") {
            return;
        }
        let key = self.key(name);
        let came = came(&self.layout, name);
        if self.common.settings.since.is_some_and(|since| came < since) {
            return;
        }
        let mut backlog = self.common.backlog();
        if Room::is_full(backlog.ready_count()) {
            // Memory is bounded: what does not fit is found by the next search.
            drop(backlog);
            return self.common.wishes.ask(self.number, Wish::Search);
        }
        if was_written {
            backlog.writer_ended(key, SystemTime::now());
        }
        backlog.add_ready(key, name, came);
        drop(backlog);
        self.common.bell.ring_near();
    }

    /// When to look at a message again whose story has this mtime. The claim reads the story and
    /// knows better; a mtime alone may be of a clock that was far ahead.
    pub(super) fn by_mtime(due: SystemTime) -> SystemTime {
        due.min(SystemTime::now() + Self::LOOK_AGAIN)
    }

    /// An event tells of a story: somebody else has tried the message, or a person has set its time.
    pub(super) fn story_changed(&self, id: Id) {
        if let Some(due) = story::due_by_mtime(self.layout.root(), id)
            && self.common.backlog().told_anew(self.key_of(id), Self::by_mtime(due))
        {
            self.common.bell.set_timer();
            self.common.bell.ring();
        }
    }

    /// Takes this candidate. None where it could not be had; it is put where it belongs then.
    pub(super) fn take(self: &Arc<Self>, candidate: Candidate) -> Option<Claim> {
        let now = SystemTime::now();
        if let Some(until) = self.is_in_trouble_until(now) {
            self.common.backlog().wait_for(Awaits::Maildir, candidate.key, until, candidate.patience);
            self.common.bell.set_timer();
            return None;
        }
        match self.check_leftovers().map_err(Refused::Fault).and_then(|()| self.claim(&candidate, now)) {
            Ok(claim) => {
                self.is_well();
                claim
            }
            Err(refused) => {
                self.put_off(candidate, refused, now);
                None
            }
        }
    }

    /// The slot that says who reads this message, where slots are to be had at all.
    fn slot_for(&self, locked: &Locked) -> Result<Option<Slot>, Refused> {
        let Some(hands) = &self.hands else { return Ok(None) };
        let held = hands.hold(locked.id, &locked.name);
        let is_short = matches!(&held, Err(error) if story::is_full(error));
        let was_short = self.is_short_of_slots.swap(is_short, Ordering::Relaxed);
        match held {
            Ok(slot) => Ok(Some(slot)),
            // Beyond the slots that were set aside at the start a full disk has none: one of those will be free again.
            Err(error) if is_short => {
                let reason = self.layout.error("maildirq/hands", error);
                if !was_short {
                    tracing::warn!(event = "no_slot", %reason, "as many messages as before are taken at a time, and no more");
                }
                Err(Refused::Busy)
            }
            Err(error) => Err(Refused::Fault(self.layout.error("maildirq/hands", error))),
        }
    }

    /// Claims this candidate, or says what is to become of it.
    pub(super) fn claim(self: &Arc<Self>, candidate: &Candidate, now: SystemTime) -> Result<Option<Claim>, Refused> {
        let locked = claim::lock(&self.layout, &self.vacancies, &candidate.name, now)?;
        crash::point("after the lock is taken").map_err(Refused::Fault)?;
        let turn = match &locked.story {
            Some(story) if story.deaths > 0 => Some(self.common.suspects.turn().ok_or(Refused::Busy)?),
            _ => None,
        };
        let slot = self.slot_for(&locked)?;
        crash::point("after the slot is written").map_err(Refused::Fault)?;
        let id = locked.id;
        let arrived = arrived(&locked.name, locked.modified);
        let history = locked.story.as_ref().map(|story| story.history.clone()).unwrap_or_default();
        let examined = locked.examine(self.options.max_size);
        let file = Some(Arc::clone(&locked.file));
        let lease = MaildirLease::new(Arc::clone(self), candidate.key, locked, slot, turn);
        match examined {
            Ok(Finding::Mail(body)) => {
                let (Body::Whole(head) | Body::File { head, .. }) = &body;
                let envelope = Envelope::read(Header::top_of(head), &self.options.envelope);
                let (queue, place) = (Arc::clone(&self.options.queue), self.options.place.clone());
                let (name, route) = (shown(&candidate.name), "".into());
                let message = Message { id, name, queue, place, route, envelope, arrived, body, file, history };
                return Ok(Some(Claim { message, lease: Box::new(lease) }));
            }
            Ok(Finding::Doomed(reason)) => {
                let (queue, file) = (&*self.options.queue, shown(&candidate.name));
                let maildir = self.options.place.as_deref();
                tracing::error!(event = "dead", %id, queue, maildir, file, outcome = "dead", reason);
                let burial = Burial { id, name: &file, queue, reason: &reason, at: now };
                self.common.observer.buried(&burial);
                self.count_burial(lease.bury(reason));
            }
            Ok(Finding::HalfBuried) => self.count_burial(lease.finish_burial()),
            Err(refused) => {
                lease.hand_back();
                return Err(refused);
            }
        }
        Ok(None)
    }

    /// Notes a change that should survive a power cut.
    pub(super) fn note(&self, folder: Changed) {
        self.common.sync.note(self.number, &self.layout, folder);
    }

    fn count_burial(&self, buried: io::Result<()>) {
        match buried {
            Ok(()) => {
                self.common.buried.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::error!(event = "settle_failed", reason = %error, "it is tried again"),
        }
    }

    /// Puts a candidate where its refusal says that it belongs.
    fn put_off(&self, candidate: Candidate, refused: Refused, now: SystemTime) {
        let Candidate { key, name, patience } = candidate;
        let later = patience.saturating_add(1);
        let backlog = || self.common.backlog();
        match refused {
            Refused::Gone => backlog().forget(key),
            Refused::Due(due) => backlog().wait(key, due),
            Refused::Empty(until) => backlog().wait_for(Awaits::Writer, key, until, 0),
            Refused::Writing => backlog().wait_for(Awaits::Writer, key, now + Self::WRITING, 0),
            Refused::Busy => {
                if later == Self::LONG_BUSY {
                    self.tell_who_holds(&name);
                }
                backlog().wait_for(Awaits::Holder, key, now + Self::busy_for(patience), later);
            }
            Refused::Odd(kind) => self.set_odd(key, &name, kind),
            Refused::Unreadable(error) => {
                if patience == 0 {
                    tracing::error!(event = "unreadable", file = shown(&name), reason = %error, "it stays where it is and is tried again");
                }
                let wait = Duration::from_secs(1 << patience.min(8));
                backlog().wait_for(Awaits::Time, key, now + wait, later);
            }
            Refused::Fault(error) => {
                let until = self.suffer(&error);
                backlog().wait_for(Awaits::Maildir, key, until, 0);
            }
        }
        self.common.bell.set_timer();
    }

    /// Says who has a message that is busy for long. That it is another maildirq at its work is none of it.
    fn tell_who_holds(&self, name: &OsStr) {
        let path = self.layout.path().join("new").join(name);
        let found = holders([&*path]).into_iter().flat_map(|(_, holders)| holders).collect::<Vec<_>>();
        if found.iter().any(Holder::is_maildirq) {
            return;
        }
        for Holder { process, program, age } in found {
            let Some(program) = program else {
                // What it has started runs as somebody else, whose open files only root sees.
                tracing::warn!(
                    event = "held",
                    queue = &*self.options.queue,
                    maildir = self.shown(),
                    file = shown(name),
                    taken_by = process,
                    "something that a process, which has ended, has started has this message; `maildirq check`, as root, tells what; it is taken when that has ended"
                );
                continue;
            };
            tracing::warn!(
                event = "held",
                queue = &*self.options.queue,
                maildir = self.shown(),
                file = shown(name),
                process,
                program,
                age_seconds = age.map(|age| age.as_secs()),
                "another process has this message; it is taken when that has ended"
            );
        }
    }

    /// The wait for a message that has been busy so many times before.
    fn busy_for(patience: u8) -> Duration {
        Self::BUSY.1.min(Self::BUSY.0 * (1 << patience.min(8)))
    }

    pub(super) fn set_odd(&self, key: Key, name: &OsStr, kind: &str) {
        let maildir = self.shown();
        tracing::warn!(event = "no_message", maildir, file = shown(name), "there is {kind} in new/; it is left alone");
        self.common.backlog().set_odd(key, name);
    }
}

impl Maildir {
    /// The orderly end: removes what could not be removed before, and the hands file.
    pub(super) fn close(&self) {
        if crash::is_dead() || self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.remove_leftovers() {
            tracing::debug!(event = "not_removed", reason = %error);
        }
        self.complain_of_leftovers();
        self.write_history();
        if let Some(hands) = &self.hands {
            hands.remove(&self.layout);
        }
    }
}

impl Drop for Maildir {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
#[path = "served_tests.rs"]
mod tests;
