//! What happened to a message, event by event.

use super::super::terminal::{Column, Terminal, span, time_of_day, whole_time};
use crate::engine::text::printable_within;
use crate::maildir::{Chapter, Tale, What};
use serde_json::{Value, json as object};

/// The longest reason that a story keeps, in characters.
const WHOLE: usize = 512;

/// All of them as a table, those before the present life apart.
pub(super) fn table(tale: &Tale, terminal: &Terminal) -> String {
    let columns = [Column::numbers("  try"), Column::words("when"), Column::numbers("took"), Column::text("outcome")];
    let rows: Vec<_> = tale.chapters.iter().map(|chapter| row(chapter, terminal)).collect();
    terminal.table(&columns, &rows)
}

fn row(chapter: &Chapter, terminal: &Terminal) -> Vec<String> {
    let number = if chapter.is_attempt() { chapter.attempt.to_string() } else { "-".into() };
    let when = if terminal.is_terminal { time_of_day(chapter.at, terminal.now) } else { whole_time(chapter.at) };
    let took = if chapter.is_attempt() { span(chapter.took) } else { "-".into() };
    vec![number, when, took, outcome(chapter)]
}

fn outcome(chapter: &Chapter) -> String {
    let reason = printable_within(chapter.reason.as_bytes(), WHOLE);
    let said = match chapter.what {
        What::Failed => reason,
        What::Died if reason.is_empty() => "set aside".into(),
        What::Died => format!("{reason} · set aside"),
        What::Crashed => "a process died while it read the message".into(),
        What::Asked if reason.is_empty() => "somebody asked for it again".into(),
        What::Asked => format!("somebody asked for it again: {reason}"),
        What::Dropped if reason.is_empty() => "somebody dropped it".into(),
        What::Dropped => format!("somebody dropped it: {reason}"),
        What::Other => format!("(an event of a later version) {reason}"),
    };
    let is_free = chapter.what == What::Failed && !chapter.is_charged;
    if is_free { format!("{said} · not charged") } else { said }
}

/// All that is known of one, for a person.
pub(super) fn sheet(chapter: &Chapter, terminal: &Terminal) -> String {
    let when = format!(
        "{} ({} ago)",
        whole_time(chapter.at),
        span(terminal.now.duration_since(chapter.at).unwrap_or_default())
    );
    let mut lines = vec![
        ("try", chapter.attempt.to_string()),
        ("when", when),
        ("target", printable_within(chapter.target.as_bytes(), WHOLE)),
        ("took", span(chapter.took)),
        ("status", chapter.status.map_or_else(|| "-".into(), |status| status.to_string())),
        ("reason", printable_within(chapter.reason.as_bytes(), WHOLE)),
        ("charged", if chapter.is_charged { "yes".into() } else { "no: it was not this message's fault".into() }),
    ];
    lines.extend(chapter.due.map(|due| ("next", whole_time(due))));
    lines.into_iter().map(|(name, value)| format!("{name:<9}{value}\n")).collect()
}

/// The same for a program.
pub(super) fn json(chapter: &Chapter) -> Value {
    object!({
        "v": 1,
        "at": whole_time(chapter.at),
        "event": chapter.what.word(),
        "try": chapter.attempt,
        "target": Some(&chapter.target).filter(|target| !target.is_empty()),
        "status": chapter.status,
        "seconds": chapter.took.as_secs_f64(),
        "charged": chapter.is_charged,
        "due": chapter.due.map(whole_time),
        "reason": chapter.reason,
    })
}
