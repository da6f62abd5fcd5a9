//! What a seed draws.

use crate::queue::Troubles;
use crate::target::{Out, Outage, Temper};
use maildirq::engine::{BreakerPolicy, RetryPolicy, Schedule, Until};
use std::time::Duration;

/// How many kinds of mail there are; a route is for one kind.
pub const KINDS: usize = 4;

/// The terms of a target.
#[derive(Clone, Debug)]
pub struct Spec {
    pub limit: usize,
    /// The time between two attempts.
    pub interval: Option<Duration>,
    pub retry: RetryPolicy,
    pub breaker: BreakerPolicy,
    /// How long it takes to tell of a death, if anybody is told.
    pub on_dead: Option<Duration>,
}

/// How a life of the process ends, if it does not end of itself before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastOrder {
    Finish,
    Now,
    Crash,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Arrival { kind: usize, temper: Temper },
    Quiet,
    Resume,
    Reload,
    SetWall { forward: bool, by: Duration },
    Pause(char),
    Unpause(char),
    Last(LastOrder),
}

/// One process from its start to its end.
#[derive(Debug)]
pub struct Life {
    pub until: Until,
    pub lanes: usize,
    /// From its start on.
    pub events: Vec<(Duration, Event)>,
    /// It is killed after so many steps.
    pub crash_after: Option<u64>,
}

#[derive(Debug)]
pub struct Plan {
    pub letters: Vec<char>,
    pub timeouts: Vec<Duration>,
    pub outages: Vec<Vec<Outage>>,
    pub arrivals: Vec<(Duration, Event)>,
    pub lives: Vec<Life>,
    pub troubles: Troubles,
    /// How many of a hundred attempts fail for no reason.
    pub trouble: u32,
    pub last_lanes: usize,
}

/// A time up to `most`: often nothing, often a round one, so that things coincide.
fn time(dice: &mut fastrand::Rng, most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).expect("it is minutes").max(1);
    Duration::from_millis(match dice.u32(..4) {
        0 => 0,
        1 => dice.u64(..=most) / 1000 * 1000,
        _ => dice.u64(..=most),
    })
}

impl Spec {
    pub fn draw(dice: &mut fastrand::Rng) -> Self {
        let interval = match dice.u32(..4) {
            0 => Some(Duration::from_millis(dice.u64(1..50))),
            1 => Some(Duration::from_millis(dice.u64(50..5000))),
            _ => None,
        };
        let schedule = if dice.bool() {
            let most = Duration::from_secs(dice.u64(1..600));
            Schedule::Doubling { first: Duration::from_millis(dice.u64(1..5000)), most }
        } else {
            Schedule::Steps((0..dice.usize(1..4)).map(|_| Duration::from_secs(dice.u64(0..300))).collect())
        };
        let attempts = (dice.u32(..4) > 0).then(|| dice.u32(1..5));
        let give_up = (attempts.is_none() || dice.bool()).then(|| Duration::from_secs(dice.u64(0..3600)));
        let slowest_probe = [1000, 10_000, 60_000][dice.usize(..3)];
        let probe = Duration::from_millis(dice.u64(100..slowest_probe));
        Spec {
            limit: dice.usize(1..5),
            interval,
            retry: RetryPolicy { schedule, give_up, attempts },
            breaker: BreakerPolicy { after: [1, 2, 5][dice.usize(..3)], probe },
            on_dead: dice.bool().then(|| time(dice, Duration::from_secs(10))),
        }
    }
}

fn kind_and_temper(dice: &mut fastrand::Rng) -> Event {
    let temper = match dice.u32(..20) {
        0 => Temper::Bad,
        1 => Temper::Unwanted,
        2 => Temper::Bomb,
        3 => Temper::Lethal,
        4 => Temper::Unfit,
        _ => Temper::Ordinary,
    };
    Event::Arrival { kind: dice.usize(..KINDS), temper }
}

fn outages(dice: &mut fastrand::Rng, span: Duration) -> Vec<Outage> {
    let outage = |dice: &mut fastrand::Rng| {
        let (from, lasts) = (time(dice, span), time(dice, Duration::from_mins(5)));
        let hows = [Out::Refuses, Out::Hangs, Out::Breaks, Out::IsBusy, Out::SaysSo];
        Outage { from, until: from + lasts, how: hows[dice.usize(..hows.len())] }
    };
    (0..dice.usize(..3)).map(|_| outage(dice)).collect()
}

fn set_wall(dice: &mut fastrand::Rng) -> Event {
    let forward = dice.bool();
    let most = match dice.u32(..4) {
        0 if forward => 400 * 24 * 3600,
        0 => 24 * 3600,
        _ => 3600,
    };
    Event::SetWall { forward, by: Duration::from_millis(dice.u64(1..most * 1000)) }
}

impl Life {
    fn draw(dice: &mut fastrand::Rng, letters: &[char], span: Duration) -> Self {
        let until = match dice.u32(..6) {
            0 | 1 => Until::Drained,
            2 => Until::Settled,
            _ => Until::Stopped,
        };
        let mut events = Vec::new();
        for _ in 0..dice.usize(..3) {
            let at = time(dice, span);
            let later = at + time(dice, Duration::from_mins(2));
            let letter = letters[dice.usize(..letters.len())];
            match dice.u32(..5) {
                0 | 1 => events.push((at, Event::Reload)),
                2 => events.push((at, set_wall(dice))),
                3 => events.extend([(at, Event::Quiet), (later, Event::Resume)]),
                _ => events.extend([(at, Event::Pause(letter)), (later, Event::Unpause(letter))]),
            }
        }
        let last = match dice.u32(..3) {
            0 => LastOrder::Finish,
            1 => LastOrder::Now,
            _ => LastOrder::Crash,
        };
        let last_at = time(dice, span);
        events.push((last_at, Event::Last(last)));
        if dice.u32(..4) == 0 {
            // The orders of a person who has no patience.
            events.push((last_at + time(dice, Duration::from_mins(1)), Event::Last(LastOrder::Now)));
        }
        let crash_after = (dice.u32(..4) == 0).then(|| dice.u64(..100));
        Life { until, lanes: dice.usize(1..4), events, crash_after }
    }
}

impl Plan {
    pub fn draw(dice: &mut fastrand::Rng) -> Self {
        let letters: Vec<char> = ('a'..='c').take(dice.usize(1..=3)).collect();
        let span = Duration::from_secs([1, 10, 60, 600][dice.usize(..4)]);
        let arrival = |dice: &mut fastrand::Rng| (time(dice, span), kind_and_temper(dice));
        let most = [3, 10, 40][dice.usize(..3)];
        let troubles = |dice: &mut fastrand::Rng| [0, 0, 20, 200][dice.usize(..4)];
        Plan {
            timeouts: letters.iter().map(|_| Duration::from_millis(dice.u64(1..90_000))).collect(),
            outages: letters.iter().map(|_| outages(dice, span)).collect(),
            arrivals: (0..dice.usize(1..most)).map(|_| arrival(dice)).collect(),
            lives: (0..dice.usize(1..4)).map(|_| Life::draw(dice, &letters, span)).collect(),
            troubles: Troubles { settle: troubles(dice), sending: troubles(dice) / 2, slow: troubles(dice) },
            trouble: [0, 5, 30, 70][dice.usize(..4)],
            last_lanes: dice.usize(1..4),
            letters,
        }
    }
}
