//! How a file says that failures are tried again, and when a target counts as down.

use super::item::{Item, count, duration};
use super::keys::{
    ATTEMPTS, BREAKER, BREAKER_AFTER, MAX_DELAY, MIN_DELAY, POLICY, PROBE, Place, RETRY, RETRY_FOR, SCHEDULE,
};
use super::remark::Note;
use super::units::{check_wait, parse_lifetime};
use super::walk::{Table, nearest, usual};
use crate::engine::text::printable;
use crate::engine::{BreakerPolicy, KNOWN, Known, RetryPolicy, Schedule};
use std::time::Duration;

/// The policy of the table of keys.
pub(super) fn usual_policy() -> RetryPolicy {
    let wait = |key| usual(key, key.default, duration);
    RetryPolicy {
        schedule: Schedule::Doubling { first: wait(&MIN_DELAY), most: wait(&MAX_DELAY) },
        give_up: usual(&RETRY_FOR, RETRY_FOR.default, lifetime),
        attempts: None,
    }
}

/// The policy that a target has.
pub(super) fn read(target: &Table<'_>) -> RetryPolicy {
    let Some(item) = target.item(&RETRY) else { return usual_policy() };
    let policy = match item.as_text() {
        Some(text) if looks_like_schedule(text) => schedule(&item),
        Some(_) => known(&item),
        None => item.table(Place::Retry).and_then(|table| of_table(&table)),
    };
    policy.unwrap_or_else(usual_policy)
}

/// When a target counts as down.
pub(super) fn breaker(target: &Table<'_>) -> BreakerPolicy {
    let table = target.optional(&BREAKER, |item| item.table(Place::Breaker));
    match table {
        Some(table) => {
            BreakerPolicy { after: table.setting(&BREAKER_AFTER, count), probe: table.setting(&PROBE, duration) }
        }
        None => BreakerPolicy {
            after: usual(&BREAKER_AFTER, BREAKER_AFTER.default, count),
            probe: usual(&PROBE, PROBE.default, duration),
        },
    }
}

fn of_table(table: &Table<'_>) -> Option<RetryPolicy> {
    let attempts = table.optional(&ATTEMPTS, count);
    let give_up = table.optional(&RETRY_FOR, lifetime);
    let policy = match (table.item(&POLICY), table.item(&SCHEDULE)) {
        (Some(_), Some(item)) => exclude(&item, "`policy`"),
        (Some(item), None) => without_delays(table, "`policy`").and(known(&item)),
        (None, Some(item)) => without_delays(table, "`schedule`").and(schedule(&item)),
        (None, None) => Some(doubling(table)),
    };
    let policy = policy?;
    Some(RetryPolicy { attempts: attempts.or(policy.attempts), give_up: give_up.unwrap_or(policy.give_up), ..policy })
}

fn exclude<T>(item: &Item<'_>, other: &str) -> Option<T> {
    item.refuse(format_args!("it cannot be beside {other}, which says how long the waits are"))
}

fn without_delays(table: &Table<'_>, other: &str) -> Option<()> {
    let given = [&MIN_DELAY, &MAX_DELAY].map(|key| table.item(key));
    let excluded: Vec<Option<()>> = given.into_iter().flatten().map(|item| exclude(&item, other)).collect();
    excluded.into_iter().collect()
}

fn doubling(table: &Table<'_>) -> RetryPolicy {
    let (mut first, mut most) = (table.setting(&MIN_DELAY, duration), table.setting(&MAX_DELAY, duration));
    // The one that is given counts, where the other is only what is usual.
    match (table.item(&MIN_DELAY), table.item(&MAX_DELAY)) {
        (Some(item), Some(_)) if first > most => {
            let wait = |wait| humantime::format_duration(wait);
            item.refuse::<()>(format_args!("min_delay ({}) is more than max_delay ({})", wait(first), wait(most)));
        }
        (None, Some(_)) => first = first.min(most),
        _ => most = most.max(first),
    }
    RetryPolicy { schedule: Schedule::Doubling { first, most }, ..usual_policy() }
}

/// A policy by the name of a system that people know.
fn known(item: &Item<'_>) -> Option<RetryPolicy> {
    let name = item.text()?;
    let Some(known) = Known::find(name) else {
        let names = KNOWN.iter().map(|known| known.name);
        let text = format!("there is no retry policy `{}`", printable(name.as_bytes()));
        let note = Note::error(text).at(item.span.clone());
        item.walk.note(match nearest(name, names.clone()) {
            Some(near) => note.label(format!("did you mean \"{near}\"?")),
            None => {
                note.help(format!("{}; or waits such as {}", names.collect::<Vec<_>>().join(", "), SCHEDULE.example))
            }
        });
        return None;
    };
    Some(RetryPolicy { schedule: known.schedule(), give_up: known.give_up, attempts: known.attempts })
}

/// Waits that are written out.
fn schedule(item: &Item<'_>) -> Option<RetryPolicy> {
    let schedule = item.parsed(|text| {
        let schedule: Schedule = text.parse()?;
        if let Schedule::Steps(waits) = &schedule {
            waits.iter().try_for_each(|wait| check_wait(*wait).map(drop))?;
        }
        Ok(schedule)
    })?;
    Some(RetryPolicy { attempts: schedule.attempts(), give_up: None, schedule })
}

fn looks_like_schedule(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || first == '*') || text.contains(',')
}

#[expect(clippy::option_option, reason = "none was read, or none is the bound")]
fn lifetime(item: &Item<'_>) -> Option<Option<Duration>> {
    item.parsed(parse_lifetime)
}
