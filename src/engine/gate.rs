//! How much a target may be given now: its concurrency, its rate and its circuit breaker.
//!
//! Pure state with the time handed in; the loop keeps it behind a lock.
//!
//! While a target is down, one probe at a time is let through and all other mail waits. After a
//! probe has come through the gate opens in steps (1, 2, 4 … up to the limit), so that a backlog
//! does not knock over what has only just got up. A failure meanwhile that may be one mail's own
//! takes it back to the first step; another one right after it closes it.

use super::outcome::{Blame, Outcome};
use super::pace::{Pace, Rate};
use std::time::{Duration, Instant, SystemTime};

/// When a target counts as down, and how often it is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures of the target in a row that open the breaker.
    pub after: u32,
    /// The time between probes, give or take a quarter.
    pub probe: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy { after: 5, probe: Duration::from_secs(30) }
    }
}

/// A target's state, as an operator would put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is given all that it may have.
    Up,
    /// It fails; only probes reach it.
    Down,
    /// It has just come back and is given more step by step.
    Recovering,
}

/// The right to one attempt; to be given back by [`Gate::leave`], also where it came to nothing.
#[derive(Debug)]
#[must_use = "a pass that is not given back blocks the target"]
pub struct Pass {
    /// How often the target had gone down when it was given.
    outages: u64,
    is_probe: bool,
}

/// What an attempt says of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It took a message.
    Took,
    /// It answered about a message.
    Alive,
    /// It did not answer, or not sensibly.
    Failed,
    /// The same, or a message was at fault: nobody can tell.
    Unclear,
    /// It says itself that it cannot take anything.
    Away,
    /// Nothing: it failed for reasons of ours.
    Ours,
    /// Nothing: it was cut off, or never sent.
    Nothing,
}

impl From<&Outcome> for Sign {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { .. } => Sign::Took,
            Outcome::Unfit { .. } => Sign::Nothing,
            Outcome::Reject { .. } | Outcome::Retry { blame: Blame::Message, .. } => Sign::Alive,
            Outcome::Retry { blame: Blame::Endpoint, .. } => Sign::Failed,
            Outcome::Retry { blame: Blame::Unclear, .. } => Sign::Unclear,
            Outcome::Retry { blame: Blame::Ourselves, .. } => Sign::Ours,
            Outcome::Unavailable { .. } => Sign::Away,
        }
    }
}

#[derive(Debug)]
enum Breaker {
    Closed {
        failures: u32,
    },
    /// The target may have said itself that it is away.
    Open {
        probe_at: Instant,
        probing: bool,
        is_away: bool,
    },
    /// So many are let through at a time; so many of them have come through; the last one has not.
    Recovering {
        allowed: usize,
        came_through: usize,
        has_stumbled: bool,
    },
}

/// The gate before one target.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    in_flight: usize,
    is_retired: bool,
    pace: Option<Pace>,
    breaker: Breaker,
    /// How often it went down.
    outages: u64,
    policy: BreakerPolicy,
    last_taken: Option<SystemTime>,
}

impl Gate {
    /// The least time between a probe that failed for reasons of ours and the next.
    const PAUSE: Duration = Duration::from_secs(1);

    /// A gate that lets `limit` attempts through at a time, and no more than `rate` says.
    pub fn new(limit: usize, rate: Option<Rate>, policy: BreakerPolicy) -> Self {
        Gate {
            limit: limit.max(1),
            in_flight: 0,
            is_retired: false,
            pace: rate.map(Pace::new),
            breaker: Breaker::Closed { failures: 0 },
            outages: 0,
            policy,
            last_taken: None,
        }
    }

    /// Whether [`admit`](Gate::admit) would say yes.
    pub fn admits(&self, now: Instant) -> bool {
        self.has_room(now) && self.pace.as_ref().is_none_or(|pace| pace.admits(now))
    }

    fn has_room(&self, now: Instant) -> bool {
        match self.breaker {
            Breaker::Closed { .. } => self.in_flight < self.limit,
            Breaker::Open { probe_at, probing, .. } => !probing && now >= probe_at,
            Breaker::Recovering { allowed, .. } => self.in_flight < allowed,
        }
    }

    /// Lets one attempt through, where there is room.
    pub fn admit(&mut self, now: Instant) -> Option<Pass> {
        if !self.admits(now) {
            return None;
        }
        self.in_flight += 1;
        if let Some(pace) = &mut self.pace {
            pace.begin(now);
        }
        let mut pass = Pass { outages: self.outages, is_probe: false };
        if let Breaker::Open { probing, .. } = &mut self.breaker {
            *probing = true;
            pass.is_probe = true;
        }
        Some(pass)
    }

    /// Whether the target has gone down since this pass was given: what has not been sent by then is to wait.
    pub fn has_gone_down_since(&self, pass: &Pass) -> bool {
        pass.outages != self.outages
    }

    /// Takes a pass back: there is room for another attempt. Returns whether the gate is
    /// [retired](Gate::retire).
    pub fn leave(&mut self, _: Pass) -> bool {
        self.in_flight -= 1;
        self.is_retired
    }

    /// Nobody will ask for a pass any more. Returns how many attempts are still on their way.
    pub fn retire(&mut self) -> usize {
        self.is_retired = true;
        self.in_flight
    }

    /// Learns what an attempt said of the target. Returns whether the target's
    /// [`health`](Gate::health) changed. `dice` is in `0.0..1.0`.
    pub fn learn(&mut self, pass: &Pass, sign: Sign, now: Instant, wall: SystemTime, dice: f64) -> bool {
        let before = self.health();
        // A probe of an earlier outage is a straggler in this one.
        let is_probe = pass.is_probe && pass.outages == self.outages;
        if sign == Sign::Took {
            self.last_taken = Some(wall);
        }
        match (sign, &mut self.breaker) {
            (Sign::Took | Sign::Alive, Breaker::Closed { failures }) => *failures = 0,
            (Sign::Took | Sign::Alive, Breaker::Open { .. }) => {
                self.breaker = Breaker::Recovering { allowed: 1, came_through: 0, has_stumbled: false };
            }
            (Sign::Took | Sign::Alive, Breaker::Recovering { allowed, came_through, has_stumbled }) => {
                *has_stumbled = false;
                *came_through += 1;
                if *came_through >= *allowed {
                    (*allowed, *came_through) = (*allowed * 2, 0);
                }
                if *allowed >= self.limit {
                    self.breaker = Breaker::Closed { failures: 0 };
                }
            }
            (Sign::Failed | Sign::Unclear, Breaker::Closed { failures }) => {
                *failures += 1;
                if *failures >= self.policy.after {
                    self.open(sign, now, dice);
                }
            }
            (Sign::Unclear, Breaker::Recovering { allowed, came_through, has_stumbled: has_stumbled @ false }) => {
                (*allowed, *came_through, *has_stumbled) = (1, 0, true);
            }
            (Sign::Failed | Sign::Unclear | Sign::Away, Breaker::Recovering { .. })
            | (Sign::Away, Breaker::Closed { .. }) => self.open(sign, now, dice),
            (Sign::Failed | Sign::Unclear | Sign::Away, Breaker::Open { .. }) if is_probe => {
                self.open(sign, now, dice);
            }
            (Sign::Ours, Breaker::Open { probe_at, probing, .. }) if is_probe => {
                (*probe_at, *probing) = (now + self.policy.probe.min(Self::PAUSE), false);
            }
            (Sign::Nothing, Breaker::Open { probing, .. }) if is_probe => *probing = false,
            (Sign::Failed | Sign::Unclear | Sign::Away, Breaker::Open { .. }) | (Sign::Ours | Sign::Nothing, _) => {}
        }
        self.health() != before
    }

    fn open(&mut self, sign: Sign, now: Instant, dice: f64) {
        if self.health() != Health::Down {
            self.outages += 1;
        }
        let wait = self.policy.probe.mul_f64(0.75 + dice.clamp(0.0, 1.0) / 2.0);
        self.breaker = Breaker::Open { probe_at: now + wait, probing: false, is_away: sign == Sign::Away };
    }

    /// Whether the target has said itself that it cannot take anything, and may say that it can.
    pub fn awaits_return(&self) -> bool {
        matches!(self.breaker, Breaker::Open { is_away: true, probing: false, .. })
    }

    /// The target says that it can take mail again: where that was [awaited](Gate::awaits_return), the next probe may
    /// go at once. Should it be away again, it has to say so anew.
    pub fn expect_return(&mut self, now: Instant) {
        if let Breaker::Open { probe_at, probing: false, is_away: is_away @ true } = &mut self.breaker {
            (*probe_at, *is_away) = (now.min(*probe_at), false);
        }
    }

    /// The target's state.
    pub fn health(&self) -> Health {
        match self.breaker {
            Breaker::Closed { .. } => Health::Up,
            Breaker::Open { .. } => Health::Down,
            Breaker::Recovering { .. } => Health::Recovering,
        }
    }

    /// How many attempts are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// When it opens of itself, without an attempt's having to end first: for the next probe while
    /// the target is down, else as its rate has it. None where it is full, or open in any case.
    pub fn opens_at(&self) -> Option<Instant> {
        let paced = self.pace.as_ref().and_then(Pace::opens_at);
        match self.breaker {
            Breaker::Open { probing: true, .. } => None,
            Breaker::Open { probe_at, .. } => Some(paced.map_or(probe_at, |paced| paced.max(probe_at))),
            Breaker::Closed { .. } if self.in_flight < self.limit => paced,
            Breaker::Recovering { allowed, .. } if self.in_flight < allowed => paced,
            Breaker::Closed { .. } | Breaker::Recovering { .. } => None,
        }
    }

    /// Whether nothing but its rate keeps it closed.
    pub fn is_only_paced(&self, now: Instant) -> bool {
        self.has_room(now) && !self.admits(now)
    }

    /// Whether the target has taken a message after `time`.
    pub fn took_since(&self, time: SystemTime) -> bool {
        self.last_taken.is_some_and(|taken| taken > time)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
