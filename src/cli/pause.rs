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
use std::collections::BTreeSet;
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
/// Exit code: 0 paused · 66 no such target or queue · 74 disk or permissions of a
/// Maildir (in the others it is paused) · 78 configuration.
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
    #[arg(long = "for", value_name = "TIME", value_parser = parse_pause)]
    time: Option<Duration>,
}

/// Go on sending to a target that was paused
///
/// Exit code: 0 it goes on, or was not paused · 66 no such target or queue · 74 disk or
/// permissions of a Maildir (in the others it goes on) · 78 configuration.
///
/// Example: maildirq resume crm
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq resume TARGET|--all [OPTIONS]")]
pub struct ResumeArgs {
    #[command(flatten)]
    meant: Meant,
}

fn parse_pause(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a pause that is over at once is none; without --for it lasts until resume".into()),
        time => Ok(time),
    }
}

/// What is to be paused or resumed: targets, for these Maildirs of these queues.
struct Subject {
    config: Config,
    targets: Vec<String>,
    maildirs: Vec<(PathBuf, String)>,
}

impl Meant {
    fn find(&self) -> Result<Subject, Exit> {
        let config = self.file.read_places()?;
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
    let mut broken = Broken::default();
    for target in &targets {
        let done =
            maildirs.iter().filter(|(path, _)| broken.unless(path, || maildir::pause(path, target, &marker)).is_some());
        let count = done.count();
        if count == 0 && !maildirs.is_empty() {
            continue;
        }
        if args.meant.json {
            let until = until.map(whole_time);
            let paused = json!({ "v": 1, "target": target, "paused": true, "maildirs": count, "by": marker.by, "until": until, "reason": args.reason });
            let _ = writeln!(text, "{paused}");
            continue;
        }
        let end = until.map(|until| format!(" until {}", person::shown(until))).unwrap_or_default();
        let reason = printable(args.reason.as_bytes());
        let reason = if reason.is_empty() { reason } else { format!(", \"{reason}\"") };
        let _ = writeln!(
            text,
            "‖ {target} paused{end} ({}{reason}){}. New mail waits; nothing is lost.",
            marker.by,
            of_how_many(count, &maildirs)
        );
    }
    print(text)?;
    broken.end()
}

/// Goes on.
pub fn run_resume(args: &ResumeArgs) -> Exit {
    resume(&args.meant).err().unwrap_or(Exit::Ok)
}

fn resume(meant: &Meant) -> Result<(), Exit> {
    let Subject { config, targets, maildirs } = meant.find()?;
    let mut text = String::new();
    let mut broken = Broken::default();
    for target in &targets {
        let (mut was_paused, mut waited, mut count) = (false, 0, 0);
        for (path, queue) in &maildirs {
            let Some(held) = broken.unless(path, || resume_in(&config, path, queue, target)) else { continue };
            count += 1;
            was_paused |= held.is_some();
            waited += held.unwrap_or_default();
        }
        if count == 0 && !maildirs.is_empty() {
            continue;
        }
        let part = of_how_many(count, &maildirs);
        // Where the configuration has mistakes, nobody knows which mail goes where.
        let waited = (!config.routes.is_empty()).then_some(waited);
        let _ = match (meant.json, was_paused) {
            (true, _) => {
                writeln!(
                    text,
                    "{}",
                    json!({ "v": 1, "target": target, "paused": false, "was_paused": was_paused, "waited": waited })
                )
            }
            (false, false) => writeln!(text, "✓ {target} was not paused{part}"),
            (false, true) if waited == Some(1) => writeln!(text, "✓ {target} goes on{part}; 1 message waited"),
            (false, true) => match waited {
                Some(waited) => writeln!(text, "✓ {target} goes on{part}; {waited} messages waited"),
                None => writeln!(text, "✓ {target} goes on{part}"),
            },
        };
    }
    print(text)?;
    broken.end()
}

/// Goes on in this Maildir. Returns how many messages waited, where it was paused.
fn resume_in(config: &Config, path: &Path, queue: &str, target: &str) -> Result<Option<usize>, OpenError> {
    let was_paused = maildir::pauses(path)?.iter().any(|pause| *pause.target == *target);
    // Counted before, for a running daemon goes on at once.
    let waited = was_paused.then(|| count_waiting(config, path, queue, target));
    maildir::resume(path, target)?;
    Ok(waited)
}

/// Maildirs that could not be worked on: each was told of once, and the others go on.
#[derive(Default)]
struct Broken(BTreeSet<PathBuf>);

impl Broken {
    /// What comes of it, unless this Maildir is or now proves to be one of them.
    fn unless<T>(&mut self, path: &Path, work: impl FnOnce() -> Result<T, OpenError>) -> Option<T> {
        if self.0.contains(path) {
            return None;
        }
        let error = match work() {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        complain(error);
        self.0.insert(path.to_owned());
        None
    }

    fn end(self) -> Result<(), Exit> {
        if self.0.is_empty() { Ok(()) } else { Err(Exit::Disk) }
    }
}

/// In how many Maildirs it was done, where that is not all of them.
fn of_how_many(count: usize, maildirs: &[(PathBuf, String)]) -> String {
    if count == maildirs.len() { String::new() } else { format!(" in {count} of {} Maildirs", maildirs.len()) }
}

/// How many messages in `new/` the routes lead to this target. What cannot be read is not counted.
fn count_waiting(config: &Config, path: &Path, queue: &str, target: &str) -> usize {
    let Some(queue) = config.queues.iter().find(|known| known.name == queue) else { return 0 };
    let entries = std::fs::read_dir(path.join("new")).into_iter().flatten();
    let leads_there = |file: &Path| {
        let message = mail::message(mail::open(file).ok()?, queue, None, None);
        Some(Route::first_for(&config.routes, &message).ok()??.way.target() == target)
    };
    entries.flatten().filter(|entry| leads_there(&entry.path()) == Some(true)).count()
}

fn told(error: &OpenError) -> Exit {
    complain(error);
    Exit::from(error)
}
