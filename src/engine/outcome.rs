//! What an attempt came to, and what becomes of the message.
//!
//! A target says the first ([`Outcome`]), the engine the second ([`Settlement`]); the one function
//! between them is [`decide`](super::decide).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What one attempt at a target came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has taken the message.
    Done {
        /// How the target answered (an HTTP status, an exit code), where it did by a number.
        status: Option<u16>,
    },
    /// Not now.
    Retry {
        /// Who is at fault.
        blame: Blame,
        /// How the target answered, where it did by a number.
        status: Option<u16>,
        /// Why, in a line that may be shown.
        reason: String,
        /// How long the target asked us to wait.
        after: Option<Duration>,
    },
    /// The target says itself that it can take no message now. This one was not tried.
    Unavailable {
        /// Why, in a line that may be shown.
        reason: String,
    },
    /// Never, and the target was not even asked: it cannot be given this message.
    Unfit {
        /// Why, in a line that may be shown.
        reason: String,
    },
    /// Never: the target says that it will not take this message.
    Reject {
        /// How the target answered, where it did by a number.
        status: Option<u16>,
        /// Why, in a line that may be shown.
        reason: String,
    },
}

impl Outcome {
    /// The number that the target answered with.
    pub fn status(&self) -> Option<u16> {
        match self {
            Outcome::Done { status } | Outcome::Retry { status, .. } | Outcome::Reject { status, .. } => *status,
            Outcome::Unavailable { .. } | Outcome::Unfit { .. } => None,
        }
    }

    /// Why it did not work; empty where it did.
    pub fn reason(&self) -> &str {
        match self {
            Outcome::Done { .. } => "",
            Outcome::Retry { reason, .. }
            | Outcome::Reject { reason, .. }
            | Outcome::Unavailable { reason }
            | Outcome::Unfit { reason } => reason,
        }
    }
}

/// Whose fault a failed attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The way to the target, or its configuration: any message would have failed.
    Endpoint,
    /// This message: the target answered about it, so the target is alive.
    Message,
    /// Either: a server error, a time-out, a connection cut off.
    Unclear,
    /// Ourselves: a disk that does not read, a bug. Says nothing of message or target.
    Ourselves,
}

/// What is written down of a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When the attempt ended.
    pub at: SystemTime,
    /// The name of the target.
    pub target: Arc<str>,
    /// How it answered, where it did by a number.
    pub status: Option<u16>,
    /// How long the attempt took.
    pub took: Duration,
    /// Why it failed.
    pub reason: String,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is the application's now: the queue lets it go.
    Done,
    /// It stays, and is tried again.
    Retry {
        /// When.
        due: SystemTime,
        /// Whether the failure counts against the message.
        charged: bool,
        /// What is written down.
        note: Note,
    },
    /// It is set aside for a person.
    Dead {
        /// What is written down.
        note: Note,
    },
    /// It was never ours: nothing is written down, nothing counted; it is waiting as before.
    Release,
    /// As [`Settlement::Release`], and it waits until this target takes mail again.
    Park {
        /// The name of the target.
        target: Arc<str>,
    },
}
