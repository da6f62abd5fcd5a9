//! What is to be explained: messages from files, from standard input, or from a Maildir.

use super::super::select::{one, views};
use super::super::{Exit, complain, mail};
use super::Args;
use crate::config::{Config, Queue};
use crate::engine::text::printable;
use crate::engine::{Id, Message, Route};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One message, and what it is called.
pub struct Subject {
    /// What it was given as.
    pub given: PathBuf,
    /// The name by which it is told of among others, and fit to be shown.
    pub label: String,
    /// The message.
    pub message: Message,
    /// The target that somebody has chosen for it, whatever the routes say.
    pub chosen: Option<String>,
    /// Which of the routes it would take.
    taken: Option<usize>,
}

impl Subject {
    /// Finds out which of the routes it would take.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(given: PathBuf, message: Message, routes: &[Route]) -> io::Result<Self> {
        let taken = Route::first_for(routes, &message)?;
        let taken = taken.and_then(|taken| routes.iter().position(|route| std::ptr::eq(route, taken)));
        Ok(Subject { given, label: String::new(), message, chosen: None, taken })
    }

    /// The one of these routes that it would take.
    pub fn route<'a>(&self, routes: &'a [Route]) -> Option<&'a Route> {
        self.taken.map(|taken| &routes[taken])
    }
}

/// All that were given and can be had. Those that cannot were told of; how to end for their sake stands
/// beside.
///
/// # Errors
/// None can be had, or the flags make no sense; it was told of, and this is how to end.
pub fn all(args: &Args, config: &Config) -> Result<(Vec<Subject>, Option<Exit>), Exit> {
    if args.mail.iter().filter(|given| *given == mail::STDIN).count() > 1 {
        complain("standard input can be read only once");
        return Err(Exit::Usage);
    }
    let usual = mail::queue(config, args.queue.as_deref())?;
    let mut subjects = Vec::new();
    let mut failed = None;
    for given in &args.mail {
        let read = locate(given, args, config, usual).and_then(|Found { path, queue, known, chosen }| {
            let mail = mail::read(&path)?;
            let mut message = mail::message(mail, queue, args.from.as_deref(), args.to.as_deref());
            if let Some((id, arrived)) = known {
                message = Message { id, arrived, ..message };
            }
            let subject = Subject::new(given.into(), message, &config.routes).map_err(|error| {
                complain(format_args!("cannot read {}: {error}", mail::shown(&path)));
                Exit::NoInput
            })?;
            Ok(Subject { chosen, ..subject })
        });
        match read {
            Ok(subject) => subjects.push(subject),
            Err(exit) => failed = failed.or(Some(exit)),
        }
    }
    label(&mut subjects);
    match failed {
        Some(exit) if subjects.is_empty() => Err(exit),
        failed => Ok((subjects, failed)),
    }
}

/// Files go by their names alone, where those are not the same.
fn label(subjects: &mut [Subject]) {
    let name = |subject: &Subject| subject.given.file_name().unwrap_or(subject.given.as_os_str()).to_owned();
    let mut names: Vec<_> = subjects.iter().map(name).collect();
    names.sort();
    let are_unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    for subject in subjects {
        let label = if are_unique { name(subject) } else { subject.given.clone().into() };
        subject.label = printable(label.as_encoded_bytes());
    }
}

/// What was found of a message.
struct Found<'a> {
    path: PathBuf,
    /// The queue whose rules it is read by.
    queue: &'a Queue,
    /// Its id and when it came, of one that lies in a queue.
    known: Option<(Id, SystemTime)>,
    /// The target that somebody has chosen for it.
    chosen: Option<String>,
}

fn locate<'a>(given: &str, args: &Args, config: &'a Config, usual: &'a Queue) -> Result<Found<'a>, Exit> {
    let path = Path::new(given);
    if given == mail::STDIN || path.exists() || given.contains('/') {
        return Ok(Found { path: path.to_owned(), queue: usual, known: None, chosen: None });
    }
    let record = one(&views(config, |queue| args.queue.as_deref().is_none_or(|meant| meant == queue))?, given)?;
    let known = record.id.map(|id| (id, record.arrived()));
    let chosen = record.tale().chosen_target().map(str::to_owned);
    Ok(Found { path: record.path(), queue: mail::queue(config, Some(record.queue()))?, known, chosen })
}
