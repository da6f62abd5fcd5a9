//! `pause` and `resume`: a marker in each Maildir, so that they need no daemon and survive restarts.

use super::config_file::{ConfigArg, become_owner_of_maildirs};
use super::retry::check_target;
use super::terminal::whole_time;
use super::{Exit, complain, mail, person, print};
use crate::config::{Config, parse_duration};
use crate::engine::Route;
use crate::engine::text::printable;
use crate::maildir::{self, Marker, OpenError};
use crate::wire;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Which targets are meant, and for which mail.
#[derive(Clone, Debug, clap::Args)]
struct Meant {
    #[command(flatten)]
    file: ConfigArg,
    /// Names of targets
    #[arg(value_name = "TARGET", required_unless_present = "all", conflicts_with = "all")]
    targets: Vec<String>,
    /// All targets
    #[arg(long)]
    all: bool,
    /// Only for mail of this queue
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// An object in JSON for each target
    #[arg(long)]
    json: bool,
}

/// Stop sending to a target
///
/// Its mail waits, and none of it is lost or counts a failure. It needs no running
/// daemon, and one that runs obeys at once. What is being tried is tried to its end.
///
/// Exit code: 0 paused · 66 no such target or queue · 74 disk or permissions ·
/// 78 configuration.
///
/// Example: maildirq pause crm --reason "schema migration" --for 2h
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq pause TARGET|--all [OPTIONS]")]
pub struct PauseArgs {
    #[command(flatten)]
    meant: Meant,
    /// Why, for those who wonder
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Go on by itself after this time (30m, 2h)
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,
}

/// Go on sending to a target that was paused
///
/// Exit code: 0 it goes on, or was not paused · 66 no such target or queue · 74 disk or
/// permissions · 78 configuration.
///
/// Example: maildirq resume crm
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq resume TARGET|--all [OPTIONS]")]
pub struct ResumeArgs {
    #[command(flatten)]
    meant: Meant,
}

/// What is to be paused or resumed: targets, for these Maildirs of these queues.
struct Subject {
    config: Config,
    targets: Vec<String>,
    maildirs: Vec<(PathBuf, String)>,
}

impl Meant {
    fn find(&self) -> Result<Subject, Exit> {
        let config = self.file.read_as_bystander()?;
        let known: Vec<_> = config.targets.iter().map(|target| target.name.as_str()).collect();
        self.targets.iter().try_for_each(|target| check_target(&config, target))?;
        if let Some(queue) = &self.queue {
            mail::queue(&config, Some(queue)).map_err(|_| Exit::NoInput)?;
        }
        become_owner_of_maildirs(&config)?;
        let targets =
            if self.all { known.iter().map(|name| (*name).to_owned()).collect() } else { self.targets.clone() };
        let places = wire::places(&config).map_err(|error| told(&error))?;
        let is_meant = |queue: &str| self.queue.as_deref().is_none_or(|meant| meant == queue);
        let places = places.into_iter().filter(|(_, options)| is_meant(&options.queue));
        let maildirs = places.map(|(place, options)| (place.path, options.queue.to_string())).collect();
        Ok(Subject { config, targets, maildirs })
    }
}

/// Pauses.
pub fn run_pause(args: &PauseArgs) -> Exit {
    pause(args).err().unwrap_or(Exit::Ok)
}

fn pause(args: &PauseArgs) -> Result<(), Exit> {
    let until = match args.time.map(|time| SystemTime::now().checked_add(time)) {
        Some(None) => {
            complain("nobody lives to see the end of that pause");
            return Err(Exit::Usage);
        }
        until => until.flatten(),
    };
    let Subject { targets, maildirs, .. } = args.meant.find()?;
    let marker = Marker::new(&person::name(), &args.reason, until);
    let mut text = String::new();
    for target in &targets {
        for (path, _) in &maildirs {
            maildir::pause(path, target, &marker).map_err(|error| told(&error))?;
        }
        if args.meant.json {
            let until = until.map(whole_time);
            let paused = json!({ "v": 1, "target": target, "paused": true, "maildirs": maildirs.len(), "by": marker.by, "until": until, "reason": args.reason });
            let _ = writeln!(text, "{paused}");
            continue;
        }
        let end = until.map(|until| format!(" until {}", person::shown(until))).unwrap_or_default();
        let reason = printable(args.reason.as_bytes());
        let reason = if reason.is_empty() { reason } else { format!(", \"{reason}\"") };
        let _ = writeln!(text, "‖ {target} paused{end} ({}{reason}). New mail waits; nothing is lost.", marker.by);
    }
    print(text)
}

/// Goes on.
pub fn run_resume(args: &ResumeArgs) -> Exit {
    resume(&args.meant).err().unwrap_or(Exit::Ok)
}

fn resume(meant: &Meant) -> Result<(), Exit> {
    let Subject { config, targets, maildirs } = meant.find()?;
    let mut text = String::new();
    for target in &targets {
        let mut was_paused = false;
        let mut waited = 0;
        for (path, queue) in &maildirs {
            let pauses = maildir::pauses(path).map_err(|error| told(&error))?;
            if pauses.iter().any(|pause| *pause.target == **target) {
                was_paused = true;
                // Counted before, for a running daemon goes on at once.
                waited += count_waiting(&config, path, queue, target)?;
            }
            maildir::resume(path, target).map_err(|error| told(&error))?;
        }
        let _ = match (meant.json, was_paused) {
            (true, _) => {
                writeln!(
                    text,
                    "{}",
                    json!({ "v": 1, "target": target, "paused": false, "was_paused": was_paused, "waited": waited })
                )
            }
            (false, false) => writeln!(text, "✓ {target} was not paused"),
            (false, true) if waited == 1 => writeln!(text, "✓ {target} goes on; 1 message waited"),
            (false, true) => writeln!(text, "✓ {target} goes on; {waited} messages waited"),
        };
    }
    print(text)
}

/// How many messages in `new/` the routes lead to this target. What cannot be read is not counted.
fn count_waiting(config: &Config, path: &Path, queue: &str, target: &str) -> Result<usize, Exit> {
    let queue = mail::queue(config, Some(queue))?;
    let entries = std::fs::read_dir(path.join("new")).map_err(|error| {
        complain(format_args!("cannot read {}: {error}", mail::shown(path)));
        Exit::Disk
    })?;
    let leads_there = |file: &Path| {
        let message = mail::message(mail::open(file).ok()?, queue, None, None);
        Some(Route::first_for(&config.routes, &message).ok()??.way.target() == target)
    };
    Ok(entries.flatten().filter(|entry| leads_there(&entry.path()) == Some(true)).count())
}

fn told(error: &OpenError) -> Exit {
    complain(error);
    Exit::from(error)
}
