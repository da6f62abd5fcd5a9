//! The targets of a file.

use super::answers::{self, Answers};
use super::endpoint;
use super::item::{Item, count, duration};
use super::keys::{ANSWERS, AUTH, COMMAND, CONCURRENCY, For, Key, ON_DEAD, Place, RATE, TARGETS, TIMEOUT, URL};
use super::remark::Note;
use super::retries;
use super::units::parse_rate;
use super::walk::{Table, usual};
use super::{Target, TargetKind};
use crate::engine::Way;
use crate::engine::text::printable;
use crate::target::{CommandConfig, Overrides};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time that `on_dead` has.
const ON_DEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Where programs are looked for if `PATH` does not say.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The targets that the file has; beside them all names, also of those with mistakes.
pub(super) fn read(top: &Table<'_>) -> (Vec<Target>, Vec<String>) {
    let concurrency = top.optional(&CONCURRENCY, count).unwrap_or_else(usual_concurrency);
    let named = top.items_of(&TARGETS);
    if named.is_empty() && top.item(&TARGETS).is_none_or(|item| item.is_table()) {
        let help = format!("[target.app] with url = {} or command = {}", URL.example, COMMAND.example);
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
    let on_dead = table.optional(&ON_DEAD, |item| command(item, ON_DEAD_TIMEOUT, Overrides::default()));
    let kind = kind(&table)?;
    let concurrency = usize::try_from(concurrency).expect("there are at least 32 bits");
    Some(Target { name: name.to_owned(), kind, concurrency, rate, retry, breaker, on_dead })
}

fn kind(table: &Table<'_>) -> Option<TargetKind> {
    // Looked into whatever kind it is, so that a slip of the pen in there is found at once.
    table.optional(&AUTH, |item| item.table(Place::Auth));
    table.optional(&ANSWERS, |item| item.table(Place::Answers));
    match (table.item(&URL), table.item(&COMMAND)) {
        (Some(item), None) => {
            only_for(table, For::Url, "a url");
            let timeout = table.setting(&TIMEOUT, duration);
            endpoint::read(table, &item, timeout).map(TargetKind::Url)
        }
        (None, Some(item)) => {
            only_for(table, For::Command, "a command");
            let usual = || usual(&TIMEOUT, TIMEOUT.default_of_command, duration);
            let timeout = table.optional(&TIMEOUT, duration).unwrap_or_else(usual);
            command(&item, timeout, answers::read(table, Answers::ExitCodes)).map(TargetKind::Command)
        }
        (Some(_), Some(command)) => {
            let text = format!("{} has both a `url` and a `command`", table.title());
            let help = "two targets and a [[route]] to each of them";
            table.walk.note(Note::error(text).at(command.name).help(help));
            None
        }
        (None, None) => {
            let text = format!("{} has neither a `url` nor a `command`", table.title());
            table.lacks(text, format!("url = {} or command = {}", URL.example, COMMAND.example));
            None
        }
    }
}

/// Notes all keys that are for the other kind of target.
fn only_for(table: &Table<'_>, kind: For, called: &str) {
    for key in Key::of(Place::Target).filter(|key| key.target != For::Any && key.target != kind) {
        if let Some(item) = table.item(key) {
            let text = format!("`{}` is not for {called}, as {} is", key.name, table.title());
            table.walk.note(Note::error(text).at(item.name));
        }
    }
}

fn command(item: &Item<'_>, timeout: Duration, answers: Overrides) -> Option<CommandConfig> {
    let words: Vec<_> = item.elements()?.iter().map(|item| Some((item.clone(), word(item)?))).collect();
    let words = words.into_iter().collect::<Option<Vec<_>>>()?;
    let Some(((place, program), arguments)) = words.split_first() else {
        return item.refuse("a command has at least a program");
    };
    let program = find(place, program)?;
    let arguments = arguments.iter().map(|(_, word)| word.clone()).collect();
    Some(CommandConfig { program, arguments, timeout, answers })
}

fn word(item: &Item<'_>) -> Option<String> {
    item.parsed(|word| if word.contains('\0') { Err("no argument has a NUL byte".into()) } else { Ok(word.to_owned()) })
}

/// The program's whole path.
fn find(item: &Item<'_>, program: &str) -> Option<PathBuf> {
    let world = item.walk.world;
    let shown = printable(program.as_bytes());
    let lost = |text: String, help: String| {
        item.walk.note(Note::error(text).at(item.span.clone()).help(help));
        None
    };
    if program.is_empty() {
        return item.refuse("the name of the program is empty");
    }
    let path = Path::new(program);
    if program.contains('/') {
        if !path.is_absolute() {
            return item.refuse("the path of a program begins with /: a daemon has no home");
        }
        if world.is_program(path) {
            return Some(path.to_owned());
        }
        return lost(
            format!("there is no program {shown}"),
            format!("is the file there, and executable? (chmod +x {shown})"),
        );
    }
    let folders = world.variable("PATH").unwrap_or_else(|| USUAL_PATH.into());
    // What is looked up in a relative folder depends on where the daemon was started.
    let candidates =
        std::env::split_paths(&folders).filter(|folder| folder.is_absolute()).map(|folder| folder.join(path));
    let found = candidates.into_iter().find(|path| world.is_program(path));
    found.or_else(|| {
        let folders = printable(folders.as_encoded_bytes());
        lost(
            format!("there is no program {shown} in PATH"),
            format!("PATH is {folders}; a whole path is found wherever it is"),
        )
    })
}
