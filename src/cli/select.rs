//! Which messages are meant: ids, names, paths and Message-IDs, or a query.

use super::list::past;
use super::{Exit, complain, say};
use crate::config::{Config, nearest as nearest_name};
use crate::engine::text::{printable, printable_within};
use crate::engine::{State, States};
use crate::maildir::{DoneMail, OpenError, Options, Record, View};
use crate::query::Query;
use crate::wire;
use std::ffi::OsStr;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// How much of an id is enough to mean it, in characters; and how much of it people are shown.
pub const SHORT_ID: usize = 6;
/// How many messages are named where several may be meant.
const CANDIDATES: usize = 10;

/// What a person asked for on the command line.
#[derive(Debug)]
pub enum Wanted {
    /// These messages, each of which must be there.
    Messages(Vec<String>),
    /// All that match.
    Matching(Query),
}

impl Wanted {
    /// What these words mean: a query, where one of them has a field, else messages.
    ///
    /// # Errors
    /// It makes no sense; it was told of, and this is how to end.
    pub fn parse(words: &[String]) -> Result<Self, Exit> {
        if words.iter().any(|word| Query::is_term(word)) {
            return query(words).map(Wanted::Matching);
        }
        Ok(Wanted::Messages(words.to_vec()))
    }

    /// Whether what is meant may be in this queue.
    pub fn may_be_in(&self, queue: &str) -> bool {
        match self {
            Wanted::Messages(_) => true,
            Wanted::Matching(query) => query.may_be_in(queue),
        }
    }
}

/// The query that these words are.
///
/// # Errors
/// It makes no sense; it was told of, and this is how to end.
pub fn query(words: &[String]) -> Result<Query, Exit> {
    Query::parse(words).map_err(|error| {
        complain(error);
        Exit::Usage
    })
}

/// The Maildirs that can be looked into.
#[derive(Debug)]
pub struct Views {
    there: Vec<Arc<View>>,
    are_all: bool,
}

impl Deref for Views {
    type Target = [Arc<View>];

    fn deref(&self) -> &[Arc<View>] {
        &self.there
    }
}

impl Views {
    /// How to end, where this would be how if nothing was left out.
    pub fn end(&self, exit: Exit) -> Exit {
        let hides_it = matches!(exit, Exit::Ok | Exit::No | Exit::NoInput);
        if hides_it && !self.are_all { Exit::Disk } else { exit }
    }
}

/// Tells of queues and targets that a query asks for and that are not in the configuration. It is no mistake: stories
/// tell of targets that are no more.
pub fn note_unknown_names(config: &Config, query: &Query) {
    unknown_names(config, query).iter().for_each(say);
}

fn unknown_names(config: &Config, query: &Query) -> Vec<String> {
    let queues: Vec<_> = config.queues.iter().map(|queue| queue.name.as_str()).collect();
    let targets: Vec<_> = config.targets.iter().map(|target| target.name.as_str()).collect();
    let note = |(field, name): (&str, &str)| {
        let known = if field == "queue" { &queues } else { &targets };
        if known.iter().any(|known| known.to_lowercase() == name) {
            return None;
        }
        let near = match nearest_name(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        Some(format!("note: the configuration has no {field} `{}`\n  = {near}", printable(name.as_bytes())))
    };
    query.names().filter_map(note).collect()
}

/// The Maildirs of these queues of a configuration. Those that cannot be looked into are told of and left out: one
/// disk that is not there must not hide what is on the others.
///
/// # Errors
/// The configuration makes no sense; it was told of, and this is how to end.
pub fn views(config: &Config, is_meant: impl Fn(&str) -> bool) -> Result<Views, Exit> {
    let (there, broken) = look_into(config, is_meant)?;
    broken.iter().for_each(complain);
    Ok(Views { there, are_all: broken.is_empty() })
}

/// As [`views`], and why those that are named cannot be looked into. Only what a glob has found is told of.
///
/// # Errors
/// As [`views`].
pub fn look_into(config: &Config, is_meant: impl Fn(&str) -> bool) -> Result<(Vec<Arc<View>>, Vec<OpenError>), Exit> {
    let (mut views, mut broken) = (Vec::new(), Vec::new());
    for (place, options) in wire::places(config).map_err(|error| told(&error))? {
        if !is_meant(&options.queue) {
            continue;
        }
        match view_of(&place.path, &options) {
            Ok(view) => views.push(view),
            Err(error) if place.was_found => complain(error),
            Err(error) => broken.push(error),
        }
    }
    Ok((views, broken))
}

fn view_of(path: &Path, options: &Options) -> Result<Arc<View>, OpenError> {
    let view = View::of(path, options)?;
    std::fs::read_dir(path.join("new")).map_err(|error| view.fault("new", error))?;
    Ok(view)
}

/// Tells of an error of a Maildir, and how to end.
pub fn told(error: &OpenError) -> Exit {
    complain(error);
    Exit::from(error)
}

/// All messages in these Maildirs that a query is about, in no order. Where it says nothing of states, they are in one
/// of `usual`.
pub fn matching<'a>(
    views: &'a [Arc<View>],
    query: &'a Query,
    usual: States,
) -> impl Iterator<Item = Result<Record, OpenError>> + 'a {
    let states = query.states().unwrap_or(usual);
    let lists = views.iter().flat_map(move |view| match view.records(states) {
        Ok(records) => Box::new(records) as Box<dyn Iterator<Item = _>>,
        Err(error) => Box::new(std::iter::once(Err(error))),
    });
    lists.filter(|record| record.as_ref().map_or(true, |record| query.matches(record)))
}

/// The messages that are meant, each once, the oldest first. Where a query says nothing of states, they are in one of
/// `usual`. Where messages are named, they may be in any state.
///
/// # Errors
/// A named one is not there, or may be one of several, or a Maildir cannot be read; it was told of, and this is how to
/// end.
pub fn select(views: &[Arc<View>], wanted: &Wanted, usual: States) -> Result<Vec<Record>, Exit> {
    let mut found = match wanted {
        Wanted::Matching(query) => matching(views, query, usual)
            .map(|record| record.map(Record::without_text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| told(&error))?,
        Wanted::Messages(names) => named(views, names)?,
    };
    found.sort_by(|a, b| (a.arrived(), a.name()).cmp(&(b.arrived(), b.name())));
    found.dedup_by(|a, b| a.path() == b.path());
    Ok(found)
}

/// The one message that is meant.
///
/// # Errors
/// As for [`select`].
pub fn one(views: &[Arc<View>], name: &str) -> Result<Record, Exit> {
    one_if_any(views, name)?.ok_or_else(|| nothing(views, name))
}

/// The one message that is meant, if there is one.
///
/// # Errors
/// It may be one of several, or a Maildir cannot be read; it was told of, and this is how to end.
pub fn one_if_any(views: &[Arc<View>], name: &str) -> Result<Option<Record>, Exit> {
    let mut found = meant(views, &[name.to_owned()])?;
    Ok(found.pop().flatten())
}

fn named(views: &[Arc<View>], names: &[String]) -> Result<Vec<Record>, Exit> {
    let found = meant(views, names)?;
    found.into_iter().zip(names).map(|(found, name)| found.ok_or_else(|| nothing(views, name))).collect()
}

/// What each of these names means, if anything.
fn meant(views: &[Arc<View>], names: &[String]) -> Result<Vec<Option<Record>>, Exit> {
    let mut found = candidates(views, names).map_err(|error| told(&error))?;
    let mut meant = Vec::new();
    for (name, candidates) in names.iter().zip(&mut found) {
        // A message that changed its folder meanwhile was seen twice.
        candidates.sort_by_key(|record| record.id);
        if candidates.len() > 1 && candidates.iter().all(|record| record.id.is_some() && record.id == candidates[0].id)
        {
            candidates.retain(Record::is_in_place);
            candidates.truncate(1);
        }
        match candidates.len() {
            0 | 1 => meant.push(candidates.pop()),
            _ => return Err(ambiguous(name, candidates)),
        }
    }
    Ok(meant)
}

/// What each name may mean. Headers are read only for what looks like a Message-ID and is no file.
fn candidates(views: &[Arc<View>], names: &[String]) -> Result<Vec<Vec<Record>>, OpenError> {
    let mut found: Vec<Vec<Record>> = names.iter().map(|_| Vec::new()).collect();
    let mut look = |is_meant: &dyn Fn(&Record, &str) -> bool, is_open: &dyn Fn(&str, bool) -> bool| {
        let open: Vec<bool> =
            names.iter().zip(&found).map(|(name, candidates)| is_open(name, candidates.is_empty())).collect();
        if !open.contains(&true) {
            return Ok(());
        }
        for view in views {
            for record in view.records(States::ALL)? {
                let record = record?;
                for (place, name) in names.iter().enumerate().filter(|(place, _)| open[*place]) {
                    if is_meant(&record, name) {
                        found[place].push(record.clone());
                    }
                }
            }
        }
        Ok(())
    };
    look(&is_called, &|_, _| true)?;
    look(&has_message_id, &|name, is_unknown| is_unknown && name.contains('@') && !name.contains('/'))?;
    Ok(found)
}

fn is_called(record: &Record, name: &str) -> bool {
    if name.contains('/') {
        return record.path() == Path::new(name)
            || Path::new(name).file_name() == Some(record.name())
                && Path::new(name)
                    .canonicalize()
                    .is_ok_and(|path| record.path().canonicalize().is_ok_and(|ours| ours == path));
    }
    let is_id = name.len() >= SHORT_ID && record.id.is_some_and(|id| id.to_string().starts_with(&*name.to_lowercase()));
    is_id || record.name() == name || without_flags(record.name()) == name
}

fn without_flags(name: &OsStr) -> &OsStr {
    let bytes = name.as_bytes();
    let end = bytes.windows(3).position(|part| part == b":2,").unwrap_or(bytes.len());
    OsStr::from_bytes(&bytes[..end])
}

fn has_message_id(record: &Record, wanted: &str) -> bool {
    let bare = |id: &str| id.trim_matches(['<', '>', ' ']).to_owned();
    record.summary().message_id.as_deref().is_some_and(|id| bare(id) == bare(wanted))
}

/// The beginning of an id that people are shown.
pub fn short_id(record: &Record) -> String {
    record.id.map_or_else(|| "-".repeat(SHORT_ID), |id| id.to_string()[..SHORT_ID].to_owned())
}

/// What names it in a command: the beginning of its id, or its file's name where it has no id yet.
pub fn handle(record: &Record) -> String {
    match record.id {
        Some(_) => short_id(record),
        None => printable_within(without_flags(record.name()).as_bytes(), usize::MAX),
    }
}

/// The done mail of these Maildirs that this may name and that only the history tells of.
///
/// # Errors
/// A history cannot be read.
pub fn past_meant(views: &[Arc<View>], name: &str) -> Result<Vec<DoneMail>, OpenError> {
    let wanted = name.to_lowercase();
    let bare = name.trim_matches(['<', '>']);
    let is_meant = |done: &DoneMail| {
        let is_id = wanted.len() >= SHORT_ID && done.id.starts_with(&wanted);
        is_id || done.name == name || done.message_id.as_deref().is_some_and(|id| id.trim_matches(['<', '>']) == bare)
    };
    let mut found: Vec<DoneMail> = Vec::new();
    let keep = |done: DoneMail| {
        if is_meant(&done) && found.iter().all(|other| other.id != done.id) {
            found.push(done);
        }
    };
    past(views, &Query::default(), keep)?;
    Ok(found)
}

fn ambiguous(name: &str, candidates: &[Record]) -> Exit {
    let mut lines: String = candidates.iter().take(CANDIDATES).map(candidate).collect();
    if let Some(more) = candidates.len().checked_sub(CANDIDATES).filter(|more| *more > 0) {
        lines.push_str(&format!("\n  and {more} more"));
    }
    complain(format_args!("`{}` may be any of these:{lines}", printable(name.as_bytes())));
    Exit::Usage
}

fn candidate(record: &Record) -> String {
    let id = record.id.map_or_else(|| "without an id".into(), |id| id.to_string());
    let path = printable_within(record.path().as_os_str().as_encoded_bytes(), usize::MAX);
    format!("\n  {id}  {}  {:<7}  {path}", record.queue(), record.state)
}

/// Says that there is no such message, that it is done, or which may have been meant; how to end.
pub fn nothing(views: &[Arc<View>], name: &str) -> Exit {
    // A history that cannot be read is told of by show.
    if let [done] = &past_meant(views, name).unwrap_or_default()[..] {
        let shown = |text: &str| printable(text.as_bytes());
        complain(format_args!(
            "`{}` is done: {} took it at {}\n  = try: maildirq show {}",
            shown(name),
            shown(&done.target),
            shown(&done.at),
            shown(&done.id)
        ));
        return Exit::NoInput;
    }
    let states: Vec<_> = State::ALL.iter().map(|state| state.word()).collect();
    let mut text = format!("no message matches `{}`\n  = searched: {}", printable(name.as_bytes()), states.join(", "));
    for view in views.iter().take(CANDIDATES) {
        text.push_str(&format!("\n              of {}", printable(view.path().as_os_str().as_bytes())));
    }
    if views.len() > CANDIDATES {
        text.push_str(&format!("\n              and of {} more", views.len() - CANDIDATES));
    }
    let near = nearest(views, name);
    for record in &near {
        let subject = record.summary().subject.as_deref().unwrap_or_default();
        let subject = printable_within(subject.as_bytes(), 60);
        text.push_str(&format!("\n  = near:     {} ({}, \"{subject}\")", short_id(record), record.state));
    }
    match near.first() {
        Some(record) => text.push_str(&format!("\n  = try:      maildirq show {}", short_id(record))),
        None => text.push_str(
            "\n  = try:      at least 6 characters of an id, the name or path of a file, a Message-ID, or a query as state:dead",
        ),
    }
    complain(text);
    Exit::NoInput
}

/// Messages whose ids begin almost like this.
fn nearest(views: &[Arc<View>], name: &str) -> Vec<Record> {
    let wanted: String = name.to_lowercase().chars().take(SHORT_ID).collect();
    if !(4..=26).contains(&name.len()) || !name.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return Vec::new();
    }
    let is_near = |record: &Record| {
        let id = record.id.map(|id| id.to_string());
        // One letter wrong, left out, doubled, or two of them swapped.
        id.is_some_and(|id| strsim::damerau_levenshtein(&id[..wanted.len()], &wanted) <= 1)
    };
    let records = views.iter().filter_map(|view| view.records(States::ALL).ok()).flatten().flatten();
    records.filter(is_near).take(3).collect()
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
