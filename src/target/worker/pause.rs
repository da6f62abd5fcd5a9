//! How long is waited after starts that failed.

use std::time::{Duration, Instant};

/// Starts that failed, and processes that were no good.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    longest: Duration,
    /// Starts that failed, one after the other.
    failures: u32,
    /// Processes that ended soon after they were ready and before they had answered anything, one after the other.
    barren: u32,
    /// How many pauses were made for these.
    barren_pauses: u32,
    until: Option<Instant>,
}

impl Pause {
    /// So many processes may end before they have answered anything without a pause being made.
    const FREE: u32 = 1;
    /// The same where each had a job: it may be all for one message, which is soon tried no more.
    const FREE_WITH_JOB: u32 = 5;

    /// The first pause, which doubles up to the longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Pause { first, longest, failures: 0, barren: 0, barren_pauses: 0, until: None }
    }

    /// A start has failed. Returns how long the next one has to wait. `dice` is in `0.0..1.0`.
    pub fn after_failure(&mut self, now: Instant, dice: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.wait(now, dice)
    }

    /// A process was no good. At first that is nothing yet; then the next start has to wait so long.
    pub fn after_barren(&mut self, had_job: bool, now: Instant, dice: f64) -> Option<Duration> {
        self.barren = self.barren.saturating_add(1);
        let free = if had_job { Self::FREE_WITH_JOB } else { Self::FREE };
        if self.barren <= free {
            return None;
        }
        self.barren_pauses = self.barren_pauses.saturating_add(1);
        Some(self.wait(now, dice))
    }

    /// A start was good. That is not all where processes do not last.
    pub fn after_ready(&mut self) {
        self.failures = 0;
        self.until = self.until.filter(|_| self.barren_pauses > 0);
    }

    /// A process was good for something.
    pub fn after_use(&mut self) {
        (self.barren, self.barren_pauses) = (0, 0);
        self.until = self.until.filter(|_| self.failures > 0);
    }

    /// When the next start may be, where the last one failed or was good for nothing.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    fn wait(&mut self, now: Instant, dice: f64) -> Duration {
        let doublings = self.failures.max(self.barren_pauses).saturating_sub(1).min(16);
        let whole = self.longest.min(self.first.saturating_mul(1 << doublings));
        let wait = whole.mul_f64(0.75 + dice.clamp(0.0, 1.0) / 4.0);
        self.until = Some(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pause() -> Pause {
        Pause::new(SECOND, 30 * SECOND)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_a_good_start() {
        let (mut pause, now) = (pause(), Instant::now());
        let next = |pause: &mut Pause| pause.after_failure(now, 1.0).as_secs();
        assert_eq!([(); 8].map(|()| next(&mut pause)), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause.until(), Some(now + 30 * SECOND));
        pause.after_ready();
        assert!(pause.until().is_none());
        assert_eq!(next(&mut pause), 1);
    }

    #[test]
    fn pauses_are_not_all_the_same() {
        let now = Instant::now();
        for (dice, expected) in [(0.0, 750), (0.5, 875), (1.0, 1000)] {
            assert_eq!(pause().after_failure(now, dice), Duration::from_millis(expected));
        }
    }

    #[test]
    fn one_message_that_ends_each_process_makes_no_pause() {
        let (mut pause, now) = (pause(), Instant::now());
        let next = |pause: &mut Pause| {
            pause.after_ready();
            pause.after_barren(true, now, 1.0).map(|wait| wait.as_secs())
        };
        assert_eq!([(); 8].map(|()| next(&mut pause)), [None, None, None, None, None, Some(1), Some(2), Some(4)]);
        pause.after_use();
        assert_eq!(next(&mut pause), None);
    }

    #[test]
    fn a_process_that_is_no_good_may_be_replaced_at_once_once() {
        let (mut pause, now) = (pause(), Instant::now());
        let next = |pause: &mut Pause| {
            pause.after_ready();
            pause.after_barren(false, now, 1.0).map(|wait| wait.as_secs())
        };
        assert_eq!([(); 4].map(|()| next(&mut pause)), [None, Some(1), Some(2), Some(4)]);
        pause.after_ready();
        assert_eq!(pause.until(), Some(now + 4 * SECOND), "that others start is no reason to hurry");
        pause.after_use();
        assert_eq!(pause.until(), None);
        assert_eq!([(); 2].map(|()| next(&mut pause)), [None, Some(1)]);
    }
}
