//! `route`: where a message would go, and why. A dry run: nothing is sent, nothing is changed.

mod expect;
mod explain;
mod request;
mod subject;

use super::config_file::ConfigArg;
use super::{Exit, complain, print};
use crate::config::Config;
use crate::engine::text::printable;
use crate::maildir::Record;
use expect::Expectations;
use std::io;
use std::path::PathBuf;
use subject::Subject;

/// Explain where a message would go, and why
///
/// A dry run: nothing is sent. FILE is a message as it lies in a Maildir, - is standard input,
/// ID the id of a message that waits or is dead (six characters of it are enough), or its
/// file's name. Secrets of the configuration need not be there.
///
/// Several files are a line each, the name and the route, which is what --expect takes:
///   maildirq route tests/*.eml > tests/routes.txt
///   maildirq route tests/*.eml --expect tests/routes.txt
///
/// Exit code: 0 it has a route, or is as expected · 1 there is no route, or it differs · 65 not
/// a message · 66 no such file or message · 78 configuration.
///
/// Example: maildirq route --to support+42@example.com mail.eml
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq route [-c FILE] [OPTIONS] FILE|ID|-...")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// What is to be explained
    #[arg(value_name = "FILE|ID|-", required = true)]
    mail: Vec<String>,
    /// As if it had come to this address [default: what the mail says, as its queue reads it]
    #[arg(long, value_name = "ADDR")]
    to: Option<String>,
    /// As if this were the envelope's sender; <> is that of a bounce
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    from: Option<String>,
    /// As if it had come into this queue [default: for an ID its own, else the first]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Compare with this file: lines of a name and a route or target, or "dead"
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Print one JSON object for each message
    #[arg(long)]
    json: bool,
    /// Print the body that the target would get, byte for byte. Secrets must be there, and may stand in it
    #[arg(long, conflicts_with_all = ["json", "expect"])]
    payload: bool,
    /// Print a command line that sends the whole request; secrets stand there as variables
    #[arg(long, conflicts_with_all = ["json", "expect", "payload"])]
    curl: bool,
}

/// Prints what the target of a message gets, or a command line that sends it.
///
/// # Errors
/// It cannot be told; that was told of, and this is how to end.
pub fn show_request(file: &ConfigArg, record: &Record, curl: bool) -> Result<Exit, Exit> {
    let mail = record.id.map_or_else(|| record.path().display().to_string(), |id| id.to_string());
    let (file, mail) = (file.clone(), vec![mail]);
    let args = Args { file, mail, to: None, from: None, queue: None, expect: None, json: false, payload: !curl, curl };
    request::run(&args)
}

/// Explains.
pub fn run(args: &Args) -> Exit {
    if args.payload || args.curl {
        return request::run(args).unwrap_or_else(|exit| exit);
    }
    let explained = args.file.read_as_bystander().and_then(|config| {
        let (subjects, failed) = subject::all(args, &config)?;
        let (lines, exit) = match (&args.expect, failed) {
            // What cannot be read is neither as expected nor otherwise.
            (Some(_), Some(exit)) => return Err(exit),
            (Some(path), None) => compare(args, &config, &subjects, &Expectations::read(path)?),
            (None, _) => tell(args, &config, &subjects),
        }
        .map_err(|error| {
            complain(format_args!("cannot read a message any more: {error}"));
            Exit::NoInput
        })?;
        Ok((lines, failed.unwrap_or(exit)))
    });
    match explained {
        Ok((lines, exit)) => print(&(lines.join("\n") + "\n")).err().unwrap_or(exit),
        Err(exit) => exit,
    }
}

fn tell(args: &Args, config: &Config, subjects: &[Subject]) -> io::Result<(Vec<String>, Exit)> {
    let has_way = |subject: &Subject| subject.route(&config.routes).is_some();
    let exit = if subjects.iter().all(has_way) { Exit::Ok } else { Exit::No };
    let lines = match subjects {
        _ if args.json => {
            let object = |subject| Ok(explain::json(subject, config)?.to_string());
            subjects.iter().map(object).collect::<io::Result<_>>()?
        }
        [only] if args.mail.len() == 1 => explain::lines(only, config)?,
        several => {
            let width = several.iter().map(|subject| subject.label.chars().count()).max().unwrap_or_default();
            let way = |subject: &Subject| explain::way(subject.route(&config.routes)).to_owned();
            several.iter().map(|subject| format!("{:<width$}  {}", subject.label, way(subject))).collect()
        }
    };
    Ok((lines, exit))
}

fn compare(
    args: &Args,
    config: &Config,
    subjects: &[Subject],
    expected: &Expectations,
) -> io::Result<(Vec<String>, Exit)> {
    let mut lines = Vec::new();
    let mut differs = false;
    for subject in subjects {
        let verdict = expected.verdict(subject, subject.route(&config.routes));
        differs |= !verdict.is_met;
        lines.push(if args.json {
            let mut object = explain::json(subject, config)?;
            object["as_expected"] = verdict.is_met.into();
            object["expected"] = verdict.expected.into();
            object.to_string()
        } else {
            verdict.line(subject)
        });
    }
    for name in expected.left_over(subjects) {
        differs = true;
        let text = format!("{}  is expected, and was not given", printable(name.as_bytes()));
        if args.json {
            complain(text);
        } else {
            lines.push(format!("✗ {text}"));
        }
    }
    Ok((lines, if differs { Exit::No } else { Exit::Ok }))
}
