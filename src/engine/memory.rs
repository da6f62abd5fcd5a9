//! A queue in memory.
//!
//! It keeps the traits honest: it and the Maildir pass the same conformance suite, and tests of the
//! loop need no disk.

use super::message::{Body, History, Id, Message};
use super::outcome::{Note, Settlement};
use super::queue::{Bell, BoxFuture, Claim, Lease, Outlook, Queue};
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
        let mut state = self.state();
        state.added += 1;
        let number = state.added;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        let id = Id::from_digest(&digest);
        let message = Message {
            id,
            name: number.to_string(),
            arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            body: Body::Whole(bytes.into()),
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
    fn may_go(place: &Place, open: &dyn Fn(&str) -> bool, by: SystemTime) -> bool {
        match place {
            Place::Ready => true,
            Place::Waiting(due) => *due <= by,
            Place::Parked(target) => open(target),
            Place::Held | Place::Dead(_) => false,
        }
    }
}

impl Queue for MemoryQueue {
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> io::Result<Option<Claim>> {
        let mut state = self.state();
        let found = state.messages.iter().find(|(_, stored)| State::may_go(&stored.place, open, by));
        let Some(number) = found.map(|(number, _)| *number) else { return Ok(None) };
        let stored = state.messages.get_mut(&number).expect("it was found a line above");
        stored.place = Place::Held;
        let message = stored.message.clone();
        Ok(Some(Claim { message, lease: Box::new(MemoryLease { queue: self.clone(), number }) }))
    }

    fn is_paused(&self, target: &str) -> bool {
        self.state().paused.contains(target)
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
                Place::Parked(_) => outlook.parked += 1,
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
    fn sending(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn settle(self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>> {
        match how {
            Settlement::Done => {
                self.queue.state().messages.remove(&self.number);
            }
            Settlement::Retry { due, charged, note } => {
                if let Some(stored) = self.queue.state().messages.get_mut(&self.number) {
                    stored.message.history.add_try(note.at, charged);
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
        let mut state = self.queue.state();
        if let Some(stored) = state.messages.get_mut(&self.number)
            && stored.place == Place::Held
        {
            stored.place = Place::Ready;
            drop(state);
            self.queue.0.bell.ring();
        }
    }
}
