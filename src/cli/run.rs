//! What `watch` and `drain` have in common: they are the same loop with another end.

use super::allocator::keep_large_blocks;
use super::config_file::{ConfigArg, become_owner_of_all};
use super::lifeline::Lifeline;
use super::signals::{Orders, Signals};
use super::{Exit, complain, say};
use crate::config::{Address, Config, TargetKind, parse_duration};
use crate::engine::{Engine, Report, Stop, Until};
use crate::logging::{self, Format};
use crate::maildir::{OpenError, Waiting, survey};
use crate::wire::{self, Plan, Service};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tracing::Level;

/// The flags of both.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    file: ConfigArg,
    /// Maildir to take mail from; with --post, no configuration file is needed
    #[arg(long, value_name = "PATH", requires = "post", conflicts_with = "config")]
    maildir: Option<PathBuf>,
    /// Where each message is sent by POST (an http, https or unix URL)
    #[arg(long, value_name = "URL", requires = "maildir", conflicts_with = "config")]
    post: Option<Address>,
    /// How many messages each target is given at a time [default: 8]
    #[arg(long, value_name = "N")]
    concurrency: Option<std::num::NonZero<usize>>,
    /// Leave mail alone that came longer ago than this (10m, 3d)
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Form of log lines [default: text on a terminal, for watch JSON elsewhere]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<Format>,
    /// Say more
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Say only what went wrong for good
    #[arg(short, long)]
    quiet: bool,
}

/// A configuration, and how to get it anew.
pub struct Source<'a> {
    /// What it is now.
    pub config: Config,
    path: Option<PathBuf>,
    args: &'a RunArgs,
}

impl Source<'_> {
    /// Reads it again.
    ///
    /// # Errors
    /// There is no file, or it has a mistake: the text says which.
    fn again(&self) -> Result<Config, String> {
        let path = self.path.as_deref().ok_or("there is no configuration file to read again")?;
        let reading = Config::read(path).map_err(|error| error.to_string())?;
        reading.warnings.iter().for_each(warn);
        Ok(self.args.adjust(reading.config))
    }
}

fn warn(remark: &crate::config::Remark) {
    tracing::warn!(event = "config_warning", file = %remark.file.display(), line = remark.line, reason = remark.text);
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
    pub fn source(&self) -> Result<Source<'_>, Exit> {
        let (config, path) = if let (Some(maildir), Some(url)) = (&self.maildir, &self.post) {
            (Config::of_flags(maildir.clone(), url.clone()), None)
        } else {
            let (path, reading) = self.file.read()?;
            tracing::debug!(event = "config", path = %path.display());
            reading.warnings.iter().for_each(warn);
            (reading.config, Some(path))
        };
        let config = self.adjust(config);
        become_owner_of_all(&config)?;
        Ok(Source { config, path, args: self })
    }

    /// What the flags change in what the file says.
    fn adjust(&self, mut config: Config) -> Config {
        if let Some(concurrency) = self.concurrency {
            for target in &mut config.targets {
                target.concurrency = match &target.kind {
                    TargetKind::Worker(worker) => worker.processes.min(concurrency).get(),
                    TargetKind::Url(_) | TargetKind::Command(_) => concurrency.get(),
                };
            }
        }
        let maildirs = wire::places(&config).map_or(0, |places| places.len());
        wire::fit_into_open_files(&mut config, maildirs);
        config
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
pub fn run<F>(source: &Source<'_>, plan: Plan, beside: impl FnOnce(Arc<Engine>) -> F) -> Result<Ended, Exit>
where
    F: Future<Output = ()>,
{
    keep_large_blocks();
    let (handle, stop) = Stop::new();
    let go = async {
        let signals = Signals::listen()?;
        let (service, first_started) = Service::start(source.config.clone(), plan, stop)?;
        welcome(&first_started, plan.since)?;
        log_ready(&source.config);
        let (ended_by, hang_up) = (OnceLock::new(), Notify::new());
        let lifeline = Lifeline::new();
        let orders = Obedience { service: &service, hang_up: &hang_up, lifeline: &lifeline };
        let reloads = Reloads { source, service: &service, plan, lifeline: &lifeline };
        let ended = tokio::select! {
            ended = service.run() => ended,
            () = signals.obey(&handle, &orders, &ended_by) => Ok(()),
            () = reloads.when_told(&hang_up, &ended_by) => Ok(()),
            () = lifeline.keep(&service) => Ok(()),
            () = async { beside(Arc::clone(&service.engine)).await; std::future::pending().await } => Ok(()),
        };
        ended?;
        anyhow::Ok(Ended { report: service.engine.report(), signal: ended_by.get().copied() })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(go)).map_err(|error| {
        complain(format_args!("{error:#}"));
        match error.downcast_ref::<OpenError>() {
            Some(error) => Exit::from(error),
            None if error.is::<std::io::Error>() => Exit::Disk,
            None => Exit::Config,
        }
    })
}

/// What a run does at a signal.
struct Obedience<'a> {
    service: &'a Service,
    hang_up: &'a Notify,
    lifeline: &'a Lifeline,
}

impl Orders for Obedience<'_> {
    fn grace(&self) -> Duration {
        self.service.shutdown_timeout()
    }

    fn stopping(&self) {
        self.lifeline.stopping();
    }

    fn reload(&self) {
        self.hang_up.notify_one();
    }

    fn renew(&self) {
        self.service.renew_workers();
    }

    fn give_back(&self) {
        self.service.end_workers();
    }
}

/// How the configuration is read again.
struct Reloads<'a> {
    source: &'a Source<'a>,
    service: &'a Service,
    plan: Plan,
    lifeline: &'a Lifeline,
}

impl Reloads<'_> {
    /// Beside everything else, for a new worker may take its time to start.
    async fn when_told(&self, hang_up: &Notify, ended_by: &OnceLock<u8>) {
        loop {
            hang_up.notified().await;
            if ended_by.get().is_none() {
                self.lifeline.reloading();
                let is_in_force = self.reload().await;
                self.lifeline.reloaded(is_in_force);
            }
        }
    }

    /// All or nothing: what is wrong in the new configuration leaves the old one in force. Returns whether it is the
    /// new one.
    async fn reload(&self) -> bool {
        if self.plan.until != Until::Stopped {
            tracing::info!(event = "not_reloaded", "a run that ends by itself keeps its configuration");
            return false;
        }
        let reloaded = async {
            let config = self.source.again()?;
            let counts = (config.queues.len(), config.routes.len(), config.targets.len());
            self.service.reload(config).await.map(|()| counts).map_err(|error| format!("{error:#}"))
        };
        match reloaded.await {
            Ok((queues, routes, targets)) => {
                tracing::info!(event = "reloaded", queues, routes, targets);
                true
            }
            Err(reason) => {
                tracing::error!(event = "reload_failed", reason, "the old configuration stays in force");
                self.service.reload_failed(&reason);
                false
            }
        }
    }
}

fn log_ready(config: &Config) {
    let join = |names: Vec<&str>| names.join(", ");
    tracing::info!(
        event = "ready",
        queues = join(config.queues.iter().map(|queue| queue.name.as_str()).collect()),
        targets = join(config.targets.iter().map(|target| target.name.as_str()).collect()),
        maildirs = wire::places(config).map_or(0, |places| places.len()),
        concurrency = config.targets.iter().map(|target| target.concurrency).sum::<usize>(),
    );
}

/// Says what waits in Maildirs that were never served before: it may be more than is meant.
fn welcome(first_started: &[PathBuf], since: Option<SystemTime>) -> Result<(), OpenError> {
    if first_started.is_empty() {
        return Ok(());
    }
    let waiting = survey_all(first_started.iter().map(PathBuf::as_path), since)?;
    tracing::info!(
        event = "first_start",
        maildirs = first_started.len(),
        waiting = waiting.due,
        oldest = oldest(&waiting),
        "never served before"
    );
    if waiting.due > 0 && !logging::is_json() {
        say(format_args!("first start: {}", describe(&waiting)));
    }
    Ok(())
}

/// What waits in all these Maildirs.
///
/// # Errors
/// As [`survey`].
pub fn survey_all<'a>(
    maildirs: impl Iterator<Item = &'a Path>,
    since: Option<SystemTime>,
) -> Result<Waiting, OpenError> {
    maildirs.map(|maildir| survey(maildir, since)).try_fold(Waiting::default(), |all, one| Ok(all + one?))
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
