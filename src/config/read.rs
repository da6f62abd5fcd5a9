//! From the bytes of a file to a configuration: all mistakes in one run.

use super::item::{duration, is_name};
use super::keys::{Place, SHUTDOWN_TIMEOUT};
use super::remark::{Note, Remark, Severity, Source};
use super::walk::{Table, Walk};
use super::world::{Process, World};
use super::{Config, ConfigError, Queue, Target, queues, routes, secrets, targets, web};
use crate::engine::text::printable;
use std::ops::Range;
use std::path::Path;
use toml::de::DeTable;

/// A configuration that was read from a file, and what there is to say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What the file says.
    pub config: Config,
    /// What works, though perhaps not as it was meant.
    pub warnings: Vec<Remark>,
}

impl Config {
    /// What the file at `path` says.
    ///
    /// # Errors
    /// It cannot be read, or has mistakes.
    pub fn read(path: &Path) -> Result<Reading, ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Config::parse(&bytes, path, &Process)
    }

    /// What these bytes say; remarks call them by the name of `file`.
    ///
    /// # Errors
    /// There are mistakes.
    pub fn parse(bytes: &[u8], file: &Path, world: &dyn World) -> Result<Reading, ConfigError> {
        let Sound { config, remarks, .. } = read(bytes, file, world)?;
        if has_mistakes(&remarks) {
            return Err(ConfigError::Mistake { path: file.to_owned(), remarks });
        }
        Ok(Reading { config, warnings: remarks })
    }

    /// As [`Config::parse`], for whom it is enough to know where mail lies and what the targets are called. Where
    /// there are mistakes elsewhere, they are returned, too: then there are no routes, and of targets only the names
    /// count.
    ///
    /// # Errors
    /// It cannot be told for sure where mail lies.
    pub fn parse_places(
        bytes: &[u8],
        file: &Path,
        world: &dyn World,
    ) -> Result<(Config, Option<ConfigError>), ConfigError> {
        let Sound { mut config, target_names, knows_all_queues, remarks } = read(bytes, file, world)?;
        if !has_mistakes(&remarks) {
            return Ok((config, None));
        }
        let error = ConfigError::Mistake { path: file.to_owned(), remarks };
        if !knows_all_queues {
            return Err(error);
        }
        let mut stand_in = Config::of_flags("/".into(), STAND_IN.parse().expect("it is a URL")).targets.swap_remove(0);
        (stand_in.retry.attempts, stand_in.retry.give_up) = (None, None);
        let named = target_names.into_iter().filter(|name| is_name(name));
        config.targets = named.map(|name| Target { name, ..stand_in.clone() }).collect();
        config.routes.clear();
        Ok((config, Some(error)))
    }
}

/// The address of a target of which only the name is known.
const STAND_IN: &str = "http://not-known-here.invalid/";

/// What a file says, whatever is wrong with it.
struct Sound {
    config: Config,
    /// Also of targets with mistakes.
    target_names: Vec<String>,
    /// Whether all queues are known, and are as the file says.
    knows_all_queues: bool,
    remarks: Vec<Remark>,
}

fn has_mistakes(remarks: &[Remark]) -> bool {
    remarks.iter().any(|remark| remark.severity == Severity::Error)
}

fn read(bytes: &[u8], file: &Path, world: &dyn World) -> Result<Sound, ConfigError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_text(bytes, error.valid_up_to(), file)),
    };
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut source = Source { file, text, hidden: secrets::hidden(text, tree.get_ref()) };
    let walk = Walk::new(world, file);
    let top = Table::open(&walk, Place::Top, String::new(), 0..0, tree.get_ref());
    let queues = queues::read(&top);
    let knows_all_queues = errors.is_empty() && !walk.has_mistakes();
    let (config, target_names) = config(&top, queues);
    let mut notes = walk.into_notes();
    if !errors.is_empty() {
        let errors: Vec<_> = errors.iter().map(|error| syntax_note(error, text)).collect();
        source.hidden.extend(errors.iter().filter_map(|note| doubtful(text, note.span.clone()?)));
        notes = with_syntax_errors(notes, errors, &source);
    }
    let remarks = notes.into_iter().map(|note| source.remark(note)).collect();
    Ok(Sound { config, target_names, knows_all_queues, remarks })
}

/// Beside it the names of all targets.
fn config(top: &Table<'_>, queues: Vec<Queue>) -> (Config, Vec<String>) {
    let (targets, target_names) = targets::read(top);
    let queue_names: Vec<_> = queues.iter().map(|queue| queue.name.clone()).collect();
    let routes = routes::read(top, &queue_names, &target_names);
    let shutdown_timeout = top.setting(&SHUTDOWN_TIMEOUT, duration);
    let config = Config { queues, routes, targets, shutdown_timeout, web: web::read(top), keep: web::retention(top) };
    (config, target_names)
}

fn not_text(bytes: &[u8], valid: usize, file: &Path) -> ConfigError {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    // The line is not shown: nobody knows what is in it.
    let note = Note::error(format!("line {line}, column {column} is not UTF-8 text, as TOML is"));
    let remark = Source { file, text: "", hidden: Vec::new() }.remark(note.help("save the file as UTF-8"));
    let remark = Remark { line: Some(line), column: Some(column), ..remark };
    ConfigError::Mistake { path: file.to_owned(), remarks: vec![remark] }
}

fn syntax_note(error: &toml::de::Error, text: &str) -> Note {
    let span = error.span().unwrap_or(text.len()..text.len());
    Note::error(printable(error.message().as_bytes())).at(span)
}

/// What is still worth saying beside syntax errors: nothing of their lines, nothing below a broken header, nor that
/// something is not there.
fn with_syntax_errors(notes: Vec<Note>, errors: Vec<Note>, source: &Source<'_>) -> Vec<Note> {
    let place = |note: &Note| note.span.as_ref().map(|span| span.start);
    let broken: Vec<_> = errors.iter().filter_map(place).map(|place| source.line_of(place)).collect();
    let is_sound = |note: &Note| {
        let lines = place(note).map(|place| [place, section_of(source.text, place)].map(|place| source.line_of(place)));
        !note.is_absence && lines.is_some_and(|lines| !lines.iter().any(|line| broken.contains(line)))
    };
    let mut notes: Vec<_> = notes.into_iter().filter(is_sound).chain(errors).collect();
    notes.sort_by_key(|note| place(note).unwrap_or(usize::MAX));
    notes.dedup_by_key(|note| (note.span.clone(), note.text.clone()));
    notes
}

/// Where the table begins that this place is in, going by how it looks.
fn section_of(text: &str, place: usize) -> usize {
    text[..text.floor_char_boundary(place)].rfind("\n[").map_or(0, |newline| newline + 1)
}

/// What is not shown of a line with a syntax error, where it may hold a secret: all text of it.
fn doubtful(text: &str, span: Range<usize>) -> Option<Range<usize>> {
    let at = text.floor_char_boundary(span.start);
    let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    let line = &text[begin..end];
    let section = text[section_of(text, begin)..end].to_lowercase();
    let is_doubtful =
        line.contains("://") || ["auth", "password", "bearer", "headers"].iter().any(|word| section.contains(word));
    // The header of a table holds none.
    let is_header = line.starts_with('[') && !line.contains('=');
    let first = line.find(['"', '\'']).or_else(|| line.find('=').map(|equals| equals + 1)).unwrap_or(0);
    (is_doubtful && !is_header && begin + first < end).then_some(begin + first..end)
}
