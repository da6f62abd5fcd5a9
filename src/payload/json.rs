//! `format = "json"`: our own object.

use super::Attachments;
use super::base64::{fill_last_string, write_json};
use super::multipart::{Multipart, Part};
use super::object::{AttachmentList, EnvelopeObject, Object, part_name, sha256_hex};
use super::parsed::{Parsed, Readable};
use super::piece::{Payload, Piece};
use crate::engine::Message;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::io;

/// Room for what an object has beside texts and attachments, in bytes.
const REST: usize = 2048;

/// The body for a message.
pub(super) fn payload(message: &Message, attachments: Attachments, describe_above: Option<u64>) -> io::Result<Payload> {
    let readable = Readable::of(message)?;
    of(&readable.parsed(), attachments, describe_above)
}

fn of(parsed: &Parsed<'_>, attachments: Attachments, describe_above: Option<u64>) -> io::Result<Payload> {
    let object = object(parsed, attachments, describe_above)?;
    let written = written(parsed, &object)?;
    if attachments != Attachments::Multipart {
        return Ok(Payload { content_type: "application/json".into(), pieces: written });
    }
    let mut multipart = Multipart::default();
    multipart.add(Part::field("message", written).with_type("application/json"));
    for (attachment, number) in parsed.mail.attachments.iter().zip(1..) {
        let content = attachment.content();
        if object.attachments.is_sent(attachment, content.len()) {
            multipart.add(Part::attachment(part_name(number), attachment, parsed.piece(content)));
        }
    }
    multipart.payload(parsed.message.id)
}

/// The object as JSON, with attachments only described, but nothing of the texts lost.
pub(super) fn described(parsed: &Parsed<'_>) -> io::Result<Vec<Piece>> {
    written(parsed, &object(parsed, Attachments::Omit, None)?)
}

fn written(parsed: &Parsed<'_>, object: &Object<'_>) -> io::Result<Vec<Piece>> {
    let mut json = Vec::with_capacity(expected_length(parsed, object));
    write_json(object, &mut json)?;
    Ok(match object.raw {
        Some(_) => fill_last_string(json.into(), Piece::base64(&parsed.message.body)),
        None => vec![Piece::Bytes(json.into())],
    })
}

/// About how long an object becomes, so that it is written without being moved: a buffer that has to grow takes
/// up to three times its length.
fn expected_length(parsed: &Parsed<'_>, object: &Object<'_>) -> usize {
    let texts = [object.text, object.html, object.reply_text.as_deref()].into_iter().flatten().map(str::len);
    let headers = object.headers.iter().map(|[name, value]| name.len() + value.len() + 8);
    let list = &object.attachments;
    let is_with_bytes = !list.are_parts && list.attachments.iter().any(|one| list.is_inline || one.is_body);
    let bytes = parsed.raw.as_ref().filter(|_| is_with_bytes).map_or(0, |raw| raw.len() / 3 * 4);
    let attachments = parsed.mail.attachments.len() * 256;
    // Line ends and quotation marks take twice their length.
    (texts.sum::<usize>() + headers.sum::<usize>()) * 9 / 8 + bytes + attachments + REST
}

fn object<'a>(parsed: &'a Parsed<'_>, attachments: Attachments, describe_above: Option<u64>) -> io::Result<Object<'a>> {
    let Parsed { message, mail, parse_error, .. } = parsed;
    let list = AttachmentList {
        attachments: &mail.attachments,
        is_inline: attachments == Attachments::Inline,
        are_parts: attachments == Attachments::Multipart,
        describe_above: describe_above.unwrap_or(u64::MAX),
    };
    let has_text = mail.text.is_some() || mail.html.is_some();
    Ok(Object {
        v: 1,
        id: message.id.to_string(),
        queue: &message.queue,
        route: Some(&*message.route).filter(|route| !route.is_empty()),
        kind: parsed.kind(),
        envelope: EnvelopeObject { from: message.envelope.from.as_deref(), to: message.envelope.to.as_deref() },
        detail: message.envelope.detail.as_deref(),
        from: mail.from.iter().map(Into::into).collect(),
        to: mail.to.iter().map(Into::into).collect(),
        cc: mail.cc.iter().map(Into::into).collect(),
        reply_to: mail.reply_to.iter().map(Into::into).collect(),
        subject: mail.subject.as_deref(),
        date: mail.date.map(super::parsed::rfc3339),
        received_at: parsed.received_at(),
        message_id: mail.message_id.as_deref(),
        in_reply_to: mail.in_reply_to.as_deref(),
        references: &mail.references,
        text: mail.text.as_deref(),
        html: mail.html.as_deref(),
        reply_text: has_text.then(|| parsed.reply().text),
        cut: mail.is_cut,
        headers: mail.fields.iter().map(|field| [&*field.name, &*field.value]).collect(),
        attachments: list,
        bounce: mail.bounce.as_ref().map(Into::into),
        size: message.body.len(),
        sha256: sha256_of(parsed)?,
        parsed: parse_error.is_none(),
        parse_error: parse_error.as_deref(),
        raw: parse_error.as_ref().map(|_| ""),
    })
}

fn sha256_of(parsed: &Parsed<'_>) -> io::Result<String> {
    if let Some(raw) = &parsed.raw {
        return Ok(sha256_hex(raw));
    }
    let mut digest = Sha256::new();
    Piece::of(&parsed.message.body).each_chunk(|chunk| {
        digest.update(chunk);
        Ok(())
    })?;
    Ok(HEXLOWER.encode(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Body, Envelope};
    use crate::mail::{Bounce, FailedRecipient, Field, Mail, Mailbox};
    use crate::payload::tests::{in_file, message, text_of};
    use serde_json::{Value, json};

    fn full() -> Mail<'static> {
        let mailbox = |name: &str| Mailbox { name: Some(name.into()), address: "ada@example.com".into() };
        Mail {
            fields: vec![
                Field { name: "X-A".into(), value: "1".into() },
                Field { name: "x-a".into(), value: "2".into() },
            ],
            from: vec![mailbox("Ada \u{1f600}")],
            to: vec![Mailbox { name: None, address: "b@example.org".into() }],
            subject: Some("Hi \"all\"".into()),
            date: Some("2025-11-02T14:02:09Z".parse().unwrap()),
            message_id: Some("<1@x>".into()),
            in_reply_to: Some("<0@x>".into()),
            references: vec!["<0@x>".into()],
            text: Some("one\ntwo\n".into()),
            html: Some("<p>one</p>".into()),
            bounce: Some(Bounce {
                recipients: vec![FailedRecipient {
                    address: "c@x".into(),
                    action: Some("failed".into()),
                    status: Some("5.1.1".into()),
                    diagnostic: None,
                }],
                message_id: Some("<9@x>".into()),
                reporting_mta: None,
            }),
            ..Mail::default()
        }
    }

    #[test]
    fn an_object_has_every_field_in_this_order() {
        let envelope =
            Envelope { from: Some(String::new()), to: Some("b+7@example.org".into()), detail: Some("7".into()) };
        let message = Message { envelope, route: "r".into(), ..message("x") };
        let parsed = Parsed::sample(&message, full());
        let payload = of(&parsed, Attachments::Inline, None).unwrap();
        let id = message.id.to_string();
        let expected = json!({
            "v": 1, "id": id, "queue": "main", "route": "r", "kind": "bounce",
            "envelope": { "from": "", "to": "b+7@example.org" }, "detail": "7",
            "from": [{ "name": "Ada \u{1f600}", "address": "ada@example.com" }],
            "to": [{ "name": null, "address": "b@example.org" }], "cc": [], "reply_to": [],
            "subject": "Hi \"all\"", "date": "2025-11-02T14:02:09Z", "received_at": "1970-01-01T00:00:00Z",
            "message_id": "<1@x>", "in_reply_to": "<0@x>", "references": ["<0@x>"],
            "text": "one\ntwo\n", "html": "<p>one</p>", "reply_text": parsed.reply().text, "cut": false,
            "headers": [["X-A", "1"], ["x-a", "2"]], "attachments": [],
            "bounce": {
                "recipients": [{ "address": "c@x", "action": "failed", "status": "5.1.1", "diagnostic": null }],
                "message_id": "<9@x>", "reporting_mta": null
            },
            "size": 1, "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            "parsed": true, "parse_error": null, "raw": null
        });
        let written = text_of(&payload);
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
        let names = ["v", "id", "queue", "subject", "text", "headers", "attachments", "bounce", "size", "raw"];
        let places: Vec<_> = names.iter().map(|name| written.find(&format!("\"{name}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(payload.content_type, "application/json");
    }

    #[test]
    fn a_mail_that_is_not_parsed_comes_whole() {
        let mail = "Subject: x\n\nbody\n";
        let refused = |message: &Message, is_in_memory: bool| {
            let mut parsed = Parsed::sample(message, Mail { subject: Some("x".into()), ..Mail::default() });
            parsed.parse_error = Some("too many parts".into());
            parsed.raw = parsed.raw.filter(|_| is_in_memory);
            let payload = of(&parsed, Attachments::Omit, None).unwrap();
            let object: Value = serde_json::from_str(&text_of(&payload)).unwrap();
            ["subject", "parsed", "parse_error", "raw", "reply_text", "sha256"].map(|name| object[name].clone())
        };
        let sha256 = sha256_hex(b"Subject: x\n\nbody\n");
        let raw = json!("U3ViamVjdDogeAoKYm9keQo=");
        let expected = [json!("x"), json!(false), json!("too many parts"), raw, Value::Null, json!(sha256)];
        assert_eq!(refused(&message(mail), true), expected);
        assert_eq!(refused(&in_file(mail.as_bytes()), true), expected);
        assert_eq!(refused(&in_file(mail.as_bytes()), false), expected);
    }

    #[test]
    fn beside_parts_the_object_is_the_first_part() {
        let message = message("x");
        let payload = of(&Parsed::sample(&message, full()), Attachments::Multipart, None).unwrap();
        let written = text_of(&payload);
        let start =
            "\r\nContent-Disposition: form-data; name=\"message\"\r\nContent-Type: application/json\r\n\r\n{\"v\":1,";
        assert!(written.contains(start), "{written}");
    }

    #[test]
    fn a_message_without_a_route_or_envelope_says_null() {
        let message = Message { body: Body::Whole("x".into()), ..Message::sample() };
        let payload = of(&Parsed::sample(&message, Mail::default()), Attachments::Omit, None).unwrap();
        let object: Value = serde_json::from_str(&text_of(&payload)).unwrap();
        for name in ["route", "detail", "subject", "date", "text", "html", "reply_text", "message_id", "bounce"] {
            assert_eq!(object[name], Value::Null, "{name}");
        }
        assert_eq!(object["envelope"], json!({ "from": null, "to": null }));
    }
}
