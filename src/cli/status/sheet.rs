//! The picture as text, as an object, and as one line for monitoring.

use super::picture::{Condition, Picture};
use super::sentence::{Level, MANY_DEAD, OLD, Sentence};
use crate::cli::terminal::{Column, Terminal, Tone, count, span, whole_time};
use crate::engine::{State, States};
use serde_json::{Value, json as object};
use std::time::{Duration, SystemTime};

/// The states that a queue is shown by.
const SHOWN: [State; 4] = [State::New, State::Running, State::Retry, State::Dead];

/// For a person: the sentence, the queues, the targets, what to do.
pub(super) fn text(picture: &Picture, sentence: &Sentence, terminal: &Terminal) -> String {
    let tone = match sentence.level {
        Level::Ok => Tone::Good,
        Level::Warning => Tone::Warning,
        Level::Critical | Level::Unknown => Tone::Bad,
    };
    let mut text = format!("{}\n", terminal.paint(tone, &format!("● {}", sentence.text)));
    text.extend(sentence.besides.iter().map(|besides| format!("  {besides}\n")));
    text.extend(sentence.next.iter().map(|next| format!("  → {next}\n")));
    text.push('\n');
    let columns = [
        Column::words("queue"),
        Column::numbers("new"),
        Column::numbers("running"),
        Column::numbers("retry"),
        Column::numbers("dead"),
        Column::numbers("oldest"),
    ];
    let rows = picture.queues.iter().map(|queue| {
        let oldest = queue.counts.oldest(States::WAITING);
        let oldest = oldest.map_or_else(|| "-".into(), |oldest| age(picture, oldest, terminal));
        let counts = SHOWN.into_iter().map(|state| number(queue.counts.count(state), terminal));
        std::iter::once(queue.name.clone()).chain(counts).chain([oldest]).collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    text.push_str(&terminal.table(&columns, &rows));
    text.push('\n');
    let rows: Vec<_> =
        picture.targets.iter().map(|target| vec![target.name.clone(), said(picture, &target.condition)]).collect();
    text.push_str(&terminal.table(&[Column::words("target"), Column::text("state")], &rows));
    text
}

fn number(number: u64, terminal: &Terminal) -> String {
    if terminal.is_terminal { count(number) } else { number.to_string() }
}

fn age(picture: &Picture, time: SystemTime, terminal: &Terminal) -> String {
    if terminal.is_terminal { span(picture.now.duration_since(time).unwrap_or_default()) } else { whole_time(time) }
}

fn said(picture: &Picture, condition: &Condition) -> String {
    match condition {
        Condition::Ok => "ok".into(),
        Condition::Paused { since, until, by, reason } => {
            let mut said = format!("‖ paused for {}", span(picture.now.duration_since(*since).unwrap_or_default()));
            if !by.is_empty() {
                said.push_str(&format!(" by {by}"));
            }
            if let Some(left) = until.and_then(|until| until.duration_since(picture.now).ok()) {
                said.push_str(&format!(", {} more", span(left)));
            }
            if reason.is_empty() { said } else { format!("{said}: {reason}") }
        }
        Condition::Down { since, reason, .. } => {
            format!("✖ down for {}: {reason}", span(picture.now.duration_since(*since).unwrap_or_default()))
        }
    }
}

/// For a program.
pub(super) fn json(picture: &Picture, sentence: &Sentence) -> Value {
    let seconds =
        |since: Option<SystemTime>| since.map(|since| picture.now.duration_since(since).unwrap_or_default().as_secs());
    let queues = picture.queues.iter().map(|queue| {
        let states = State::ALL.into_iter().map(|state| {
            let tally = queue.counts.tally(state);
            (state.word().to_owned(), object!({ "count": tally.count, "oldest_seconds": seconds(tally.oldest) }))
        });
        object!({ "queue": queue.name, "served": queue.is_served, "states": states.collect::<serde_json::Map<_, _>>() })
    });
    let targets = picture.targets.iter().map(|target| match &target.condition {
        Condition::Ok => object!({ "target": target.name, "state": "ok" }),
        Condition::Paused { since, until, by, reason } => object!({
            "target": target.name, "state": "paused", "since": whole_time(*since), "until": until.map(whole_time),
            "by": by, "reason": reason,
        }),
        Condition::Down { since, probe, reason } => object!({
            "target": target.name, "state": "down", "since": whole_time(*since), "probe": probe.map(whole_time),
            "reason": reason,
        }),
    });
    object!({
        "v": 1,
        "at": whole_time(picture.now),
        "level": word(sentence.level),
        "sentence": sentence.text,
        "besides": sentence.besides,
        "next": sentence.next,
        "queues": queues.collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(),
    })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Critical => "critical",
        Level::Unknown => "unknown",
    }
}

/// One line in the form of monitoring plugins: the state, what there is to say, and figures with their thresholds.
pub(super) fn plugin(picture: &Picture, sentence: &Sentence) -> String {
    let new: States = [State::New].into_iter().collect();
    let oldest = picture.oldest(new).unwrap_or(Duration::ZERO).as_secs();
    // A bar parts the text from the figures.
    let text = sentence.text.replace('|', "/");
    format!(
        "{} - {text} | new={} running={} retry={} dead={};0;{MANY_DEAD} oldest={oldest}s;{};{}\n",
        word(sentence.level).to_uppercase(),
        picture.count(new),
        picture.count_of(State::Running),
        picture.count_of(State::Retry),
        picture.count_of(State::Dead),
        OLD.0.as_secs(),
        OLD.1.as_secs(),
    )
}
