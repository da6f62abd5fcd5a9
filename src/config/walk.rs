//! A walk over the tables of a file, which knows at each step where it is and notes all that is wrong.

use super::item::Item;
use super::keys::{Key, Place};
use super::remark::{Note, Severity};
use super::world::World;
use crate::engine::text::printable;
use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What has been noted so far, and where secrets are looked up.
pub(super) struct Walk<'w> {
    pub world: &'w dyn World,
    /// The file itself.
    pub file: &'w Path,
    notes: RefCell<Vec<Note>>,
}

impl<'w> Walk<'w> {
    pub fn new(world: &'w dyn World, file: &'w Path) -> Self {
        Walk { world, file, notes: RefCell::default() }
    }

    pub fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    /// Whether anything noted so far is a mistake.
    pub fn has_mistakes(&self) -> bool {
        self.notes.borrow().iter().any(|note| note.severity == Severity::Error)
    }

    /// All notes, in the order of the file, those about all of it last.
    pub fn into_notes(self) -> Vec<Note> {
        let mut notes = self.notes.into_inner();
        let place = |note: &Note| note.span.as_ref().map_or(usize::MAX, |span| span.start);
        notes.sort_by(|one, other| {
            (place(one), one.severity, &one.text).cmp(&(place(other), other.severity, &other.text))
        });
        // A setting that is for several is read by each of them.
        notes.dedup();
        notes
    }
}

/// A table of the file.
#[derive(Clone)]
pub(super) struct Table<'a> {
    pub walk: &'a Walk<'a>,
    /// What stands in its brackets; nothing at the top.
    pub path: String,
    /// Where to point at all of it.
    pub span: Range<usize>,
    place: Place,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Looks at a table for the first time: keys that it may not have are noted.
    pub fn open(walk: &'a Walk<'a>, place: Place, path: String, span: Range<usize>, entries: &'a DeTable<'a>) -> Self {
        let table = Table { walk, path, span, place, entries };
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if !Key::of(place).any(|known| known.name == name) {
                walk.note(table.unknown(name).at(key.span()));
            }
        }
        table
    }

    /// How it is written in the file.
    pub fn title(&self) -> String {
        title(self.place, &self.path)
    }

    /// How many keys are given.
    pub fn length(&self) -> usize {
        self.entries.len()
    }

    /// What is given under this key.
    pub fn item(&self, key: &'static Key) -> Option<Item<'a>> {
        debug_assert!(key.places.contains(&self.place), "{} does not stand in {:?}", key.name, self.place);
        let (name, value) = self.entries.get_key_value(key.name)?;
        Some(Item::new(self.walk, (key, key.kind), (name, value), &self.place.located(&self.title()), &self.path))
    }

    /// What is given under this key, if it makes sense.
    pub fn optional<T>(&self, key: &'static Key, read: impl FnOnce(&Item<'a>) -> Option<T>) -> Option<T> {
        read(&self.item(key)?)
    }

    /// What is given under this key; the default where nothing is, or nothing sensible.
    pub fn setting<T>(&self, key: &'static Key, read: impl Fn(&Item<'_>) -> Option<T>) -> T {
        self.optional(key, |item| read(item)).unwrap_or_else(|| usual(key, key.default, read))
    }

    /// The items under names of the user's.
    pub fn items_of(&self, key: &'static Key) -> Vec<(&'a str, Item<'a>)> {
        self.item(key).and_then(|item| item.entries()).unwrap_or_default()
    }

    /// Notes that something is not there.
    pub fn lacks(&self, text: impl Into<String>, help: impl Into<String>) {
        self.walk.note(Note::absence(text).at(self.span.clone()).help(help));
    }

    fn unknown(&self, name: &str) -> Note {
        let shown = printable(name.as_bytes());
        let note = Note::error(format!("unknown key `{shown}` {}", self.place.located(&self.title())));
        let elsewhere: Vec<_> =
            super::keys::KEYS.iter().filter(|key| key.name == name).flat_map(|key| key.places).collect();
        if !elsewhere.is_empty() {
            let places: Vec<_> = elsewhere.iter().map(|place| place.located(place.title())).collect();
            return note.label(format!("it stands {}", places.join(" or ")));
        }
        let known: Vec<_> = Key::of(self.place).map(|key| key.name).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => note.label(format!("did you mean `{near}`?")),
            None => note.help(format!("allowed here: {}", known.join(", "))),
        }
    }
}

/// What a key is unless given.
pub(super) fn usual<T>(key: &'static Key, default: Option<&str>, read: impl Fn(&Item<'_>) -> Option<T>) -> T {
    let written = default.expect("only keys with a default are asked for it");
    let value = DeValue::parse(written).expect("the table of keys is tested");
    let walk = Walk::new(&super::world::Process, Path::new(""));
    let name = Spanned::new(0..0, key.name.into());
    let item = Item::new(&walk, (key, key.kind), (&name, &value), "", "");
    read(&item).expect("the table of keys is tested")
}

/// How the table of this path is written in the file.
pub(super) fn title(place: Place, path: &str) -> String {
    match place {
        Place::Top => place.title().to_owned(),
        Place::Route => format!("[[{path}]]"),
        _ => format!("[{path}]"),
    }
}

/// The one of `known` that was probably meant.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let name = name.to_lowercase().replace('-', "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase().replace('-', "_"));
    let near =
        known.map(|known| (distance(known), known)).filter(|(distance, known)| *distance <= (known.len() / 3).max(1));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_none_that_is_far() {
        let known = ["timeout", "connect_timeout", "to", "max_size"];
        for (name, expected) in [
            ("timout", Some("timeout")),
            ("Timeout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("max-size", Some("max_size")),
            ("connecttimeout", Some("connect_timeout")),
            ("ot", Some("to")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}
