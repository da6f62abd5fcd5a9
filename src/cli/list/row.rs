//! A message as one line: of a table, or as an object.

use super::super::Exit;
use super::super::select::{SHORT_ID, short_id};
use super::super::terminal::{Column, Terminal, Tone, whole_time};
use super::listed::{Listed, time};
use super::out;
use crate::engine::State;
use crate::engine::text::printable;
use crate::maildir::{Chapter, DoneMail, Record, Summary};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Prints these as a table.
///
/// # Errors
/// It cannot be written; it was told of, and this is how to end.
pub(super) fn table(terminal: &Terminal, records: Vec<Listed>, with_state: bool) -> Result<(), Exit> {
    let mut columns = vec![Column::words("ID")];
    if with_state {
        columns.push(Column::words("STATE"));
    }
    columns.extend([
        Column::numbers(if terminal.is_terminal { "AGE" } else { "ARRIVED" }),
        Column::text("FROM"),
        Column::text("SUBJECT"),
        Column::words("TARGET"),
        Column::numbers("TRY"),
        Column::numbers("NEXT"),
        Column::text("LAST ERROR"),
    ]);
    let states: Vec<_> = records.iter().map(Listed::state).collect();
    // Each is let go of when it is a row.
    let rows: Vec<_> = records.into_iter().map(|record| row(terminal, &record, with_state)).collect();
    let text = terminal.table(&columns, &rows);
    let mut painted = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        let state = number.checked_sub(1).and_then(|place| states.get(place));
        let line = match state {
            Some(State::Dead) => terminal.paint(Tone::Bad, line),
            Some(State::Retry) => terminal.paint(Tone::Warning, line),
            _ => line.to_owned(),
        };
        painted.push_str(&line);
        painted.push('\n');
    }
    out(&painted)
}

fn row(terminal: &Terminal, listed: &Listed, with_state: bool) -> Vec<String> {
    match listed {
        Listed::Here(record) => row_of_record(terminal, record, with_state),
        Listed::Gone(done) => row_of_past(terminal, done, with_state),
    }
}

/// Of what is done and gone.
fn row_of_past(terminal: &Terminal, done: &DoneMail, with_state: bool) -> Vec<String> {
    let shown = |text: &str| printable(text.as_bytes());
    let from =
        done.from.as_deref().map_or_else(String::new, |from| if from.is_empty() { "<>".into() } else { shown(from) });
    let id = if terminal.is_terminal { done.id.chars().take(SHORT_ID).collect() } else { done.id.clone() };
    let mut row = vec![shown(&id)];
    if with_state {
        row.push(format!("{} {}", State::Done.sign(), State::Done));
    }
    row.extend([
        time(&done.arrived).map_or_else(|| "-".into(), |arrived| terminal.since(arrived)),
        from,
        done.subject.as_deref().map_or_else(String::new, shown),
        shown(&done.target),
        done.attempt.to_string(),
        "-".into(),
        String::new(),
    ]);
    row
}

fn row_of_record(terminal: &Terminal, record: &Record, with_state: bool) -> Vec<String> {
    let shown = |text: &str| printable(text.as_bytes());
    let (summary, tale) = (record.summary(), record.tale());
    let id = match record.id {
        Some(id) if !terminal.is_terminal => id.to_string(),
        _ => short_id(record),
    };
    let mut row = vec![id];
    if with_state {
        row.push(format!("{} {}", record.state.sign(), record.state));
    }
    let due = record.due().filter(|_| record.state == State::Retry);
    row.extend([
        terminal.since(record.arrived()),
        summary
            .author()
            .as_deref()
            .map_or_else(String::new, |author| if author.is_empty() { "<>".into() } else { shown(author) }),
        summary.subject.as_deref().map_or_else(String::new, shown),
        tale.target().map_or_else(|| "-".into(), shown),
        if tale.tries() > 0 { tale.tries().to_string() } else { "-".into() },
        due.map_or_else(|| "-".into(), |due| terminal.until(due)),
        tale.error().map_or_else(String::new, shown),
    ]);
    row
}

/// A message, for a program. Texts of the mail are as they are decoded: JSON escapes what acts on a terminal.
pub fn json(record: &Record) -> Value {
    let tale = record.tale();
    let Summary { envelope, from, to, subject, message_id, kind } = record.summary();
    let whole = |time: Option<SystemTime>| time.map(whole_time);
    let at = |chapter: Option<&Chapter>| whole(chapter.map(|chapter| chapter.at));
    json!({
        "v": 1,
        "id": record.id.map(|id| id.to_string()),
        "state": record.state.word(),
        "queue": record.queue(),
        "file": record.path().to_string_lossy(),
        "arrived": whole_time(record.arrived()),
        "size": record.size(),
        "envelope_from": envelope.from,
        "envelope_to": envelope.to,
        "from": from,
        "to": to,
        "subject": subject,
        "message_id": message_id,
        "kind": kind.map(crate::mail::Kind::word),
        "target": tale.target(),
        "tries": tale.tries(),
        "due": whole(record.due().filter(|_| record.state == State::Retry)),
        "error": tale.error(),
        "status": tale.last_failure().and_then(|failure| failure.status),
        "first_failure": at(tale.first_failure()),
        "last_failure": at(tale.last_failure()),
    })
}
