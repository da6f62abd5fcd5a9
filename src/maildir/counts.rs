//! How many messages of a Maildir there are of each state, and how old the oldest is.

use super::layout::OpenError;
use super::records::View;
use crate::engine::{State, States};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::SystemTime;

/// What there is of one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many messages.
    pub count: u64,
    /// When the oldest of them came.
    pub oldest: Option<SystemTime>,
}

/// What there is of each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([Tally; State::ALL.len()]);

impl Counts {
    /// Counts the messages of a Maildir that are in one of these states.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(view: &Arc<View>, states: States) -> Result<Self, OpenError> {
        let mut counts = Counts::default();
        for record in view.records(states)? {
            let record = record?;
            counts.add(record.state, record.arrived());
        }
        Ok(counts)
    }

    /// Counts one more, which came then.
    pub fn add(&mut self, state: State, arrived: SystemTime) {
        let tally = &mut self.0[state as usize];
        tally.count += 1;
        tally.oldest = tally.oldest.into_iter().chain([arrived]).min();
    }

    /// What there is of this state.
    pub fn tally(&self, state: State) -> Tally {
        self.0[state as usize]
    }

    /// How many there are of this state.
    pub fn count(&self, state: State) -> u64 {
        self.tally(state).count
    }

    /// How many there are of all these states.
    pub fn sum(&self, states: States) -> u64 {
        states.iter().map(|state| self.count(state)).sum()
    }

    /// When the oldest in any of these states came.
    pub fn oldest(&self, states: States) -> Option<SystemTime> {
        states.iter().filter_map(|state| self.tally(state).oldest).min()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        for (tally, more) in self.0.iter_mut().zip(other.0) {
            tally.count += more.count;
            tally.oldest = tally.oldest.into_iter().chain(more.oldest).min();
        }
    }
}
