//! `format = "postmark"`: what Postmark's inbound webhook sends (postmarkapp.com, "Inbound webhook").

use super::base64::{Base64, fill_last_string, write_json};
use super::multipart::media_type;
use super::parsed::{Parsed, Readable};
use super::piece::{Payload, Piece};
use crate::engine::{Id, Message};
use crate::mail::{Attachment, Mailbox};
use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io;

/// The header fields that are told elsewhere. Of `Return-Path` only that of the last delivery is true.
const ELSEWHERE: [&str; 8] = ["From", "To", "Cc", "Bcc", "Subject", "Date", "Reply-To", "Return-Path"];
/// Room for what an object has beside texts and attachments, in bytes.
const REST: usize = 4096;
/// In a longer message what is no text becomes one byte, in bytes: else strange bytes could take six times their
/// length.
const LONG: usize = 2 * 1024 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inbound<'a> {
    from_name: &'a str,
    message_stream: &'a str,
    from: &'a str,
    /// Null where nobody has written it: receivers take an empty address for a wrong one.
    from_full: Option<Address<'a>>,
    to: String,
    to_full: Vec<Address<'a>>,
    cc: String,
    cc_full: Vec<Address<'a>>,
    bcc: String,
    bcc_full: Vec<Address<'a>>,
    original_recipient: &'a str,
    subject: &'a str,
    #[serde(rename = "MessageID")]
    message_id: String,
    reply_to: String,
    mailbox_hash: &'a str,
    date: &'a str,
    text_body: &'a str,
    html_body: &'a str,
    stripped_text_reply: String,
    tag: &'a str,
    headers: Vec<Header<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_email: Option<RawEmail<'a>>,
    /// The last field: the message itself is put into the last attachment while it is sent.
    attachments: Attachments<'a>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Address<'a> {
    email: &'a str,
    name: &'a str,
    mailbox_hash: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Header<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttachmentObject<'a> {
    name: &'a str,
    /// Receivers take the `Data` of Postmark's test requests where `Content` is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    content_length: u64,
    content_type: Cow<'a, str>,
    /// Receivers take an attachment that has one for a part of the HTML, even if it is empty.
    #[serde(rename = "ContentID", skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
    content: Base64<'a>,
}

/// The body for a message.
pub(super) fn payload(message: &Message, raw_email: bool) -> io::Result<Payload> {
    of(&Readable::of(message)?.parsed(), raw_email)
}

fn of(parsed: &Parsed<'_>, raw_email: bool) -> io::Result<Payload> {
    let Parsed { message, mail, .. } = parsed;
    let is_refused = parsed.parse_error.is_some();
    let is_raw = raw_email || is_refused;
    let author = mail.from.first();
    let [to, cc] = [&mail.to, &mail.cc].map(|list| list.iter().filter_map(address).collect::<Vec<_>>());
    let bcc: Vec<_> =
        blind_recipient(parsed).map(|to| Mailbox { name: None, address: to.to_owned() }).into_iter().collect();
    let date = mail.fields.iter().find(|field| field.name.eq_ignore_ascii_case("Date"));
    let inbound = Inbound {
        from_name: author.and_then(|author| author.name.as_deref()).unwrap_or_default(),
        message_stream: "inbound",
        from: author.map_or("", |author| &author.address),
        from_full: author.and_then(address),
        to: list(&mail.to),
        to_full: to,
        cc: list(&mail.cc),
        cc_full: cc,
        bcc: list(&bcc),
        bcc_full: bcc.iter().filter_map(address).collect(),
        original_recipient: message.envelope.to.as_deref().unwrap_or_default(),
        subject: mail.subject.as_deref().unwrap_or_default(),
        message_id: uuid(message.id),
        reply_to: list(&mail.reply_to),
        mailbox_hash: message.envelope.detail.as_deref().unwrap_or_default(),
        date: date.map_or("", |date| &date.value),
        text_body: mail.text.as_deref().unwrap_or_default(),
        html_body: mail.html.as_deref().unwrap_or_default(),
        stripped_text_reply: parsed.reply().text,
        tag: "",
        headers: headers(parsed),
        raw_email: parsed.raw.as_deref().filter(|_| is_raw).map(RawEmail),
        attachments: Attachments { of_mail: &mail.attachments, whole: is_refused.then(|| message.body.len()) },
    };
    let mut written = Vec::with_capacity(expected_length(parsed, is_raw));
    write_json(&inbound, &mut written)?;
    let pieces = if is_refused {
        fill_last_string(written.into(), Piece::base64(&message.body))
    } else {
        vec![Piece::Bytes(written.into())]
    };
    Ok(Payload { content_type: "application/json".into(), pieces })
}

/// About how long an object becomes: a buffer that has to grow takes up to three times its length.
fn expected_length(parsed: &Parsed<'_>, is_raw: bool) -> usize {
    let mail = &parsed.mail;
    let raw = parsed.raw.as_ref().map_or(0, bytes::Bytes::len);
    let texts = [&mail.text, &mail.html].into_iter().flatten().map(|text| text.len()).sum::<usize>();
    let headers = mail.fields.iter().map(|field| field.name.len() + field.value.len() + 32).sum::<usize>();
    let attachments = if mail.attachments.is_empty() { 0 } else { raw / 3 * 4 + mail.attachments.len() * 128 };
    let raw_email = if is_raw { raw * 17 / 16 } else { 0 };
    (texts * 2 + headers) * 9 / 8 + attachments + raw_email + REST
}

/// None for what is no address, as `root` or `undisclosed recipients`: receivers fail at those.
fn address(mailbox: &Mailbox) -> Option<Address<'_>> {
    let (local, host) = mailbox.address.rsplit_once('@')?;
    let is_address = !local.is_empty() && !host.is_empty() && !mailbox.address.contains(char::is_whitespace);
    is_address.then(|| Address {
        email: &mailbox.address,
        name: mailbox.name.as_deref().unwrap_or_default(),
        mailbox_hash: local.split_once('+').map_or("", |(_, hash)| hash),
    })
}

/// Mailboxes as a header has them (RFC 5322 section 3.4).
fn list(mailboxes: &[Mailbox]) -> String {
    let written = mailboxes.iter().map(|mailbox| match &mailbox.name {
        Some(name) => format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), mailbox.address),
        None => mailbox.address.clone(),
    });
    written.collect::<Vec<_>>().join(", ")
}

/// The recipient, where the mail was addressed to others.
fn blind_recipient<'a>(parsed: &'a Parsed<'_>) -> Option<&'a str> {
    let to = parsed.message.envelope.to.as_deref().filter(|to| !to.is_empty())?;
    let told = parsed.mail.to.iter().chain(&parsed.mail.cc);
    let is_told = told.into_iter().any(|mailbox| mailbox.address.eq_ignore_ascii_case(to));
    (!is_told).then_some(to)
}

fn headers<'a>(parsed: &'a Parsed<'_>) -> Vec<Header<'a>> {
    let is_elsewhere = |name: &str| ELSEWHERE.iter().any(|field| field.eq_ignore_ascii_case(name));
    let fields = parsed.mail.fields.iter().filter(|field| !is_elsewhere(&field.name));
    let fields = fields.map(|field| Header { name: &field.name, value: Cow::Borrowed(&field.value) });
    let sender = parsed.message.envelope.from.as_deref();
    let sender = sender.map(|sender| Header { name: "Return-Path", value: format!("<{sender}>").into() });
    sender.into_iter().chain(fields).collect()
}

/// A UUID of the layout that is anybody's own (RFC 9562 section 5.8), made of the id.
fn uuid(id: Id) -> String {
    let digest = Sha256::digest(format!("postmark {id}"));
    let mut bits = [0; 16];
    bits.copy_from_slice(&digest[..16]);
    bits[6] = bits[6] & 0x0f | 0x80;
    bits[8] = bits[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&bits);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Attachments, each decoded only when it is written, so that no two of them are in memory at a time.
struct Attachments<'a> {
    of_mail: &'a [Attachment<'a>],
    /// The length in bytes of the message itself, where that is one, too: `RawEmail` loses bytes that are no text,
    /// and receivers do not look at it unless they are told to.
    whole: Option<u64>,
}

impl Serialize for Attachments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.whole.map(|length| AttachmentObject {
            name: "message.eml",
            data: None,
            content_length: length,
            content_type: "message/rfc822".into(),
            content_id: None,
            content: Base64(Cow::Borrowed(&[])),
        });
        let of_mail = self.of_mail.iter().map(|attachment| {
            let content = attachment.content();
            AttachmentObject {
                name: attachment.name.as_deref().unwrap_or_default(),
                data: content.is_empty().then_some(""),
                content_length: content.len() as u64,
                content_type: media_type(attachment).into(),
                content_id: attachment.content_id.as_deref(),
                content: Base64(content),
            }
        });
        serializer.collect_seq(of_mail.chain(whole))
    }
}

/// A message as a JSON string, which is text: bytes that are no UTF-8 are lost.
struct RawEmail<'a>(&'a [u8]);

impl Serialize for RawEmail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Display for RawEmail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_long = self.0.len() > LONG;
        let is_costly = |c: char| is_long && c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r');
        for chunk in self.0.utf8_chunks() {
            for (number, text) in chunk.valid().split(is_costly).enumerate() {
                f.write_str(if number == 0 { "" } else { "?" })?;
                f.write_str(text)?;
            }
            if !chunk.invalid().is_empty() {
                f.write_str(if is_long { "?" } else { "\u{fffd}" })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;
    use crate::mail::{Field, Mail};
    use crate::payload::tests::{in_file, message, text_of};
    use serde_json::{Value, json};

    fn mailbox(name: Option<&str>, address: &str) -> Mailbox {
        Mailbox { name: name.map(str::to_owned), address: address.into() }
    }

    fn sent(message: &Message, mail: Mail<'_>, raw_email: bool) -> Value {
        let payload = of(&Parsed::sample(message, mail), raw_email).unwrap();
        assert_eq!(payload.content_type, "application/json");
        serde_json::from_str(&text_of(&payload)).unwrap()
    }

    #[test]
    fn every_field_of_the_contract_is_there() {
        let envelope = Envelope {
            from: Some("ada@example.com".into()),
            to: Some("box+7@example.org".into()),
            detail: Some("7".into()),
        };
        let message = Message { envelope, ..message("x") };
        let field = |name: &'static str, value: &'static str| Field { name: name.into(), value: value.into() };
        let mail = Mail {
            fields: vec![
                field("Return-path", "<forged@example.net>"),
                field("DATE", "Sun, 2 Nov 2025 15:02:09 +0100"),
                field("Subject", "Hi"),
                field("Message-ID", "<1@x>"),
                field("Date", "Mon, 3 Nov 2025 00:00:00 +0000"),
            ],
            from: vec![mailbox(Some("Ada"), "ada@example.com")],
            to: vec![mailbox(Some("A \"B\""), "a+x@example.org"), mailbox(None, "b@example.org")],
            reply_to: vec![mailbox(None, "r@example.com")],
            subject: Some("Hi".into()),
            text: Some("Hello\n".into()),
            ..Mail::default()
        };
        let expected = json!({
            "FromName": "Ada", "MessageStream": "inbound", "From": "ada@example.com",
            "FromFull": { "Email": "ada@example.com", "Name": "Ada", "MailboxHash": "" },
            "To": "\"A \\\"B\\\"\" <a+x@example.org>, b@example.org",
            "ToFull": [
                { "Email": "a+x@example.org", "Name": "A \"B\"", "MailboxHash": "x" },
                { "Email": "b@example.org", "Name": "", "MailboxHash": "" }
            ],
            "Cc": "", "CcFull": [], "Bcc": "box+7@example.org",
            "BccFull": [{ "Email": "box+7@example.org", "Name": "", "MailboxHash": "7" }],
            "OriginalRecipient": "box+7@example.org", "Subject": "Hi", "MessageID": uuid(message.id),
            "ReplyTo": "r@example.com", "MailboxHash": "7", "Date": "Sun, 2 Nov 2025 15:02:09 +0100",
            "TextBody": "Hello\n", "HtmlBody": "", "StrippedTextReply": crate::mail::reply("Hello\n").text, "Tag": "",
            "Headers": [
                { "Name": "Return-Path", "Value": "<ada@example.com>" }, { "Name": "Message-ID", "Value": "<1@x>" }
            ],
            "Attachments": []
        });
        assert_eq!(sent(&message, mail, false), expected);
    }

    #[test]
    fn what_is_no_address_is_only_in_the_text() {
        let (mut to, message) = (vec![mailbox(None, "a@x")], message("x"));
        to.extend(["root", "@x", "a@", "a b@x", ""].map(|address| mailbox(Some("A"), address)));
        let mail = Mail { from: vec![mailbox(Some("Root"), "root")], to, ..Mail::default() };
        let sent = sent(&message, mail, false);
        assert_eq!(sent["ToFull"], json!([{ "Email": "a@x", "Name": "", "MailboxHash": "" }]));
        assert_eq!(
            (&sent["From"], &sent["FromFull"], &sent["FromName"]),
            (&json!("root"), &Value::Null, &json!("Root"))
        );
        assert!(sent["To"].as_str().unwrap().starts_with("a@x, \"A\" <root>, "), "{sent}");
    }

    #[test]
    fn a_recipient_who_is_addressed_has_no_blind_copy() {
        for (to, cc, envelope, expected) in [
            ("box@example.org", "c@x", "BOX@example.org", ""),
            ("b@x", "box@example.org", "box@example.org", ""),
            ("b@x", "c@x", "box@example.org", "box@example.org"),
            ("b@x", "c@x", "", ""),
        ] {
            let envelope = Envelope { to: Some(envelope.into()), ..Envelope::default() };
            let mail = Mail { to: vec![mailbox(None, to)], cc: vec![mailbox(None, cc)], ..Mail::default() };
            assert_eq!(sent(&Message { envelope, ..message("x") }, mail, false)["Bcc"], expected);
        }
    }

    #[test]
    fn the_whole_message_is_there_where_it_is_asked_for_or_was_not_parsed() {
        let message = Message { body: crate::engine::Body::Whole((&b"a\xff\0\n"[..]).into()), ..Message::sample() };
        assert_eq!(sent(&message, Mail::default(), false).get("RawEmail"), None);
        assert_eq!(sent(&message, Mail::default(), true)["RawEmail"], "a\u{fffd}\0\n");
        let refused = |message: &Message, is_in_memory: bool| {
            let mut parsed = Parsed::sample(message, Mail::default());
            parsed.parse_error = Some("too many parts".into());
            parsed.raw = parsed.raw.filter(|_| is_in_memory);
            let object: Value = serde_json::from_str(&text_of(&of(&parsed, false).unwrap())).unwrap();
            ["RawEmail", "Attachments"].map(|name| object[name].clone())
        };
        let whole = json!([
            { "Name": "message.eml", "Content": "Yf8ACg==", "ContentLength": 4, "ContentType": "message/rfc822" }
        ]);
        assert_eq!(refused(&message, true), [json!("a\u{fffd}\0\n"), whole.clone()]);
        assert_eq!(refused(&in_file(b"a\xff\0\n"), false), [Value::Null, whole]);
    }

    #[test]
    fn a_long_message_of_strange_bytes_does_not_become_longer() {
        let long: Vec<u8> = b"\x01\xffa\t".iter().copied().cycle().take(LONG + 4).collect();
        assert_eq!(RawEmail(&long).to_string().len(), long.len());
        assert!(RawEmail(&long).to_string().starts_with("??a\t??a\t"));
        assert!(RawEmail(&long[..LONG]).to_string().starts_with("\x01\u{fffd}a\t"));
    }

    #[test]
    fn an_id_becomes_a_uuid_of_our_own() {
        let uuid = uuid(Id::from_digest(&[1; 32]));
        let bytes = uuid.as_bytes();
        assert_eq!((uuid.len(), bytes[14], uuid.matches('-').count()), (36, b'8', 4), "{uuid}");
        assert!(b"89ab".contains(&bytes[19]), "{uuid}");
        assert_ne!(uuid, super::uuid(Id::from_digest(&[2; 32])));
    }
}
