//! A queue in memory.
//!
//! It keeps the traits honest: it and the Maildir pass the same conformance suite, and tests of the
//! loop need no disk.

use super::envelope::{Envelope, EnvelopeRules};
use super::message::{Body, History, Id, Message};
use super::outcome::{Note, Settlement};
use super::queue::{Bell, BoxFuture, Claim, Lease, Outlook, Queue};
use crate::mail::Header;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, ready};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A queue in memory; clones are the same queue.
#[derive(Clone, Default)]
pub struct MemoryQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Bell,
}

#[derive(Default)]
struct State {
    messages: BTreeMap<u64, Stored>,
    paused: BTreeSet<String>,
    added: u64,
    /// Whether it is the turn of those that come again.
    again: bool,
}

struct Stored {
    message: Message,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Held,
    Parked(Arc<str>),
    Waiting(SystemTime),
    Dead(Note),
}

impl MemoryQueue {
    /// Puts a message at the end.
    pub fn push(&self, bytes: impl Into<Bytes>) -> Id {
        let bytes = bytes.into();
        let mut state = self.state();
        state.added += 1;
        let number = state.added;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        let id = Id::from_digest(&digest);
        let message = Message {
            id,
            name: number.to_string(),
            queue: "memory".into(),
            place: None,
            route: "".into(),
            envelope: Envelope::read(Header::of(&bytes), &EnvelopeRules::default()),
            arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            body: Body::Whole(bytes),
            file: None,
            history: History::default(),
        };
        state.messages.insert(number, Stored { message, place: Place::Ready });
        drop(state);
        self.0.bell.ring();
        id
    }

    /// Stops giving messages to this target, or goes on.
    pub fn pause(&self, target: &str, paused: bool) {
        let mut state = self.state();
        if paused {
            state.paused.insert(target.to_owned());
        } else {
            state.paused.remove(target);
        }
        drop(state);
        self.0.bell.ring();
    }

    /// The messages that are neither done nor dead.
    pub fn waiting(&self) -> Vec<Id> {
        self.ids(|place| !matches!(place, Place::Dead(_)))
    }

    /// The messages that are claimed.
    pub fn in_hand(&self) -> Vec<Id> {
        self.ids(|place| *place == Place::Held)
    }

    /// The messages set aside, with the reason.
    pub fn dead(&self) -> Vec<(Id, String)> {
        let state = self.state();
        let dead = state.messages.values().filter_map(|stored| match &stored.place {
            Place::Dead(note) => Some((stored.message.id, note.reason.clone())),
            _ => None,
        });
        dead.collect()
    }

    /// What happened to a message so far.
    pub fn history(&self, id: Id) -> Option<History> {
        let state = self.state();
        let found = state.messages.values().find(|stored| stored.message.id == id);
        found.map(|stored| stored.message.history.clone())
    }

    fn ids(&self, which: impl Fn(&Place) -> bool) -> Vec<Id> {
        self.state().messages.values().filter(|stored| which(&stored.place)).map(|stored| stored.message.id).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_go(&self, place: &Place, open: &dyn Fn(&str) -> bool, by: SystemTime) -> bool {
        match place {
            Place::Ready => true,
            Place::Waiting(due) => *due <= by,
            Place::Parked(target) => open(target) && !self.paused.contains(&**target),
            Place::Held | Place::Dead(_) => false,
        }
    }
}

impl Queue for MemoryQueue {
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> Option<Claim> {
        let mut state = self.state();
        let again = state.again;
        let may_go = state.messages.iter().filter(|(_, stored)| state.may_go(&stored.place, open, by));
        let number = *may_go.min_by_key(|(_, stored)| (stored.message.history.tries > 0) != again)?.0;
        state.again = !again;
        let stored = state.messages.get_mut(&number).expect("it was found a line above");
        stored.place = Place::Held;
        let message = stored.message.clone();
        Some(Claim { message, lease: Box::new(MemoryLease { queue: self.clone(), number, is_settled: false }) })
    }

    fn parked(&self, target: &str) -> usize {
        let state = self.state();
        if state.paused.contains(target) {
            return 0;
        }
        state.messages.values().filter(|stored| matches!(&stored.place, Place::Parked(by) if **by == *target)).count()
    }

    fn release_parked(&self) {
        for stored in self.state().messages.values_mut() {
            if matches!(stored.place, Place::Parked(_)) {
                stored.place = Place::Ready;
            }
        }
        self.0.bell.ring();
    }

    fn fault(&self) -> Option<String> {
        None
    }

    fn is_stuck(&self) -> bool {
        false
    }

    fn outlook(&self, by: SystemTime) -> Outlook {
        let state = self.state();
        let mut outlook = Outlook::default();
        for stored in state.messages.values() {
            match stored.place {
                Place::Ready => outlook.ready = true,
                Place::Waiting(due) => {
                    outlook.ready |= due <= by;
                    outlook.next_due = Some(outlook.next_due.map_or(due, |next| next.min(due)));
                }
                Place::Parked(ref target) => outlook.parked += usize::from(!state.paused.contains(&**target)),
                Place::Held | Place::Dead(_) => {}
            }
        }
        outlook
    }

    fn bell(&self) -> &Bell {
        &self.0.bell
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(pending())
    }
}

struct MemoryLease {
    queue: MemoryQueue,
    number: u64,
    /// Then the message may be another hand's already.
    is_settled: bool,
}

impl MemoryLease {
    fn put(&self, place: Place) {
        if let Some(stored) = self.queue.state().messages.get_mut(&self.number) {
            stored.place = place;
        }
        self.queue.0.bell.ring();
    }
}

impl Lease for MemoryLease {
    fn sending(&mut self) -> bool {
        true
    }

    fn is_paused(&self, target: &str) -> bool {
        self.queue.state().paused.contains(target)
    }

    fn settle(mut self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>> {
        self.is_settled = true;
        match how {
            Settlement::Done => {
                self.queue.state().messages.remove(&self.number);
            }
            Settlement::Retry { due, charged, note } => {
                if let Some(stored) = self.queue.state().messages.get_mut(&self.number) {
                    stored.message.history.add_try(note.at, charged);
                    stored.message.history.last_reason = note.reason;
                }
                self.put(Place::Waiting(due));
                self.queue.0.bell.set_timer();
            }
            Settlement::Dead { note } => self.put(Place::Dead(note)),
            Settlement::Release => self.put(Place::Ready),
            Settlement::Park { target } => self.put(Place::Parked(target)),
        }
        Box::pin(ready(Ok(())))
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        if !self.is_settled {
            self.put(Place::Ready);
        }
    }
}
