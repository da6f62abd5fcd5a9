//! `deliver`: be an MDA.
//!
//! An MTA turns exit codes into bounces, and each one its own way: 75 is the only one that all of
//! them take for *try again*, 77 the only one that all take for *never*. So nothing else may come
//! out of here but 0, whatever happens: a wrong flag, a panic, a full disk.

use super::{Exit, say};
use crate::config::parse_size;
use crate::maildir::{Delivery, Place, Refusal, become_owner, deliver};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::stdin;
use std::path::PathBuf;
use std::sync::Arc;

/// Take one message on stdin into a Maildir
///
/// For .qmail, Postfix pipe(8), procmail, Sieve, fetchmail. Reads no configuration.
///
/// Exit code: 0 delivered and synced to disk · 75 not now, try again · 77 larger than
/// --max-size. Never anything else. The first line of output begins with an enhanced
/// status code (RFC 3463), as Postfix wants it.
///
/// Example: maildirq deliver -f "$SENDER" -r "$RECIPIENT" /var/lib/maildirq/support
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq deliver [-f SENDER] [-r RECIPIENT] [--max-size SIZE] PATH")]
pub struct Args {
    /// Envelope sender; adds Return-Path where the message has none
    #[arg(short = 'f', value_name = "SENDER", allow_hyphen_values = true)]
    sender: Option<String>,
    /// Envelope recipient; adds Delivered-To where the message has none
    #[arg(short = 'r', value_name = "RECIPIENT", allow_hyphen_values = true)]
    recipient: Option<String>,
    /// Refuse larger messages for good (exit 77)
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// Maildir
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[derive(Parser)]
#[command(name = "maildirq deliver", version)]
struct Alone {
    #[command(flatten)]
    args: Args,
}

/// Whether these arguments call for a delivery. Looked at before anything can go wrong.
pub fn is_meant_by(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|verb| verb == "deliver")
}

/// Delivers, with exit codes that bounce no mail.
pub fn main(arguments: Vec<OsString>) -> Exit {
    std::panic::set_hook(Box::new(|panic| {
        say(format_args!("4.3.0 maildirq: a bug: {panic}"));
        std::process::exit(75);
    }));
    // An MTA may limit the size of files. That is to be an error of write(2), not the end.
    if let Err(error) = signal_hook::flag::register(libc::SIGXFSZ, Arc::default()) {
        say(format_args!("4.3.0 maildirq: {error}"));
        return Exit::TempFail;
    }
    let own = arguments.into_iter().skip(1);
    match Alone::try_parse_from(own) {
        Ok(Alone { args }) => run(&args),
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // A reader that has gone away wants no more.
            let _ = help.print();
            Exit::Ok
        }
        Err(error) => {
            let text = error.to_string();
            // All up to the blank line is what is wrong; an MTA keeps only one line of it.
            let wrong = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
            let wrong = wrong.collect::<Vec<_>>().join(" ");
            let wrong = wrong.trim_start_matches("error: ");
            say(format_args!("4.3.5 maildirq: {wrong}; see 'maildirq deliver --help'"));
            Exit::TempFail
        }
    }
}

/// Delivers what is on standard input.
pub fn run(args: &Args) -> Exit {
    let delivery = Delivery { sender: args.sender.clone(), recipient: args.recipient.clone(), max_size: args.max_size };
    if let Err(error) = become_owner(&[Place { path: args.path.clone(), was_found: false }], &[]) {
        say(format_args!("4.3.0 maildirq: {error}"));
        return Exit::TempFail;
    }
    match deliver(&args.path, &delivery, stdin().lock()) {
        Ok(_) => Exit::Ok,
        Err(refusal @ Refusal::TooLarge { .. }) => {
            say(format_args!("5.3.4 maildirq: {refusal}"));
            Exit::NoPermission
        }
        Err(refusal) => {
            say(format_args!("4.3.0 maildirq: {refusal}"));
            Exit::TempFail
        }
    }
}
