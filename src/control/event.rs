//! One thing that happened.

use crate::engine::text::{printable, rfc3339};
use crate::engine::{Attempt, Burial, Health, Message, Settlement};
use crate::mail::decode_text;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// One thing that happened, as `tail` tells it. All text in it is fit to be shown. Fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The version of the line.
    pub v: u32,
    /// When, RFC 3339.
    pub at: String,
    /// What: `received` (a message is given to a target for the first time), `done`, `retry`, `dead`, `target_down`,
    /// `target_recovering`, `target_up`, `paused`, `resumed`, or `missed` (so many lines, for this reader is too slow).
    pub event: String,
    /// The message's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The state that the message is in now: `new`, `retry`, `dead` or `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The route, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The file name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The envelope's sender; empty for a bounce's `<>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The envelope's recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The subject, decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The length of the message in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The number of the attempt, from 1.
    #[serde(rename = "try", skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How the target answered, where it did by a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the attempt took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<f64>,
    /// How long after its arrival the message was done, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<f64>,
    /// When the message is tried again, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many, of lines that were missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Event {
    fn new(event: &str, at: SystemTime) -> Self {
        Event { v: super::VERSION, at: rfc3339(at), event: event.to_owned(), ..Event::default() }
    }

    fn of(event: &str, message: &Message, at: SystemTime) -> Self {
        Event {
            id: Some(message.id.to_string()),
            queue: Some(message.queue.to_string()),
            route: Some(message.route.to_string()).filter(|route| !route.is_empty()),
            file: Some(message.name.clone()),
            from: message.envelope.from.clone(),
            to: message.envelope.to.clone(),
            subject: message.header().get("subject").map(|value| printable(decode_text(value).as_bytes())),
            attempt: Some(message.attempt()),
            ..Event::new(event, at)
        }
    }

    /// A message is given to a target for the first time.
    pub(super) fn received(message: &Message, target: &str, at: SystemTime) -> Self {
        let (size, state) = (Some(message.body.len()), Some("new".into()));
        Event { size, state, target: Some(target.to_owned()), ..Event::of("received", message, at) }
    }

    /// An attempt has ended. None where nothing was attempted.
    pub(super) fn ended(attempt: &Attempt<'_>) -> Option<Self> {
        if !attempt.was_made() {
            return None;
        }
        let Attempt { message, target, outcome, settlement, took, at } = *attempt;
        let (event, due, reason) = match settlement {
            Settlement::Done => ("done", None, None),
            Settlement::Retry { due, note, .. } => ("retry", Some(rfc3339(*due)), Some(note.reason.clone())),
            Settlement::Dead { note } => ("dead", None, Some(note.reason.clone())),
            // It is tried again when the target takes mail again.
            Settlement::Park { .. } | Settlement::Release => ("retry", None, Some(outcome.reason().to_owned())),
        };
        Some(Event {
            state: Some(event.to_owned()),
            target: Some(target.to_owned()),
            status: outcome.status(),
            took: Some(seconds(took)),
            waited: (event == "done").then(|| seconds(message.waited(at))),
            due,
            reason,
            ..Event::of(event, message, at)
        })
    }

    /// A message has come to no target.
    pub(super) fn astray(event: &str, message: &Message, reason: Option<&str>, at: SystemTime) -> Self {
        let (state, reason) = (Some(event.to_owned()), reason.map(str::to_owned));
        let waited = (event == "done").then(|| seconds(message.waited(at)));
        Event { state, waited, reason, ..Event::of(event, message, at) }
    }

    /// The queue has set a message aside.
    pub(super) fn buried(burial: &Burial<'_>) -> Self {
        Event {
            id: Some(burial.id.to_string()),
            state: Some("dead".into()),
            queue: Some(burial.queue.to_owned()),
            file: Some(burial.name.to_owned()),
            reason: Some(printable(burial.reason.as_bytes())),
            ..Event::new("dead", burial.at)
        }
    }

    /// A target's health has changed.
    pub(super) fn health(target: &str, health: Health, reason: &str, at: SystemTime) -> Self {
        let event = match health {
            Health::Down => "target_down",
            Health::Recovering => "target_recovering",
            Health::Up => "target_up",
        };
        let reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty() && health == Health::Down);
        Event { target: Some(target.to_owned()), reason, ..Event::new(event, at) }
    }

    /// A person has paused a target, or has let go of it.
    pub(super) fn paused(queue: &str, target: &str, is_paused: bool, at: SystemTime) -> Self {
        let event = if is_paused { "paused" } else { "resumed" };
        Event { queue: Some(queue.to_owned()), target: Some(target.to_owned()), ..Event::new(event, at) }
    }

    /// So many lines are missing here.
    pub(super) fn missed(count: u64) -> Self {
        Event { count: Some(count), ..Event::new("missed", SystemTime::now()) }
    }

    /// As a line.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).expect("it holds nothing that JSON cannot") + "\n"
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
