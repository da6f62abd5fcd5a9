//! How it stands, as the daemon alone knows it.

use serde::{Deserialize, Serialize};

/// How it stands with a daemon. Fields are only ever added; readers skip what they do not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version of the line.
    pub v: u32,
    /// Its process.
    pub pid: u32,
    /// Its own version.
    pub version: String,
    /// Since when it runs, RFC 3339.
    pub since: String,
    /// When it has read its configuration, RFC 3339.
    pub config_read: String,
    /// Why the last reload failed. Then the configuration before it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload_failed: Option<String>,
    /// How it hears of new mail: by `inotify`, or by `search` where that is not to be had.
    pub watching: String,
    /// Why it takes no mail, where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_claiming: Option<String>,
    /// How many Maildirs it serves.
    pub maildirs: u64,
    /// Its targets, by their names.
    pub targets: Vec<TargetStatus>,
    /// Its queues, by their names.
    pub queues: Vec<QueueStatus>,
}

/// How it stands with a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// `ok`, `down` (only probes reach it) or `recovering` (it is given more step by step).
    pub state: String,
    /// Since when, RFC 3339, where that was not so from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long until the next probe, in seconds, where it is down and none is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_probe: Option<f64>,
    /// Whether a person has paused it for all of its mail or a part of that.
    pub paused: bool,
    /// How many attempts are under way.
    pub busy: u64,
    /// How many may be.
    pub limit: u64,
    /// How many messages it has taken in the last hour.
    pub done: u64,
    /// How many attempts at it have failed in the last hour.
    pub failed: u64,
    /// How many messages it has taken a minute, over the last five.
    pub per_minute: f64,
    /// How long half of the attempts of the last hour took at most, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// The same of 95 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
}

/// How it stands with a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// How many of its messages were done in the last hour.
    pub done: u64,
    /// How many attempts with its messages have failed in the last hour.
    pub failed: u64,
    /// How long after their arrival 95 of 100 of those were done at most, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// How many of its messages no event has told of since the start: a search has found them.
    pub found_late: u64,
}
