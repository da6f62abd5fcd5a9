//! What `watch` and `drain` have in common: they are the same loop with another end.

use super::signals::Signals;
use super::{Exit, complain, say};
use crate::config::{Address, Config, parse_duration};
use crate::engine::{Engine, Report, Stop};
use crate::logging::{self, Format};
use crate::maildir::{OpenError, Waiting, become_owner, survey};
use crate::wire::{self, Plan};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tracing::Level;

/// The flags of both.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(short = 'c', long, value_name = "FILE", conflicts_with_all = ["maildir", "post"])]
    pub config: Option<PathBuf>,
    /// Maildir to take mail from; with --post, no configuration file is needed
    #[arg(long, value_name = "PATH", requires = "post")]
    pub maildir: Option<PathBuf>,
    /// Where each message is sent by POST (an http, https or unix URL)
    #[arg(long, value_name = "URL", requires = "maildir")]
    pub post: Option<Address>,
    /// How many messages are worked on at a time [default: 8]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<std::num::NonZero<usize>>,
    /// Leave mail alone that came longer ago than this (10m, 3d)
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Form of log lines [default: text on a terminal, for watch JSON elsewhere]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<Format>,
    /// Say more
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say only what went wrong for good
    #[arg(short, long)]
    pub quiet: bool,
}

impl RunArgs {
    /// Begins to log, in this form and at this level unless told otherwise.
    pub fn start_log(&self, usual_format: Format, usual: Level) {
        let format = self.log.unwrap_or(usual_format);
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (_, true) => Level::DEBUG,
            _ => usual,
        };
        logging::start(format, level);
    }

    /// The configuration that file or flags give.
    ///
    /// # Errors
    /// It was told of; this is how to end.
    pub fn config(&self) -> Result<Config, Exit> {
        let mut config = match (&self.config, &self.maildir, &self.post) {
            (Some(path), ..) => Config::read(path).map_err(|error| {
                complain(&error);
                Exit::from(&error)
            })?,
            (None, Some(maildir), Some(url)) => {
                Config::of_flags(maildir.clone(), url.clone(), self.concurrency.map(std::num::NonZero::get))
            }
            _ => {
                complain("what to take mail from, and where to?\n  = try: --maildir PATH --post URL, or -c FILE");
                return Err(Exit::Usage);
            }
        };
        if let (Some(_), Some(concurrency)) = (&self.config, self.concurrency) {
            config.concurrency = concurrency.get();
            config.target.concurrency = concurrency.get();
        }
        become_owner(&config.maildir).map_err(|error| {
            complain(format_args!("cannot work in {}: {error}", config.maildir.display()));
            Exit::Disk
        })?;
        Ok(config)
    }

    /// The point in time that `--since` means.
    pub fn since(&self) -> Option<SystemTime> {
        self.since.map(|age| SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

/// How a run went.
pub struct Ended {
    /// What was done.
    pub report: std::io::Result<Report>,
    /// The signal that ended it, if one did.
    pub signal: Option<u8>,
}

/// Runs the loop until its end, or until a signal. `beside` is polled meanwhile.
///
/// # Errors
/// It was told of; this is how to end.
pub fn run<F>(config: &Config, plan: Plan, beside: impl FnOnce(Arc<Engine>) -> F) -> Result<Ended, Exit>
where
    F: Future<Output = ()>,
{
    let config = &Config { concurrency: wire::fit_into_open_files(config.concurrency), ..config.clone() };
    let layout = wire::open(config).map_err(|error| {
        complain(&error);
        Exit::from(&error)
    })?;
    if layout.is_first_start() {
        let waiting = survey(&config.maildir, plan.since).map_err(|error| fail(&error))?;
        tracing::info!(
            event = "first_start",
            waiting = waiting.due,
            oldest = oldest(&waiting),
            "this Maildir was never served before"
        );
        if waiting.due > 0 && !logging::is_json() {
            say(format_args!("first start: {}", describe(&waiting)));
        }
    }
    let (handle, stop) = Stop::new();
    let go = async {
        let signals = Signals::listen()?;
        let engine = Arc::new(wire::engine(config, layout, plan, stop)?);
        let ended_by = OnceLock::new();
        tracing::info!(
            event = "ready",
            maildir = %config.maildir.display(),
            target = config.target.name,
            url = %config.target.url.url,
            concurrency = config.concurrency,
        );
        let ended = tokio::select! {
            ended = wire::run(&engine, config.concurrency) => ended,
            () = signals.obey(&handle, config.shutdown_timeout, &ended_by) => Ok(()),
            () = async { beside(Arc::clone(&engine)).await; std::future::pending().await } => Ok(()),
        };
        ended?;
        anyhow::Ok(Ended { report: engine.report(), signal: ended_by.get().copied() })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(go)).map_err(|error| {
        complain(format_args!("{error:#}"));
        if error.is::<std::io::Error>() { Exit::Disk } else { Exit::Config }
    })
}

fn fail(error: &OpenError) -> Exit {
    complain(error);
    Exit::from(error)
}

/// "214 messages wait, the oldest since …".
pub fn describe(waiting: &Waiting) -> String {
    let count = waiting.due + waiting.later;
    let messages = if count == 1 { "1 message waits".to_owned() } else { format!("{count} messages wait") };
    let since = oldest(waiting).map(|oldest| format!(", the oldest since {oldest}")).unwrap_or_default();
    let later = if waiting.later > 0 { format!(" ({} of them for a retry)", waiting.later) } else { String::new() };
    format!("{messages}{later}{since}")
}

fn oldest(waiting: &Waiting) -> Option<String> {
    waiting.oldest.map(|oldest| humantime::format_rfc3339_seconds(oldest.max(SystemTime::UNIX_EPOCH)).to_string())
}
