//! `drain`: one shot, for cron, CI and tests.

use super::run::{Ended, RunArgs, Source, describe, run as run_loop, survey_all};
use super::{Exit, complain, say};
use crate::engine::{Engine, Until};
use crate::logging::{self, Format};
use crate::maildir::Waiting;
use crate::wire::{self, Plan};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;
use tracing::{Level, info};

/// Process what is waiting, then exit
///
/// Takes what is due now, each message at most once. Waits for no retry, no target
/// that is down, no other process. Safe beside a running watch.
///
/// Exit code: 0 nothing is left · 75 something waits · 1 something went dead in this
/// run · 74 disk or permissions · 78 configuration · 130, 143 interrupted.
///
/// Example: maildirq drain -c /etc/maildirq/maildirq.toml --wait-retries
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq drain (-c FILE | --maildir PATH --post URL) [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Only say how many messages wait, and since when
    #[arg(long)]
    dry_run: bool,
    /// Go on until nothing waits for a retry any more
    #[arg(long)]
    wait_retries: bool,
}

/// Drains, or only tells what would be drained.
pub fn run(args: &Args) -> Exit {
    let is_asked_to_log = args.run.log.is_some();
    args.run.start_log(Format::Text, if is_asked_to_log { Level::INFO } else { Level::WARN });
    match args.run.source().and_then(|source| if args.dry_run { dry_run(&source, args) } else { drain(&source, args) })
    {
        Ok(exit) | Err(exit) => exit,
    }
}

fn dry_run(source: &Source<'_>, args: &Args) -> Result<Exit, Exit> {
    let waiting = look(source, args.run.since())?;
    // A reader that has gone away wants no more.
    let _ = writeln!(stdout(), "{}", describe(&waiting));
    Ok(Exit::Ok)
}

fn drain(source: &Source<'_>, args: &Args) -> Result<Exit, Exit> {
    let since = args.run.since();
    let began = Instant::now();
    let until = if args.wait_retries { Until::Settled } else { Until::Drained };
    let expected = if stderr().is_terminal() { look(source, since)?.due } else { 0 };
    let Ended { report, signal } = run_loop(source, Plan { until, since }, |engine| show_progress(engine, expected))?;
    let report = report.map_err(|error| {
        complain(error);
        Exit::Disk
    })?;
    let left = look(source, since)?;
    let waiting = left.due + left.later;
    let took = began.elapsed();
    let rate = report.done as f64 / took.as_secs_f64().max(0.001);
    if logging::is_json() {
        info!(event = "drained", done = report.done, waiting, dead = report.dead, seconds = took.as_secs_f64(), signal);
    } else {
        say(format_args!(
            "{} done, {waiting} waiting, {} dead, in {:.1}s ({rate:.0}/s){}",
            report.done,
            report.dead,
            took.as_secs_f64(),
            if signal.is_some() { ", interrupted" } else { "" },
        ));
    }
    Ok(match (signal, report.dead, waiting) {
        (Some(number), ..) => Exit::Signal(number),
        (None, 1.., _) => Exit::No,
        (None, 0, 1..) => Exit::TempFail,
        (None, 0, 0) => Exit::Ok,
    })
}

fn look(source: &Source<'_>, since: Option<SystemTime>) -> Result<Waiting, Exit> {
    let waiting = wire::places(&source.config)
        .and_then(|places| survey_all(places.iter().map(|(place, _)| place.path.as_path()), since));
    waiting.map_err(|error| {
        complain(&error);
        Exit::from(&error)
    })
}

/// A progress bar, on a terminal, for work that takes more than a second.
async fn show_progress(engine: Arc<Engine>, expected: u64) {
    if !stderr().is_terminal() || logging::is_json() {
        return;
    }
    sleep(Duration::from_secs(1)).await;
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left").expect("the template is fixed");
    let bar = ProgressBar::new(expected).with_style(style);
    loop {
        let counts = engine.counts();
        bar.set_position(counts.done + counts.failed + counts.dead);
        sleep(Duration::from_millis(100)).await;
    }
}
