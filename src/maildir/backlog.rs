//! Which messages are known, and when they may be taken: pure state, kept behind a lock.
//!
//! It is a hint, never the truth: a claim decides. So it may forget a message (the next search of
//! its `new/` finds it again), but it must not hold a message back that may be taken.

use super::known::{Awaits, Entry, Known, Place};
use super::lineup::{Lineup, Turn};
use super::names::delivered_at;
use super::stock::InHand;
use crate::engine::Id;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::SystemTime;

/// How many messages are counted at a time, while nobody can take one: that is half a millisecond.
pub(super) const BITE: u32 = 4096;

/// A message of one of the Maildirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// The number of the Maildir.
    pub maildir: u32,
    /// The id that the message's name alone gives.
    pub id: Id,
}

/// The messages that this process knows.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    maildirs: BTreeMap<u32, Known>,
    lineup: Lineup,
    /// When each that waits is due. One that does not wait for that time any more is passed over.
    waiting: BinaryHeap<Reverse<(SystemTime, Spot)>>,
    /// Those that a person holds back, by Maildir and target.
    paused: HashMap<(u32, Arc<str>), Vec<Key>>,
}

/// Which message of which Maildir: the number that [`Known`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    maildir: u32,
    number: u32,
}

/// A message to be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Which one.
    pub key: Key,
    /// Its file name.
    pub name: OsString,
    /// How often it could not be taken, in a row.
    pub patience: u8,
}

impl Backlog {
    /// Begins to keep the messages of a Maildir.
    pub(super) fn open(&mut self, maildir: u32) {
        self.maildirs.entry(maildir).or_default();
    }

    /// Forgets all messages of a Maildir; what is in hand comes to its end elsewhere.
    pub(super) fn close(&mut self, maildir: u32) {
        self.maildirs.remove(&maildir);
        self.paused.retain(|(of, _), _| *of != maildir);
        self.lineup.retain_parked(|key| key.maildir != maildir);
    }

    fn entry(&self, key: Key) -> Option<&Entry> {
        self.maildirs.get(&key.maildir)?.get(key.id)
    }

    fn entry_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.maildirs.get_mut(&key.maildir)?.get_mut(key.id)
    }

    /// Notes that a search has come across a message. Returns whether it is known.
    pub(super) fn see(&mut self, key: Key) -> bool {
        self.maildirs.get_mut(&key.maildir).is_some_and(|known| known.see(key.id))
    }

    /// Adds a message that may be taken; those that came first go first. One that is known keeps
    /// its place.
    pub(super) fn add_ready(&mut self, key: Key, name: &OsStr, came: SystemTime) {
        if self.add(key, name, Place::Ready, Turn::First).is_some() {
            self.lineup.push_ready(Turn::First, came, key);
        }
    }

    /// Adds a message that has been tried before, and may be taken from this time on.
    pub(super) fn add_waiting(&mut self, key: Key, name: &OsStr, due: SystemTime) {
        if let Some(spot) = self.add(key, name, Place::Waiting(due), Turn::Again) {
            self.waiting.push(Reverse((due, spot)));
        }
    }

    fn add(&mut self, key: Key, name: &OsStr, place: Place, turn: Turn) -> Option<Spot> {
        let number = self.maildirs.get_mut(&key.maildir)?.add(key.id, name, place, turn)?;
        Some(Spot { maildir: key.maildir, number })
    }

    /// Takes the message that is next, of those that are due `by` this time and those whose target is
    /// `open`.
    pub(super) fn take(&mut self, by: SystemTime, open: impl Fn(&str) -> bool) -> Option<Candidate> {
        self.promote(by);
        while let Some(key) = self.lineup.pop(&open) {
            if let Some(entry) = self.entry_mut(key)
                && matches!(entry.place, Place::Ready | Place::Parked)
            {
                (entry.place, entry.awaits) = (Place::Held, Awaits::Time);
                return Some(Candidate { key, name: (*entry.name).to_owned(), patience: entry.patience });
            }
        }
        None
    }

    /// Moves what has fallen due among what is ready.
    fn promote(&mut self, by: SystemTime) {
        while let Some(&Reverse((due, Spot { maildir, number }))) = self.waiting.peek()
            && due <= by
        {
            self.waiting.pop();
            if let Some(entry) = self.maildirs.get_mut(&maildir).and_then(|known| known.at_mut(number))
                && entry.place == Place::Waiting(due)
            {
                entry.place = Place::Ready;
                self.lineup.push_ready(entry.turn, due, Key { maildir, id: entry.id });
            }
        }
    }

    /// Gives a message back: it may be taken at once.
    pub(super) fn release(&mut self, key: Key, now: SystemTime) {
        if let Some(turn) = self.set(key, Place::Ready, 0) {
            self.lineup.push_ready(turn, now, key);
        }
    }

    /// Gives a message back that has been tried: it may be taken at `due`.
    pub(super) fn wait(&mut self, key: Key, due: SystemTime) {
        if let Some(entry) = self.entry_mut(key) {
            entry.turn = Turn::Again;
        }
        self.wait_for(Awaits::Time, key, due, 0);
    }

    /// Gives a message back that could not be taken for the `patience`th time: it may be taken at
    /// `due`, or when somebody ends whom it awaits.
    pub(super) fn wait_for(&mut self, awaits: Awaits, key: Key, due: SystemTime, patience: u8) {
        let Key { maildir, id } = key;
        let Some(known) = self.maildirs.get_mut(&maildir) else { return };
        let Some(number) = known.number(id) else { return };
        if let Some(entry) = known.at_mut(number) {
            (entry.place, entry.patience, entry.awaits) = (Place::Waiting(due), patience, awaits);
            self.waiting.push(Reverse((due, Spot { maildir, number })));
        }
    }

    /// Gives a message back: it may be taken when its target is open, after those parked before.
    pub(super) fn park(&mut self, key: Key, target: Arc<str>, now: SystemTime) {
        if let Some(turn) = self.set(key, Place::Parked, 0) {
            self.lineup.push_parked(target, turn, now, key);
        }
    }

    /// Gives a message back: it may be taken when nobody pauses its target any more.
    pub(super) fn pause(&mut self, key: Key, target: Arc<str>) {
        if self.set(key, Place::Paused, 0).is_some() {
            self.paused.entry((key.maildir, target)).or_default().push(key);
        }
    }

    /// Makes those messages of a Maildir ready whose target is not paused any more. Returns whether
    /// there are any.
    pub(super) fn resume(&mut self, maildir: u32, is_paused: impl Fn(&str) -> bool, now: SystemTime) -> bool {
        let resumed = self.paused.extract_if(|(of, target), _| *of == maildir && !is_paused(target));
        let keys: Vec<_> = resumed.flat_map(|(_, keys)| keys).collect();
        let are_any = !keys.is_empty();
        self.release_all(keys, Place::Paused, now);
        are_any
    }

    /// Makes all messages ready that wait for a target.
    pub(super) fn release_parked(&mut self, now: SystemTime) {
        let parked: Vec<_> = self.lineup.take_parked().collect();
        self.release_all(parked, Place::Parked, now);
        let paused: Vec<_> = self.paused.drain().flat_map(|(_, keys)| keys).collect();
        self.release_all(paused, Place::Paused, now);
    }

    fn release_all(&mut self, keys: Vec<Key>, from: Place, now: SystemTime) {
        for key in keys {
            if self.entry(key).is_some_and(|entry| entry.place == from) {
                self.release(key, now);
            }
        }
    }

    /// Remembers that this is no message, so that it is reported only once.
    pub(super) fn set_odd(&mut self, key: Key, name: &OsStr) {
        self.add(key, name, Place::Odd, Turn::First);
        self.set(key, Place::Odd, 0);
    }

    /// Puts a message that is known into a place. Returns whose turn it is.
    fn set(&mut self, key: Key, place: Place, patience: u8) -> Option<Turn> {
        let entry = self.entry_mut(key)?;
        (entry.place, entry.patience, entry.awaits) = (place, patience, Awaits::Time);
        Some(entry.turn)
    }

    /// Forgets a message that is gone.
    pub(super) fn forget(&mut self, key: Key) {
        if let Some(known) = self.maildirs.get_mut(&key.maildir) {
            known.remove(key.id);
        }
    }

    /// A story was changed by somebody else, who may be a person that wants the message elsewhere: what waits for its
    /// target is taken again when it is due. Returns whether that was news.
    pub(super) fn told_anew(&mut self, key: Key, due: SystemTime) -> bool {
        if matches!(self.entry(key).map(|entry| entry.place), Some(Place::Parked | Place::Paused)) {
            self.wait(key, due);
            return true;
        }
        self.reschedule(key, due)
    }

    /// Learns when a waiting message is due. Returns whether that was news.
    pub(super) fn reschedule(&mut self, key: Key, due: SystemTime) -> bool {
        match self.entry(key).map(|entry| entry.place) {
            Some(Place::Waiting(known)) if known != due => {
                self.wait(key, due);
                true
            }
            _ => false,
        }
    }

    /// Makes all of a Maildir due that others had: they may be gone.
    pub(super) fn holders_ended(&mut self, maildir: u32, now: SystemTime) {
        self.release_waiting(maildir, |awaits| awaits == Awaits::Holder, now);
    }

    /// Makes all of a Maildir due that could not be worked on.
    pub(super) fn maildir_is_well(&mut self, maildir: u32, now: SystemTime) {
        self.release_waiting(maildir, |awaits| awaits == Awaits::Maildir, now);
    }

    /// Makes all due that waits for a time: the clock that the times were told by has been set.
    pub(super) fn clock_was_set(&mut self, now: SystemTime) {
        let maildirs: Vec<_> = self.maildirs.keys().copied().collect();
        for maildir in maildirs {
            self.release_waiting(maildir, |_| true, now);
        }
    }

    fn release_waiting(&mut self, maildir: u32, which: impl Fn(Awaits) -> bool, now: SystemTime) {
        let Some(known) = self.maildirs.get(&maildir) else { return };
        let is_meant = |entry: &Entry| which(entry.awaits) && matches!(entry.place, Place::Waiting(_));
        let ids: Vec<_> = known.entries().filter(|entry| is_meant(entry)).map(|entry| entry.id).collect();
        for id in ids {
            self.release(Key { maildir, id }, now);
        }
    }

    /// Makes a message due that was being written.
    pub(super) fn writer_ended(&mut self, key: Key, now: SystemTime) {
        if self.entry(key).is_some_and(|entry| entry.awaits == Awaits::Writer) {
            self.release(key, now);
        }
    }

    /// Begins a search of a Maildir.
    pub(super) fn begin_search(&mut self, maildir: u32) {
        if let Some(known) = self.maildirs.get_mut(&maildir) {
            known.begin_search();
        }
    }

    /// Ends a search that has seen the whole folder: what it did not see, and nobody holds, is gone.
    pub(super) fn end_search(&mut self, maildir: u32) {
        let Some(known) = self.maildirs.get_mut(&maildir) else { return };
        known.end_search();
        if self.maildirs.values().all(Known::is_empty) {
            self.lineup = Lineup::default();
            self.waiting = BinaryHeap::new();
        }
        let maildirs = &self.maildirs;
        let is_known = |key: &Key| maildirs.get(&key.maildir).is_some_and(|known| known.get(key.id).is_some());
        self.lineup.retain_parked(|key| key.maildir != maildir || is_known(key));
        self.paused.values_mut().for_each(|keys| keys.retain(is_known));
    }

    /// How many messages may be taken at once.
    pub(super) fn ready_count(&self) -> usize {
        self.lineup.ready_count()
    }

    /// Whether there are messages that may be taken by this time.
    pub(super) fn has_ready(&mut self, by: SystemTime) -> bool {
        self.ready_count() > 0 || self.next_due().is_some_and(|due| due <= by)
    }

    /// How many messages wait for their target.
    pub(super) fn parked_count(&self) -> usize {
        self.lineup.parked_count()
    }

    /// Whether all that waits for a time waits until its Maildir can be worked on.
    pub(super) fn is_stuck(&self) -> bool {
        let mut entries = self.maildirs.values().flat_map(Known::entries);
        !entries.any(|entry| matches!(entry.place, Place::Waiting(_)) && entry.awaits != Awaits::Maildir)
    }

    /// How many messages wait for this target to be open.
    pub(super) fn parked_under(&self, target: &str) -> usize {
        self.lineup.parked_under(target)
    }

    /// Counts what is known of a Maildir's messages that wait or are worked on: at most [`BITE`] of them, by their
    /// numbers from this one on. Returns the number to go on from, unless these were the last.
    pub(super) fn count_in_hand(&self, maildir: u32, from: u32, found: &mut InHand) -> Option<u32> {
        let known = self.maildirs.get(&maildir)?;
        let end = from.saturating_add(BITE);
        let entries = (from..end).filter_map(|number| known.at(number));
        for entry in entries.filter(|entry| entry.place != Place::Odd) {
            let pile = match (entry.place, entry.awaits, entry.turn) {
                (Place::Held, ..) | (Place::Waiting(_), Awaits::Holder, _) => &mut found.running,
                (.., Turn::Again) => &mut found.retry,
                (.., Turn::First) => &mut found.new,
            };
            pile.add(delivered_at(&entry.name));
        }
        known.may_have(end).then_some(end)
    }

    /// When the first waiting message is due.
    pub(super) fn next_due(&mut self) -> Option<SystemTime> {
        while let Some(&Reverse((due, Spot { maildir, number }))) = self.waiting.peek() {
            let entry = self.maildirs.get(&maildir).and_then(|known| known.at(number));
            if entry.is_some_and(|entry| entry.place == Place::Waiting(due)) {
                return Some(due);
            }
            self.waiting.pop();
        }
        None
    }
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
