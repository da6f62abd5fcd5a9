//! The configuration: a TOML file, or the flags that stand for its three lines.
//!
//! The file is walked by hand, so that all that is wrong with it is found in one run, and each of it
//! knows its place. Secrets are looked up while it is walked, and never shown.
//!
//! | file | one idea |
//! |---|---|
//! | `keys`, `place` | every key that there is, once: what it is for, what it takes, its default |
//! | `read` | from bytes to a configuration |
//! | `walk`, `item` | a table of the file, a value in it; what is wrong with them is noted |
//! | `remark` | what there is to say of a file, and how it is shown |
//! | `queues`, `routes`, `targets`, `endpoint`, `programs`, `format`, `answers`, `retries` | what the tables mean |
//! | `web` | what is told over HTTP, and what is kept of mail that is gone |
//! | `macros`, `interpreters` | what the words of a command may hold of a mail |
//! | `secrets`, `world`, `accounts` | what comes from outside of the file: secrets, programs, users |
//! | `units` | durations, sizes, rates |
//! | `reference`, `manual`, `schema` | what the table of keys says, for people and for editors |

mod accounts;
mod answers;
mod endpoint;
mod format;
mod interpreters;
mod item;
mod keys;
mod macros;
mod manual;
mod place;
mod programs;
mod queues;
mod read;
pub mod reference;
mod remark;
mod retries;
mod routes;
mod schema;
mod secrets;
mod targets;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod typos;
mod units;
mod walk;
mod web;
mod world;

use crate::engine::{BreakerPolicy, EnvelopeRules, Rate, RetryPolicy, Route, Way, When};
use crate::maildir::Keep;
use crate::target::{CommandConfig, UrlConfig, WorkerConfig};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::maildir::{Maildirs, Retention};
pub use crate::target::Address;
pub use read::Reading;
pub use remark::{Remark, Severity};
pub use secrets::PLAIN_SECRET;
pub use units::{parse_duration, parse_size};
pub(crate) use walk::nearest;
pub use web::{Listen, Web};
pub use world::{Process, SecretFile, World};

/// The name of a queue that was given none.
pub const ONLY_QUEUE: &str = "main";

/// All settings of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where mail comes from; at least one.
    pub queues: Vec<Queue>,
    /// Which way it goes; the first that matches counts.
    pub routes: Vec<Route>,
    /// Where it goes to; at least one.
    pub targets: Vec<Target>,
    /// How long running attempts may go on after a signal to stop.
    pub shutdown_timeout: Duration,
    /// What is told over HTTP, if anything.
    pub web: Option<Web>,
    /// What is kept of mail that is done or dropped.
    pub keep: Retention,
}

/// The settings of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its Maildirs.
    pub maildirs: Vec<Maildirs>,
    /// The time between searches for mail that no event told of.
    pub rescan: Duration,
    /// The largest message that is delivered, in bytes.
    pub max_size: u64,
    /// What becomes of done mail.
    pub done: Keep,
    /// How the envelope of its mail is read.
    pub envelope: EnvelopeRules,
}

impl Queue {
    /// Whether other Maildirs may be found for it later than there are now.
    pub fn has_globs(&self) -> bool {
        self.maildirs.iter().any(|maildirs| matches!(maildirs, Maildirs::Matching(_)))
    }
}

/// The settings of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// How many attempts may run at a time.
    pub concurrency: usize,
    /// How many attempts may begin in a time.
    pub rate: Option<Rate>,
    /// How failures are tried again.
    pub retry: RetryPolicy,
    /// When it counts as down.
    pub breaker: BreakerPolicy,
    /// What is run when a message for it has died.
    pub on_dead: Option<CommandConfig>,
}

/// What a target is.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub enum TargetKind {
    /// An HTTP endpoint.
    Url(UrlConfig),
    /// A program that is run for each message.
    Command(CommandConfig),
    /// Processes that stay, and are given one message after the other.
    Worker(WorkerConfig),
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file has mistakes.
    #[error("{}", remark::render_all(.remarks))]
    Mistake {
        /// The file.
        path: PathBuf,
        /// All mistakes, and beside them what is only worth a warning, in the order of the file.
        remarks: Vec<Remark>,
    },
}

impl Config {
    /// What the flags alone say.
    pub fn of_flags(maildir: PathBuf, url: Address) -> Self {
        let queue = queues::Settings::usual().queue(ONLY_QUEUE.into(), vec![Maildirs::One(maildir)]);
        let usual = usize::try_from(targets::usual_concurrency()).expect("there are at least 32 bits");
        let target = Target {
            name: "app".into(),
            kind: TargetKind::Url(UrlConfig::new(url)),
            concurrency: usual,
            rate: None,
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            on_dead: None,
        };
        let route = Route { name: "".into(), when: When::default(), way: Way::To("app".into()) };
        let shutdown_timeout = walk::usual(&keys::SHUTDOWN_TIMEOUT, keys::SHUTDOWN_TIMEOUT.default, item::duration);
        Config {
            queues: vec![queue],
            routes: vec![route],
            targets: vec![target],
            shutdown_timeout,
            web: None,
            keep: Retention::default(),
        }
    }
}
