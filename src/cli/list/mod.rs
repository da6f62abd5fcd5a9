//! `list`: messages by state or query, by the files alone.

mod group;
mod listed;
mod page;
mod row;

pub use listed::{past, past_json};
pub use row::json;

use super::config_file::ConfigArg;
use super::select::{Views, matching, note_unknown_names, query, told, views};
use super::terminal::{ColourArg, Progress, Terminal, count, span};
use super::{Exit, print, say};
use crate::engine::{State, States};
use crate::query::Query;
use group::Groups;
use listed::Listed;
use page::{Page, Sort};
use std::io::{self, BufWriter, Write, stdout};

/// How many messages are shown to a person who did not say.
const PAGE: usize = 20;

/// List messages, by state or query
///
/// Works on the files alone, also while maildirq is stopped. Without a state it shows what is
/// new, running, retry and dead. All terms of a query must hold; - before one negates it:
///   state:dead target:app error:503 age:>2h tries:>=3 size:>5MB queue:billing id:k7f3
///   from:@example.com to:support+* subject:"printer on fire" kind:bounce has:attachment
/// A word without a field is looked for in from, to and subject.
///
/// At a terminal 20 messages are shown, behind a pipe all, in columns separated by tabs.
///
/// Exit code: 0 also when there is none · 64 the query makes no sense · 74 a Maildir cannot be
/// read; what is in the others is shown · 78 configuration.
///
/// Example: maildirq list retry target:app age:>1h
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(verbatim_doc_comment, override_usage = "maildirq list [-c FILE] [OPTIONS] [STATE] [QUERY]...")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// new, running, retry, dead, done, trash or opened; then terms of a query
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
    /// One line for each error and target, with how many messages have it
    #[arg(long)]
    group: bool,
    /// Show all of them
    #[arg(long, conflicts_with = "number")]
    all: bool,
    /// Show so many
    #[arg(short, value_name = "N")]
    number: Option<usize>,
    /// What comes first: age (the oldest), newest, next (due soonest), size, tries (the most)
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Print ids only
    #[arg(short, long, conflicts_with_all = ["json", "group"])]
    quiet: bool,
    /// Print one JSON object for each message
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    colour: ColourArg,
}

/// Lists.
pub fn run(args: &Args) -> Exit {
    list(args).unwrap_or_else(|exit| exit)
}

fn list(args: &Args) -> Result<Exit, Exit> {
    let (usual, query) = asked(&args.words)?;
    let config = args.file.read_places()?;
    note_unknown_names(&config, &query);
    let views = views(&config, |queue| query.may_be_in(queue))?;
    list_these(args, &views, &query, usual)?;
    Ok(views.end(Exit::Ok))
}

fn list_these(args: &Args, views: &Views, query: &Query, usual: States) -> Result<(), Exit> {
    let terminal = Terminal::of_stdout(args.colour.color);
    let most = match args.number {
        Some(number) => number,
        None if args.all || !terminal.is_terminal || args.quiet || args.json => usize::MAX,
        None => PAGE,
    };
    let mut progress = Progress::begin();
    let mut page = Page::new(most, args.sort);
    let mut groups = Groups::default();
    for record in matching(views, query, usual) {
        let record = record.map_err(|error| told(&error))?;
        progress.step();
        if args.group {
            groups.add(&record);
        } else {
            page.add(Listed::Here(record));
        }
    }
    let states = query.states().unwrap_or(usual);
    if states.contains(State::Done) && !args.group {
        past(views, query, |done| page.add(Listed::Gone(Box::new(done)))).map_err(|error| told(&error))?;
    }
    let cost = query.needs_mail().then(|| format!("searched in {}", span(progress.elapsed())));
    drop(progress);
    if args.group {
        return groups.print(&terminal, args.json, most, states);
    }
    let (total, oldest) = (page.total, page.oldest);
    let records = page.in_order();
    let shown = records.len();
    write(args, &terminal, records)?;
    if args.quiet || args.json || (!terminal.is_terminal && shown == total) {
        return Ok(());
    }
    let mut talk = vec![match total {
        0 => format!("no {} messages", words_of(states)),
        total => format!("{} {}", count(total as u64), words_of(states)),
    }];
    talk.extend(
        oldest.map(|oldest| format!("oldest {}", span(terminal.now.duration_since(oldest).unwrap_or_default()))),
    );
    if shown < total {
        talk.push(format!("showing {shown} (--all)"));
    }
    talk.extend(cost);
    say(talk.join(" · "));
    Ok(())
}

/// The states that are usual and the query that these words are: a state may stand first.
fn asked(words: &[String]) -> Result<(States, Query), Exit> {
    match words.split_first() {
        Some((first, rest)) if State::of_word(first).is_some() => {
            // A term as any other: all of them must hold.
            let state = format!("state:{first}");
            let words: Vec<_> = std::iter::once(&state).chain(rest).cloned().collect();
            Ok((States::OPEN, query(&words)?))
        }
        _ => Ok((States::OPEN, query(words)?)),
    }
}

fn words_of(states: States) -> String {
    if states == States::OPEN {
        return "open".into();
    }
    let words: Vec<_> = states.iter().map(State::word).collect();
    if words.is_empty() { "matching".into() } else { words.join(", ") }
}

fn write(args: &Args, terminal: &Terminal, records: Vec<Listed>) -> Result<(), Exit> {
    if !args.quiet && !args.json {
        let is_of_one_state = records.windows(2).all(|two| two[0].state() == two[1].state());
        if !records.is_empty() {
            return row::table(terminal, records, !is_of_one_state);
        }
        return Ok(());
    }
    let mut out = BufWriter::new(stdout().lock());
    let mut line = |listed: Listed| {
        if args.json { writeln!(out, "{}", listed.json()) } else { writeln!(out, "{}", listed.handle()) }
    };
    // Each is let go of when it is written, with what was read of it.
    let written = records.into_iter().try_for_each(&mut line).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            super::complain(format_args!("cannot write to standard output: {error}"));
            Err(Exit::Disk)
        }
        _ => Ok(()),
    }
}

/// Prints a text whole.
fn out(text: &str) -> Result<(), Exit> {
    print(text)
}
