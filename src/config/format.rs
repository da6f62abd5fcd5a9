//! In what shape a message is sent to an HTTP endpoint.

use super::item::{Item, flag};
use super::keys::{
    ADD_ORIGINAL_TO, ATTACHMENTS, DESCRIBE_ABOVE, ENCODING, FIELDS, FORMAT, Key, MAIL, Place, RAW_EMAIL, SIGNING_KEY,
    TIMESTAMP,
};
use super::remark::Note;
use super::secrets::{resolve_reference, resolve_secret};
use super::units::parse_room;
use super::walk::Table;
use crate::engine::text::printable;
use crate::payload::{Attachments, Encoding, FieldValue, Format};
use crate::secret::Secret;
use crate::target::Parsed;

/// The keys that are for some formats only.
const OF_FORMATS: &[(&Key, &[&str])] = &[
    (&ADD_ORIGINAL_TO, &["raw"]),
    (&ATTACHMENTS, &["json"]),
    (&DESCRIBE_ABOVE, &["json"]),
    (&ENCODING, &["form"]),
    (&FIELDS, &["form"]),
    (&SIGNING_KEY, &["mailgun", "mailgun-mime"]),
    (&TIMESTAMP, &["mailgun", "mailgun-mime"]),
    (&RAW_EMAIL, &["postmark"]),
];

/// The format of a target. None where it makes no sense; it was noted.
pub(super) fn read(table: &Table<'_>) -> Option<Format> {
    let given = table.item(&FORMAT);
    let name = match &given {
        Some(item) => item.choice()?,
        None => "raw",
    };
    let is_in_place = only_for(table, name);
    let format = match name {
        "raw" => Some(Format::Raw { add_original_to: table.setting(&ADD_ORIGINAL_TO, flag) }),
        "json" => Some(json(table)),
        "form" => form(table),
        "postmark" => Some(Format::Postmark { raw_email: table.setting(&RAW_EMAIL, flag) }),
        _ => mailgun(table, name == "mailgun-mime"),
    };
    format.filter(|_| is_in_place)
}

/// Notes all keys that are for other formats.
fn only_for(table: &Table<'_>, name: &str) -> bool {
    let mut is_in_place = true;
    for (key, formats) in OF_FORMATS.iter().filter(|(_, formats)| !formats.contains(&name)) {
        if let Some(item) = table.item(key) {
            is_in_place = false;
            let needed: Vec<_> = formats.iter().map(|format| format!("format = \"{format}\"")).collect();
            let text = format!("`{}` is not for the format `{name}`, as {} has it", key.name, table.title());
            let label = format!("it is for {}", needed.join(" and "));
            table.walk.note(Note::error(text).at(item.name).label(label));
        }
    }
    is_in_place
}

fn attachments(item: &Item<'_>) -> Option<Attachments> {
    Some(match item.choice()? {
        "inline" => Attachments::Inline,
        "omit" => Attachments::Omit,
        _ => Attachments::Multipart,
    })
}

/// How a worker is told what a message says.
pub(super) fn parsed(table: &Table<'_>) -> Option<Parsed> {
    let (attachments, describe_above) = detail(table);
    if attachments == Attachments::Multipart {
        let item = table.item(&ATTACHMENTS)?;
        return item.refuse("a job is one line: there is nothing beside the object");
    }
    Some(Parsed { attachments, describe_above })
}

fn json(table: &Table<'_>) -> Format {
    let (attachments, describe_above) = detail(table);
    Format::Json { attachments, describe_above }
}

/// How much of attachments is told.
fn detail(table: &Table<'_>) -> (Attachments, Option<u64>) {
    let attachments = table.setting(&ATTACHMENTS, attachments);
    if let (Attachments::Omit, Some(item)) = (attachments, table.item(&DESCRIBE_ABOVE)) {
        let text = format!("`{}` does nothing where no attachment is sent", DESCRIBE_ABOVE.name);
        table.walk.note(Note::warning(text).at(item.name));
    }
    (attachments, table.optional(&DESCRIBE_ABOVE, |item| item.parsed(parse_room)))
}

fn form(table: &Table<'_>) -> Option<Format> {
    let encoding = table.setting(&ENCODING, |item| {
        Some(if item.choice()? == "multipart" { Encoding::Multipart } else { Encoding::Urlencoded })
    });
    let named = table.items_of(&FIELDS);
    if named.is_empty() {
        let text = format!("{} sends a form, and has no `fields`", table.title());
        table.lacks(text, format!("fields = {}", FIELDS.example));
        return None;
    }
    // All are read, so that all mistakes are found.
    let fields: Vec<_> = named.iter().map(|(name, item)| Some((field_name(name, item)?, value(item)?))).collect();
    Some(Format::Form { encoding, fields: fields.into_iter().collect::<Option<_>>()? })
}

fn field_name(name: &str, item: &Item<'_>) -> Option<String> {
    if name.is_empty() || name.chars().any(char::is_control) {
        let text = format!("`{}` is no name of a form field", printable(name.as_bytes()));
        item.walk.note(Note::error(text).at(item.name.clone()).label("it is empty, or has control characters"));
        return None;
    }
    Some(name.to_owned())
}

fn value(item: &Item<'_>) -> Option<FieldValue> {
    if let Some(text) = item.as_text() {
        return Some(FieldValue::Text(text.to_owned()));
    }
    if !item.is_table() {
        return item.wrong_type();
    }
    let table = item.table(Place::FormField)?;
    match table.item(&MAIL) {
        Some(_) if table.length() > 1 => item.refuse("either `mail` or a reference to a secret"),
        Some(mail) => mail.choice().and_then(|name| name.parse().ok()).map(FieldValue::Of),
        None => resolve_reference(item, &table).map(|resolved| FieldValue::Secret(Secret::new(resolved.text))),
    }
}

fn mailgun(table: &Table<'_>, mime: bool) -> Option<Format> {
    let key = table.item(&SIGNING_KEY);
    if key.is_none() {
        let text =
            format!("{} has no `signing_key`: who verifies Mailgun's signature will refuse all mail", table.title());
        let help = format!("signing_key = {}", SIGNING_KEY.example);
        table.walk.note(Note::warning(text).at(table.span.clone()).help(help));
    }
    let signing_key = match key {
        Some(item) => Some(Secret::new(resolve_secret(&item)?)),
        None => None,
    };
    let is_fresh = table.setting(&TIMESTAMP, |item| item.choice().map(|word| word == "attempt"));
    Some(Format::Mailgun { mime, signing_key, is_fresh })
}
