//! Trouble with a Maildir itself: it is left alone for a while, and that is said once.

use super::served::Maildir;
use std::io;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What keeps a Maildir from being worked on.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    reason: Option<String>,
    wait: Duration,
    until: Option<SystemTime>,
}

impl Maildir {
    /// The least and the most time before a Maildir that is at fault is tried again.
    const TROUBLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when it is left alone.
    pub(super) fn is_in_trouble_until(&self, now: SystemTime) -> Option<SystemTime> {
        self.trouble().until.filter(|until| *until > now)
    }

    /// It cannot be worked on. Returns when it is tried again.
    pub(super) fn suffer(&self, fault: &io::Error) -> SystemTime {
        let mut trouble = self.trouble();
        let (least, most) = Self::TROUBLE;
        let reason = fault.to_string();
        trouble.wait = (trouble.wait * 2).clamp(least, most);
        let until = SystemTime::now() + trouble.wait;
        trouble.until = Some(until);
        if trouble.reason.as_ref() != Some(&reason) {
            let queue = &*self.options.queue;
            tracing::error!(
                event = "queue_fault",
                queue,
                reason,
                "this Maildir cannot be worked on; nothing is delivered from it until it can"
            );
        }
        trouble.reason = Some(reason);
        until
    }

    /// It can be worked on.
    pub(super) fn is_well(&self) {
        let mut trouble = self.trouble();
        if trouble.reason.is_some() {
            *trouble = Trouble::default();
            drop(trouble);
            tracing::info!(
                event = "queue_well",
                queue = &*self.options.queue,
                maildir = self.shown(),
                "this Maildir can be worked on again"
            );
            self.common.backlog().maildir_is_well(self.number, SystemTime::now());
            self.common.bell.ring();
        }
    }

    /// What keeps it from being worked on.
    pub(super) fn fault(&self) -> Option<String> {
        self.trouble().reason.clone()
    }
}
