//! What becomes of a message that has come to no target.

use super::log::{log_unreadable, log_unrouted};
use super::message::Message;
use super::outcome::{Blame, Note, Outcome, Settlement};
use super::retry::{Facts, RetryPolicy, decide};
use super::run::Engine;
use std::io;
use std::time::Duration;

impl Engine {
    /// What becomes of a message that no route is for: it is kept, for a person to see.
    pub(super) fn unrouted(&self, message: &Message) -> Settlement {
        log_unrouted(message);
        let now = (self.conditions.now)();
        self.observer.unrouted(message, now);
        let note = Note { at: now, target: "".into(), status: None, took: Duration::ZERO, reason: "no route".into() };
        Settlement::Dead { note }
    }

    /// What becomes of a message whose route cannot be told: it is looked at again later.
    pub(super) fn unreadable(&self, message: &Message, error: &io::Error) -> Settlement {
        let reason = format!("cannot be read, so its route is not known: {error}");
        let settlement = decide(
            Outcome::Retry { blame: Blame::Ourselves, status: None, reason, after: None },
            &RetryPolicy::default(),
            Facts {
                target: "".into(),
                took: Duration::ZERO,
                tries: message.history.tries,
                charged: message.history.charged,
                first_charged: message.history.first_charged,
                took_another_since: false,
                target_unwell: false,
                now: (self.conditions.now)(),
                dice: (self.conditions.dice)(),
            },
        );
        log_unreadable(message, &settlement);
        settlement
    }
}
