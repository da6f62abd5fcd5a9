//! How long is remembered what was done and dropped.

use std::time::Duration;

/// What is kept of mail that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long it is remembered which mail was done. None: not at all.
    pub history: Option<Duration>,
    /// The bound on that, in bytes, for each Maildir.
    pub history_size: u64,
    /// How long mail stays in the trash that a person has dropped. None: forever.
    pub trash: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { history: None, history_size: 100_000_000, trash: Some(Duration::from_hours(14 * 24)) }
    }
}
