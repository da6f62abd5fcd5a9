//! The queues of a file.

use super::item::{Item, character, duration, visible_text};
use super::keys::{DONE, MAILDIR, MAX_SIZE, Place, QUEUES, RECIPIENT, RECIPIENT_DELIMITER, RESCAN, STRIP_PREFIX};
use super::remark::Note;
use super::units::parse_room;
use super::walk::{Table, usual};
use super::{Maildirs, ONLY_QUEUE, Queue};
use crate::engine::EnvelopeRules;
use crate::engine::text::printable;
use crate::maildir::Keep;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a queue has beside a name and Maildirs. Each setting can be given for all queues, and for one.
#[derive(Clone)]
pub(super) struct Settings {
    pub rescan: Duration,
    pub max_size: u64,
    pub done: Keep,
    pub envelope: EnvelopeRules,
}

impl Settings {
    /// What the table of keys says.
    pub fn usual() -> Self {
        Settings {
            rescan: usual(&RESCAN, RESCAN.default, duration),
            max_size: usual(&MAX_SIZE, MAX_SIZE.default, |item| item.parsed(parse_room)),
            done: usual(&DONE, DONE.default, keep),
            envelope: EnvelopeRules {
                recipient: None,
                strip_prefix: None,
                delimiter: usual(&RECIPIENT_DELIMITER, RECIPIENT_DELIMITER.default, character),
            },
        }
    }

    /// What this table says, and `self` where it says nothing.
    fn overridden_by(&self, table: &Table<'_>) -> Self {
        let EnvelopeRules { recipient, strip_prefix, delimiter } = self.envelope.clone();
        Settings {
            rescan: table.optional(&RESCAN, duration).unwrap_or(self.rescan),
            max_size: table.optional(&MAX_SIZE, |item| item.parsed(parse_room)).unwrap_or(self.max_size),
            done: table.optional(&DONE, keep).unwrap_or(self.done),
            envelope: EnvelopeRules {
                recipient: table.optional(&RECIPIENT, visible_text).or(recipient),
                strip_prefix: table.optional(&STRIP_PREFIX, visible_text).or(strip_prefix),
                delimiter: table.optional(&RECIPIENT_DELIMITER, character).unwrap_or(delimiter),
            },
        }
    }

    /// A queue with these settings.
    pub fn queue(self, name: String, maildirs: Vec<Maildirs>) -> Queue {
        let Settings { rescan, max_size, done, envelope } = self;
        Queue { name, maildirs, rescan, max_size, done, envelope }
    }
}

fn keep(item: &Item<'_>) -> Option<Keep> {
    item.choice().map(|word| if word == "keep" { Keep::Done } else { Keep::Remove })
}

/// The queues that the file has.
pub(super) fn read(top: &Table<'_>) -> Vec<Queue> {
    let settings = Settings::usual().overridden_by(top);
    let short = top.item(&MAILDIR);
    let named = top.items_of(&QUEUES);
    let mut taken = HashMap::new();
    let mut queues = Vec::new();
    if let Some(item) = &short {
        if let Some((name, _)) = named.first() {
            let text = format!("`maildir` here and [queue.{}] cannot both be", printable(name.as_bytes()));
            let help = "a `maildir` at the top is short for the only queue; put it into a [queue.NAME] of its own";
            top.walk.note(Note::error(text).at(item.name.clone()).help(help));
        }
        queues.push(settings.clone().queue(ONLY_QUEUE.into(), maildirs(item, ONLY_QUEUE, &mut taken)));
    }
    for (name, item) in &named {
        item.check_name(name);
        let Some(table) = item.table(Place::Queue) else { continue };
        let settings = settings.overridden_by(&table);
        let maildirs = if let Some(item) = table.item(&MAILDIR) {
            maildirs(&item, name, &mut taken)
        } else {
            table.lacks(format!("{} has no `maildir`", table.title()), format!("maildir = {}", MAILDIR.example));
            Vec::new()
        };
        queues.push(settings.queue((*name).to_owned(), maildirs));
    }
    if short.is_none() && named.is_empty() {
        let help = format!("maildir = {}, or [queue.NAME] with one", MAILDIR.example);
        top.walk.note(Note::absence("there is no `maildir`: where does mail come from?").help(help));
    }
    queues
}

/// `taken` holds the Maildirs that were named so far, and by which queue.
fn maildirs(item: &Item<'_>, queue: &str, taken: &mut HashMap<PathBuf, String>) -> Vec<Maildirs> {
    let paths = item.one_or_more().unwrap_or_default();
    paths.iter().filter_map(|item| maildir(item, queue, taken)).collect()
}

fn maildir(item: &Item<'_>, queue: &str, taken: &mut HashMap<PathBuf, String>) -> Option<Maildirs> {
    let path = item.text()?;
    if path.starts_with('~') {
        return item.refuse("a ~ is not expanded: write the whole path; /home/*/Maildir is those of all users");
    }
    if !path.starts_with('/') {
        return item.refuse("the path of a Maildir begins with /: a daemon has no home");
    }
    if path.contains('\0') {
        return item.refuse("a path has no NUL byte");
    }
    // Collected anew, a path is without slashes that do not count.
    let plain: PathBuf = Path::new(path).components().collect();
    if let Some(other) = taken.insert(plain, queue.to_owned()) {
        return item.refuse(format_args!("this Maildir is in the queue {} already", printable(other.as_bytes())));
    }
    if !path.contains(['*', '?', '[']) {
        return Some(Maildirs::One(path.into()));
    }
    if path.contains("**") {
        return item.refuse("`**` is not known here: write a `*` for each folder on the way");
    }
    match glob::Pattern::new(path) {
        Ok(_) => Some(Maildirs::Matching(path.to_owned())),
        Err(error) => item.refuse(format_args!("{} at character {} of the pattern", error.msg, error.pos + 1)),
    }
}
