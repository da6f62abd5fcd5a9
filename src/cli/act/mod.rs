//! What `retry`, `bury` and `drop` have in common: which messages are meant, as they are at one moment, what is asked
//! before many are touched, and what came of it.

mod ask;
mod tell;

use super::config_file::{ConfigArg, become_owner_of_maildirs};
use super::select::{SHORT_ID, Wanted, handle, note_unknown_names, select, views};
use super::{Exit, complain, person, print};
use crate::config::Config;
use crate::engine::{State, States};
use crate::logging::{self, Format};
use crate::maildir::{Act, Acted, Operator, Record, Seen};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;
use tell::Account;
use tracing::Level;

/// Which messages are meant, and how to go about it.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Which {
    #[command(flatten)]
    pub file: ConfigArg,
    /// Messages (at least 6 characters of an id, the name or path of a file, a Message-ID), or a query
    #[arg(value_name = "ID|QUERY", required = true)]
    pub what: Vec<String>,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, however many they are
    #[arg(short, long)]
    pub yes: bool,
    /// Only print the ids of what was done
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    /// A line of JSON for each message
    #[arg(long)]
    pub json: bool,
}

/// A verb, and what it says.
pub struct Verb<'a> {
    /// What is done.
    pub act: Act,
    /// What the JSON calls it.
    pub name: &'static str,
    /// What the question calls it: `Retry`.
    pub title: &'static str,
    /// Said of one message, after its id.
    pub done: &'a dyn Fn(&Config, &str) -> String,
    /// Said of so many, after their number.
    pub all_done: &'a str,
    /// The states of which a query means messages that says nothing of states.
    pub usual: States,
}

/// A message that is to be acted on.
struct Chosen {
    record: Record,
    seen: Option<Seen>,
}

impl Chosen {
    /// What would come of it, as far as can be told beforehand.
    fn would(&self, verb: &Verb<'_>) -> Acted {
        match (&self.seen, verb.act.unfit_for(self.record.state)) {
            _ if self.record.state == State::Running => Acted::InHand,
            (None, _) => Acted::Changed,
            (Some(_), Some(why)) => Acted::Unfit(why),
            (Some(_), None) => Acted::Done,
        }
    }

    /// Its id. Where no maildirq had been there when it was looked for, it has got one by now.
    fn id(&self) -> Option<String> {
        self.record.id.or(self.seen.as_ref().map(Seen::id)).map(|id| id.to_string())
    }

    /// The beginning of its id, that people are shown.
    fn short(&self) -> String {
        self.id().map_or_else(|| handle(&self.record), |id| id.chars().take(SHORT_ID).collect())
    }
}

/// The word of the JSON for what came of it, and why it was left.
fn told_of(acted: Acted) -> (&'static str, &'static str) {
    match acted {
        Acted::Done => ("done", ""),
        Acted::InHand => ("in_hand", "a process works on it just now"),
        Acted::Changed => ("changed", "it has changed meanwhile"),
        Acted::Unfit(why) => ("unfit", why),
    }
}

/// Does it.
pub fn run(which: &Which, verb: &Verb<'_>) -> Exit {
    logging::start(Format::Text, Level::WARN);
    match act(which, verb) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn act(which: &Which, verb: &Verb<'_>) -> Result<Exit, Exit> {
    let config = which.file.read_places()?;
    act_with(which, verb, &config)
}

/// As [`run`], where the configuration is read already.
pub fn act_with(which: &Which, verb: &Verb<'_>, config: &Config) -> Result<Exit, Exit> {
    become_owner_of_maildirs(config)?;
    let as_of = SystemTime::now();
    let wanted = Wanted::parse(&which.what)?;
    if let Wanted::Matching(query) = &wanted {
        note_unknown_names(config, query);
    }
    let views = views(config, |queue| wanted.may_be_in(queue))?;
    let records = select(&views, &wanted, verb.usual).map_err(|exit| views.end(exit))?;
    if records.is_empty() {
        complain("no message matches\n  = try: maildirq list, with the same query");
        return Err(views.end(Exit::NoInput));
    }
    let mut operators = BTreeMap::new();
    let mut chosen = Vec::with_capacity(records.len());
    for record in records {
        let seen = operator(&mut operators, &record)?.see(&record.path());
        // The query was asked of what it was before.
        let seen = seen.map_err(|error| disk(&error))?.filter(|seen| !seen.has_changed_since(as_of));
        chosen.push(Chosen { record, seen });
    }
    if which.dry_run {
        print(ask::page(&chosen, as_of, usize::MAX, which, verb))?;
        let would_all = chosen.iter().all(|chosen| chosen.would(verb) == Acted::Done);
        return Ok(views.end(if would_all { Exit::Ok } else { Exit::No }));
    }
    if !ask::may_go_on(&chosen, as_of, which, verb)? {
        complain("nothing was done");
        return Ok(Exit::No);
    }
    let mut account = Account::new(which, verb, config, chosen.len());
    for one in &chosen {
        let acted = match (&one.seen, one.would(verb)) {
            // Whether it is still in hand is found out by its lock.
            (Some(seen), Acted::Done | Acted::InHand) => operator(&mut operators, &one.record)?.act(seen, &verb.act),
            (_, left) => Ok(left),
        };
        account.tell(one, acted)?;
    }
    for operator in operators.values_mut() {
        operator.sync().map_err(|error| disk(&error))?;
    }
    account.close().map(|exit| views.end(exit))
}

fn operator<'o>(operators: &'o mut BTreeMap<PathBuf, Operator>, record: &Record) -> Result<&'o mut Operator, Exit> {
    let path = record.view().path();
    if !operators.contains_key(path) {
        let operator = Operator::open(path, &person::name()).map_err(|error| {
            complain(&error);
            Exit::from(&error)
        })?;
        operators.insert(path.to_owned(), operator);
    }
    Ok(operators.get_mut(path).expect("it was just put there"))
}

fn disk(error: &io::Error) -> Exit {
    complain(error);
    Exit::Disk
}
