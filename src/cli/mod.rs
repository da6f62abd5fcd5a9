//! One verb, one file; here is what they share.

mod act;
mod allocator;
mod bury;
mod bystander;
mod check;
mod config_file;
mod deliver;
mod demo;
mod drain;
mod drop;
mod exit;
mod forget;
mod generate;
mod init;
mod lifeline;
mod list;
mod mail;
mod map;
mod notify;
mod pause;
mod person;
mod retry;
mod route;
mod run;
mod select;
mod send;
mod show;
mod signals;
pub mod status;
mod tail;
mod terminal;
mod watch;

pub use exit::Exit;

use crate::logging;
use crate::query::{FIELDS, Query};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write, stderr, stdout};

#[derive(Parser)]
#[command(name = "maildirq", version, about = "a Maildir as a durable job queue", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Watch(watch::Args),
    Drain(drain::Args),
    Deliver(deliver::Args),
    Status(status::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Show(show::Args),
    Tail(tail::Args),
    Check(check::Args),
    Demo(demo::Args),
    Retry(retry::Args),
    Bury(bury::Args),
    Drop(drop::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Forget(forget::Args),
    Init(init::Args),
    Route(route::Args),
    Send(send::Args),
    #[command(name = "gen")]
    Generate(generate::Args),
}

/// Runs the program with these arguments, the program's name first.
pub fn main(arguments: Vec<OsString>) -> Exit {
    if deliver::is_meant_by(&arguments) {
        return deliver::main(arguments);
    }
    let program = Cli::command();
    let map = map::map(&program);
    if arguments.len() < 2 {
        return print(map).err().unwrap_or(Exit::Ok);
    }
    let parsed = program.override_help(map).try_get_matches_from(as_written(&arguments));
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A reader that has gone away wants no more.
            let _ = error.print();
            return if is_answer { Exit::Ok } else { Exit::Usage };
        }
    };
    match cli.verb {
        Verb::Watch(args) => watch::run(&args),
        Verb::Drain(args) => drain::run(&args),
        Verb::Deliver(args) => deliver::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::List(args) => list::run(&args),
        Verb::Show(args) => show::run(&args),
        Verb::Tail(args) => tail::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Retry(args) => retry::run(&args),
        Verb::Bury(args) => bury::run(&args),
        Verb::Drop(args) => drop::run(&args),
        Verb::Pause(args) => pause::run_pause(&args),
        Verb::Resume(args) => pause::run_resume(&args),
        Verb::Forget(args) => forget::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Route(args) => route::run(&args),
        Verb::Send(args) => send::run(&args),
        Verb::Generate(args) => generate::run(&args),
    }
}

/// What people write, as the parser of flags takes it: `dead` is short for `list dead --group`, and a negated term of a
/// query (`-queue:billing`) is no flag.
fn as_written(arguments: &[OsString]) -> Vec<OsString> {
    let is_short = arguments.get(1).is_some_and(|verb| verb == "dead");
    let (program, given) = if is_short {
        // Ids are of messages, and a group has none.
        let wants_ids = arguments[2..].iter().any(|word| word == "-q" || word == "--quiet");
        let words: &[&str] = if wants_ids { &["list", "dead"] } else { &["list", "dead", "--group"] };
        let program = std::iter::once(arguments[0].clone()).chain(words.iter().map(OsString::from));
        (program.collect(), &arguments[2..])
    } else {
        (Vec::new(), arguments)
    };
    let negated = |word: &OsString| {
        let term = word.to_str().and_then(|word| word.strip_prefix('-')).filter(|term| Query::is_term(term))?;
        FIELDS.iter().any(|(field, _)| term.starts_with(&format!("{field}:"))).then(|| format!("!{term}").into())
    };
    let given = given.iter().map(|word| negated(word).unwrap_or_else(|| word.clone()));
    program.into_iter().chain(given).collect()
}

/// Prints what was asked for, on standard output. A reader that has gone away wants no more.
///
/// # Errors
/// It cannot be written; it was told of, and this is how to end.
fn print(text: impl AsRef<[u8]>) -> Result<(), Exit> {
    match stdout().write_all(text.as_ref()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format_args!("cannot write to standard output: {error}"));
            Err(Exit::Disk)
        }
        _ => Ok(()),
    }
}

/// Tells a person something, on standard error. Nobody listening is no reason to fail.
fn say(text: impl Display) {
    // In one piece: a line of another program must not come in between.
    let _ = stderr().write_all(format!("{text}\n").as_bytes());
}

/// Tells of an error in the form that all errors have.
fn complain(error: impl Display) {
    let text = error.to_string();
    // What a configuration is told by its file says of each of its remarks what it is.
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    if logging::is_json() {
        tracing::error!(event = "failed", reason = text);
    } else {
        say(format_args!("error: {text}"));
    }
}
