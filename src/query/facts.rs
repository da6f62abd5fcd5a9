//! What is asked of a message.

use crate::engine::State;
use crate::mail::Kind;
use crate::maildir::{Record, Summary};
use std::time::{Duration, SystemTime};

/// A message, or an event about one, as a query looks at it. What is not known is None: a term about it does not
/// hold, and its negation does. Only what a query needs is asked for, and the cheap first.
pub trait Facts {
    /// Its state.
    fn state(&self) -> State;
    /// Its id.
    fn id(&self) -> Option<String>;
    /// The queue that it came from.
    fn queue(&self) -> &str;
    /// How long ago it came.
    fn age(&self) -> Option<Duration>;
    /// Its size in bytes.
    fn size(&self) -> Option<u64>;
    /// How many attempts were made.
    fn tries(&self) -> Option<u32>;
    /// The target that was tried last.
    fn target(&self) -> Option<&str>;
    /// Why it is not done.
    fn error(&self) -> Option<&str>;
    /// Who it is from: all that may be meant by that, as the envelope's sender and the author.
    fn from(&self) -> Vec<&str>;
    /// Who it is to, likewise.
    fn to(&self) -> Vec<&str>;
    /// Its subject.
    fn subject(&self) -> Option<&str>;
    /// What kind of mail it is.
    fn kind(&self) -> Option<Kind>;
    /// Whether something is attached to it.
    fn has_attachment(&self) -> Option<bool>;
}

impl Facts for Record {
    fn state(&self) -> State {
        self.state
    }

    fn id(&self) -> Option<String> {
        self.id.map(|id| id.to_string())
    }

    fn queue(&self) -> &str {
        Record::queue(self)
    }

    fn age(&self) -> Option<Duration> {
        // What comes from a clock that is ahead is new.
        Some(SystemTime::now().duration_since(self.arrived()).unwrap_or_default())
    }

    fn size(&self) -> Option<u64> {
        Record::size(self)
    }

    fn tries(&self) -> Option<u32> {
        Some(self.tale().tries())
    }

    fn target(&self) -> Option<&str> {
        self.tale().target()
    }

    fn error(&self) -> Option<&str> {
        self.tale().error()
    }

    fn from(&self) -> Vec<&str> {
        let Summary { envelope, from, .. } = self.summary();
        envelope.from.iter().chain(from).map(String::as_str).collect()
    }

    fn to(&self) -> Vec<&str> {
        let Summary { envelope, to, .. } = self.summary();
        envelope.to.iter().chain(to).map(String::as_str).collect()
    }

    fn subject(&self) -> Option<&str> {
        self.summary().subject.as_deref()
    }

    fn kind(&self) -> Option<Kind> {
        self.summary().kind
    }

    fn has_attachment(&self) -> Option<bool> {
        Record::has_attachment(self)
    }
}
