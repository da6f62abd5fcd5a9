//! Who goes next, of the messages that may go: pure state.
//!
//! Those that come for the first time and those that come again take turns, so that neither a storm
//! of retries nor a flood of fresh mail keeps the others waiting. Among their like, whoever has
//! waited longest goes first.

use super::backlog::Key;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// Whether a message comes for the first time, or comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    #[default]
    First,
    Again,
}

impl Turn {
    fn other(self) -> Self {
        match self {
            Turn::First => Turn::Again,
            Turn::Again => Turn::First,
        }
    }
}

/// Messages that may go at once, and those that may go when their target takes mail again.
#[derive(Debug, Default)]
pub(super) struct Lineup {
    // To take the first of a set takes no comparisons, as it does with a heap; and every lane waits for that.
    ready: [BTreeSet<(SystemTime, Key)>; 2],
    turn: Turn,
    parked: BTreeMap<Arc<str>, Lane>,
}

/// The messages that wait for one target.
#[derive(Debug, Default)]
struct Lane {
    queues: [VecDeque<(SystemTime, Key)>; 2],
    turn: Turn,
}

impl Lane {
    fn next(&self) -> Option<(Turn, SystemTime)> {
        let front = |turn: Turn| self.queues[turn as usize].front().map(|(since, _)| (turn, *since));
        front(self.turn).or_else(|| front(self.turn.other()))
    }

    fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }
}

impl Lineup {
    /// Adds a message that may go at once.
    pub(super) fn push_ready(&mut self, turn: Turn, since: SystemTime, key: Key) {
        self.ready[turn as usize].insert((since, key));
    }

    /// Adds a message that may go when its target takes mail again, after those that wait already.
    pub(super) fn push_parked(&mut self, target: Arc<str>, turn: Turn, now: SystemTime, key: Key) {
        self.parked.entry(target).or_default().queues[turn as usize].push_back((now, key));
    }

    /// Takes whoever is next: of those that are ready, and of those that wait for a target that is
    /// `open`. So a message that fails as every probe goes behind those that have not been tried yet.
    pub(super) fn pop(&mut self, open: impl Fn(&str) -> bool) -> Option<Key> {
        let open_lanes = self.parked.iter().filter(|(target, _)| open(target));
        let parked = open_lanes.filter_map(|(target, lane)| lane.next().map(|(turn, since)| (since, turn, target)));
        let parked = parked.min_by_key(|(since, ..)| *since);
        match (self.next_ready(), parked) {
            (Some((ready_since, _)), Some((since, turn, target))) if since < ready_since => {
                let target = Arc::clone(target);
                self.pop_parked(&target, turn)
            }
            (None, Some((_, turn, target))) => {
                let target = Arc::clone(target);
                self.pop_parked(&target, turn)
            }
            (Some((_, turn)), _) => {
                self.turn = turn.other();
                self.ready[turn as usize].pop_first().map(|(_, key)| key)
            }
            (None, None) => None,
        }
    }

    fn next_ready(&self) -> Option<(SystemTime, Turn)> {
        let front = |turn: Turn| self.ready[turn as usize].first().map(|(since, _)| (*since, turn));
        front(self.turn).or_else(|| front(self.turn.other()))
    }

    fn pop_parked(&mut self, target: &str, turn: Turn) -> Option<Key> {
        let lane = self.parked.get_mut(target)?;
        let (_, key) = lane.queues[turn as usize].pop_front()?;
        lane.turn = turn.other();
        if lane.len() == 0 {
            self.parked.remove(target);
        }
        Some(key)
    }

    /// How many may go at once.
    pub(super) fn ready_count(&self) -> usize {
        self.ready.iter().map(BTreeSet::len).sum()
    }

    /// How many wait for this target.
    pub(super) fn parked_under(&self, target: &str) -> usize {
        self.parked.get(target).map_or(0, Lane::len)
    }

    /// How many wait for a target.
    pub(super) fn parked_count(&self) -> usize {
        self.parked.values().map(Lane::len).sum()
    }

    /// Keeps only some of those that wait for a target.
    pub(super) fn retain_parked(&mut self, keep: impl Fn(&Key) -> bool) {
        for queue in self.parked.values_mut().flat_map(|lane| &mut lane.queues) {
            queue.retain(|(_, key)| keep(key));
        }
        self.parked.retain(|_, lane| lane.len() > 0);
    }

    /// Takes all that wait for a target out of the line.
    pub(super) fn take_parked(&mut self) -> impl Iterator<Item = Key> + use<> {
        let lanes = std::mem::take(&mut self.parked).into_values();
        lanes.flat_map(|lane| lane.queues).flatten().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Id;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key(number: u8) -> Key {
        Key { maildir: 0, id: Id::from_digest(&[number; 32]) }
    }

    fn pop_all(lineup: &mut Lineup, open: impl Fn(&str) -> bool) -> Vec<u8> {
        let number = |found: Key| (0..=255).find(|&number| key(number) == found).unwrap();
        std::iter::from_fn(|| lineup.pop(&open)).map(number).collect()
    }

    #[test]
    fn those_that_come_again_take_turns_with_those_that_come_first() {
        let mut lineup = Lineup::default();
        for number in 1..=4 {
            lineup.push_ready(Turn::Again, at(u64::from(number)), key(number));
        }
        for number in 11..=14 {
            lineup.push_ready(Turn::First, at(1000 + u64::from(number)), key(number));
        }
        lineup.push_ready(Turn::First, at(2000), key(20));
        assert_eq!(pop_all(&mut lineup, |_| false), [11, 1, 12, 2, 13, 3, 14, 4, 20]);
    }

    #[test]
    fn they_take_turns_at_each_target_too() {
        let mut lineup = Lineup::default();
        for number in 1..=3 {
            lineup.push_parked("a".into(), Turn::Again, at(1), key(number));
            lineup.push_parked("a".into(), Turn::First, at(2), key(10 + number));
            lineup.push_parked("b".into(), Turn::First, at(3), key(20 + number));
        }
        assert_eq!(lineup.parked_under("a"), 6);
        assert_eq!(pop_all(&mut lineup, |target| target == "a"), [11, 1, 12, 2, 13, 3]);
        assert_eq!((lineup.parked_under("a"), lineup.parked_count()), (0, 3));
        assert_eq!(pop_all(&mut lineup, |_| true), [21, 22, 23]);
    }

    #[test]
    fn whoever_has_waited_longest_goes_first_parked_or_not() {
        let mut lineup = Lineup::default();
        lineup.push_ready(Turn::First, at(10), key(1));
        lineup.push_ready(Turn::First, at(30), key(3));
        lineup.push_parked("a".into(), Turn::First, at(20), key(2));
        lineup.push_parked("b".into(), Turn::First, at(5), key(4));
        assert_eq!(pop_all(&mut lineup, |target| target == "a"), [1, 2, 3]);
    }

    #[test]
    fn all_that_wait_for_a_target_can_be_called_back() {
        let mut lineup = Lineup::default();
        lineup.push_parked("a".into(), Turn::First, at(1), key(1));
        lineup.push_parked("b".into(), Turn::Again, at(1), key(2));
        lineup.push_parked("b".into(), Turn::Again, at(1), key(3));
        lineup.retain_parked(|kept| *kept != key(3));
        assert_eq!(lineup.take_parked().collect::<Vec<_>>(), [key(1), key(2)]);
        assert_eq!((lineup.parked_count(), pop_all(&mut lineup, |_| true)), (0, vec![]));
    }
}
