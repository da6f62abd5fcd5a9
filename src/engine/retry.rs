//! The decision from what an attempt came to, to what becomes of the message: pure, so that every
//! row of it can stand in a table.

use super::outcome::{Blame, Note, Outcome, Settlement};
use super::schedule::Schedule;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How failed messages are tried again, and when they are given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait after each failure; a target's own wish is cut to the longest of all.
    pub schedule: Schedule,
    /// A message is given up when its own failures have gone on for this long.
    pub give_up: Option<Duration>,
    /// A message is given up when it has failed this often by its own fault.
    pub attempts: Option<u32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            schedule: Schedule::Doubling { first: Duration::from_secs(5), most: Duration::from_hours(1) },
            give_up: Some(Duration::from_hours(3 * 24)),
            attempts: None,
        }
    }
}

impl RetryPolicy {
    /// The shortest wait that a target's `Retry-After` can ask for.
    const SHORTEST_WISH: Duration = Duration::from_secs(1);

    /// Full jitter: anything from nothing to the schedule's wait. `dice` is in `0.0..1.0`.
    fn delay(&self, failures: u32, dice: f64) -> Duration {
        self.schedule.ceiling(failures).mul_f64(dice.clamp(0.0, 1.0))
    }

    fn wish(&self, after: Duration) -> Duration {
        let most = self.schedule.most();
        after.clamp(Self::SHORTEST_WISH.min(most), most)
    }

    /// Whether a message is given up that has now failed so often, and for so long.
    fn gives_up(&self, failures: u32, failing_for: Duration) -> bool {
        let is_worn_out = self.attempts.is_some_and(|most| failures >= most);
        let is_too_old = failures > 1 && self.give_up.is_some_and(|most| failing_for >= most);
        is_worn_out || is_too_old
    }
}

/// What [`decide`] needs to know beside the outcome.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The name of the target.
    pub target: Arc<str>,
    /// How long the attempt took.
    pub took: Duration,
    /// Attempts before this one, whoever was to blame.
    pub tries: u32,
    /// Failures before this one that counted against the message.
    pub charged: u32,
    /// When the first of those was.
    pub first_charged: Option<SystemTime>,
    /// Whether the target has taken another message since the last try of this one.
    pub took_another_since: bool,
    /// Whether the target is down, or has only just got up and may fall again, with this outcome counted in.
    pub target_unwell: bool,
    /// The time of the decision.
    pub now: SystemTime,
    /// Chance, in `0.0..1.0`.
    pub dice: f64,
}

/// What becomes of a message.
///
/// Only failures that are the message's own are charged to it; the endpoint's back off, open the
/// target's breaker, and once that is open nothing is written down at all. An ambiguous failure is
/// the message's where the target has taken another one in the meantime.
pub fn decide(outcome: Outcome, policy: &RetryPolicy, facts: Facts) -> Settlement {
    let note = |status, reason| Note { at: facts.now, target: facts.target.clone(), status, took: facts.took, reason };
    match outcome {
        Outcome::Done { .. } => Settlement::Done,
        Outcome::Reject { status, reason } => Settlement::Dead { note: note(status, reason) },
        Outcome::Unfit { reason } => Settlement::Dead { note: note(None, reason) },
        Outcome::Unavailable { .. } => Settlement::Park { target: facts.target },
        Outcome::Retry { blame: Blame::Endpoint | Blame::Unclear, .. } if facts.target_unwell => {
            Settlement::Park { target: facts.target }
        }
        Outcome::Retry { blame, status, reason, after } => {
            let charged = match blame {
                Blame::Message => true,
                Blame::Unclear => facts.took_another_since,
                Blame::Endpoint | Blame::Ourselves => false,
            };
            let failing_for =
                facts.first_charged.and_then(|first| facts.now.duration_since(first).ok()).unwrap_or_default();
            let own_failures = facts.charged.saturating_add(1);
            if charged && policy.gives_up(own_failures, failing_for) {
                let reason = format!("gave up after {own_failures} failures: {reason}");
                return Settlement::Dead { note: note(status, reason) };
            }
            let failures = if charged { facts.charged } else { facts.tries };
            let wait = after.map_or_else(|| policy.delay(failures, facts.dice), |asked| policy.wish(asked));
            Settlement::Retry { due: facts.now + wait, charged, note: note(status, reason) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn facts() -> Facts {
        Facts {
            target: "app".into(),
            took: Duration::from_millis(5),
            tries: 0,
            charged: 0,
            first_charged: None,
            took_another_since: false,
            target_unwell: false,
            now: SystemTime::UNIX_EPOCH + 1000 * DAY,
            dice: 0.5,
        }
    }

    fn failure(blame: Blame) -> Outcome {
        Outcome::Retry { blame, status: None, reason: "no".into(), after: None }
    }

    fn charged(blame: Blame, facts: Facts) -> Option<bool> {
        match decide(failure(blame), &RetryPolicy::default(), facts) {
            Settlement::Retry { charged, .. } => Some(charged),
            _ => None,
        }
    }

    #[test]
    fn a_message_that_was_not_tried_waits_without_a_word() {
        let away = Outcome::Unavailable { reason: "no worker starts".into() };
        let parked = Settlement::Park { target: "app".into() };
        assert_eq!(decide(away, &RetryPolicy::default(), facts()), parked);
    }

    #[test]
    fn done_and_reject_need_no_facts() {
        let policy = RetryPolicy::default();
        assert_eq!(decide(Outcome::Done { status: Some(204) }, &policy, facts()), Settlement::Done);
        let refused = Outcome::Reject { status: Some(422), reason: "unknown sender".into() };
        let Settlement::Dead { note } = decide(refused, &policy, Facts { target_unwell: true, ..facts() }) else {
            panic!("a refused message is dead, whatever the breaker says")
        };
        assert_eq!((note.status, &*note.reason), (Some(422), "unknown sender"));
    }

    #[test]
    fn only_the_messages_own_failures_are_charged() {
        for (blame, took_another_since, expected) in [
            (Blame::Message, false, true),
            (Blame::Message, true, true),
            (Blame::Unclear, false, false),
            (Blame::Unclear, true, true),
            (Blame::Endpoint, false, false),
            (Blame::Endpoint, true, false),
            (Blame::Ourselves, true, false),
        ] {
            assert_eq!(
                charged(blame, Facts { took_another_since, ..facts() }),
                Some(expected),
                "{blame:?} {took_another_since}"
            );
        }
    }

    #[test]
    fn nothing_is_charged_or_written_while_the_target_is_down() {
        for blame in [Blame::Endpoint, Blame::Unclear] {
            let down = Facts { target_unwell: true, took_another_since: true, ..facts() };
            let settled = decide(failure(blame), &RetryPolicy::default(), down);
            assert_eq!(settled, Settlement::Park { target: "app".into() }, "{blame:?}");
        }
        assert_eq!(charged(Blame::Message, Facts { target_unwell: true, ..facts() }), Some(true));
        assert_eq!(charged(Blame::Ourselves, Facts { target_unwell: true, ..facts() }), Some(false), "it backs off");
    }

    #[test]
    fn a_message_is_given_up_by_the_age_of_its_own_failures_only() {
        let policy = RetryPolicy::default();
        let long_ago = Facts { charged: 7, first_charged: Some(facts().now - 3 * DAY), ..facts() };
        let Settlement::Dead { note } = decide(failure(Blame::Message), &policy, long_ago.clone()) else {
            panic!("three days are enough")
        };
        assert_eq!(note.reason, "gave up after 8 failures: no");
        assert_eq!(charged(Blame::Endpoint, long_ago.clone()), Some(false));
        assert_eq!(
            charged(Blame::Message, Facts { first_charged: Some(facts().now - 2 * DAY), ..long_ago.clone() }),
            Some(true)
        );
        let clock_went_back = Facts { first_charged: Some(facts().now + DAY), ..long_ago };
        assert_eq!(charged(Blame::Message, clock_went_back), Some(true));
    }

    #[test]
    fn a_message_is_given_up_by_the_number_of_its_own_failures() {
        let policy = RetryPolicy { give_up: None, attempts: Some(3), ..RetryPolicy::default() };
        let settled = |charged, blame| decide(failure(blame), &policy, Facts { charged, tries: 90, ..facts() });
        assert!(matches!(settled(1, Blame::Message), Settlement::Retry { .. }));
        assert!(matches!(settled(2, Blame::Message), Settlement::Dead { .. }));
        assert!(matches!(settled(2, Blame::Endpoint), Settlement::Retry { .. }), "not its own");
        let once = RetryPolicy { attempts: Some(1), ..policy };
        assert!(matches!(decide(failure(Blame::Message), &once, facts()), Settlement::Dead { .. }));
    }

    #[test]
    fn the_wait_doubles_is_jittered_from_nothing_and_stays_under_its_bound() {
        let policy = RetryPolicy::default();
        let milliseconds = |failures, dice| policy.delay(failures, dice).as_millis();
        assert_eq!(milliseconds(0, 0.0), 0);
        assert_eq!(milliseconds(0, 1.0), 5_000);
        assert_eq!(milliseconds(3, 1.0), 40_000);
        assert_eq!(milliseconds(9, 0.5), 1_280_000);
        for failures in [10, 31, 32, u32::MAX] {
            assert_eq!(milliseconds(failures, 1.0), 3_600_000);
        }
    }

    #[test]
    fn a_wish_of_the_target_is_honoured_within_bounds() {
        for (asked, waited) in [(0, 1), (1, 1), (60, 60), (3600, 3600), (1_000_000, 3600)] {
            let outcome = Outcome::Retry {
                blame: Blame::Endpoint,
                status: Some(429),
                reason: "slow down".into(),
                after: Some(Duration::from_secs(asked)),
            };
            let Settlement::Retry { due, .. } = decide(outcome, &RetryPolicy::default(), facts()) else {
                panic!("a busy target is asked again")
            };
            assert_eq!(due, facts().now + Duration::from_secs(waited));
        }
    }
}
