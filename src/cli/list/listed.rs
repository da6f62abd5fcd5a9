//! What a listing is made of: messages that are there, and done ones that only the history tells of.

use super::super::terminal::whole_time;
use super::row;
use crate::engine::{State, States};
use crate::mail::Kind;
use crate::maildir::{DoneMail, OpenError, Record, View, read_history};
use crate::query::{Facts, Query};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// One line of a listing.
#[derive(Debug)]
pub enum Listed {
    /// A message whose file is there.
    Here(Record),
    /// One that its target has, and that is gone.
    Gone(Box<DoneMail>),
}

impl Listed {
    /// When it came.
    pub fn arrived(&self) -> SystemTime {
        match self {
            Listed::Here(record) => record.arrived(),
            Listed::Gone(done) => time(&done.arrived).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }

    /// When it is tried again.
    pub fn due(&self) -> Option<SystemTime> {
        match self {
            Listed::Here(record) => record.due().filter(|_| record.state == State::Retry),
            Listed::Gone(_) => None,
        }
    }

    /// How many attempts were made.
    pub fn tries(&self) -> u32 {
        match self {
            Listed::Here(record) => record.tale().tries(),
            Listed::Gone(done) => done.attempt,
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Listed::Here(record) => record.size().unwrap_or_default(),
            Listed::Gone(done) => done.size,
        }
    }

    /// The bytes of its name.
    pub fn name(&self) -> &[u8] {
        match self {
            Listed::Here(record) => record.name().as_encoded_bytes(),
            Listed::Gone(done) => done.name.as_bytes(),
        }
    }

    /// Its state.
    pub fn state(&self) -> State {
        match self {
            Listed::Here(record) => record.state,
            Listed::Gone(_) => State::Done,
        }
    }

    /// What names it on a line of its own: its id, or its path where it has none.
    pub fn handle(&self) -> String {
        match self {
            Listed::Here(record) => record.id.map_or_else(|| record.path().display().to_string(), |id| id.to_string()),
            Listed::Gone(done) => done.id.clone(),
        }
    }

    /// It, for a program.
    pub fn json(&self) -> Value {
        match self {
            Listed::Here(record) => row::json(record),
            Listed::Gone(done) => past_json(done),
        }
    }

    /// The same, without what was read of it: that is read again when it is asked for.
    #[must_use]
    pub fn without_text(self) -> Self {
        match self {
            Listed::Here(record) => Listed::Here(record.without_text()),
            gone @ Listed::Gone(_) => gone,
        }
    }
}

/// Passes on the done mail of these Maildirs that only the history tells of, as far as it matches.
///
/// # Errors
/// A history cannot be read.
pub fn past(views: &[Arc<View>], query: &Query, mut visit: impl FnMut(DoneMail)) -> Result<(), OpenError> {
    let done: States = [State::Done].into_iter().collect();
    for view in views {
        let kept: HashSet<String> =
            view.records(done)?.flatten().filter_map(|record| record.id).map(|id| id.to_string()).collect();
        let mut look = |done: DoneMail| {
            if query.matches(&done) && !kept.contains(&done.id) {
                visit(done);
            }
            ControlFlow::Continue(())
        };
        let read: io::Result<()> = read_history(view.path(), &mut look);
        read.map_err(|error| view.fault("maildirq/history", error))?;
    }
    Ok(())
}

/// Done mail, for a program: the fields of every message, and when it was done.
pub fn past_json(done: &DoneMail) -> Value {
    json!({
        "v": 1,
        "id": done.id,
        "state": State::Done.word(),
        "queue": done.queue,
        "file": null,
        "arrived": done.arrived,
        "size": done.size,
        "envelope_from": done.from,
        "envelope_to": done.to,
        "from": null,
        "to": null,
        "subject": done.subject,
        "message_id": done.message_id,
        "kind": null,
        "target": done.target,
        "tries": done.attempt,
        "due": null,
        "error": null,
        "status": done.status,
        "first_failure": null,
        "last_failure": null,
        "done": time(&done.at).map(whole_time),
        "seconds": Duration::from_millis(done.ms).as_secs_f64(),
    })
}

/// A time of the history; None for what is none.
pub fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

impl Facts for DoneMail {
    fn state(&self) -> State {
        State::Done
    }

    fn id(&self) -> Option<String> {
        Some(self.id.clone())
    }

    fn queue(&self) -> &str {
        &self.queue
    }

    fn age(&self) -> Option<Duration> {
        Some(SystemTime::now().duration_since(time(&self.arrived)?).unwrap_or_default())
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn tries(&self) -> Option<u32> {
        Some(self.attempt)
    }

    fn target(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn error(&self) -> Option<&str> {
        None
    }

    fn from(&self) -> Vec<&str> {
        self.from.iter().map(String::as_str).collect()
    }

    fn to(&self) -> Vec<&str> {
        self.to.iter().map(String::as_str).collect()
    }

    fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    fn kind(&self) -> Option<Kind> {
        None
    }

    fn has_attachment(&self) -> Option<bool> {
        None
    }
}
