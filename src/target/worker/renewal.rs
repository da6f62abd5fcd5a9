//! When a process has worked enough, and is to be replaced.

use super::WorkerConfig;
use rustix::param::page_size;
use rustix::process::Pid;
use std::fs;
use std::time::Instant;

/// How far below the setting a bound may be: so that processes that were started together do not leave together.
const SPREAD: f64 = 0.1;

/// The bounds of one process.
#[derive(Debug)]
pub(super) struct Renewal {
    /// How many more jobs.
    jobs_left: Option<u32>,
    max_rss: Option<u64>,
    /// When it is too old.
    pub old_at: Option<Instant>,
}

impl Renewal {
    /// For a process that begins now. `dice` gives chances in `0.0..1.0`.
    pub fn new(config: &WorkerConfig, now: Instant, mut dice: impl FnMut() -> f64) -> Self {
        let mut share = || 1.0 - SPREAD * dice().clamp(0.0, 1.0);
        let jobs_left = config.max_jobs.map(|most| fewer(most.get(), share()));
        let old_at = config.max_age.and_then(|most| now.checked_add(most.mul_f64(share())));
        Renewal { jobs_left, max_rss: config.max_rss, old_at }
    }

    /// Counts a job. Returns why the process is to be replaced, if it is.
    pub fn after_job(&mut self, pid: Pid) -> Option<&'static str> {
        if let Some(left) = &mut self.jobs_left {
            *left = left.saturating_sub(1);
        }
        if self.jobs_left == Some(0) {
            return Some("max_jobs");
        }
        let most = self.max_rss?;
        (resident(pid)? > most).then_some("max_rss")
    }
}

/// This share of a number, at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number fits where it did")]
fn fewer(most: u32, share: f64) -> u32 {
    ((f64::from(most) * share).ceil() as u32).clamp(1, most)
}

/// The memory that a process has in use, in bytes; see `proc_pid_statm(5)`. Nothing where it has ended.
fn resident(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_jobs_or_a_little_less() {
        for (most, fewest) in [(1, 1), (2, 2), (10, 9), (1000, 900)] {
            assert_eq!((fewer(most, 1.0), fewer(most, 1.0 - SPREAD)), (most, fewest), "{most}");
        }
        let spread: std::collections::BTreeSet<_> =
            (0..100).map(|chance| fewer(1000, 1.0 - SPREAD * f64::from(chance) / 100.0)).collect();
        assert!(spread.len() > 90, "{spread:?}");
    }

    #[test]
    fn memory_is_what_the_system_says() {
        let us = resident(rustix::process::getpid()).unwrap();
        assert!((1 << 20..1 << 36).contains(&us), "{us}");
    }
}
