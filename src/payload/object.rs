//! The object of `format = "json"`, field by field. Its documentation and its schema are made of what is
//! written here.

use super::base64::Base64;
use crate::mail;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A mail, as `format = "json"` sends it. The object of a message is the same at every attempt. Every field
/// is always there; new ones may be added, so ignore those that you do not know.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "maildirq message", rename = "Message")]
pub(super) struct Object<'a> {
    /// The version of this object: 1. It changes only when a field is taken away or gets another meaning.
    pub v: u8,
    /// The id of the message: 26 characters of lower-case base32. The same at every attempt, so that a repeat
    /// can be recognised. The header `webhook-id` has it, too.
    pub id: String,
    /// The name of the queue that it came from.
    pub queue: &'a str,
    /// The name of the route that it took; null where it took none.
    pub route: Option<&'a str>,
    /// What it is: `human` (a person wrote it, as far as can be told), `auto_reply` (a machine's answer to a mail),
    /// `bounce` (a mail came back), `list` (it came by a mailing list, or to many) or `report` (on other mail).
    #[schemars(extend("enum" = ["human", "auto_reply", "bounce", "list", "report"]))]
    pub kind: &'a str,
    /// Who it is really from and to: what the mail server was told, not what the mail says.
    pub envelope: EnvelopeObject<'a>,
    /// What stands behind the delimiter in the recipient's local part: `1042` of `support+1042@example.com`;
    /// null where there is no delimiter.
    pub detail: Option<&'a str>,
    /// Who wrote it, as the header says. Anybody can write anything there.
    pub from: Vec<MailboxObject<'a>>,
    /// To whom it is addressed. Recipients in Bcc are not among them: see `envelope`.
    pub to: Vec<MailboxObject<'a>>,
    /// Who has a copy.
    pub cc: Vec<MailboxObject<'a>>,
    /// Where answers are wanted; empty where that is `from`.
    pub reply_to: Vec<MailboxObject<'a>>,
    /// The subject, decoded.
    pub subject: Option<&'a str>,
    /// When it was written, as it says itself: RFC 3339, UTC. Null where it says nothing that can be read.
    #[schemars(extend("format" = "date-time"))]
    pub date: Option<String>,
    /// When it was delivered to the queue: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub received_at: String,
    /// The mail's own id, with its angle brackets. Its author chose it: several mails may have the same, or none.
    pub message_id: Option<&'a str>,
    /// The id of the mail that it answers, with angle brackets.
    pub in_reply_to: Option<&'a str>,
    /// The ids of the mails before it in its thread, with angle brackets, the oldest first.
    pub references: &'a [String],
    /// The text, with lines ending in `\n`; null where it has none, as of a mail that is only HTML. It is the first
    /// that the mail shows: what stands behind a picture or a list's footer is among `attachments`, as text.
    pub text: Option<&'a str>,
    /// The HTML, with lines ending in `\n`, as its author wrote it: clean it before you show it.
    pub html: Option<&'a str>,
    /// What was written anew: the text without what it quotes and without signature, as well as can be told. Of a
    /// mail that is only HTML it is made of that; null where there is neither. `text` always has all of it.
    pub reply_text: Option<String>,
    /// Whether `text` or `html` were too long (1 MiB) and are cut. Then they stand whole among `attachments`, with
    /// their bytes, even where those of attachments are not sent.
    pub cut: bool,
    /// All header fields, the topmost first: name as it is written, and value on one line, decoded.
    pub headers: Vec<[&'a str; 2]>,
    /// All parts that are neither `text` nor `html`; and of these, first, those that are cut.
    #[schemars(with = "Vec<AttachmentObject<'static>>")]
    pub attachments: AttachmentList<'a>,
    /// What a bounce tells (RFC 3464); null where it is none.
    pub bounce: Option<BounceObject<'a>>,
    /// The length of the mail in bytes.
    pub size: u64,
    /// The SHA-256 of the mail, byte by byte as it lies in the queue, in lower-case hex.
    pub sha256: String,
    /// Whether the mail was parsed. One that would take too much time or memory is not: then `text`, `html`,
    /// `attachments` and `bounce` are empty, the rest is what a look at its header gives, and all of it is in `raw`.
    pub parsed: bool,
    /// Why it was not parsed; null where it was.
    pub parse_error: Option<&'a str>,
    /// The mail itself in base64, however long it is, where it was not parsed; else null.
    // The last field, and empty here: the mail is put into it while it is sent.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub raw: Option<&'a str>,
}

/// Who a mail is really from and to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Envelope")]
pub(super) struct EnvelopeObject<'a> {
    /// The sender; empty for a bounce, null where the mail server did not write it down.
    pub from: Option<&'a str>,
    /// The recipient; null where the mail server did not write it down.
    pub to: Option<&'a str>,
}

/// A name and an address.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Mailbox")]
pub(super) struct MailboxObject<'a> {
    /// The name beside the address, decoded; null where there is none.
    pub name: Option<&'a str>,
    /// The address.
    pub address: &'a str,
}

impl<'a> From<&'a mail::Mailbox> for MailboxObject<'a> {
    fn from(mailbox: &'a mail::Mailbox) -> Self {
        MailboxObject { name: mailbox.name.as_deref(), address: &mailbox.address }
    }
}

/// A part of a mail that is not its text.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attachment")]
pub(super) struct AttachmentObject<'a> {
    /// Its name, made safe: without folders, control characters, and what turns the direction of text. Null where
    /// it has none.
    pub name: Option<&'a str>,
    /// Its media type in lower case, as its author wrote it.
    pub r#type: &'a str,
    /// The charset of a text, as its author wrote it; null where there is none, and of what is no text.
    pub charset: Option<&'a str>,
    /// Its length in bytes.
    pub size: usize,
    /// What the HTML calls it (`cid:…`), without angle brackets; null where it has no such name.
    pub content_id: Option<&'a str>,
    /// Whether it is to be shown within the text.
    pub inline: bool,
    /// Its SHA-256 in lower-case hex.
    pub sha256: String,
    /// Its bytes in base64. Null where attachments are omitted, where they are parts of their own, and where it is
    /// larger than what is sent. The whole of a `text` or `html` that is cut is never omitted, nor too large.
    #[schemars(with = "Option<String>", extend("contentEncoding" = "base64"))]
    pub data: Option<Base64<'a>>,
    /// The name of the part of the request that has its bytes, where attachments are parts of their own; else null.
    pub part: Option<String>,
}

/// What a bounce tells.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Bounce")]
pub(super) struct BounceObject<'a> {
    /// Who could not be reached, or not yet. Empty in a notice of success, which tells only of those who were reached,
    /// and where it cannot be told.
    pub recipients: Vec<FailedRecipientObject<'a>>,
    /// The `Message-ID` of the mail that came back, with its angle brackets.
    pub message_id: Option<&'a str>,
    /// The mail server that reports it.
    pub reporting_mta: Option<&'a str>,
}

/// One recipient who could not be reached.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FailedRecipient")]
pub(super) struct FailedRecipientObject<'a> {
    /// The address.
    pub address: &'a str,
    /// What became of the mail: `failed`, `delayed` where the mail server still tries, or another word that the mail
    /// server wrote, in lower case; null where it wrote none.
    pub action: Option<&'a str>,
    /// The enhanced status code (RFC 3463), as `5.1.1`.
    pub status: Option<&'a str>,
    /// What the other mail server said.
    pub diagnostic: Option<&'a str>,
}

impl<'a> From<&'a mail::Bounce> for BounceObject<'a> {
    fn from(bounce: &'a mail::Bounce) -> Self {
        let recipient = |recipient: &'a mail::FailedRecipient| FailedRecipientObject {
            address: &recipient.address,
            action: recipient.action.as_deref(),
            status: recipient.status.as_deref(),
            diagnostic: recipient.diagnostic.as_deref(),
        };
        BounceObject {
            recipients: bounce.recipients.iter().map(recipient).collect(),
            message_id: bounce.message_id.as_deref(),
            reporting_mta: bounce.reporting_mta.as_deref(),
        }
    }
}

/// Attachments, each decoded only when it is written, so that no two of them are in memory at a time.
pub(super) struct AttachmentList<'a> {
    /// What they are.
    pub attachments: &'a [mail::Attachment<'a>],
    /// Whether the object has their bytes.
    pub is_inline: bool,
    /// Whether they are parts of their own.
    pub are_parts: bool,
    /// Those larger than this, in bytes, are only described.
    pub describe_above: u64,
}

impl AttachmentList<'_> {
    /// Whether one, of this length in bytes, is sent, and not only described. What is cut elsewhere always is.
    pub(super) fn is_sent(&self, attachment: &mail::Attachment<'_>, length: usize) -> bool {
        attachment.is_body || (self.is_inline || self.are_parts) && length as u64 <= self.describe_above
    }
}

impl Serialize for AttachmentList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.attachments.iter().zip(1..).map(|(attachment, number)| {
            let content = attachment.content();
            let is_sent = self.is_sent(attachment, content.len());
            AttachmentObject {
                name: attachment.name.as_deref(),
                r#type: &attachment.media_type,
                charset: attachment.charset.as_deref(),
                size: content.len(),
                content_id: attachment.content_id.as_deref(),
                inline: attachment.is_inline,
                sha256: sha256_hex(&content),
                part: (self.are_parts && is_sent).then(|| part_name(number)),
                data: (!self.are_parts && is_sent).then_some(Base64(content)),
            }
        }))
    }
}

/// The name of the part that has the bytes of an attachment; they are counted from 1.
pub(super) fn part_name(number: usize) -> String {
    format!("attachment-{number}")
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The schema of the object that `format = "json"` sends (JSON Schema 2020-12).
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    Schema::to_value(generator.into_root_schema_for::<Object<'static>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Kind;
    use serde_json::Value;

    /// Whether a schema, and every schema within it, says what it is about.
    fn undescribed(name: &str, schema: &Value, found: &mut Vec<String>) {
        if schema.get("description").is_none() {
            found.push(name.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            undescribed(name, property, found);
        }
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = json_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["title"], "maildirq message");
        let mut found = Vec::new();
        undescribed("message", &schema, &mut found);
        for (name, part) in schema["$defs"].as_object().unwrap() {
            undescribed(name, part, &mut found);
        }
        assert_eq!(found, Vec::<String>::new());
        let count = schema["properties"].as_object().unwrap().len();
        assert_eq!(schema["required"].as_array().unwrap().len(), count, "every field is always there");
    }

    #[test]
    fn the_schema_knows_every_kind() {
        let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(json_schema()["properties"]["kind"]["enum"], serde_json::json!(words));
    }

    #[test]
    fn the_schema_allows_what_may_be_null() {
        let schema = json_schema();
        for name in ["route", "detail", "subject", "date", "text", "raw", "parse_error"] {
            assert_eq!(schema["properties"][name]["type"], serde_json::json!(["string", "null"]), "{name}");
        }
        assert_eq!(schema["properties"]["id"]["type"], "string");
    }
}
