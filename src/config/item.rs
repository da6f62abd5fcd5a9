//! One value of the file, and what it can be read as. What it is not is noted.

use super::keys::{Key, Kind, Place};
use super::remark::Note;
use super::units;
use super::walk::{Table, Walk, nearest};
use crate::engine::text::printable;
use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeValue};

/// One value.
#[derive(Clone)]
pub(super) struct Item<'a> {
    pub walk: &'a Walk<'a>,
    /// Where its key is.
    pub name: Range<usize>,
    /// Where it is.
    pub span: Range<usize>,
    key: &'static Key,
    kind: Kind,
    value: &'a DeValue<'a>,
    /// How notes call it.
    called: String,
    /// What its own table's brackets would hold.
    path: String,
}

impl<'a> Item<'a> {
    /// `located` is how sentences call the table that it is in; `parent` is what that one's brackets hold.
    pub fn new(
        walk: &'a Walk<'a>,
        (key, kind): (&'static Key, Kind),
        (name, value): (&Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>),
        located: &str,
        parent: &str,
    ) -> Self {
        let written = printable(name.get_ref().as_bytes());
        let called = format!("`{written}` {located}");
        let path = if parent.is_empty() { written } else { format!("{parent}.{written}") };
        Item { walk, name: name.span(), span: value.span(), key, kind, value: value.get_ref(), called, path }
    }

    /// Notes that this cannot be.
    pub fn refuse<T>(&self, why: impl Display) -> Option<T> {
        self.walk.note(Note::error(format!("{}: {why}", self.called)).at(self.span.clone()));
        None
    }

    /// Notes that it is of another type than it should be.
    pub fn wrong_type<T>(&self) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let text = format!("{} must be {}, not {found}", self.called, self.kind.expected());
        let note = Note::error(text).at(self.span.clone());
        let is_whole = self.kind == self.key.kind;
        self.walk.note(if is_whole { note.label(format!("such as {}", self.key.example)) } else { note });
        None
    }

    /// Notes that it is of the right type, and still not what it should be.
    fn wrong_value<T>(&self) -> Option<T> {
        let text = format!("{} must be {}", self.called, self.kind.expected());
        self.walk.note(Note::error(text).at(self.span.clone()));
        None
    }

    /// Text, if it is that.
    pub fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub fn text(&self) -> Option<&'a str> {
        self.as_text().or_else(|| self.wrong_type())
    }

    pub fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(self.text()?).map_or_else(|error| self.refuse(printable(error.as_bytes())), Some)
    }

    /// A whole number, if it is that.
    pub fn as_number(&self) -> Option<u64> {
        let number = self.value.as_integer()?;
        u64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// The word that it is, of those that it can be.
    pub fn choice(&self) -> Option<&'static str> {
        let (Kind::Choice(words) | Kind::Words(words)) = self.kind else {
            unreachable!("{} is no choice", self.key.name)
        };
        let given = self.text()?;
        if let Some(word) = words.iter().find(|word| **word == given) {
            return Some(word);
        }
        match nearest(given, words.iter().copied()) {
            Some(near) => {
                let text = format!("{} must be {}", self.called, self.kind.expected());
                self.walk.note(Note::error(text).at(self.span.clone()).label(format!("did you mean `{near}`?")));
                None
            }
            None => self.wrong_value(),
        }
    }

    /// The elements of a list.
    pub fn elements(&self) -> Option<Vec<Item<'a>>> {
        let Some(list) = self.value.as_array() else { return self.wrong_type() };
        let element = |value: &'a Spanned<DeValue<'a>>| Item {
            span: value.span(),
            kind: self.kind.of_each(),
            value: value.get_ref(),
            ..self.clone()
        };
        Some(list.iter().map(element).collect())
    }

    /// The elements of a list, or the one thing that stands for a list of one.
    pub fn one_or_more(&self) -> Option<Vec<Item<'a>>> {
        if self.value.is_str() {
            return Some(vec![self.clone()]);
        }
        let elements = self.elements()?;
        if elements.is_empty() { self.refuse("the list is empty") } else { Some(elements) }
    }

    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub fn table(&self, place: Place) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else { return self.wrong_type() };
        // The header of a table is better pointed at by its last name than by the whole.
        let span = if place == Place::Route { self.span.clone() } else { self.name.clone() };
        Some(Table::open(self.walk, place, self.path.clone(), span, entries))
    }

    /// What stands in a table under names of the user's, in the order of the file.
    pub fn entries(&self) -> Option<Vec<(&'a str, Item<'a>)>> {
        let Some(entries) = self.value.as_table() else { return self.wrong_type() };
        let located = format!("in [{}]", self.path);
        let kind = self.kind.of_each();
        let item = |(name, value): (&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
            let name_text: &str = name.get_ref();
            (name_text, Item::new(self.walk, (self.key, kind), (name, value), &located, &self.path))
        };
        let mut items: Vec<_> = entries.iter().map(item).collect();
        items.sort_by_key(|(_, item)| item.name.start);
        Some(items)
    }

    /// Whether it can be the name of a queue, a target or a route: a part of file names, metrics and log lines.
    pub fn check_name(&self, name: &str) -> bool {
        let is_name = is_name(name);
        if !is_name {
            let text = format!("`{}` is no name", printable(name.as_bytes()));
            let span = if self.is_table() { &self.name } else { &self.span };
            let label = "letters, digits, - and _, at most 64 of them";
            self.walk.note(Note::error(text).at(span.clone()).label(label));
        }
        is_name
    }
}

/// Whether something can be called that.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

pub(super) fn duration(item: &Item<'_>) -> Option<Duration> {
    item.parsed(units::parse_wait)
}

/// `true` or `false`.
pub(super) fn flag(item: &Item<'_>) -> Option<bool> {
    item.value.as_bool().or_else(|| item.wrong_type())
}

/// A number from 1 to what its kind allows.
pub(super) fn count(item: &Item<'_>) -> Option<u32> {
    let Kind::Count(most) = item.kind else { unreachable!("{} is no count", item.key.name) };
    if item.value.as_integer().is_none() {
        return item.wrong_type();
    }
    let number = item.as_number().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (1..=most).contains(number)).or_else(|| item.wrong_value())
}

/// Text that can stand in an address: something, and nothing invisible.
pub(super) fn visible_text(item: &Item<'_>) -> Option<String> {
    item.parsed(|text| {
        if text.is_empty() {
            return Err("it is empty; leave the line out if there is nothing to say".into());
        }
        if text.len() > 512 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("no white space, no control characters, at most 512 bytes".into());
        }
        Ok(text.to_owned())
    })
}

pub(super) fn character(item: &Item<'_>) -> Option<char> {
    item.parsed(|text| {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if !one.is_control() && !one.is_whitespace() && one != '@' => Ok(one),
            _ => Err("it is one visible character, and not @".into()),
        }
    })
}
