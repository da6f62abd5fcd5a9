//! How much a target may be given now: its concurrency, its rate and its circuit breaker.
//!
//! Pure state with the time handed in; the loop keeps it behind a lock.
//!
//! While a target is down, one probe at a time is let through and all other mail waits. After a
//! probe has come through the gate opens in steps (1, 2, 4 … up to the limit), so that a backlog
//! does not knock over what has only just got up.

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
    /// The outage in which it is the probe.
    probe_of: Option<u64>,
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
            Outcome::Retry { blame: Blame::Endpoint | Blame::Unclear, .. } => Sign::Failed,
            Outcome::Retry { blame: Blame::Ourselves, .. } => Sign::Ours,
            Outcome::Unavailable { .. } => Sign::Away,
        }
    }
}

#[derive(Debug)]
enum Breaker {
    Closed { failures: u32 },
    Open { probe_at: Instant, probing: bool },
    Recovering { allowed: usize, came_through: usize },
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
            Breaker::Open { probe_at, probing } => !probing && now >= probe_at,
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
        let mut pass = Pass { probe_of: None };
        if let Breaker::Open { probing, .. } = &mut self.breaker {
            *probing = true;
            pass.probe_of = Some(self.outages);
        }
        Some(pass)
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
        let is_probe = pass.probe_of == Some(self.outages);
        if sign == Sign::Took {
            self.last_taken = Some(wall);
        }
        match (sign, &mut self.breaker) {
            (Sign::Took | Sign::Alive, Breaker::Closed { failures }) => *failures = 0,
            (Sign::Took | Sign::Alive, Breaker::Open { .. }) => {
                self.breaker = Breaker::Recovering { allowed: 1, came_through: 0 };
            }
            (Sign::Took | Sign::Alive, Breaker::Recovering { allowed, came_through }) => {
                *came_through += 1;
                if *came_through >= *allowed {
                    (*allowed, *came_through) = (*allowed * 2, 0);
                }
                if *allowed >= self.limit {
                    self.breaker = Breaker::Closed { failures: 0 };
                }
            }
            (Sign::Failed, Breaker::Closed { failures }) => {
                *failures += 1;
                if *failures >= self.policy.after {
                    self.open(now, dice);
                }
            }
            (Sign::Failed, Breaker::Recovering { .. })
            | (Sign::Away, Breaker::Closed { .. } | Breaker::Recovering { .. }) => {
                self.open(now, dice);
            }
            (Sign::Failed | Sign::Away, Breaker::Open { .. }) if is_probe => self.open(now, dice),
            (Sign::Ours, Breaker::Open { probe_at, probing }) if is_probe => {
                (*probe_at, *probing) = (now + self.policy.probe.min(Self::PAUSE), false);
            }
            (Sign::Nothing, Breaker::Open { probing, .. }) if is_probe => *probing = false,
            (Sign::Failed | Sign::Away, Breaker::Open { .. }) | (Sign::Ours | Sign::Nothing, _) => {}
        }
        self.health() != before
    }

    fn open(&mut self, now: Instant, dice: f64) {
        if self.health() != Health::Down {
            self.outages += 1;
        }
        let wait = self.policy.probe.mul_f64(0.75 + dice.clamp(0.0, 1.0) / 2.0);
        self.breaker = Breaker::Open { probe_at: now + wait, probing: false };
    }

    /// The target's state.
    pub fn health(&self) -> Health {
        match self.breaker {
            Breaker::Closed { .. } => Health::Up,
            Breaker::Open { .. } => Health::Down,
            Breaker::Recovering { .. } => Health::Recovering,
        }
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
mod tests {
    use super::*;

    const PROBE: Duration = Duration::from_secs(30);

    struct Bench {
        gate: Gate,
        now: Instant,
    }

    impl Bench {
        fn new(limit: usize) -> Self {
            Bench { gate: Gate::new(limit, None, BreakerPolicy { after: 3, probe: PROBE }), now: Instant::now() }
        }

        fn down(limit: usize) -> Self {
            let mut bench = Bench::new(limit);
            for _ in 0..3 {
                bench.attempt(Sign::Failed);
            }
            assert_eq!(bench.gate.health(), Health::Down);
            bench
        }

        fn leave(&mut self, pass: Pass, sign: Sign) {
            self.gate.learn(&pass, sign, self.now, SystemTime::now(), 0.5);
            self.gate.leave(pass);
        }

        fn attempt(&mut self, sign: Sign) {
            let pass = self.gate.admit(self.now).expect("there is room");
            self.leave(pass, sign);
        }

        /// How many are let through at once.
        fn room(&mut self) -> usize {
            let passes: Vec<_> = std::iter::from_fn(|| self.gate.admit(self.now)).collect();
            let room = passes.len();
            for pass in passes {
                self.leave(pass, Sign::Nothing);
            }
            room
        }
    }

    #[test]
    fn an_upright_target_gets_its_limit() {
        assert_eq!(Bench::new(4).room(), 4);
        assert_eq!(Bench::new(0).room(), 1, "a limit of nothing would never end");
    }

    #[test]
    fn only_failures_in_a_row_open_the_breaker() {
        let mut bench = Bench::new(4);
        for sign in [
            Sign::Failed,
            Sign::Failed,
            Sign::Alive,
            Sign::Failed,
            Sign::Failed,
            Sign::Took,
            Sign::Failed,
            Sign::Nothing,
            Sign::Failed,
        ] {
            bench.attempt(sign);
        }
        assert_eq!(bench.gate.health(), Health::Up);
        bench.attempt(Sign::Failed);
        assert_eq!(bench.gate.health(), Health::Down);
    }

    #[test]
    fn a_target_that_says_so_itself_is_down_at_once() {
        for mut bench in [Bench::new(4), Bench::down(4)] {
            bench.now += PROBE;
            bench.attempt(Sign::Away);
            assert_eq!((bench.room(), bench.gate.health()), (0, Health::Down));
            assert_eq!(bench.gate.opens_at(), Some(bench.now + PROBE));
        }
    }

    #[test]
    fn a_target_that_is_down_gets_one_probe_at_a_time() {
        let mut bench = Bench::down(4);
        assert_eq!(bench.room(), 0);
        assert_eq!(bench.gate.opens_at(), Some(bench.now + PROBE));
        bench.now += PROBE;
        let probe = bench.gate.admit(bench.now).expect("it is time");
        assert_eq!(bench.room(), 0);
        assert_eq!(bench.gate.opens_at(), None);
        bench.leave(probe, Sign::Failed);
        assert_eq!((bench.room(), bench.gate.health()), (0, Health::Down));
        assert_eq!(bench.gate.opens_at(), Some(bench.now + PROBE));
    }

    #[test]
    fn a_probe_that_was_cut_off_may_be_sent_again() {
        let mut bench = Bench::down(4);
        bench.now += PROBE;
        bench.attempt(Sign::Nothing);
        assert_eq!(bench.room(), 1);
    }

    #[test]
    fn a_probe_that_failed_for_reasons_of_ours_is_not_repeated_at_once() {
        let mut bench = Bench::down(4);
        bench.now += PROBE;
        bench.attempt(Sign::Ours);
        assert_eq!(bench.room(), 0);
        bench.now += Gate::PAUSE;
        assert_eq!((bench.room(), bench.gate.health()), (1, Health::Down));
    }

    #[test]
    fn it_closes_in_steps() {
        let mut bench = Bench::down(8);
        bench.now += PROBE;
        bench.attempt(Sign::Took);
        let mut rooms = Vec::new();
        while bench.gate.health() != Health::Up {
            let room = bench.room();
            rooms.push(room);
            (0..room).for_each(|_| bench.attempt(Sign::Took));
        }
        assert_eq!(rooms, [1, 2, 4]);
        assert_eq!(bench.room(), 8);
    }

    #[test]
    fn a_failure_while_recovering_opens_it_again() {
        let mut bench = Bench::down(8);
        bench.now += PROBE;
        bench.attempt(Sign::Alive);
        assert_eq!(bench.gate.health(), Health::Recovering);
        bench.attempt(Sign::Failed);
        assert_eq!(bench.gate.health(), Health::Down);
    }

    #[test]
    fn stragglers_from_before_the_outage_do_not_move_the_probe() {
        let mut bench = Bench::new(8);
        let late = bench.gate.admit(bench.now).expect("there is room");
        (0..3).for_each(|_| bench.attempt(Sign::Failed));
        let probe_at = bench.gate.opens_at();
        bench.now += Duration::from_secs(5);
        bench.leave(late, Sign::Failed);
        assert_eq!(bench.gate.opens_at(), probe_at);
    }

    #[test]
    fn a_probe_of_an_earlier_outage_is_a_straggler_in_the_next() {
        for sign in [Sign::Failed, Sign::Away, Sign::Ours, Sign::Nothing] {
            let mut bench = Bench::new(8);
            let [well, ill] = std::array::from_fn(|_| bench.gate.admit(bench.now).expect("there is room"));
            (0..3).for_each(|_| bench.attempt(Sign::Failed));
            bench.now += PROBE;
            let first = bench.gate.admit(bench.now).expect("it is time");
            bench.leave(well, Sign::Took);
            bench.leave(ill, Sign::Failed);
            assert_eq!(bench.gate.health(), Health::Down);
            bench.now += PROBE;
            let second = bench.gate.admit(bench.now).expect("it is time");
            bench.leave(first, sign);
            bench.now += 2 * PROBE;
            assert_eq!(bench.room(), 0, "{sign:?}: the second probe is still on its way");
            bench.leave(second, Sign::Took);
            assert_eq!(bench.gate.health(), Health::Recovering);
        }
    }

    #[test]
    fn a_retired_gate_tells_of_each_attempt_that_ends() {
        let mut bench = Bench::new(4);
        let pass = bench.gate.admit(bench.now).unwrap();
        assert!(!bench.gate.leave(pass));
        let passes = [bench.gate.admit(bench.now).unwrap(), bench.gate.admit(bench.now).unwrap()];
        assert_eq!(bench.gate.retire(), 2);
        assert!(passes.into_iter().all(|pass| bench.gate.leave(pass)));
    }

    #[test]
    fn a_rate_spaces_attempts_and_makes_up_for_a_little() {
        let rate = Rate::new(100, Duration::from_secs(1));
        let mut bench = Bench { gate: Gate::new(1000, rate, BreakerPolicy::default()), ..Bench::new(1) };
        let try_one = |bench: &mut Bench| bench.gate.admit(bench.now).map(|pass| bench.gate.leave(pass)).is_some();
        let mut taken = [0, 0, 0];
        for second in &mut taken {
            for _ in 0..1000 {
                bench.now += Duration::from_millis(1);
                *second += usize::from(try_one(&mut bench));
            }
        }
        assert!((100..=111).contains(&taken[0]) && taken[1..] == [100, 100], "{taken:?}");
        bench.now += Duration::from_hours(1);
        let burst = std::iter::from_fn(|| try_one(&mut bench).then_some(())).count();
        assert!((10..=11).contains(&burst), "{burst}");
        let opens_at = bench.gate.opens_at().expect("it opens of itself");
        assert!(!bench.gate.admits(bench.now) && bench.gate.admits(opens_at));
        assert_eq!(Rate::new(0, PROBE), None);
    }

    #[test]
    fn a_slow_rate_lets_one_through_at_a_time() {
        let rate = Rate::new(2, Duration::from_hours(1));
        let mut bench = Bench { gate: Gate::new(8, rate, BreakerPolicy::default()), ..Bench::new(1) };
        assert_eq!(bench.room(), 1);
        let opens_at = bench.gate.opens_at().unwrap();
        assert!(opens_at > bench.now + Duration::from_mins(29) && opens_at <= bench.now + Duration::from_mins(30));
        bench.now = opens_at;
        assert_eq!(bench.room(), 1);
    }

    #[test]
    fn it_knows_whether_another_message_was_taken_since() {
        let mut bench = Bench::new(1);
        let before = SystemTime::now() - Duration::from_secs(1);
        assert!(!bench.gate.took_since(before));
        bench.attempt(Sign::Alive);
        assert!(!bench.gate.took_since(before));
        bench.attempt(Sign::Took);
        assert!(bench.gate.took_since(before));
        assert!(!bench.gate.took_since(SystemTime::now() + Duration::from_secs(1)));
    }

    #[test]
    fn what_was_never_sent_says_nothing_of_a_target() {
        assert_eq!(Sign::from(&Outcome::Unfit { reason: String::new() }), Sign::Nothing);
        // Not every target answers by numbers.
        for status in [None, Some(422)] {
            assert_eq!(Sign::from(&Outcome::Reject { status, reason: String::new() }), Sign::Alive);
        }
    }
}
