//! The messages of one Maildir that this process knows, kept small: a million of them may wait.

use super::lineup::Turn;
use crate::engine::Id;
use hashbrown::HashTable;
use slab::Slab;
use std::ffi::OsStr;
use std::time::SystemTime;

/// A message that is known.
#[derive(Debug)]
pub(super) struct Entry {
    pub id: Id,
    pub name: Box<OsStr>,
    pub place: Place,
    pub turn: Turn,
    /// How often it could not be taken, in a row.
    pub patience: u8,
    pub awaits: Awaits,
    /// The last search that has seen it.
    seen: u32,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    Waiting(SystemTime),
    Parked,
    Paused,
    /// Claimed by this process.
    Held,
    /// No message, and already reported.
    Odd,
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
    /// That its Maildir can be worked on.
    Maildir,
}

/// The messages of one Maildir.
///
/// Each has a number for as long as it is known: four bytes by which it is found by its id, and by whoever keeps it
/// in a line. A hash map grows by doubling, so it is the numbers that lie in one, and not the messages.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Slab<Entry>,
    by_id: HashTable<u32>,
    search: u32,
}

impl Known {
    /// The number of a message.
    pub(super) fn number(&self, id: Id) -> Option<u32> {
        self.by_id.find(id.hashed(), |&number| self.entries[number as usize].id == id).copied()
    }

    /// The message with this number, which another one may have had before.
    pub(super) fn at_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.get_mut(number as usize)
    }

    pub(super) fn at(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    pub(super) fn get(&self, id: Id) -> Option<&Entry> {
        self.at(self.number(id)?)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.at_mut(self.number(id)?)
    }

    /// Whether this number, or a higher one, may be that of a message.
    pub(super) fn may_have(&self, number: u32) -> bool {
        (number as usize) < self.entries.capacity()
    }

    /// All of them, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// Adds a message. Returns its number, or None where it is known already.
    pub(super) fn add(&mut self, id: Id, name: &OsStr, place: Place, turn: Turn) -> Option<u32> {
        if self.number(id).is_some() {
            return None;
        }
        let number = u32::try_from(self.entries.vacant_key()).ok()?;
        let (patience, awaits, seen) = (0, Awaits::Time, self.search);
        self.entries.insert(Entry { id, name: name.into(), place, turn, patience, awaits, seen });
        let entries = &self.entries;
        self.by_id.insert_unique(id.hashed(), number, |&other| entries[other as usize].id.hashed());
        Some(number)
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Ok(found) = self.by_id.find_entry(id.hashed(), |&number| self.entries[number as usize].id == id) {
            let (number, _) = found.remove();
            self.entries.remove(number as usize);
        }
    }

    /// Begins a search.
    pub(super) fn begin_search(&mut self) {
        self.search = self.search.wrapping_add(1);
    }

    /// Notes that a search has come across a message. Returns whether it is known.
    pub(super) fn see(&mut self, id: Id) -> bool {
        let search = self.search;
        self.get_mut(id).map(|entry| entry.seen = search).is_some()
    }

    /// Ends a search that has seen the whole folder: what it did not see, and nobody holds, is gone.
    pub(super) fn end_search(&mut self) {
        let Known { entries, by_id, search } = self;
        entries.retain(|number, entry| {
            let stays = entry.seen == *search || entry.place == Place::Held;
            if !stays && let Ok(found) = by_id.find_entry(entry.id.hashed(), |&other| other as usize == number) {
                found.remove();
            }
            stays
        });
        if entries.is_empty() {
            (*entries, *by_id) = (Slab::new(), HashTable::new());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Whatever is added, removed and searched for, it is as if all lay in a map.
    #[test]
    fn each_is_found_by_its_id_and_its_number_for_as_long_as_it_is_known() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut known, mut expected) = (Known::default(), BTreeMap::new());
        let id = |number: u8| Id::from_digest(&[number; 32]);
        for step in 0..20_000 {
            let which = random.u8(..40);
            match random.u8(..16) {
                0..8 => {
                    let added = known.add(id(which), OsStr::new(&step.to_string()), Place::Ready, Turn::First);
                    assert_eq!(added.is_some(), !expected.contains_key(&which));
                    expected.entry(which).or_insert_with(|| step.to_string());
                }
                8..15 => {
                    known.remove(id(which));
                    expected.remove(&which);
                }
                _ => {
                    known.begin_search();
                    expected.retain(|&number, _| {
                        let is_seen = random.bool();
                        assert!(!is_seen || known.see(id(number)));
                        is_seen
                    });
                    known.end_search();
                }
            }
            assert_eq!(known.entries().count(), expected.len());
            assert_eq!(known.is_empty(), expected.is_empty());
            for number in 0..40 {
                let name = known.get(id(number)).map(|entry| entry.name.to_str().expect("it is text"));
                assert_eq!(name, expected.get(&number).map(String::as_str));
                assert!(known.number(id(number)).is_none_or(|at| known.at(at).is_some_and(|it| it.id == id(number))));
            }
        }
    }

    #[test]
    fn what_is_held_stays_known_though_a_search_does_not_see_it() {
        let mut known = Known::default();
        for (number, place) in [(1, Place::Held), (2, Place::Ready)] {
            known.add(Id::from_digest(&[number; 32]), OsStr::new("a"), place, Turn::First).unwrap();
        }
        known.begin_search();
        known.end_search();
        assert_eq!(known.entries().map(|entry| entry.place).collect::<Vec<_>>(), [Place::Held]);
    }

    #[test]
    fn a_message_takes_little_room() {
        assert!(size_of::<Entry>() <= 56, "{}", size_of::<Entry>());
    }
}
