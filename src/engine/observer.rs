//! Who looks on: what the loop and its queue tell of as it happens.
//!
//! It is told on the threads that deliver. So whoever looks on must not wait, must do little where nobody asks,
//! and cannot change anything.

use super::gate::Health;
use super::message::{Id, Message};
use super::outcome::{Outcome, Settlement};
use std::time::{Duration, SystemTime};

/// An attempt that has ended, and what becomes of its message.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The message, as it was before the attempt.
    pub message: &'a Message,
    /// The name of the target.
    pub target: &'a str,
    /// What the attempt came to.
    pub outcome: &'a Outcome,
    /// What becomes of the message.
    pub settlement: &'a Settlement,
    /// How long the attempt took.
    pub took: Duration,
    /// When it ended.
    pub at: SystemTime,
}

impl Attempt<'_> {
    /// Whether the target was tried at all: it may have said itself that it takes nothing now.
    pub fn was_made(&self) -> bool {
        !matches!((self.outcome, self.settlement), (Outcome::Unavailable { .. }, _) | (_, Settlement::Release))
    }
}

/// A message that the queue itself has set aside, unread or unroutable.
#[derive(Clone, Copy, Debug)]
pub struct Burial<'a> {
    /// The message.
    pub id: Id,
    /// The name by which its queue knows it, fit to be shown.
    pub name: &'a str,
    /// The queue.
    pub queue: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When.
    pub at: SystemTime,
}

/// Somebody who looks on.
pub trait Observer: Send + Sync {
    /// A message is given to a target.
    fn began(&self, _message: &Message, _target: &str) {}

    /// An attempt has ended. This is told before its message is settled.
    fn ended(&self, _attempt: &Attempt<'_>) {}

    /// A message is taken because a route says so, and given to nobody.
    fn ignored(&self, _message: &Message, _at: SystemTime) {}

    /// No route is for a message: it is dead.
    fn unrouted(&self, _message: &Message, _at: SystemTime) {}

    /// The queue has set a message aside.
    fn buried(&self, _burial: &Burial<'_>) {}

    /// A target's health has changed, for this reason.
    fn health(&self, _target: &str, _health: Health, _reason: &str, _at: SystemTime) {}

    /// A person has paused a target for a part of the mail of this queue, or has let go of it.
    fn paused(&self, _queue: &str, _target: &str, _is_paused: bool, _at: SystemTime) {}

    /// A search has found a message of this queue that no event had told of.
    fn found_late(&self, _queue: &str) {}
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Observer for Nobody {}

/// Several.
impl Observer for Vec<std::sync::Arc<dyn Observer>> {
    fn began(&self, message: &Message, target: &str) {
        for one in self {
            one.began(message, target);
        }
    }

    fn ended(&self, attempt: &Attempt<'_>) {
        for one in self {
            one.ended(attempt);
        }
    }

    fn ignored(&self, message: &Message, at: SystemTime) {
        for one in self {
            one.ignored(message, at);
        }
    }

    fn unrouted(&self, message: &Message, at: SystemTime) {
        for one in self {
            one.unrouted(message, at);
        }
    }

    fn buried(&self, burial: &Burial<'_>) {
        for one in self {
            one.buried(burial);
        }
    }

    fn health(&self, target: &str, health: Health, reason: &str, at: SystemTime) {
        for one in self {
            one.health(target, health, reason, at);
        }
    }

    fn paused(&self, queue: &str, target: &str, is_paused: bool, at: SystemTime) {
        for one in self {
            one.paused(queue, target, is_paused, at);
        }
    }

    fn found_late(&self, queue: &str) {
        for one in self {
            one.found_late(queue);
        }
    }
}
