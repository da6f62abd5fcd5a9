//! Which messages are known, and when they may be taken: pure state, kept behind a lock.
//!
//! It is a hint, never the truth: a claim decides. So it may forget a message (the next search of
//! `new/` finds it again), but it must not hold a message back that may be taken.

use crate::engine::Id;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::SystemTime;

/// The messages of one queue that this process knows.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    entries: HashMap<Id, Entry>,
    ready: BinaryHeap<Reverse<(SystemTime, Id)>>,
    ready_count: usize,
    waiting: BinaryHeap<Reverse<(SystemTime, Id)>>,
    parked: BTreeMap<Arc<str>, VecDeque<(SystemTime, Id)>>,
    search: u32,
}

#[derive(Debug)]
struct Entry {
    name: Box<OsStr>,
    place: Place,
    patience: u8,
    awaits: Awaits,
    seen: u32,
}

/// What a waiting message waits for, beside the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Nothing else.
    Time,
    /// Another process, which has it.
    Holder,
    /// Whoever is still writing it.
    Writer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Waiting(SystemTime),
    Parked,
    /// Claimed by this process.
    Held,
    /// No message, and already reported.
    Odd,
}

/// A message to be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The id that its name alone gives.
    pub key: Id,
    /// Its file name.
    pub name: OsString,
    /// How often it could not be taken, in a row.
    pub patience: u8,
}

impl Backlog {
    /// Notes that a search has come across a message. Returns whether it is known.
    pub(super) fn see(&mut self, key: Id) -> bool {
        let search = self.search;
        self.entries.get_mut(&key).map(|entry| entry.seen = search).is_some()
    }

    /// Adds a message that may be taken; those that came first go first. One that is known keeps
    /// its place.
    pub(super) fn add_ready(&mut self, key: Id, name: &OsStr, came: SystemTime) {
        if self.add(key, name, Place::Ready) {
            self.push_ready(came, key);
        }
    }

    /// Adds a message that may be taken at a later time.
    pub(super) fn add_waiting(&mut self, key: Id, name: &OsStr, due: SystemTime) {
        if self.add(key, name, Place::Waiting(due)) {
            self.waiting.push(Reverse((due, key)));
        }
    }

    fn add(&mut self, key: Id, name: &OsStr, place: Place) -> bool {
        let search = self.search;
        let mut is_new = false;
        self.entries.entry(key).or_insert_with(|| {
            is_new = true;
            Entry { name: name.into(), place, patience: 0, awaits: Awaits::Time, seen: search }
        });
        is_new
    }

    fn push_ready(&mut self, since: SystemTime, key: Id) {
        self.ready.push(Reverse((since, key)));
        self.ready_count += 1;
    }

    /// Takes the message that has been ready, or parked under a target that is `open`, for longest,
    /// of those that are due `by` this time. So a message that fails as every probe goes behind those
    /// that have not been tried yet.
    pub(super) fn take(&mut self, by: SystemTime, open: impl Fn(&str) -> bool) -> Option<Candidate> {
        self.promote(by);
        while let Some(key) = self.pop_oldest(&open) {
            if let Some(entry) = self.entries.get_mut(&key)
                && matches!(entry.place, Place::Ready | Place::Parked)
            {
                entry.place = Place::Held;
                return Some(Candidate { key, name: (*entry.name).to_owned(), patience: entry.patience });
            }
        }
        None
    }

    fn pop_oldest(&mut self, open: impl Fn(&str) -> bool) -> Option<Id> {
        let fronts = self.parked.iter().filter(|(target, _)| open(target));
        let oldest = fronts.filter_map(|(target, keys)| Some((keys.front()?.0, target))).min();
        let ready_since = self.ready.peek().map(|Reverse((since, _))| *since);
        match oldest {
            Some((since, target)) if ready_since.is_none_or(|ready| since < ready) => {
                let target = Arc::clone(target);
                self.pop_parked(&target)
            }
            _ => self.pop_ready(),
        }
    }

    /// Moves what has fallen due among what is ready.
    fn promote(&mut self, by: SystemTime) {
        while let Some(&Reverse((due, key))) = self.waiting.peek()
            && due <= by
        {
            self.waiting.pop();
            if let Some(entry) = self.entries.get_mut(&key)
                && entry.place == Place::Waiting(due)
            {
                entry.place = Place::Ready;
                self.push_ready(due, key);
            }
        }
    }

    fn pop_ready(&mut self) -> Option<Id> {
        let Reverse((_, key)) = self.ready.pop()?;
        self.ready_count -= 1;
        Some(key)
    }

    fn pop_parked(&mut self, target: &str) -> Option<Id> {
        let keys = self.parked.get_mut(target)?;
        let (_, key) = keys.pop_front()?;
        if keys.is_empty() {
            self.parked.remove(target);
        }
        Some(key)
    }

    /// Gives a message back: it may be taken at once.
    pub(super) fn release(&mut self, key: Id, now: SystemTime) {
        if self.set(key, Place::Ready, 0) {
            self.push_ready(now, key);
        }
    }

    /// Gives a message back: it may be taken at `due`.
    pub(super) fn wait(&mut self, key: Id, due: SystemTime) {
        self.wait_patiently(key, due, 0);
    }

    /// As [`Backlog::wait_patiently`], for a message that may be due before, when somebody ends.
    pub(super) fn wait_for(&mut self, awaits: Awaits, key: Id, due: SystemTime, patience: u8) {
        self.wait_patiently(key, due, patience);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.awaits = awaits;
        }
    }

    /// As [`Backlog::wait`], for a message that could not be taken for the `patience`th time.
    pub(super) fn wait_patiently(&mut self, key: Id, due: SystemTime, patience: u8) {
        if self.set(key, Place::Waiting(due), patience) {
            self.waiting.push(Reverse((due, key)));
        }
    }

    /// Gives a message back: it may be taken when its target is open, after those parked before.
    pub(super) fn park(&mut self, key: Id, target: Arc<str>, now: SystemTime) {
        if self.set(key, Place::Parked, 0) {
            self.parked.entry(target).or_default().push_back((now, key));
        }
    }

    /// Remembers that this is no message, so that it is reported only once.
    pub(super) fn set_odd(&mut self, key: Id, name: &OsStr) {
        self.add(key, name, Place::Odd);
        self.set(key, Place::Odd, 0);
    }

    fn set(&mut self, key: Id, place: Place, patience: u8) -> bool {
        let found = self.entries.get_mut(&key);
        found.map(|entry| (entry.place, entry.patience, entry.awaits) = (place, patience, Awaits::Time)).is_some()
    }

    /// Forgets a message that is gone.
    pub(super) fn forget(&mut self, key: Id) {
        self.entries.remove(&key);
    }

    /// Learns when a waiting message is due. Returns whether that was news.
    pub(super) fn reschedule(&mut self, key: Id, due: SystemTime) -> bool {
        match self.entries.get(&key).map(|entry| entry.place) {
            Some(Place::Waiting(known)) if known != due => {
                self.wait(key, due);
                true
            }
            _ => false,
        }
    }

    /// Makes all that others had due: they may be gone.
    pub(super) fn holders_ended(&mut self, now: SystemTime) {
        let is_held = |entry: &Entry| entry.awaits == Awaits::Holder && matches!(entry.place, Place::Waiting(_));
        let held: Vec<_> = self.entries.iter().filter(|(_, entry)| is_held(entry)).map(|(key, _)| *key).collect();
        for key in held {
            self.release(key, now);
        }
    }

    /// Makes a message due that was being written.
    pub(super) fn writer_ended(&mut self, key: Id, now: SystemTime) {
        if self.entries.get(&key).is_some_and(|entry| entry.awaits == Awaits::Writer) {
            self.release(key, now);
        }
    }

    /// Begins a search of the folder.
    pub(super) fn begin_search(&mut self) {
        self.search = self.search.wrapping_add(1);
    }

    /// Ends a search that has seen the whole folder: what it did not see, and nobody holds, is gone.
    pub(super) fn end_search(&mut self) {
        let search = self.search;
        self.entries.retain(|_, entry| entry.seen == search || entry.place == Place::Held);
        for keys in self.parked.values_mut() {
            keys.retain(|(_, key)| self.entries.contains_key(key));
        }
        if self.entries.is_empty() {
            *self = Backlog { search, ..Backlog::default() };
        }
    }

    /// How many messages may be taken at once.
    pub(super) fn ready_count(&self) -> usize {
        self.ready_count
    }

    /// Whether there are messages that may be taken by this time.
    pub(super) fn has_ready(&mut self, by: SystemTime) -> bool {
        self.ready_count > 0 || self.next_due().is_some_and(|due| due <= by)
    }

    /// How many messages wait for their target.
    pub(super) fn parked_count(&self) -> usize {
        self.parked.values().map(VecDeque::len).sum()
    }

    /// When the first waiting message is due.
    pub(super) fn next_due(&mut self) -> Option<SystemTime> {
        while let Some(&Reverse((due, key))) = self.waiting.peek() {
            if self.entries.get(&key).is_some_and(|entry| entry.place == Place::Waiting(due)) {
                return Some(due);
            }
            self.waiting.pop();
        }
        None
    }

    /// Makes all that waits for a time due: the clock that the times were told by has been set.
    pub(super) fn clock_was_set(&mut self, now: SystemTime) {
        let is_waiting = |entry: &Entry| matches!(entry.place, Place::Waiting(_));
        let waiting: Vec<_> = self.entries.iter().filter(|(_, entry)| is_waiting(entry)).map(|(key, _)| *key).collect();
        for key in waiting {
            self.release(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key(number: u8) -> Id {
        Id::from_digest(&[number; 32])
    }

    fn name(number: u8) -> OsString {
        number.to_string().into()
    }

    fn take(backlog: &mut Backlog, by: u64) -> Option<String> {
        backlog.take(at(by), |_| false).map(|found| found.name.into_string().unwrap())
    }

    fn three() -> Backlog {
        let mut backlog = Backlog::default();
        for (number, came) in [(1, 30), (2, 10), (3, 20)] {
            backlog.add_ready(key(number), &name(number), at(came));
        }
        backlog
    }

    #[test]
    fn the_oldest_goes_first_and_each_once() {
        let mut backlog = three();
        backlog.add_ready(key(2), &name(2), at(5));
        assert_eq!(backlog.ready_count(), 3);
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut backlog, 99)).collect();
        assert_eq!(taken, ["2", "3", "1"]);
    }

    #[test]
    fn what_waits_comes_when_it_is_due() {
        let mut backlog = three();
        take(&mut backlog, 0);
        backlog.wait(key(2), at(50));
        assert_eq!(backlog.next_due(), Some(at(50)));
        assert!(take(&mut backlog, 49).is_some() && take(&mut backlog, 49).is_some());
        assert_eq!(take(&mut backlog, 49), None);
        assert!(!backlog.has_ready(at(49)) && backlog.has_ready(at(50)));
        assert_eq!(take(&mut backlog, 50), Some("2".into()));
    }

    #[test]
    fn a_new_time_replaces_the_old_one() {
        let mut backlog = Backlog::default();
        backlog.add_waiting(key(1), &name(1), at(500));
        assert!(!backlog.reschedule(key(1), at(500)));
        assert!(backlog.reschedule(key(1), at(5)));
        assert_eq!(take(&mut backlog, 5), Some("1".into()));
        assert_eq!(take(&mut backlog, 500), None);
        assert!(!backlog.reschedule(key(1), at(1)), "it is in hand");
    }

    #[test]
    fn parked_mail_comes_in_turn_when_its_target_opens() {
        let mut backlog = three();
        for number in [2, 3, 1] {
            take(&mut backlog, 99);
            backlog.park(key(number), if number == 1 { "b" } else { "a" }.into(), at(100 + u64::from(number)));
        }
        assert_eq!((backlog.parked_count(), take(&mut backlog, 99)), (3, None));
        let open = |backlog: &mut Backlog| backlog.take(at(0), |target| target == "a").map(|found| found.key);
        assert_eq!(open(&mut backlog), Some(key(2)));
        backlog.park(key(2), "a".into(), at(200));
        assert_eq!(open(&mut backlog), Some(key(3)));
        assert_eq!(open(&mut backlog), Some(key(2)));
        assert_eq!(open(&mut backlog), None);
    }

    #[test]
    fn what_has_just_been_parked_again_goes_behind_what_came_meanwhile() {
        let mut backlog = Backlog::default();
        backlog.add_ready(key(1), &name(1), at(10));
        take(&mut backlog, 99);
        backlog.park(key(1), "a".into(), at(20));
        backlog.add_ready(key(2), &name(2), at(30));
        let open = |backlog: &mut Backlog| backlog.take(at(0), |_| true).map(|found| found.key);
        assert_eq!(open(&mut backlog), Some(key(1)));
        backlog.park(key(1), "a".into(), at(40));
        assert_eq!(open(&mut backlog), Some(key(2)));
    }

    #[test]
    fn what_waits_is_looked_at_again_when_the_clock_was_set() {
        let mut backlog = Backlog::default();
        backlog.add_waiting(key(1), &name(1), at(1_000_000));
        backlog.clock_was_set(at(5));
        assert_eq!(take(&mut backlog, 5), Some("1".into()));
    }

    #[test]
    fn a_search_forgets_what_is_gone_but_not_what_is_in_hand() {
        let mut backlog = three();
        take(&mut backlog, 99);
        backlog.set_odd(key(4), &name(4));
        backlog.begin_search();
        assert!(backlog.see(key(3)));
        assert!(!backlog.see(key(9)));
        backlog.add_ready(key(5), &name(5), at(60));
        backlog.end_search();
        for (number, known) in [(1, false), (2, true), (3, true), (4, false), (5, true)] {
            assert_eq!(backlog.entries.contains_key(&key(number)), known, "{number}");
        }
        assert_eq!(take(&mut backlog, 99), Some("3".into()));
        assert_eq!(take(&mut backlog, 99), Some("5".into()));
        assert_eq!(take(&mut backlog, 99), None);
    }

    #[test]
    fn whoever_waits_for_somebody_comes_when_they_end() {
        let mut backlog = three();
        while take(&mut backlog, 99).is_some() {}
        backlog.wait_for(Awaits::Holder, key(1), at(500), 4);
        backlog.wait_for(Awaits::Writer, key(2), at(500), 0);
        backlog.wait_patiently(key(3), at(500), 4);
        backlog.holders_ended(at(100));
        assert_eq!((take(&mut backlog, 100), take(&mut backlog, 100)), (Some("1".into()), None));
        for number in 1..=3 {
            backlog.writer_ended(key(number), at(101));
        }
        assert_eq!((take(&mut backlog, 101), take(&mut backlog, 101)), (Some("2".into()), None));
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let mut backlog = Backlog::default();
        backlog.add_ready(key(1), &name(1), at(0));
        take(&mut backlog, 99);
        backlog.release(key(1), at(7));
        assert_eq!(take(&mut backlog, 99), Some("1".into()));
        backlog.forget(key(1));
        backlog.release(key(1), at(8));
        assert_eq!(take(&mut backlog, 99), None);
    }
}
