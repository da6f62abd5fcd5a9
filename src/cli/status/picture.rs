//! What there is to say of all queues and targets, before anything is made of it.

use crate::engine::{State, States};
use crate::maildir::Counts;
use std::time::{Duration, SystemTime};

/// All of it, at one moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// That moment.
    pub now: SystemTime,
    /// The queues, in the order of the configuration.
    pub queues: Vec<QueueNow>,
    /// The targets, likewise.
    pub targets: Vec<TargetNow>,
    /// Maildirs that cannot be looked at, and why.
    pub unreadable: Vec<String>,
    /// What dead messages died of, the most frequent first.
    pub deaths: Vec<Deaths>,
    /// The daemons that answer.
    pub daemons: Vec<DaemonNow>,
}

/// A daemon.
#[derive(Clone, Debug, Default)]
pub struct DaemonNow {
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Option<SystemTime>,
    /// How it hears of new mail.
    pub watching: String,
    /// When it has read its configuration.
    pub config_read: Option<SystemTime>,
    /// Why the last reload failed, fit to be shown.
    pub reload_failed: Option<String>,
    /// Why it takes no mail, fit to be shown.
    pub not_claiming: Option<String>,
}

/// What went through in the last hour, as far as daemons tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hour {
    /// Messages that are done.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// For a queue: how long after their arrival 95 of 100 were done at most. For a target: how long 95 of 100 attempts
    /// took at most.
    pub p95: Option<Duration>,
}

/// What a target is given, as far as daemons tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Attempts that are under way.
    pub busy: u64,
    /// How many may be.
    pub limit: u64,
    /// Messages that it has taken a minute, over the last five.
    pub per_minute: f64,
    /// The last hour.
    pub hour: Hour,
}

/// A queue.
#[derive(Clone, Debug)]
pub struct QueueNow {
    /// Its name.
    pub name: String,
    /// Its messages.
    pub counts: Counts,
    /// Whether a process takes mail of all its Maildirs.
    pub is_served: bool,
    /// Its last hour, where a daemon tells.
    pub hour: Option<Hour>,
}

/// A target.
#[derive(Clone, Debug)]
pub struct TargetNow {
    /// Its name.
    pub name: String,
    /// Whether it takes mail.
    pub condition: Condition,
    /// What it is given, where a daemon tells.
    pub traffic: Option<Traffic>,
}

/// Whether a target takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As far as anybody knows.
    Ok,
    /// A person holds its mail back.
    Paused {
        /// Since when.
        since: SystemTime,
        /// Until when; None is until somebody goes on.
        until: Option<SystemTime>,
        /// Who; may be empty. Fit to be shown, as is the reason.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Its breaker is open.
    Down {
        /// For how long.
        since: SystemTime,
        /// When it is tried again.
        probe: Option<SystemTime>,
        /// Why, fit to be shown.
        reason: String,
    },
}

/// Dead messages of a queue with the same error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deaths {
    /// The queue.
    pub queue: String,
    /// The target; empty for mail that came to none.
    pub target: String,
    /// Why, fit to be shown.
    pub error: String,
    /// How many.
    pub count: u64,
}

impl Picture {
    /// How many messages of these states there are.
    pub fn count(&self, states: States) -> u64 {
        self.queues.iter().map(|queue| queue.counts.sum(states)).sum()
    }

    /// How many of this state.
    pub fn count_of(&self, state: State) -> u64 {
        self.count([state].into_iter().collect())
    }

    /// The age of the oldest message in these states.
    pub fn oldest(&self, states: States) -> Option<Duration> {
        let oldest = self.queues.iter().filter_map(|queue| queue.counts.oldest(states)).min()?;
        Some(self.now.duration_since(oldest).unwrap_or_default())
    }
}
