//! What one target may be given, as the documentation has it: the reference for the engine's gate.

use maildirq::engine::{Blame, BreakerPolicy, Outcome};
use std::time::{Duration, SystemTime};

/// What an attempt says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Took,
    Alive,
    Failed,
    Unclear,
    Away,
    Ours,
    Nothing,
}

impl Sign {
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { .. } => Sign::Took,
            Outcome::Unavailable { .. } => Sign::Away,
            Outcome::Reject { .. } => Sign::Alive,
            Outcome::Unfit { .. } => Sign::Nothing,
            Outcome::Retry { blame, .. } => match blame {
                Blame::Message => Sign::Alive,
                Blame::Endpoint => Sign::Failed,
                Blame::Unclear => Sign::Unclear,
                Blame::Ourselves => Sign::Ours,
            },
        }
    }
}

#[derive(Debug)]
enum Health {
    Up {
        failures: u32,
    },
    /// The next probe may come from `earliest` on, and comes by `latest`, where something waits.
    Down {
        earliest: Duration,
        latest: Duration,
        probe: Option<u64>,
    },
    /// So many may be in flight; so many of them have come through, and so many failed since.
    Recovering {
        allowed: usize,
        came: usize,
        failed: u32,
    },
}

/// One target, from when it was made until a reload takes it away.
#[derive(Debug)]
pub struct Bounds {
    limit: usize,
    interval: Option<Duration>,
    breaker: BreakerPolicy,
    health: Health,
    begun: Vec<Duration>,
    in_flight: usize,
    /// Rights to an attempt that the engine has not had back yet, as far as can be seen from outside.
    pub passes: usize,
    /// When a right was taken last, also one that came to no attempt.
    pub touched: Option<Duration>,
    last_taken: Option<SystemTime>,
    pub idle_since: Option<Duration>,
}

impl Bounds {
    /// What a rate lets one make up for.
    const BURST: Duration = Duration::from_millis(100);

    pub fn new(limit: usize, interval: Option<Duration>, breaker: BreakerPolicy) -> Self {
        Bounds {
            limit,
            interval,
            breaker,
            health: Health::Up { failures: 0 },
            begun: Vec::new(),
            in_flight: 0,
            passes: 0,
            touched: None,
            last_taken: None,
            idle_since: None,
        }
    }

    pub fn is_down(&self) -> bool {
        matches!(self.health, Health::Down { .. })
    }

    pub fn is_up(&self) -> bool {
        matches!(self.health, Health::Up { .. })
    }

    pub fn took_since(&self, time: SystemTime) -> bool {
        self.last_taken.is_some_and(|taken| taken > time)
    }

    /// An attempt begins. Err where it must not.
    pub fn begin(&mut self, attempt: u64, now: Duration) -> Result<(), String> {
        self.in_flight += 1;
        (self.passes, self.touched) = (self.passes + 1, Some(now));
        self.begun.push(now);
        if self.in_flight > self.limit {
            return Err(format!("{} at a time, the limit is {}", self.in_flight, self.limit));
        }
        if let Some(interval) = self.interval {
            // In no window may there be more than fit into it, and what may be made up for.
            for (&since, count) in self.begun.iter().rev().zip(1u32..) {
                if interval * (count - 1) > now.saturating_sub(since) + Self::BURST {
                    return Err(format!(
                        "{count} attempts within {:?}, one each {interval:?} is allowed",
                        now.saturating_sub(since)
                    ));
                }
            }
        }
        match &mut self.health {
            Health::Down { probe: Some(_), .. } => return Err("two probes at a time".to_owned()),
            Health::Down { earliest, .. } if now < *earliest => {
                return Err(format!("a probe at {now:?}, but not before {earliest:?}"));
            }
            Health::Down { probe, .. } => *probe = Some(attempt),
            Health::Recovering { allowed, .. } if self.in_flight > *allowed => {
                return Err(format!("{} at a time while recovering, {allowed} allowed", self.in_flight));
            }
            Health::Up { .. } | Health::Recovering { .. } => {}
        }
        Ok(())
    }

    /// An attempt ends.
    pub fn end(&mut self, attempt: u64, sign: Sign, now: Duration, wall: SystemTime) {
        self.in_flight -= 1;
        if sign == Sign::Took {
            self.last_taken = Some(wall);
        }
        match (sign, &mut self.health) {
            (Sign::Took | Sign::Alive, Health::Up { failures }) => *failures = 0,
            (Sign::Took | Sign::Alive, Health::Down { .. }) => {
                self.health = Health::Recovering { allowed: 1, came: 0, failed: 0 };
            }
            (Sign::Took | Sign::Alive, Health::Recovering { allowed, came, failed }) => {
                (*came, *failed) = (*came + 1, 0);
                if came >= allowed {
                    (*allowed, *came) = (*allowed * 2, 0);
                }
                if *allowed >= self.limit {
                    self.health = Health::Up { failures: 0 };
                }
            }
            (Sign::Failed | Sign::Unclear, Health::Up { failures }) => {
                *failures += 1;
                if *failures >= self.breaker.after {
                    self.go_down(now);
                }
            }
            (Sign::Unclear, Health::Recovering { allowed, came, failed }) => {
                (*allowed, *came, *failed) = (1, 0, *failed + 1);
                if *failed == 2 {
                    self.go_down(now);
                }
            }
            (Sign::Failed, Health::Recovering { .. }) | (Sign::Away, Health::Up { .. } | Health::Recovering { .. }) => {
                self.go_down(now);
            }
            // What was begun before the target went down says nothing new.
            (_, Health::Down { probe, .. }) if *probe != Some(attempt) => {}
            (Sign::Failed | Sign::Unclear | Sign::Away, Health::Down { .. }) => self.go_down(now),
            (Sign::Ours, Health::Down { earliest, latest, probe }) => {
                *earliest = now + self.breaker.probe.min(Duration::from_secs(1));
                (*latest, *probe) = (*earliest, None);
            }
            (Sign::Nothing, Health::Down { probe, .. }) => *probe = None,
            (Sign::Ours | Sign::Nothing, _) => {}
        }
    }

    fn go_down(&mut self, now: Duration) {
        let probe = self.breaker.probe;
        self.health = Health::Down { earliest: now + probe * 3 / 4, latest: now + probe * 5 / 4, probe: None };
    }

    /// Whether it certainly would be given another message.
    pub fn has_room(&self, now: Duration) -> bool {
        let is_paced = self
            .interval
            .is_some_and(|interval| self.touched.is_some_and(|touched| now < touched + interval + Self::BURST));
        let has_room = match self.health {
            Health::Up { .. } => self.passes < self.limit,
            // While somebody is told that the probe has died, its hand is busy.
            Health::Down { latest, probe, .. } => probe.is_none() && now >= latest && self.passes < self.limit,
            Health::Recovering { allowed, .. } => self.passes < allowed,
        };
        has_room && !is_paced
    }
}
