//! The targets of a file.

use super::endpoint;
use super::item::{Item, count, duration};
use super::keys::{ANSWERS, AUTH, COMMAND, CONCURRENCY, For, Key, ON_DEAD, Place, RATE, TARGETS, TIMEOUT, URL, WORKER};
use super::programs;
use super::remark::Note;
use super::retries;
use super::units::parse_rate;
use super::walk::{Table, usual};
use super::{Target, TargetKind};
use crate::engine::Way;
/// The targets that the file has; beside them all names, also of those with mistakes.
pub(super) fn read(top: &Table<'_>) -> (Vec<Target>, Vec<String>) {
    let concurrency = top.optional(&CONCURRENCY, count).unwrap_or_else(usual_concurrency);
    let named = top.items_of(&TARGETS);
    if named.is_empty() && top.item(&TARGETS).is_none_or(|item| item.is_table()) {
        let help = format!("[target.app] with {}", choices());
        top.walk.note(Note::absence("there is no target: where does mail go to?").help(help));
    }
    let targets = named.iter().filter_map(|(name, item)| target(name, item, concurrency)).collect();
    (targets, named.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// What the table of keys says.
pub(super) fn usual_concurrency() -> u32 {
    usual(&CONCURRENCY, CONCURRENCY.default, count)
}

fn target(name: &str, item: &Item<'_>, concurrency: u32) -> Option<Target> {
    if !item.is_table() && Key::of(Place::Target).any(|key| key.name == name) {
        let text = format!("`{name}` stands in [target]: every target has a name");
        item.walk.note(Note::error(text).at(item.name.clone()).help("write [target.app] instead of [target]"));
        return None;
    }
    let table = item.table(Place::Target)?;
    item.check_name(name);
    if name == Way::IGNORE {
        let text = format!("the name `{name}` is taken: that target takes mail and gives it to nobody");
        item.walk.note(Note::error(text).at(item.name.clone()).label("choose another name"));
    }
    let concurrency = table.optional(&CONCURRENCY, count).unwrap_or(concurrency);
    // All is read before anything is given up, so that all mistakes are found.
    let rate = table.optional(&RATE, |item| item.parsed(parse_rate));
    let retry = retries::read(&table);
    let breaker = retries::breaker(&table);
    let on_dead = table.optional(&ON_DEAD, programs::on_dead);
    let kind = kind(&table, name)?;
    let concurrency = match &kind {
        TargetKind::Worker(worker) => worker.processes.get(),
        TargetKind::Url(_) | TargetKind::Command(_) => {
            usize::try_from(concurrency).expect("there are at least 32 bits")
        }
    };
    Some(Target { name: name.to_owned(), kind, concurrency, rate, retry, breaker, on_dead })
}

fn kind(table: &Table<'_>, name: &str) -> Option<TargetKind> {
    // Looked into whatever kind it is, so that a slip of the pen in there is found at once.
    table.optional(&AUTH, |item| item.table(Place::Auth));
    table.optional(&ANSWERS, |item| item.table(Place::Answers));
    match (table.item(&URL), table.item(&COMMAND), table.item(&WORKER)) {
        (Some(item), None, None) => {
            only_for(table, For::Url, "a url");
            let timeout = table.setting(&TIMEOUT, duration);
            endpoint::read(table, &item, timeout).map(TargetKind::Url)
        }
        (None, Some(item), None) => {
            only_for(table, For::Command, "a command");
            programs::command(table, &item).map(TargetKind::Command)
        }
        (None, None, Some(item)) => {
            only_for(table, For::Worker, "a worker");
            programs::worker(table, &item, name).map(TargetKind::Worker)
        }
        (None, None, None) => {
            let text = format!("{} has neither a `url` nor a `command` nor a `worker`", table.title());
            table.lacks(text, choices());
            None
        }
        (url, command, worker) => {
            let given: Vec<_> = [(url, "url"), (command, "command"), (worker, "worker")].into_iter().collect();
            let given: Vec<_> = given.into_iter().filter_map(|(item, name)| Some((item?, name))).collect();
            let names: Vec<_> = given.iter().map(|(_, name)| format!("a `{name}`")).collect();
            let text = format!("{} has {}", table.title(), names.join(" and "));
            let help = "two targets and a [[route]] to each of them";
            let place = given.into_iter().last().expect("there are two").0.name;
            table.walk.note(Note::error(text).at(place).help(help));
            None
        }
    }
}

/// What a target can be, each with an example.
fn choices() -> String {
    let keys = [&URL, &COMMAND, &WORKER].map(|key| format!("{} = {}", key.name, key.example));
    let [url, command, worker] = keys;
    format!("{url} or {command} or {worker}")
}

/// Notes all keys that are for other kinds of target.
fn only_for(table: &Table<'_>, kind: For, called: &str) {
    for key in Key::of(Place::Target).filter(|key| !key.targets.contains(&kind)) {
        if let Some(item) = table.item(key) {
            let text = format!("`{}` is not for {called}, as {} is", key.name, table.title());
            table.walk.note(Note::error(text).at(item.name).help(instead(key, kind)));
        }
    }
}

/// What a key is for that stands in a target of another kind, and what does there what it would do.
fn instead(key: &Key, kind: For) -> String {
    let its_own = match (kind, key.name) {
        (For::Worker, "concurrency") => "; a worker works on as many messages as it has `processes`",
        (For::Worker, "max_memory" | "max_cpu" | "max_output") => {
            "; a process of a worker is replaced by `max_rss`, `max_jobs` and `max_age`"
        }
        (For::Worker, "answers") => "; a worker answers each job by `done`, `retry` or `reject`",
        (For::Command, "processes") => "; of a command as many run at a time as `concurrency` says",
        (For::Command, "max_rss") => "; a command has `max_memory`",
        _ => "",
    };
    format!("it is for {}{its_own}", key.targets_in_words())
}
