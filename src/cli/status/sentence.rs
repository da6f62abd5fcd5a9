//! The sentence: what a tired person has to know first, and what to do about it. One place for all that say it.

use super::picture::{Condition, Deaths, Picture};
use crate::cli::terminal::{count, span};
use crate::engine::{State, States};
use std::time::Duration;

/// How old new mail may be before it is looked at, and before it is bad. It waits for nothing but a hand.
pub const OLD: (Duration, Duration) = (Duration::from_mins(5), Duration::from_mins(30));
/// How many dead messages are bad. One is looked at.
pub const MANY_DEAD: u64 = 50;
/// How long a target may be paused before it looks forgotten.
pub const PAUSED_LONG: Duration = Duration::from_hours(2);

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Ok,
    /// It should be looked at.
    Warning,
    /// Mail does not reach its target.
    Critical,
    /// Nobody can tell.
    Unknown,
}

/// What there is to say first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// How grave it is.
    pub level: Level,
    /// One sentence, without its end.
    pub text: String,
    /// What else is so, each a sentence.
    pub besides: Vec<String>,
    /// The command that is likely to come next.
    pub next: Option<String>,
}

/// One thing that is not as it should be.
struct Finding {
    level: Level,
    /// The state of things, in a word.
    word: &'static str,
    text: String,
    next: String,
}

impl Sentence {
    /// What this picture comes to: its gravest finding, and the others besides.
    pub fn of(picture: &Picture) -> Self {
        let mut findings: Vec<_> = [unreadable, stopped, down, refusing, stuck, paused, dead, reload]
            .iter()
            .flat_map(|look| look(picture))
            .collect();
        // Stable: what comes first above weighs more among equals.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let mut findings = findings.into_iter();
        let Some(Finding { level, word, text, next }) = findings.next().filter(|first| first.level > Level::Ok) else {
            return Sentence { level: Level::Ok, text: well(picture), besides: Vec::new(), next: None };
        };
        let besides = findings.map(|finding| finding.text).collect();
        Sentence { level, text: format!("{word}: {text}"), besides, next: Some(next) }
    }
}

fn well(picture: &Picture) -> String {
    let waiting = picture.count(States::WAITING);
    let age = picture.oldest(States::WAITING).map(span).unwrap_or_default();
    let paused = picture.targets.iter().filter(|target| matches!(target.condition, Condition::Paused { .. })).count();
    let p95 = picture.queues.iter().filter_map(|queue| queue.hour?.p95).max();
    let mut text = String::from("healthy: ");
    if let Some(p95) = p95 {
        text.push_str(&format!("mail reaches its target in {} (p95); ", in_seconds(p95)));
    }
    text.push_str(&match (waiting, picture.count_of(State::Retry)) {
        (0, _) => "nothing waits".to_owned(),
        (1, _) => format!("1 message on its way, come {age} ago"),
        (_, 0) => format!("{} on their way, the oldest come {age} ago", messages(waiting)),
        (_, retry) => format!(
            "{} on their way, {} of them for another try; the oldest come {age} ago",
            messages(waiting),
            count(retry)
        ),
    });
    if paused > 0 {
        text.push_str(&format!(" · {paused} paused"));
    }
    text
}

/// A short time as people compare it: `0.4s`.
pub(super) fn in_seconds(time: Duration) -> String {
    if time < Duration::from_mins(1) { format!("{:.1}s", time.as_secs_f64()) } else { span(time) }
}

fn messages(number: u64) -> String {
    if number == 1 { "1 message".into() } else { format!("{} messages", count(number)) }
}

fn wait(number: u64) -> String {
    format!("{} {}", messages(number), if number == 1 { "waits" } else { "wait" })
}

fn unreadable(picture: &Picture) -> Vec<Finding> {
    let finding = |text: &String| Finding {
        level: Level::Unknown,
        word: "unknown",
        text: text.clone(),
        next: "maildirq check".into(),
    };
    picture.unreadable.iter().map(finding).collect()
}

/// Nobody takes the mail of these queues.
fn stopped(picture: &Picture) -> Vec<Finding> {
    let idle: Vec<_> = picture.queues.iter().filter(|queue| !queue.is_served).collect();
    if idle.is_empty() {
        return Vec::new();
    }
    let waiting: u64 = idle.iter().map(|queue| queue.counts.sum(States::WAITING)).sum();
    let names: Vec<_> = idle.iter().map(|queue| &*queue.name).collect();
    let which = if idle.len() == picture.queues.len() { String::new() } else { format!(" for {}", names.join(", ")) };
    let (level, text) = match waiting {
        0 => (Level::Warning, format!("no maildirq runs{which}; nothing waits")),
        _ => (Level::Critical, format!("no maildirq runs{which}; {}, none is lost", wait(waiting))),
    };
    vec![Finding { level, word: "stopped", text, next: "systemctl start maildirq, or maildirq watch".into() }]
}

/// A daemon that runs and takes nothing.
fn refusing(picture: &Picture) -> Vec<Finding> {
    let daemons = picture.daemons.iter().filter_map(|daemon| {
        let reason = daemon.not_claiming.as_deref()?;
        let text = format!("process {} takes no mail: {reason}", daemon.pid);
        Some(Finding { level: Level::Critical, word: "stuck", text, next: "maildirq check".into() })
    });
    daemons.collect()
}

fn reload(picture: &Picture) -> Vec<Finding> {
    let daemons = picture.daemons.iter().filter_map(|daemon| {
        let reason = daemon.reload_failed.as_deref()?;
        let text =
            format!("the last reload of process {} failed ({reason}); the settings before it are in force", daemon.pid);
        Some(Finding { level: Level::Warning, word: "old settings", text, next: "maildirq check".into() })
    });
    daemons.collect()
}

fn down(picture: &Picture) -> Vec<Finding> {
    let waiting = picture.count(States::WAITING);
    let targets = picture.targets.iter().filter_map(|target| {
        let Condition::Down { since, probe, reason } = &target.condition else { return None };
        let since = span(picture.now.duration_since(*since).unwrap_or_default());
        let probe = probe.map(|probe| probe.duration_since(picture.now).unwrap_or_default());
        let probe = probe.map_or_else(String::new, |left| format!("; next probe in {}", span(left)));
        let text =
            format!("{} takes nothing for {since} ({reason}); {}, none is lost{probe}", target.name, wait(waiting));
        Some(Finding {
            level: Level::Critical,
            word: "down",
            text,
            next: format!("maildirq tail target:{}", target.name),
        })
    });
    targets.collect()
}

/// New mail that nobody takes although somebody could. Mail for a target that is down or paused is spoken of there.
fn stuck(picture: &Picture) -> Vec<Finding> {
    let is_held_up = picture.targets.iter().any(|target| target.condition != Condition::Ok);
    let new: States = [State::New].into_iter().collect();
    let queues = picture.queues.iter().filter(|queue| queue.is_served && !is_held_up);
    let stuck = queues.filter_map(|queue| {
        let oldest = picture.now.duration_since(queue.counts.oldest(new)?).unwrap_or_default();
        let level = if oldest > OLD.1 { Level::Critical } else { Level::Warning };
        let text = format!(
            "new mail on {} waits for {}: {}, never tried",
            queue.name,
            span(oldest),
            messages(queue.counts.count(State::New))
        );
        (oldest > OLD.0).then(|| Finding {
            level,
            word: "stuck",
            text,
            next: format!("maildirq list new queue:{}", queue.name),
        })
    });
    stuck.collect()
}

fn paused(picture: &Picture) -> Vec<Finding> {
    let targets = picture.targets.iter().filter_map(|target| {
        let Condition::Paused { since, until, by, reason } = &target.condition else { return None };
        let age = picture.now.duration_since(*since).unwrap_or_default();
        let is_forgotten = age > PAUSED_LONG && until.is_none();
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let text = format!("{} is paused{by} for {}{reason}", target.name, span(age));
        let level = if is_forgotten { Level::Warning } else { Level::Ok };
        Some(Finding { level, word: "paused", text, next: format!("maildirq resume {}", target.name) })
    });
    targets.collect()
}

fn dead(picture: &Picture) -> Vec<Finding> {
    let total = picture.count_of(State::Dead);
    if total == 0 {
        return Vec::new();
    }
    let queues: Vec<_> = picture.queues.iter().filter(|queue| queue.counts.count(State::Dead) > 0).collect();
    let on: Vec<_> = queues.iter().map(|queue| &*queue.name).collect();
    let why = match &picture.deaths[..] {
        [] => String::new(),
        [Deaths { target, error, count, .. }] if *count == total && total > 1 => {
            format!(", all the same: {}", of_error(target, error))
        }
        [Deaths { target, error, .. }] if total == 1 => format!(": {}", of_error(target, error)),
        [Deaths { target, error, count: most, .. }, ..] => {
            format!(", {} of them: {}", count(*most), of_error(target, error))
        }
    };
    let level = if total >= MANY_DEAD { Level::Critical } else { Level::Warning };
    let text = format!("{} dead on {}{why}", count(total), on.join(", "));
    vec![Finding { level, word: "needs a person", text, next: "maildirq dead".into() }]
}

fn of_error(target: &str, error: &str) -> String {
    if target.is_empty() { error.to_owned() } else { format!("{target} {error}") }
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
