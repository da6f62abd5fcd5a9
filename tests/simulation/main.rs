//! Deterministic simulation: the real engine over the queue in memory, with simulated targets, clocks
//! and chance. One seed is one run. What must be true is held against a small model, the ledger.
//!
//! A failing seed prints itself; `MAILDIRQ_SEED=n` runs that one alone, and tells all that happened.
//! `MAILDIRQ_SEEDS=n` runs as many, or as few. It needs no release build: a run takes a millisecond as it
//! is, and arithmetic is checked.
//!
//! | file | one idea |
//! |---|---|
//! | `plan` | what a seed draws |
//! | `world` | one run |
//! | `clock`, `tasks` | simulated time, and who goes on next |
//! | `target`, `queue` | what the engine works with, and what goes wrong with it |
//! | `ledger`, `bounds` | what must be true of each message, and of each target |

mod bounds;
mod clock;
mod ledger;
mod plan;
mod queue;
mod target;
mod tasks;
mod world;

use ledger::Counts;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const SEEDS: u64 = 100_000;

/// What has to happen for the simulation to prove anything.
const HAPPENS: &[&str] = &[
    "answered",
    "attempts",
    "away",
    "charged",
    "crashes",
    "cut off",
    "dead",
    "done",
    "ended by order",
    "ended of itself",
    "failed",
    "not charged",
    "not sent",
    "not settled",
    "ours",
    "parked",
    "probes",
    "released",
    "reloads",
    "taken",
    "told of death",
    "unclear",
    "unfit",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Runs seeds until there are no more. Returns the first that fails, and what happened in all.
fn run_all(next: &AtomicU64, seeds: u64) -> (Option<(u64, String)>, Counts) {
    let mut counts = Counts::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return (None, counts);
        }
        let ended = world::run(seed, false);
        if let Some(fault) = ended.fault {
            next.store(seeds, Ordering::Relaxed);
            return (Some((seed, fault)), counts);
        }
        for (what, count) in ended.counts {
            *counts.entry(what).or_default() += count;
        }
    }
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("MAILDIRQ_SEED") {
        let ended = world::run(seed, true);
        println!("{}", ended.trace.unwrap_or_default());
        assert_eq!(ended.fault, None, "seed {seed}");
        return;
    }
    let (seeds, next) = (number("MAILDIRQ_SEEDS").unwrap_or(SEEDS), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let ended: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| run_all(&next, seeds))).collect();
        running.into_iter().map(|thread| thread.join().expect("a run panics in targets only")).collect()
    });
    let mut counts = Counts::new();
    let mut failed = Vec::new();
    for (failure, counted) in ended {
        failed.extend(failure);
        for (what, count) in counted {
            *counts.entry(what).or_default() += count;
        }
    }
    if let Some((seed, fault)) = failed.into_iter().min() {
        panic!("this was seed {seed}: MAILDIRQ_SEED={seed} cargo test --test simulation\n{fault}");
    }
    println!("{seeds} seeds: {counts:?}");
    let happened: Vec<_> = counts.keys().copied().collect();
    assert!(seeds < 1000 || happened == HAPPENS, "{happened:?}");
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..100 {
        let traces = [world::run(seed, true).trace, world::run(seed, true).trace];
        assert!(traces[0] == traces[1], "seed {seed} ran in two ways");
    }
}
