//! What a target may be given: its limit, its rate and its breaker, step by step.

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
fn a_target_that_says_that_it_is_back_is_probed_at_once() {
    let mut bench = Bench::new(4);
    bench.attempt(Sign::Away);
    assert!(bench.gate.awaits_return() && bench.room() == 0);
    bench.gate.expect_return(bench.now);
    assert_eq!((bench.gate.opens_at(), bench.gate.health()), (Some(bench.now), Health::Down));
    assert!(!bench.gate.awaits_return(), "it has been heard");
    let probe = bench.gate.admit(bench.now).expect("it is expected");
    assert!(!bench.gate.awaits_return() && bench.room() == 0);
    bench.leave(probe, Sign::Away);
    assert!(bench.gate.awaits_return(), "it says so anew");
}

#[test]
fn a_target_that_fails_is_not_asked_whether_it_is_back() {
    let mut bench = Bench::down(4);
    bench.gate.expect_return(bench.now);
    assert_eq!((bench.room(), bench.gate.awaits_return()), (0, false));
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

/// A gate that lets four through at a time, on its way to eight.
fn half_open() -> Bench {
    let mut bench = Bench::down(8);
    bench.now += PROBE;
    (0..4).for_each(|_| bench.attempt(Sign::Took));
    assert_eq!((bench.room(), bench.gate.health()), (4, Health::Recovering));
    bench
}

#[test]
fn a_failure_while_recovering_that_may_be_a_mails_own_takes_it_back_to_the_first_step() {
    let mut bench = half_open();
    bench.attempt(Sign::Unclear);
    assert_eq!((bench.room(), bench.gate.health()), (1, Health::Recovering));
    bench.attempt(Sign::Took);
    assert_eq!(bench.room(), 2);
    bench.attempt(Sign::Unclear);
    assert_eq!((bench.room(), bench.gate.health()), (1, Health::Recovering), "it has taken one in between");
    bench.attempt(Sign::Nothing);
    bench.attempt(Sign::Unclear);
    assert_eq!((bench.room(), bench.gate.health()), (0, Health::Down), "two in a row");
}

#[test]
fn a_failure_of_its_own_while_recovering_opens_it_again() {
    for sign in [Sign::Failed, Sign::Away] {
        let mut bench = half_open();
        bench.attempt(sign);
        assert_eq!((bench.room(), bench.gate.health()), (0, Health::Down));
    }
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
fn a_pass_is_good_until_the_target_goes_down() {
    let mut bench = Bench::new(8);
    let [before, other] = std::array::from_fn(|_| bench.gate.admit(bench.now).expect("there is room"));
    (0..2).for_each(|_| bench.attempt(Sign::Failed));
    assert!(!bench.gate.has_gone_down_since(&before));
    bench.attempt(Sign::Failed);
    assert!(bench.gate.has_gone_down_since(&before));
    bench.now += PROBE;
    let probe = bench.gate.admit(bench.now).expect("it is time");
    assert!(!bench.gate.has_gone_down_since(&probe));
    bench.leave(other, Sign::Took);
    assert_eq!(bench.gate.health(), Health::Recovering);
    assert!(bench.gate.has_gone_down_since(&before) && !bench.gate.has_gone_down_since(&probe));
    bench.leave(before, Sign::Nothing);
    bench.leave(probe, Sign::Failed);
    assert_eq!(bench.gate.health(), Health::Down);
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
