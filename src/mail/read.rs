//! All of a mail together.

use super::address::{Mailbox, mailboxes};
use super::attachment::Attachment;
use super::body::Body;
use super::bounce::{Bounce, bounce};
use super::date::date;
use super::field::Field;
use super::guard::{Refusal, look};
use super::header::Header;
use super::ids::ids;
use super::part::Part;
use super::split::tree;
use super::text::{self, Text};
use jiff::Timestamp;
use std::borrow::Cow;

/// How much of a field with message ids is read, in bytes: some 800 ids, while what people write to each
/// other seldom has 100.
const IDS_LIMIT: usize = 64 * 1024;

/// A mail, decoded.
#[derive(Clone, Debug, Default)]
pub struct Mail<'a> {
    /// Why there is nothing but the header, where that is so.
    pub refusal: Option<Refusal>,
    /// All header fields in their order.
    pub fields: Vec<Field<'a>>,
    /// Who wrote it, by all `From` fields: checks of senders do not agree on which one counts.
    pub from: Vec<Mailbox>,
    /// To whom.
    pub to: Vec<Mailbox>,
    /// Who has a copy.
    pub cc: Vec<Mailbox>,
    /// Where answers go.
    pub reply_to: Vec<Mailbox>,
    /// The subject.
    pub subject: Option<Cow<'a, str>>,
    /// When it was written, as it says itself.
    pub date: Option<Timestamp>,
    /// Its id, with angle brackets.
    pub message_id: Option<String>,
    /// What it answers to, with angle brackets.
    pub in_reply_to: Option<String>,
    /// The thread that it belongs to, with angle brackets.
    pub references: Vec<String>,
    /// The text, with lines ending in `\n`.
    pub text: Option<Cow<'a, str>>,
    /// The HTML, with lines ending in `\n`.
    pub html: Option<Cow<'a, str>>,
    /// Whether text or HTML were longer than [`TEXT_LIMIT`](super::TEXT_LIMIT): they are cut then, and stand
    /// whole among the attachments.
    pub is_cut: bool,
    /// All other parts.
    pub attachments: Vec<Attachment<'a>>,
    /// What it tells, of a bounce.
    pub bounce: Option<Bounce>,
}

impl Mail<'_> {
    /// Whether a person would say that something is attached: not for signatures, pictures within the
    /// text, and further pieces of text.
    pub fn has_attachment(&self) -> bool {
        self.attachments.iter().any(Attachment::is_told)
    }
}

/// Reads a mail, or its header where it is refused.
pub(super) fn read(mail: &[u8]) -> Mail<'_> {
    parse(mail).unwrap_or_else(|refusal| Mail { refusal: Some(refusal), ..read_header(mail) })
}

/// Reads the header of a mail: at most its first [`HEADER_LIMIT`](super::HEADER_LIMIT) bytes.
pub(super) fn read_header(mail: &[u8]) -> Mail<'_> {
    told_by(Header::of(mail))
}

/// Decodes the text of a part.
type Decode<'a> = fn(&Part<'a>) -> Text<'a>;

fn parse(mail: &[u8]) -> Result<Mail<'_>, Refusal> {
    let root = tree(mail, look(mail)?)?;
    let body = Body::of(&root);
    let mut read = told_by(root.header);
    read.attachments = body.attachments;
    let texts = [(body.text, text::plain as Decode<'_>, &mut read.text), (body.html, text::html, &mut read.html)];
    let mut cut = Vec::new();
    for (part, decode, place) in texts {
        let Some(part) = part else { continue };
        let text = decode(part);
        if text.is_cut {
            cut.push(Attachment::of_body(part));
        }
        *place = Some(text.text);
    }
    read.is_cut = !cut.is_empty();
    read.attachments.splice(..0, cut);
    read.bounce = bounce(&root);
    Ok(read)
}

/// What the header of a mail tells.
fn told_by(header: Header<'_>) -> Mail<'_> {
    let fields: Vec<_> = header.fields().collect();
    let values = |name: &'static str| {
        let named = fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value.trim_ascii())
    };
    let first = |name| values(name).next();
    let all = |name| values(name).flat_map(mailboxes).collect();
    let ids = |name| {
        let value = first(name).unwrap_or_default();
        ids(&value[..value.len().min(IDS_LIMIT)])
    };
    let first_id = |name| ids(name).into_iter().next();
    let decoded: Vec<Field<'_>> = fields.iter().map(|(name, value)| Field::of(name, value)).collect();
    let subject = decoded.iter().find(|field| field.name.eq_ignore_ascii_case("Subject"));
    Mail {
        from: all("From"),
        to: all("To"),
        cc: all("Cc"),
        reply_to: all("Reply-To"),
        subject: subject.map(|field| field.value.clone()),
        date: first("Date").and_then(date),
        message_id: first_id("Message-ID"),
        in_reply_to: first_id("In-Reply-To"),
        references: ids("References"),
        fields: decoded,
        ..Mail::default()
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
