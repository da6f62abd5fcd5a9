//! `send --direct`: one request to an application, without any queue.

use super::super::{Exit, complain, print};
use super::follow::shown;
use crate::config::{Address, Config, TargetKind};
use crate::engine::text::printable;
use crate::engine::{Blame, Id, Message, Outcome, Target};
use crate::target::{UrlConfig, UrlTarget};
use std::time::Instant;

/// Sends it, and says what comes of it.
///
/// # Errors
/// It could not be tried; it was told of, and this is how to end.
pub fn run(settings: &UrlConfig, message: Message) -> Result<Exit, Exit> {
    let lanes = UrlTarget::lanes(settings, 1).map_err(|error| {
        complain(format_args!("{error:#}"));
        Exit::Config
    })?;
    // An application goes by the id to know a repeat; this is none, however often the same mail is sent.
    let message = Message { id: Id::from_digest(&std::array::from_fn(|_| fastrand::u8(..))), ..message };
    let began = Instant::now();
    let outcome = attempt(&*lanes[0], &message).map_err(|error| {
        complain(error);
        Exit::Software
    })?;
    let took = shown(began.elapsed());
    let (sign, meaning, exit) = meaning(&outcome);
    let answer = match &outcome {
        Outcome::Done { status } => status.map(|status| status.to_string()).unwrap_or_default(),
        failed => failed.reason().to_owned(),
    };
    print(format!("{sign} POST {}  {took}\n  {answer}\n{meaning}\n", settings.url))?;
    Ok(exit)
}

fn attempt(target: &dyn Target, message: &Message) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(target.attempt(message)))
}

/// What that would mean for a message of a queue.
fn meaning(outcome: &Outcome) -> (char, &'static str, Exit) {
    match outcome {
        Outcome::Done { .. } => ('✓', "done: the message would leave the queue", Exit::Ok),
        Outcome::Reject { .. } | Outcome::Unfit { .. } => {
            ('✖', "dead: the message would be set aside, and never tried again", Exit::No)
        }
        Outcome::Unavailable { .. } => {
            ('↻', "retry: the target takes nothing now, and the message would wait", Exit::TempFail)
        }
        Outcome::Retry { blame, .. } => {
            let meaning = match blame {
                Blame::Endpoint => "retry: the target would count as failing, and no attempt of the message be spent",
                Blame::Message => "retry: it would count against the message, and be tried again later",
                Blame::Unclear => {
                    "retry: it would be tried again later, and count against the message if others go through"
                }
                Blame::Ourselves => "retry: it is a fault of this machine, and would count against nobody",
            };
            ('↻', meaning, Exit::TempFail)
        }
    }
}

/// Those of the target of this name, at the address that was given.
///
/// # Errors
/// There is no such target, or none that takes requests; it was told of, and this is how to end.
pub fn settings(name: &str, address: Option<&Address>, config: &Config) -> Result<UrlConfig, Exit> {
    let targets = &config.targets;
    let Some(target) = targets.iter().find(|target| target.name == name) else {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        let shown = printable(name.as_bytes());
        complain(format_args!("there is no target `{shown}`\n  = there are: {}", names.join(", ")));
        return Err(Exit::Usage);
    };
    match &target.kind {
        TargetKind::Url(url) => {
            Ok(UrlConfig { url: address.cloned().unwrap_or_else(|| url.url.clone()), ..url.clone() })
        }
        TargetKind::Worker(_) => Err(refuse(name, "worker", "maildirq check --live boots it")),
        TargetKind::Command(_) => Err(refuse(name, "command", "run it with the message on its standard input")),
    }
}

/// A program gets its mail from a daemon, which holds the message as long as it works on it.
fn refuse(name: &str, what: &str, other: &str) -> Exit {
    complain(format_args!(
        "the target {name} is a {what}, and --target sends one request to a url\n  = try: maildirq send --to ADDR, by way of the queue; or {other}"
    ));
    Exit::Usage
}
