//! The configuration: a TOML file, or the flags that stand for its three lines.

mod units;

use crate::engine::{BreakerPolicy, RetryPolicy};
use crate::maildir::Keep;
use crate::target::UrlConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use units::{Size, Span};

pub use crate::target::Address;
pub use units::{parse_duration, parse_size};

/// How many messages are worked on at a time, unless told otherwise.
pub const CONCURRENCY: usize = 8;

/// All settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Maildir.
    pub maildir: PathBuf,
    /// How many messages are worked on at a time.
    pub concurrency: usize,
    /// The time between searches for mail that no event told of.
    pub rescan: Duration,
    /// How long running attempts may go on after a signal to stop.
    pub shutdown_timeout: Duration,
    /// The largest message that is delivered, in bytes.
    pub max_size: u64,
    /// What becomes of done mail.
    pub done: Keep,
    /// Where mail goes.
    pub target: Target,
}

/// The settings of a target.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where to.
    pub url: UrlConfig,
    /// How many attempts may run at a time.
    pub concurrency: usize,
    /// How failures are tried again.
    pub retry: RetryPolicy,
    /// When it counts as down.
    pub breaker: BreakerPolicy,
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
    /// The file has a mistake; the text points at it.
    #[error("in {path}:\n{explained}")]
    Mistake {
        /// The file.
        path: PathBuf,
        /// Line, column, caret and what is wrong.
        explained: String,
    },
}

impl Config {
    /// What the flags alone say.
    pub fn of_flags(maildir: PathBuf, url: Address, concurrency: Option<usize>) -> Self {
        let concurrency = concurrency.unwrap_or(CONCURRENCY);
        Config {
            maildir,
            concurrency,
            rescan: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            max_size: 256 << 20,
            done: Keep::Remove,
            target: Target {
                name: "app".into(),
                url: UrlConfig::new(url),
                concurrency,
                retry: RetryPolicy::default(),
                breaker: BreakerPolicy::default(),
            },
        }
    }

    /// What the file at `path` says.
    ///
    /// # Errors
    /// It cannot be read, or has a mistake.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Self::parse(&text).map_err(|explained| ConfigError::Mistake { path: path.to_owned(), explained })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: ConfigFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut targets = file.target.into_iter();
        let (Some((name, target)), None) = (targets.next(), targets.next()) else {
            return Err("there must be one [target.NAME] with a url, and only one".into());
        };
        if !is_name(&name) {
            return Err(format!("[target.{name}]: a name is made of letters, digits, - and _"));
        }
        let mut config = Config::of_flags(file.maildir, target.url, file.concurrency.map(std::num::NonZero::get));
        let apply = |setting: &mut Duration, given: Option<Span>| {
            if let Some(Span(given)) = given {
                *setting = given;
            }
        };
        apply(&mut config.rescan, file.rescan);
        apply(&mut config.shutdown_timeout, file.shutdown_timeout);
        config.max_size = file.max_size.map_or(config.max_size, |Size(bytes)| bytes);
        config.done = file.done.into();
        config.target.name = name;
        config.target.concurrency = target.concurrency.map_or(config.concurrency, std::num::NonZero::get);
        let url = &mut config.target.url;
        apply(&mut url.timeout, target.timeout);
        apply(&mut url.connect_timeout, target.connect_timeout);
        apply(&mut url.idle_timeout, target.idle_timeout);
        apply(&mut url.max_connection_age, target.max_connection_age);
        url.proxy = target.proxy;
        apply(&mut config.target.retry.give_up, target.retry.r#for);
        apply(&mut config.target.retry.min_delay, target.retry.min_delay);
        apply(&mut config.target.retry.max_delay, target.retry.max_delay);
        config.target.breaker.after = target.breaker.after.map_or(config.target.breaker.after, std::num::NonZero::get);
        apply(&mut config.target.breaker.probe, target.breaker.probe);
        Ok(config)
    }
}

/// A name becomes part of file names, metrics and log lines.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    maildir: PathBuf,
    concurrency: Option<std::num::NonZero<usize>>,
    rescan: Option<Span>,
    shutdown_timeout: Option<Span>,
    max_size: Option<Size>,
    #[serde(default)]
    done: Done,
    target: BTreeMap<String, TargetTable>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    #[default]
    Remove,
    Keep,
}

impl From<Done> for Keep {
    fn from(done: Done) -> Keep {
        match done {
            Done::Remove => Keep::Remove,
            Done::Keep => Keep::Done,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetTable {
    url: Address,
    timeout: Option<Span>,
    connect_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    max_connection_age: Option<Span>,
    #[serde(default, deserialize_with = "units::url")]
    proxy: Option<reqwest::Url>,
    concurrency: Option<std::num::NonZero<usize>>,
    #[serde(default)]
    retry: RetryTable,
    #[serde(default)]
    breaker: BreakerTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryTable {
    r#for: Option<Span>,
    min_delay: Option<Span>,
    max_delay: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerTable {
    after: Option<std::num::NonZero<u32>>,
    probe: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_are_enough() {
        let config = Config::parse("maildir = \"/m\"\n[target.app]\nurl = \"https://app.example.com/in\"\n").unwrap();
        let flags = Config::of_flags("/m".into(), "https://app.example.com/in".parse().unwrap(), None);
        assert_eq!(format!("{config:?}"), format!("{flags:?}"));
    }

    #[test]
    fn every_setting_can_be_given() {
        let text = r#"
            maildir = "/m"
            concurrency = 3
            rescan = "10s"
            shutdown_timeout = "5s"
            max_size = "10MB"
            done = "keep"
            [target.crm]
            url = "unix:/run/crm.sock"
            timeout = "1m"
            connect_timeout = "2s"
            idle_timeout = "1s"
            max_connection_age = "1h"
            proxy = "http://127.0.0.1:3128"
            concurrency = 2
            retry = { for = "1d", min_delay = "1s", max_delay = "10m" }
            breaker = { after = 2, probe = "5s" }
        "#;
        let config = Config::parse(text).unwrap();
        assert_eq!((config.concurrency, config.max_size, config.done), (3, 10_000_000, Keep::Done));
        assert_eq!((config.target.name.as_str(), config.target.concurrency), ("crm", 2));
        assert_eq!(config.target.retry.give_up, Duration::from_hours(24));
        assert_eq!((config.target.breaker.after, config.target.breaker.probe), (2, Duration::from_secs(5)));
        assert_eq!(config.target.url.timeout, Duration::from_mins(1));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, explained) in [
            ("maildir = \"/m\"\n[target.app]\nurl = \"ftp://x/\"\n", "line 3, column 7"),
            ("maildir = \"/m\"\n[target.app]\nurl = \"http://x/\"\ntimout = \"1s\"\n", "unknown field `timout`"),
            ("maildir = \"/m\"\n[target.app]\nurl = \"http://x/\"\ntimeout = \"soon\"\n", "line 4, column 11"),
            ("maildir = \"/m\"\n[target.app]\nurl = \"http://x/\"\nconcurrency = 0\n", "line 4"),
            ("maildir = \"/m\"\nrescan = \"0s\"\n[target.app]\nurl = \"http://x/\"\n", "longer than nothing"),
            ("maildir = \"/m\"\nrescan = \"100y\"\n[target.app]\nurl = \"http://x/\"\n", "at most ten years"),
            ("[target.app]\nurl = \"http://x/\"\n", "missing field `maildir`"),
            ("maildir = \"/m\"\n[target]\n", "one [target.NAME]"),
            ("maildir = \"/m\"\n[target.\"a/b\"]\nurl = \"http://x/\"\n", "a name is made of"),
            ("maildir = \"/m\"\nmax_size = \"big\"\n[target.app]\nurl = \"http://x/\"\n", "line 2, column 12"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(explained), "{text}\n{error}");
        }
    }
}
