//! How many attempts may begin in a time.

use std::time::{Duration, Instant};

/// How many attempts may begin in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The least time between two attempts, on average.
    interval: Duration,
}

impl Rate {
    /// What may be made up for: attempts that could have begun within this time.
    const BURST: Duration = Duration::from_millis(100);

    /// `count` attempts in each `time`. None for none at all, and for more than a clock can tell.
    pub fn new(count: u32, time: Duration) -> Option<Self> {
        let interval = time.checked_div(count).filter(|interval| !interval.is_zero())?;
        Some(Rate { interval })
    }
}

/// Spaces attempts: the generic cell rate algorithm (ITU-T I.371).
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    /// When the next attempt would begin if all came at the rate.
    ideal: Option<Instant>,
}

impl Pace {
    /// Nothing has begun yet.
    pub(super) fn new(rate: Rate) -> Self {
        Pace { rate, ideal: None }
    }

    /// When another attempt may begin; None where none has begun so far.
    pub(super) fn opens_at(&self) -> Option<Instant> {
        self.ideal.and_then(|ideal| ideal.checked_sub(Rate::BURST))
    }

    /// Whether one may begin now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.opens_at().is_none_or(|opens| opens <= now)
    }

    /// One begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.ideal = Some(self.ideal.map_or(now, |ideal| ideal.max(now)) + self.rate.interval);
    }
}
