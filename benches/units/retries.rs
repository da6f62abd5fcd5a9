//! Deciding what becomes of a message, and when it comes again.

use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use maildirq::engine::{Blame, Facts, Outcome, RetryPolicy, Schedule, decide};

#[divan::bench(args = [Blame::Endpoint, Blame::Message, Blame::Unclear])]
fn decision(bencher: Bencher, blame: Blame) {
    let policy = RetryPolicy::default();
    let facts = || Facts {
        target: "app".into(),
        took: Duration::from_millis(5),
        tries: 3,
        charged: 2,
        first_charged: Some(SystemTime::UNIX_EPOCH),
        took_another_since: true,
        target_unwell: false,
        now: SystemTime::UNIX_EPOCH + Duration::from_hours(1),
        dice: 0.5,
    };
    let outcome = || Outcome::Retry { blame, status: Some(500), reason: "500".into(), after: None };
    bencher.with_inputs(|| (outcome(), facts())).bench_local_values(|(outcome, facts)| decide(outcome, &policy, facts));
}

#[divan::bench(args = [0, 10, u32::MAX])]
fn longest_wait(failures: u32) -> Duration {
    let schedule = Schedule::Doubling { first: Duration::from_secs(5), most: Duration::from_hours(1) };
    black_box(&schedule).ceiling(black_box(failures))
}
