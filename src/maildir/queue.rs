//! A Maildir in the role of a [`Queue`].

use super::backlog::{Awaits, Backlog, Candidate};
use super::claim::{self, Finding, Refused};
use super::hands::Hands;
use super::layout::{Keep, Layout};
use super::lease::{self, MaildirLease, Slow};
use super::leftovers::Leftovers;
use super::names::{delivered_at, id_of_name, shown};
use super::search::came;
use super::story;
use super::sync::Sync;
use super::upkeep::{Room, Upkeep, Wish, Wishes};
use super::{crash, writer};
use crate::engine::{Bell, BoxFuture, Claim, Id, Message, Outlook, Queue};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How a Maildir is worked on.
#[derive(Clone, Debug)]
pub struct Options {
    /// What becomes of done mail.
    pub keep: Keep,
    /// The largest message that is delivered, in bytes; larger ones are set aside.
    pub max_size: u64,
    /// The time between searches for mail that no event told of.
    pub rescan: Duration,
    /// Mail that came before this is left alone.
    pub since: Option<SystemTime>,
    /// How many messages may be in hand at a time.
    pub hands: usize,
    /// Whether removals that take long are made on threads of their own: worth it where several hands
    /// share a thread. Claims must then be settled within a Tokio runtime.
    pub removes_aside: bool,
    /// Whether to look out for new mail; else only what is there now is taken.
    pub watch: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep: Keep::Remove,
            max_size: 256 << 20,
            rescan: Duration::from_secs(30),
            since: None,
            hands: 8,
            removes_aside: false,
            watch: true,
        }
    }
}

/// A Maildir as a queue.
pub struct MaildirQueue(pub(super) Arc<Shared>);

/// All that the hands, the watchers and the tending share.
pub(super) struct Shared {
    pub(super) layout: Arc<Layout>,
    pub(super) hands: Option<Hands>,
    pub(super) options: Options,
    pub(super) bell: Bell,
    pub(super) sync: Sync,
    backlog: Mutex<Backlog>,
    pub(super) leftovers: Leftovers,
    pub(super) slow: Slow,
    pub(super) wishes: Wishes,
    pub(super) room: Room,
    pub(super) is_searching: AtomicBool,
    buried: AtomicU64,
}

impl Shared {
    /// How long a message is left alone that could not be settled.
    pub(super) const FAULT_WAIT: Duration = Duration::from_secs(5);
    /// The longest wait for a time that only the disk tells of.
    const LOOK_AGAIN: Duration = Duration::from_hours(1);
    /// The waits for a message that is busy.
    const BUSY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
    /// The wait for a message that is being written.
    const WRITING: Duration = Duration::from_secs(1);

    pub(super) fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event tells of a file in `new/`.
    pub(super) fn arrived(&self, name: &OsStr, was_written: bool) {
        if name.as_bytes().starts_with(b".") {
            return;
        }
        let key = id_of_name(&self.layout.queue, name);
        let came = came(&self.layout, name);
        if self.options.since.is_some_and(|since| came < since) {
            return;
        }
        let mut backlog = self.backlog();
        if Room::is_full(backlog.ready_count()) {
            // Memory is bounded: what does not fit is found by the next search.
            drop(backlog);
            return self.wishes.ask(Wish::Search);
        }
        if was_written {
            backlog.writer_ended(key, SystemTime::now());
        }
        backlog.add_ready(key, name, came);
        drop(backlog);
        self.bell.ring();
    }

    /// When to look at a message again whose story has this mtime. The claim reads the story and
    /// knows better; a mtime alone may be of a clock that was far ahead.
    pub(super) fn by_mtime(due: SystemTime) -> SystemTime {
        due.min(SystemTime::now() + Self::LOOK_AGAIN)
    }

    /// An event tells of a story: somebody else has tried the message, or a person has set its time.
    pub(super) fn story_changed(&self, id: Id) {
        if let Some(due) = story::due_by_mtime(self.layout.root(), id)
            && self.backlog().reschedule(id, Self::by_mtime(due))
        {
            self.bell.set_timer();
            self.bell.ring();
        }
    }

    /// Claims this candidate, or says what is to become of it.
    pub(super) fn claim(self: &Arc<Self>, candidate: &Candidate, now: SystemTime) -> Result<Option<Claim>, Refused> {
        let locked = claim::lock(&self.layout, &candidate.name, now)?;
        crash::point("after the lock is taken").map_err(Refused::Fault)?;
        let slot = match &self.hands {
            Some(hands) => Some(
                hands
                    .hold(locked.id, &locked.name)
                    .map_err(|e| Refused::Fault(self.layout.error("maildirq/hands", e)))?,
            ),
            None => None,
        };
        crash::point("after the slot is written").map_err(Refused::Fault)?;
        let id = locked.id;
        let arrived = delivered_at(&locked.name).filter(|&came| came <= now).unwrap_or(locked.modified);
        let history = locked.story.as_ref().map(|story| story.history.clone()).unwrap_or_default();
        let examined = locked.examine(self.options.max_size);
        let lease = MaildirLease::new(Arc::clone(self), candidate.key, locked, slot);
        match examined {
            Ok(Finding::Mail(body)) => {
                let message = Message { id, name: shown(&candidate.name), arrived, body, history };
                return Ok(Some(Claim { message, lease: Box::new(lease) }));
            }
            Ok(Finding::Doomed(reason)) => {
                let file = shown(&candidate.name);
                tracing::error!(event = "dead", %id, file, outcome = "dead", reason);
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

    fn count_burial(&self, buried: io::Result<()>) {
        match buried {
            Ok(()) => {
                self.buried.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::error!(event = "settle_failed", reason = %error, "it is tried again"),
        }
    }

    /// Puts a candidate where its refusal says that it belongs.
    fn put_off(&self, candidate: Candidate, refused: Refused, now: SystemTime) -> io::Result<()> {
        let Candidate { key, name, patience } = candidate;
        let later = patience.saturating_add(1);
        match refused {
            Refused::Gone => self.backlog().forget(key),
            Refused::Due(due) => self.backlog().wait(key, due),
            Refused::Empty(until) => self.backlog().wait_for(Awaits::Writer, key, until, 0),
            Refused::Writing => self.backlog().wait_for(Awaits::Writer, key, now + Self::WRITING, 0),
            Refused::Busy => {
                let wait = Self::BUSY.0 * (1 << patience.min(8));
                self.backlog().wait_for(Awaits::Holder, key, now + wait.min(Self::BUSY.1), later);
            }
            Refused::Odd(kind) => self.set_odd(key, &name, kind),
            Refused::Unreadable(error) => {
                if patience == 0 {
                    tracing::error!(event = "unreadable", file = shown(&name), reason = %error, "it stays where it is and is tried again");
                }
                let wait = Duration::from_secs(1 << patience.min(8));
                self.backlog().wait_patiently(key, now + wait, later);
            }
            Refused::Fault(error) => {
                self.backlog().release(key, now);
                return Err(error);
            }
        }
        self.bell.set_timer();
        Ok(())
    }

    pub(super) fn set_odd(&self, key: Id, name: &OsStr, kind: &str) {
        tracing::warn!(event = "no_message", file = shown(name), "there is {kind} in new/; it is left alone");
        self.backlog().set_odd(key, name);
    }
}

impl MaildirQueue {
    /// Makes a queue of an opened Maildir.
    ///
    /// # Errors
    /// The disk; a full one is none, then deaths are not counted.
    pub fn new(layout: Layout, options: Options) -> io::Result<Self> {
        writer::disarm_lease_signal()?;
        let layout = Arc::new(layout);
        let hands = match Hands::make(&layout, options.hands) {
            Ok(hands) => Some(hands),
            Err(error) if story::is_full(&error) => {
                tracing::warn!(event = "hampered", reason = %layout.error("maildirq/hands", error), "goes on without counting crashes");
                None
            }
            Err(error) => return Err(layout.error("maildirq/hands", error)),
        };
        Ok(MaildirQueue(Arc::new(Shared {
            sync: Sync::start(Arc::clone(&layout))?,
            layout,
            hands,
            options,
            bell: Bell::default(),
            backlog: Mutex::default(),
            leftovers: Leftovers::default(),
            slow: Slow::default(),
            wishes: Wishes::default(),
            room: Room::default(),
            is_searching: AtomicBool::new(true),
            buried: AtomicU64::new(0),
        })))
    }
}

impl Drop for MaildirQueue {
    fn drop(&mut self) {
        if crash::is_dead() {
            return;
        }
        if let Err(error) = self.0.remove_leftovers() {
            tracing::debug!(event = "not_removed", reason = %error);
        }
        self.0.complain_of_leftovers();
        if let Some(hands) = &self.0.hands {
            hands.remove(&self.0.layout);
        }
    }
}

impl Queue for MaildirQueue {
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> io::Result<Option<Claim>> {
        self.0.check_leftovers()?;
        loop {
            let (candidate, ready) = {
                let mut backlog = self.0.backlog();
                (backlog.take(by, open), backlog.ready_count())
            };
            self.0.room.left(ready);
            let Some(candidate) = candidate else { return Ok(None) };
            let now = SystemTime::now();
            match self.0.claim(&candidate, now) {
                Ok(None) => {}
                Ok(claim) => return Ok(claim),
                Err(refused) => self.0.put_off(candidate, refused, now)?,
            }
        }
    }

    fn is_paused(&self, target: &str) -> bool {
        lease::is_paused(&self.0.layout, target)
    }

    fn outlook(&self, by: SystemTime) -> Outlook {
        let mut backlog = self.0.backlog();
        Outlook {
            ready: backlog.has_ready(by),
            searching: self.0.is_searching.load(Ordering::Acquire),
            parked: backlog.parked_count(),
            next_due: backlog.next_due(),
            buried: self.0.buried.load(Ordering::Relaxed),
        }
    }

    fn bell(&self) -> &Bell {
        &self.0.bell
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(Upkeep::new(Arc::clone(&self.0)).run())
    }
}
