//! What a file says of programs that are to be run: commands and workers.

use super::answers::{self, Answers};
use super::format;
use super::item::{Item, count, duration, flag};
use super::keys::{
    ATTACHMENTS, DEFAULT_PREFIX, DESCRIBE_ABOVE, DIRECTORY, ENVIRONMENT, GROUP, MAX_AGE, MAX_CPU, MAX_JOBS, MAX_MEMORY,
    MAX_OUTPUT, MAX_RSS, PARSED, PROCESSES, START_TIMEOUT, TIMEOUT, USER,
};
use super::macros;
use super::remark::Note;
use super::secrets::resolve;
use super::units::parse_room;
use super::walk::{Table, usual};
use crate::engine::text::printable;
use crate::secret::Secret;
use crate::target::{Account, CommandConfig, Limits, Overrides, Parsed, ProgramConfig, WorkerConfig};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time that `on_dead` has.
const ON_DEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What a program gets in any case, in bytes.
const LEAST_MEMORY: u64 = 1 << 20;
/// Where programs are looked for if `PATH` does not say.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What the environment of a program holds in any case, by the beginning of its name.
const OWN_VARIABLES: &str = "MAILDIRQ_";

/// The settings of a `command` target.
pub(super) fn command(table: &Table<'_>, item: &Item<'_>) -> Option<CommandConfig> {
    let size = |item: &Item<'_>| item.parsed(parse_room);
    let limits = Limits {
        memory: table.optional(&MAX_MEMORY, memory),
        cpu: table.optional(&MAX_CPU, whole_seconds),
        output: table.optional(&MAX_OUTPUT, size),
    };
    let timeout = timeout(table);
    let answers = answers::read(table, Answers::ExitCodes);
    let default_prefix = table.optional(&DEFAULT_PREFIX, |item| item.text().map(str::to_owned));
    let run = setting_of(table, program(item, macros::check));
    Some(CommandConfig { run: run?, timeout, answers, limits, default_prefix })
}

/// What `on_dead` says.
pub(super) fn on_dead(item: &Item<'_>) -> Option<CommandConfig> {
    let (program, arguments) = program(item, macros::check)?;
    let run = ProgramConfig::new(program, arguments);
    let (answers, limits) = (Overrides::default(), Limits::default());
    Some(CommandConfig { run, timeout: ON_DEAD_TIMEOUT, answers, limits, default_prefix: None })
}

/// The settings of a `worker` target of this name.
pub(super) fn worker(table: &Table<'_>, item: &Item<'_>, name: &str) -> Option<WorkerConfig> {
    let processes = table.setting(&PROCESSES, count);
    let config = WorkerConfig {
        target: name.to_owned(),
        processes: NonZero::new(usize::try_from(processes).expect("there are at least 32 bits"))?,
        timeout: timeout(table),
        start_timeout: table.setting(&START_TIMEOUT, duration),
        max_jobs: table.optional(&MAX_JOBS, count).and_then(NonZero::new),
        max_rss: table.optional(&MAX_RSS, |item| item.parsed(parse_room)),
        max_age: table.optional(&MAX_AGE, duration),
        parsed: parsed(table),
        run: setting_of(table, resident(item))?,
    };
    Some(config)
}

/// How a worker is told what a message says.
fn parsed(table: &Table<'_>) -> Option<Parsed> {
    if table.setting(&PARSED, flag) {
        return format::parsed(table);
    }
    for key in [&ATTACHMENTS, &DESCRIBE_ABOVE] {
        if let Some(item) = table.item(key) {
            let text = format!("`{}` does nothing without `{} = true`", key.name, PARSED.name);
            table.walk.note(Note::error(text).at(item.name));
        }
    }
    None
}

fn timeout(table: &Table<'_>) -> Duration {
    let usual = || usual(&TIMEOUT, TIMEOUT.default_of_program, duration);
    table.optional(&TIMEOUT, duration).unwrap_or_else(usual)
}

/// In whole seconds, for that is what the system counts; at least one.
fn whole_seconds(item: &Item<'_>) -> Option<u32> {
    let time = duration(item)?;
    if time.subsec_nanos() > 0 {
        return item.refuse("CPU time is counted in whole seconds");
    }
    u32::try_from(time.as_secs()).ok()
}

/// So much that some program could be started.
fn memory(item: &Item<'_>) -> Option<u64> {
    let enough = |bytes| (bytes >= LEAST_MEMORY).then_some(bytes);
    item.parsed(|text| enough(parse_room(text)?).ok_or_else(|| "no program starts with less than 1MiB".into()))
}

/// A program with what the table says of how it is run. All is read, so that all mistakes are found.
fn setting_of(table: &Table<'_>, words: Option<(PathBuf, Vec<String>)>) -> Option<ProgramConfig> {
    let directory = table.optional(&DIRECTORY, directory);
    let account = account(table);
    let environment = environment(table);
    let (program, arguments) = words?;
    Some(ProgramConfig { program, arguments, directory, account, environment })
}

fn directory(item: &Item<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(item.text()?);
    if !path.is_absolute() {
        return item.refuse("it begins with /: a daemon has no home");
    }
    if !item.walk.world.is_folder(&path) {
        return item.refuse("there is no such folder");
    }
    Some(path)
}

fn account(table: &Table<'_>) -> Option<Account> {
    let group = table.item(&GROUP);
    let Some(user) = table.item(&USER) else {
        return group?.refuse(format_args!("a group without `{}`", USER.name));
    };
    let mut account = user.parsed(|name| match user.walk.world.account(name) {
        Ok(Some(account)) if account.uid == 0 => Err("what strangers write is not given to root".into()),
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(format!("there is no user {name} on this machine")),
        Err(error) => Err(format!("it cannot be found out who {name} is: {error}")),
    })?;
    if let Some(group) = &group {
        account.gid = group.parsed(|name| match group.walk.world.group(name) {
            Ok(Some(gid)) => Ok(gid),
            Ok(None) => Err(format!("there is no group {name} on this machine")),
            Err(error) => Err(format!("it cannot be found out which group {name} is: {error}")),
        })?;
    }
    if account.gid == 0 {
        // Much can be changed by root's group that is nobody else's.
        return match group {
            Some(group) => group.refuse("what strangers write is not given to root's group"),
            None => user.refuse(format_args!("its group is root's: name another one by `{}`", GROUP.name)),
        };
    }
    Some(account)
}

fn environment(table: &Table<'_>) -> Vec<(String, Secret)> {
    let variables = table.items_of(&ENVIRONMENT).into_iter().filter_map(|(name, item)| {
        let shown = printable(name.as_bytes());
        let refuse = |why: &str| {
            let text = format!("the variable `{shown}` cannot be set");
            table.walk.note(Note::error(text).at(item.name.clone()).label(why));
        };
        let value = resolve(&item);
        if !is_variable(name) {
            refuse("the name of a variable is made of letters, digits and _, and does not begin with a digit");
            return None;
        }
        if name.starts_with(OWN_VARIABLES) {
            refuse("maildirq sets it itself");
            return None;
        }
        Some((name.to_owned(), Secret::new(value?.text)))
    });
    variables.collect()
}

/// As POSIX has it (Base Definitions 8.1), in either case.
fn is_variable(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// A program that gets its words before there is a message.
fn resident(item: &Item<'_>) -> Option<(PathBuf, Vec<String>)> {
    let (program, arguments) = program(item, macros::refuse)?;
    Some((program, arguments.iter().map(|word| macros::plain(word)).collect()))
}

/// A program and its arguments; `check` sees all words as they are written.
fn program(item: &Item<'_>, check: impl FnOnce(&[(Item<'_>, String)])) -> Option<(PathBuf, Vec<String>)> {
    let words: Vec<_> = item.elements()?.iter().map(|item| Some((item.clone(), word(item)?))).collect();
    let words = words.into_iter().collect::<Option<Vec<_>>>()?;
    let Some(((place, program), arguments)) = words.split_first() else {
        return item.refuse("a command has at least a program");
    };
    check(&words);
    let program = find(place, program)?;
    Some((program, arguments.iter().map(|(_, word)| word.clone()).collect()))
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
