//! `check`: what is wrong with a configuration, and with the machine that it is for, before mail finds out.
//!
//! It changes nothing. Each trap is one file with a `look`; started as root, they look with the eyes of whoever
//! maildirq will be.

mod accounts;
mod clients;
mod commands;
mod config_file;
mod disks;
mod endpoints;
mod finding;
mod held;
mod jit;
mod limits;
mod live;
mod mail;
mod maildirs;
mod pauses;
mod postfix;
mod program;
mod routes;
mod sandbox;
mod subject;
mod unit;
mod workers;

use super::config_file::ConfigArg;
use super::{Exit, say};
use crate::config::{Config, ConfigError, PLAIN_SECRET, Reading, Severity};
use finding::{Finding, counted};
use live::Tried;
use serde_json::json;
use std::io::{Write, stdout};
use std::path::Path;
use subject::Subject;

/// Find what is wrong before mail does
///
/// Reads the configuration, and looks at what it needs of this machine: Maildirs and
/// whose they are, Postfix, mail clients, limits, disks, programs, the systemd unit.
/// All that is wrong with the file is told at once, and once that is right, all that is
/// wrong with the machine; each with what to do. Nothing is changed.
///
/// Exit code: 0 nothing keeps mail from being processed · 1 warnings, with --strict ·
/// 66 no configuration file was named or found · 78 errors.
///
/// Example: maildirq check --live
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// Also connect to each url, TLS included, and start a process of each worker, which boots its
    /// application and is ended when it is ready. Nothing is sent, no command is run
    #[arg(long, verbatim_doc_comment)]
    live: bool,
    /// Count warnings as a failure
    #[arg(long)]
    strict: bool,
    /// Only tell of what makes it fail, on standard error
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// All traps, in the order in which they are told of.
const TRAPS: &[fn(&Subject<'_>) -> Vec<Finding>] = &[
    routes::look,
    config_file::look,
    maildirs::look,
    mail::look,
    held::look,
    clients::look,
    pauses::look,
    postfix::look,
    accounts::look,
    commands::look,
    workers::look,
    endpoints::look,
    sandbox::look,
    limits::look,
    disks::look,
];

/// Everything that there is to say.
struct Report<'a> {
    file: &'a Path,
    config: Option<&'a Config>,
    findings: Vec<Finding>,
    tried: Vec<Tried<'a>>,
}

/// Looks for all that is wrong, and tells it.
pub fn run(args: &Args) -> Exit {
    let file = match args.file.locate() {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    let read = Config::read(&file);
    let report = match &read {
        Ok(reading) => look(&file, reading, args.live),
        Err(error) => {
            let findings = match error {
                ConfigError::Mistake { remarks, .. } => remarks.iter().cloned().map(Finding::from).collect(),
                ConfigError::Read { .. } => {
                    vec![Finding::error(error.to_string(), "check the path, or its permissions")]
                }
            };
            Report { file: &file, config: None, findings, tried: Vec::new() }
        }
    };
    if args.json {
        report.tell_programs();
    } else if args.quiet {
        let counts = |finding: &&Finding| args.strict || finding.severity == Severity::Error;
        let failures: Vec<_> = report.findings.iter().filter(counts).map(ToString::to_string).collect();
        if !failures.is_empty() {
            say(failures.join("\n\n"));
        }
    } else {
        report.tell_people();
    }
    match (report.of(Severity::Error).count(), report.of(Severity::Warning).count()) {
        (1.., _) => Exit::Config,
        (0, 1..) if args.strict => Exit::No,
        _ => Exit::Ok,
    }
}

fn look<'a>(file: &'a Path, reading: &'a Reading, is_live: bool) -> Report<'a> {
    let Reading { config, warnings } = reading;
    let has_plain_secret = warnings.iter().any(|warning| warning.text == PLAIN_SECRET);
    let subject = Subject::new(file, config, has_plain_secret);
    let mut findings: Vec<_> = warnings.iter().cloned().map(Finding::from).collect();
    findings.extend(TRAPS.iter().flat_map(|look| look(&subject)));
    let tried = if is_live { live::look(&subject) } else { Vec::new() };
    findings.extend(tried.iter().filter_map(Tried::finding));
    Report { file, config: Some(config), findings, tried }
}

impl Report<'_> {
    fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    fn tell_people(&self) {
        let mut parts: Vec<String> = self.findings.iter().map(ToString::to_string).collect();
        let successes = self.tried.iter().filter_map(|tried| Some(format!("✓ {}  {}", tried.name, tried.success()?)));
        let successes: Vec<_> = successes.collect();
        if !successes.is_empty() {
            parts.push(successes.join("\n"));
        }
        parts.push(self.last_line());
        print(&parts.join("\n\n"));
    }

    fn last_line(&self) -> String {
        let count =
            |severity, thing| Some(self.of(severity).count()).filter(|count| *count > 0).map(|n| counted(n, thing));
        let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        match self.config {
            Some(config) if counts.is_empty() => format!(
                "✓ {}: {}, {}, {}; nothing wrong",
                finding::shown(self.file),
                counted(config.queues.len(), "queue"),
                counted(config.routes.len(), "route"),
                counted(config.targets.len(), "target")
            ),
            Some(_) => counts.join(", "),
            None => format!("{}; the machine is looked at when the file is right", counts.join(", ")),
        }
    }

    fn tell_programs(&self) {
        let mut answer = json!({
            "v": 1,
            "file": self.file.to_string_lossy(),
            "errors": self.of(Severity::Error).count(),
            "warnings": self.of(Severity::Warning).count(),
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        });
        if !self.tried.is_empty() {
            answer["targets"] = self.tried.iter().map(Tried::to_json).collect();
        }
        print(&answer.to_string());
    }
}

/// To standard output: what is found is the data.
fn print(text: &str) {
    // A reader that has gone away wants no more.
    let _ = writeln!(stdout(), "{text}");
}
