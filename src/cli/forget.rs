//! `forget`: one person's traces.

use super::config_file::{ConfigArg, become_owner_of_maildirs};
use super::{Exit, complain, person, print, say};
use crate::engine::text::printable;
use crate::maildir::{Forgotten, Operator};
use crate::wire;
use serde_json::json;
use std::fmt::Write;
use std::io::{IsTerminal, Write as _, stderr, stdin};

/// Erase one person's traces
///
/// Removes dead, dropped and kept mail whose header names the address, with its
/// stories; writes over the address in stories of other mail, and takes lines that
/// name it out of the history. Waiting mail is left alone, and told of. Nothing comes back.
///
/// Exit code: 0 nothing is left · 1 something waits or is in hand, and was left ·
/// 64 nobody is there to be asked (see --yes) · 74 disk or permissions · 78 configuration.
///
/// Example: maildirq forget ada@example.com --dry-run
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq forget ADDRESS [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// The address, whole: each address of a person is forgotten by itself
    #[arg(value_name = "ADDRESS", value_parser = address)]
    address: String,
    /// Only say what there is
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// An object in JSON
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<String, String> {
    match text.trim_start_matches('<').trim_end_matches('>').split_once('@') {
        Some((name, host)) if !name.is_empty() && host.len() > 1 => Ok(format!("{name}@{host}")),
        _ => Err("an address looks like ada@example.com".into()),
    }
}

/// Forgets.
pub fn run(args: &Args) -> Exit {
    match forget(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn forget(args: &Args) -> Result<Exit, Exit> {
    let config = args.file.read_places()?;
    become_owner_of_maildirs(&config)?;
    let mut operators = Vec::new();
    let mut is_whole = true;
    for (place, _) in wire::places(&config).map_err(|error| open_failed(&error))? {
        match Operator::open(&place.path, &person::name()) {
            Ok(operator) => operators.push(operator),
            // What is in the others can be forgotten all the same.
            Err(error) => {
                complain(error);
                is_whole = false;
            }
        }
    }
    let exit = forget_by(args, &mut operators)?;
    Ok(if is_whole { exit } else { Exit::Disk })
}

fn forget_by(args: &Args, operators: &mut [Operator]) -> Result<Exit, Exit> {
    let found = forget_in_all(operators, &args.address, true)?;
    if args.dry_run {
        print(told(args, found))?;
        return Ok(end(found));
    }
    if !args.yes && found.messages + found.stories + found.history > 0 && !is_wanted(args, found)? {
        complain("nothing was done");
        return Ok(Exit::No);
    }
    let forgotten = forget_in_all(operators, &args.address, false)?;
    print(told(args, forgotten))?;
    Ok(end(forgotten))
}

/// How to end: the same for a dry run.
fn end(found: Forgotten) -> Exit {
    if found.waiting + found.in_hand > 0 { Exit::No } else { Exit::Ok }
}

fn forget_in_all(operators: &mut [Operator], address: &str, is_dry: bool) -> Result<Forgotten, Exit> {
    operators.iter_mut().try_fold(Forgotten::default(), |all, operator| {
        operator.forget(address, is_dry).map(|one| all.and(one)).map_err(|error| {
            complain(error);
            Exit::Disk
        })
    })
}

fn is_wanted(args: &Args, found: Forgotten) -> Result<bool, Exit> {
    let what = counts(found);
    if !stdin().is_terminal() || !stderr().is_terminal() {
        complain(format_args!("{what} would be erased, and nobody is here to be asked\n  = try: --yes, or --dry-run"));
        return Err(Exit::Usage);
    }
    say(format_args!("{}: {what}", printable(args.address.as_bytes())));
    let asked = write!(stderr(), "Erase that for good? [y/N] ").and_then(|()| stderr().flush());
    let mut answer = String::new();
    // A terminal that is gone says no.
    let answered = asked.and_then(|()| stdin().read_line(&mut answer));
    Ok(answered.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn told(args: &Args, found: Forgotten) -> String {
    let Forgotten { messages, stories, history, in_hand, waiting } = found;
    if args.json {
        let told = json!({
            "v": 1, "address": args.address, "dry_run": args.dry_run, "messages": messages, "stories": stories,
            "history": history, "in_hand": in_hand, "waiting": waiting,
        });
        return format!("{told}\n");
    }
    let address = printable(args.address.as_bytes());
    let mut text = if args.dry_run {
        format!("{address}: {}\n", counts(found))
    } else if end(found) == Exit::No {
        format!("{address} is not forgotten yet; erased: {}\n", counts(found))
    } else {
        format!("✓ {address} is forgotten: {}\n", counts(found))
    };
    if waiting > 0 {
        let _ = writeln!(text, "  {waiting} waiting, and left alone: they are still to be delivered");
    }
    if in_hand > 0 {
        let _ = writeln!(text, "  {in_hand} in hand just now, and left alone: try again");
    }
    text
}

fn counts(found: Forgotten) -> String {
    let count = |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    [
        count(found.messages, "kept message", "kept messages"),
        count(found.stories, "story of other mail", "stories of other mail"),
        count(found.history, "line of the history", "lines of the history"),
    ]
    .join(", ")
}

fn open_failed(error: &crate::maildir::OpenError) -> Exit {
    complain(error);
    Exit::from(error)
}
