//! What a parser reads in a mail, in a form in which it can be compared.
//!
//! Not compared: how blanks and line ends are written, blanks at the end of lines and of texts, and the brackets
//! around a message id. A text that is `format=flowed` (RFC 3676) is compared by all else than its blanks and quote
//! marks, since the others leave it as it was wrapped. Message within messages, and attached texts, are compared with
//! line ends as `\n` and without blank lines at their end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::digest::sha256;

/// All that is compared.
pub const FIELDS: [&str; 17] = [
    "subject",
    "from",
    "from_names",
    "to",
    "to_names",
    "cc",
    "cc_names",
    "reply_to",
    "reply_to_names",
    "date",
    "message_id",
    "in_reply_to",
    "references",
    "text",
    "html",
    "attachments",
    "attachment_names",
];

/// What is in a mail. A field that says nothing is not there.
#[derive(Debug, Default)]
pub struct Reading(BTreeMap<&'static str, Value>);

/// A name and an address.
pub type Mailbox = (Option<String>, String);

pub struct Attachment {
    pub name: Option<String>,
    pub media_type: String,
    pub content: Vec<u8>,
}

impl Reading {
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    pub fn set(&mut self, field: &'static str, found: Option<impl Into<Value>>) {
        debug_assert!(FIELDS.contains(&field), "{field}");
        let found = found.map(Into::into);
        if let Some(value) = found.filter(|value| !says_nothing(value)) {
            self.0.insert(field, value);
        }
    }

    pub fn set_line(&mut self, field: &'static str, found: Option<&str>) {
        self.set(field, found.map(line));
    }

    pub fn set_text(&mut self, field: &'static str, found: Option<&str>) {
        self.set(field, found.map(text));
    }

    /// The first of the ids in a text.
    pub fn set_id(&mut self, field: &'static str, found: Option<&str>) {
        self.set(field, found.and_then(|text| ids(text).into_iter().next()));
    }

    pub fn set_ids(&mut self, field: &'static str, found: Option<&str>) {
        self.set(field, found.map(ids));
    }

    pub fn set_mailboxes(&mut self, [field, names]: [&'static str; 2], found: &[Mailbox]) {
        let addresses: Vec<_> = found.iter().map(|(_, address)| line(address)).collect();
        let name = |(name, _): &Mailbox| name.as_deref().map(line).filter(|name| !name.is_empty());
        self.set(names, Some(found.iter().map(name).collect::<Vec<_>>()));
        self.set(field, Some(addresses));
    }

    pub fn set_attachments(&mut self, found: &[Attachment]) {
        let content = |attachment: &Attachment| {
            let (length, digest) = (attachment.content.len(), sha256(&attachment.content));
            json!([attachment.media_type, length, digest])
        };
        self.set("attachment_names", Some(found.iter().map(|one| one.name.as_deref().map(line)).collect::<Vec<_>>()));
        self.set("attachments", Some(found.iter().map(content).collect::<Vec<_>>()));
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(says_nothing),
        _ => false,
    }
}

/// The bytes of an attachment, as far as they are compared.
pub fn content(media_type: &str, bytes: &[u8]) -> Vec<u8> {
    if !media_type.starts_with("text/") && !media_type.starts_with("message/") {
        return bytes.to_vec();
    }
    let mut content = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        if !rest.starts_with(b"\r\n") {
            content.push(*byte);
        }
        rest = after;
    }
    content.trim_ascii_end().to_vec()
}

/// The text without what flowing it changes.
pub fn without_flow(text: &Value) -> Value {
    text.as_str().unwrap_or_default().replace(|c: char| c.is_whitespace() || c == '>', "").into()
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\0', "\u{fffd}");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Without their brackets; or all of the text where it has none.
fn ids(text: &str) -> Vec<String> {
    let in_brackets = text.split('<').skip(1).filter_map(|rest| Some(rest.split_once('>')?.0));
    let ids: Vec<_> = in_brackets.map(line).collect();
    if ids.is_empty() { vec![line(text)] } else { ids }
}
