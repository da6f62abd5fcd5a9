//! The picture as text, as an object, and as one line for monitoring.

use super::picture::{Condition, DaemonNow, Hour, Picture, TargetNow, Traffic};
use super::sentence::{Level, MANY_DEAD, OLD, Sentence, in_seconds};
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
        Column::numbers("1h ok"),
        Column::numbers("1h failed"),
        Column::numbers("p95"),
    ];
    let rows = picture.queues.iter().map(|queue| {
        let oldest = queue.counts.oldest(States::WAITING);
        let oldest = oldest.map_or_else(|| "-".into(), |oldest| age(picture, oldest, terminal));
        let counts = SHOWN.into_iter().map(|state| number(queue.counts.count(state), terminal));
        std::iter::once(queue.name.clone()).chain(counts).chain([oldest]).chain(of_hour(queue.hour, terminal)).collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    text.push_str(&terminal.table(&columns, &rows));
    text.push('\n');
    let rows: Vec<_> = picture
        .targets
        .iter()
        .map(|target| {
            vec![
                target.name.clone(),
                said(picture, target),
                target.traffic.map_or_else(String::new, |traffic| of_traffic(&traffic)),
            ]
        })
        .collect();
    text.push_str(&terminal.table(&[Column::words("target"), Column::text("state"), Column::text("")], &rows));
    text.extend(picture.daemons.iter().map(|daemon| format!("\n{}", of_daemon(picture, daemon))));
    if !picture.daemons.is_empty() {
        text.push('\n');
    }
    text
}

fn of_hour(hour: Option<Hour>, terminal: &Terminal) -> [String; 3] {
    let shown = |count: Option<u64>| count.map_or_else(|| "-".into(), |count| number(count, terminal));
    let p95 = hour.and_then(|hour| hour.p95).map_or_else(|| "-".into(), in_seconds);
    [shown(hour.map(|hour| hour.done)), shown(hour.map(|hour| hour.failed)), p95]
}

fn of_traffic(traffic: &Traffic) -> String {
    format!("{} of {} busy · {:.0}/min", traffic.busy, traffic.limit, traffic.per_minute)
}

fn of_daemon(picture: &Picture, daemon: &DaemonNow) -> String {
    let ago = |time: SystemTime| span(picture.now.duration_since(time).unwrap_or_default());
    let mut text = format!("daemon   pid {}", daemon.pid);
    text.extend(daemon.since.map(|since| format!(", up {}", ago(since))));
    text.push_str(&format!(", {}", daemon.watching));
    text.extend(daemon.config_read.map(|read| format!(" · configuration read {} ago", ago(read))));
    text
}

fn number(number: u64, terminal: &Terminal) -> String {
    if terminal.is_terminal { count(number) } else { number.to_string() }
}

fn age(picture: &Picture, time: SystemTime, terminal: &Terminal) -> String {
    if terminal.is_terminal { span(picture.now.duration_since(time).unwrap_or_default()) } else { whole_time(time) }
}

fn said(picture: &Picture, target: &TargetNow) -> String {
    match &target.condition {
        Condition::Ok if target.traffic.is_none() => "–".into(),
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
        let hour = queue.hour.map(of_hour_as_json);
        object!({ "queue": queue.name, "served": queue.is_served, "hour": hour, "states": states.collect::<serde_json::Map<_, _>>() })
    });
    let targets = picture.targets.iter().map(|target| {
        let mut told = match &target.condition {
            // Only a daemon knows whether it takes mail.
            Condition::Ok if target.traffic.is_none() => object!({ "state": "unknown" }),
            Condition::Ok => object!({ "state": "ok" }),
            Condition::Paused { since, until, by, reason } => object!({
                "state": "paused", "since": whole_time(*since), "until": until.map(whole_time), "by": by,
                "reason": reason,
            }),
            Condition::Down { since, probe, reason } => object!({
                "state": "down", "since": whole_time(*since), "probe": probe.map(whole_time), "reason": reason,
            }),
        };
        told["target"] = target.name.as_str().into();
        if let Some(traffic) = target.traffic {
            told["busy"] = traffic.busy.into();
            told["limit"] = traffic.limit.into();
            told["per_minute"] = traffic.per_minute.into();
            told["hour"] = of_hour_as_json(traffic.hour);
        }
        told
    });
    let daemons = picture.daemons.iter().map(|daemon| {
        object!({
            "pid": daemon.pid, "since": daemon.since.map(whole_time), "watching": daemon.watching,
            "config_read": daemon.config_read.map(whole_time), "reload_failed": daemon.reload_failed,
            "not_claiming": daemon.not_claiming,
        })
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
        "daemons": daemons.collect::<Vec<_>>(),
        "unreadable": picture.unreadable,
    })
}

fn of_hour_as_json(hour: Hour) -> Value {
    object!({ "done": hour.done, "failed": hour.failed, "p95_seconds": hour.p95.map(|p95| p95.as_secs_f64()) })
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
