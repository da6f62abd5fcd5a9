//! `format = "mailgun"`: what Mailgun's routes send to a URL (documentation.mailgun.com, "Receive messages via
//! HTTP").

use super::multipart::{Multipart, Part};
use super::object::part_name;
use super::parsed::{Parsed, Readable, unix_seconds};
use super::piece::{Payload, Piece};
use super::urlencoded::{Urlencoded, escaped_length};
use crate::engine::{Body, Message};
use crate::mail::{Field, reply_html};
use crate::secret::Secret;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

/// So many header fields become fields of their own; all of them are in `message-headers`. Frameworks refuse a form
/// of too many fields, PHP and Django one of more than 1,000.
const FIELDS: usize = 200;

/// How a message is signed.
#[derive(Clone, Copy, Default)]
pub(super) struct Signing<'a> {
    /// The key; without one there is no signature.
    pub key: Option<&'a Secret>,
    /// The moment that is signed, where that is not when the message came.
    pub fresh: Option<SystemTime>,
}

/// A form, which is multipart where it has to be.
struct Form {
    fields: Vec<(String, Bytes)>,
    files: Vec<Part>,
}

/// The body for a message.
pub(super) fn payload(message: &Message, is_mime: bool, signing: Signing<'_>) -> io::Result<Payload> {
    let readable = if is_mime { Readable::header_of(message) } else { Readable::of(message)? };
    let parsed = readable.parsed();
    let mut form = if is_mime { with_mime(&parsed) } else { with_fields(&parsed)? };
    form.sign(message, signing);
    form.payload(message)
}

fn with_mime(parsed: &Parsed<'_>) -> Form {
    let mut form = Form { fields: of_envelope(parsed), files: Vec::new() };
    let raw = Piece::of(&parsed.message.body);
    match &parsed.message.body {
        Body::Whole(bytes) => form.add("body-mime", bytes.clone()),
        // Percent signs would make it three times as long.
        Body::File { .. } => form.files.push(Part::field("body-mime", vec![raw])),
    }
    form
}

/// The fields that there are in any case.
fn of_envelope(parsed: &Parsed<'_>) -> Vec<(String, Bytes)> {
    let (envelope, mail) = (&parsed.message.envelope, &parsed.mail);
    let fields = [
        ("recipient", envelope.to.clone().unwrap_or_default()),
        // Where the envelope is not known, the header's `From` would pass for it.
        ("sender", envelope.from.clone().unwrap_or_default()),
        ("subject", mail.subject.clone().unwrap_or_default().into_owned()),
        ("from", parsed.header("From").into_owned()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn with_fields(parsed: &Parsed<'_>) -> io::Result<Form> {
    let mail = &parsed.mail;
    // First what the mail says: where a receiver takes the last of two fields, ours must be that.
    let own = mail.fields.iter().filter(|field| becomes_a_field(field)).take(FIELDS);
    let own = own.map(|field| (spelled(&field.name), field.value.clone().into_owned().into()));
    let mut form = Form { fields: own.chain(of_envelope(parsed)).collect(), files: Vec::new() };
    let reply = parsed.reply();
    form.add("body-plain", parsed.text().into_owned());
    form.add("stripped-text", reply.text);
    form.add("stripped-signature", reply.signature);
    if let Some(html) = &mail.html {
        form.add("body-html", html.clone().into_owned());
        form.add("stripped-html", reply_html(html).unwrap_or_else(|| html.clone().into_owned()));
    }
    let headers: Vec<_> = mail.fields.iter().map(|field| (spelled(&field.name), &field.value)).collect();
    form.add("message-headers", serde_json::to_vec(&headers)?);
    let mut content_ids = BTreeMap::new();
    for (attachment, number) in mail.attachments.iter().zip(1..) {
        form.files.push(Part::attachment(part_name(number), attachment, parsed.piece(attachment.content())));
        content_ids.extend(attachment.content_id.as_ref().map(|id| (format!("<{id}>"), part_name(number))));
    }
    if parsed.parse_error.is_some() {
        // The texts are empty then: without this, nothing of the mail would arrive.
        let name = part_name(form.files.len() + 1);
        form.files.push(Part::message(name, Piece::of(&parsed.message.body)));
    }
    if !form.files.is_empty() {
        form.add("attachment-count", form.files.len().to_string());
    }
    if !content_ids.is_empty() {
        form.add("content-id-map", serde_json::to_vec(&content_ids)?);
    }
    Ok(form)
}

/// Whether a header field becomes a field of its own. Its name is a stranger's: it must not be one that means
/// something here or to a framework (`_method`, `a[b]`). Such as `token` and `format` begin with a capital then.
fn becomes_a_field(field: &Field) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    field.name.starts_with(|first: char| first.is_ascii_alphabetic()) && field.name.bytes().all(is_plain)
}

/// The name of a header field as Mailgun spells it, whoever wrote it: `Message-Id`, `Mime-Version`.
fn spelled(name: &str) -> String {
    let mut is_first = true;
    let spell = |character: char| {
        let spelled = if is_first { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
        is_first = character == '-';
        spelled
    };
    name.chars().map(spell).collect()
}

impl Form {
    fn add(&mut self, name: &str, value: impl Into<Bytes>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    fn sign(&mut self, message: &Message, signing: Signing<'_>) {
        let timestamp = unix_seconds(signing.fresh.unwrap_or(message.arrived)).to_string();
        let digest = Sha256::digest(format!("mailgun {} {timestamp}", message.id));
        let token = HEXLOWER.encode(&digest)[..50].to_owned();
        let signature = signing.key.map(|key| signature(key, &timestamp, &token));
        self.add("timestamp", timestamp);
        self.add("token", token);
        if let Some(signature) = signature {
            self.add("signature", signature);
        }
    }

    fn payload(self, message: &Message) -> io::Result<Payload> {
        if self.files.is_empty() {
            let lengths =
                self.fields.iter().map(|(name, value)| escaped_length(name.as_bytes()) + escaped_length(value) + 2);
            let mut form = Urlencoded::with_capacity(lengths.sum());
            for (name, value) in &self.fields {
                form.add(name, value);
            }
            return Ok(Payload::whole("application/x-www-form-urlencoded", form.done()));
        }
        let mut form = Multipart::default();
        for (name, value) in self.fields {
            form.add(Part::text(name, value));
        }
        for file in self.files {
            form.add(file);
        }
        form.payload(message.id)
    }
}

fn signature(key: &Secret, timestamp: &str, token: &str) -> String {
    let key = key.reveal().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may be of any length (RFC 2104)");
    mac.update(timestamp.as_bytes());
    mac.update(token.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;
    use crate::mail::Mail;
    use crate::payload::tests::{in_file, message, text_of};
    use reqwest::Url;
    use std::time::Duration;

    /// The fields of a form that is not multipart.
    fn fields(payload: &Payload) -> Vec<(String, String)> {
        assert_eq!(payload.content_type, "application/x-www-form-urlencoded");
        let url = Url::parse(&format!("http://x/?{}", text_of(payload))).unwrap();
        url.query_pairs().into_owned().collect()
    }

    fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut found = fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = found.next();
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }

    #[test]
    fn a_signature_is_that_of_the_contract() {
        let token = "06c96bafc3f42a66b9edd546347a2fe18dc23461fe80dc52f0";
        let signature = signature(&Secret::new("TEST_WEBHOOK_SIGNING_KEY"), "1461261330", token);
        assert_eq!(signature, "3e24f71c7e802be94c5abca2fd6ca6957cca2e1e2396d26716b87e1ca8c56634");
    }

    fn parsed_fields(mail: Mail<'_>, key: Option<&Secret>) -> Vec<(String, String)> {
        let envelope =
            Envelope { from: Some("ada@example.com".into()), to: Some("b@example.org".into()), detail: None };
        let message = Message { envelope, ..message("x") };
        let mut form = with_fields(&Parsed::sample(&message, mail)).unwrap();
        form.sign(&message, Signing { key, fresh: None });
        fields(&form.payload(&message).unwrap())
    }

    #[test]
    fn a_mail_without_attachments_is_a_line_of_fields() {
        let field = |name: &'static str, value: &'static str| Field { name: name.into(), value: value.into() };
        let mail = Mail {
            fields: vec![field("From", "Ada <ada@example.com>"), field("Subject", "Hi"), field("X-Spam", "no")],
            subject: Some("Hi".into()),
            text: Some("Hello\n".into()),
            html: Some("<p>Hello</p>".into()),
            ..Mail::default()
        };
        let key = Secret::new("key");
        let fields = parsed_fields(mail, Some(&key));
        for (name, expected) in [
            ("recipient", "b@example.org"),
            ("sender", "ada@example.com"),
            ("from", "Ada <ada@example.com>"),
            ("From", "Ada <ada@example.com>"),
            ("subject", "Hi"),
            ("body-plain", "Hello\n"),
            ("body-html", "<p>Hello</p>"),
            ("stripped-html", "<p>Hello</p>"),
            ("X-Spam", "no"),
            ("message-headers", r#"[["From","Ada <ada@example.com>"],["Subject","Hi"],["X-Spam","no"]]"#),
            ("timestamp", "0"),
        ] {
            assert_eq!(value(&fields, name), Some(expected), "{name}");
        }
        let token = value(&fields, "token").unwrap();
        assert_eq!(token.len(), 50);
        assert_eq!(value(&fields, "signature"), Some(&*signature(&key, "0", token)));
        for absent in ["attachment-count", "content-id-map", "body-mime"] {
            assert_eq!(value(&fields, absent), None, "{absent}");
        }
    }

    #[test]
    fn a_mail_cannot_pass_off_a_field_as_ours() {
        let names = [
            "token",
            "timestamp",
            "signature",
            "body-mime",
            "attachments",
            "attachment-1",
            "event",
            "recipient",
            "sender",
            "_method",
            "format",
            "X[a]",
            "X\u{e9}",
            "X.a",
            "",
        ];
        let fields = names.map(|name| Field { name: name.into(), value: "forged".into() }).into();
        let sent = parsed_fields(Mail { fields, ..Mail::default() }, None);
        for (name, value) in &sent {
            // Mailgun itself has such fields: of a header `token` one `Token`.
            let is_of_a_header = name.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(is_of_a_header || name == "message-headers" || value != "forged", "{name}");
        }
        assert_eq!(value(&sent, "body-plain"), Some(""));
        assert_eq!(value(&sent, "signature"), None);
    }

    #[test]
    fn header_fields_are_spelled_as_mailgun_does() {
        for (name, expected) in [
            ("Message-ID", "Message-Id"),
            ("MIME-Version", "Mime-Version"),
            ("DKIM-Signature", "Dkim-Signature"),
            ("subject", "Subject"),
            ("X-google-DKIM", "X-Google-Dkim"),
        ] {
            assert_eq!(spelled(name), expected);
        }
    }

    #[test]
    fn so_many_header_fields_are_not_all_fields_of_their_own() {
        let fields = vec![Field { name: "X".into(), value: "1".into() }; 5000];
        let sent = parsed_fields(Mail { fields, ..Mail::default() }, None);
        assert_eq!(sent.iter().filter(|(name, _)| name == "X").count(), FIELDS);
        assert_eq!(value(&sent, "message-headers").unwrap().matches("[\"X\",\"1\"]").count(), 5000);
    }

    #[test]
    fn the_whole_message_is_one_field() {
        let small = payload(&message("Subject: x\n\n\u{e9}"), true, Signing::default()).unwrap();
        assert_eq!(value(&fields(&small), "body-mime"), Some("Subject: x\n\n\u{e9}"));
        let large = text_of(&payload(&in_file(b"Subject: x\n\nbody"), true, Signing::default()).unwrap());
        assert!(large.contains("name=\"body-mime\"\r\n\r\nSubject: x\n\nbody\r\n--"), "{large}");
    }

    #[test]
    fn a_mail_that_is_not_parsed_comes_as_a_file() {
        let message = in_file(b"Subject: x\n\nbody\n");
        let mut parsed = Parsed::sample(&message, Mail::default());
        (parsed.raw, parsed.parse_error) = (None, Some("too many parts".into()));
        let written = text_of(&with_fields(&parsed).unwrap().payload(&message).unwrap());
        for part in [
            "name=\"attachment-count\"\r\n\r\n1\r\n",
            "name=\"attachment-1\"; filename=\"message.eml\"\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\n\nbody\n\r\n--",
        ] {
            assert!(written.contains(part), "{part} is not in {written}");
        }
    }

    #[test]
    fn only_the_envelope_tells_the_sender_and_the_recipient() {
        let message = message("From: ada@example.com\nTo: b@example.org\n\n");
        for is_mime in [true, false] {
            let fields = fields(&payload(&message, is_mime, Signing::default()).unwrap());
            let of = |name| value(&fields, name).unwrap();
            assert_eq!((of("sender"), of("recipient"), of("from")), ("", "", "ada@example.com"), "{is_mime}");
        }
    }

    #[test]
    fn what_is_signed_anew_has_a_token_of_its_own() {
        let message = message("x");
        let signed = |fresh: Option<u64>| {
            let fresh = fresh.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            let fields = fields(&payload(&message, true, Signing { key: None, fresh }).unwrap());
            ["timestamp", "token"].map(|name| value(&fields, name).unwrap().to_owned())
        };
        assert_eq!(signed(None), signed(None));
        let (one, two) = (signed(Some(1)), signed(Some(2)));
        assert_eq!((&*one[0], &*two[0]), ("1", "2"));
        assert_ne!(one[1], two[1]);
    }
}
