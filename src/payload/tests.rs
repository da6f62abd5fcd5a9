//! What holds for all shapes.

use super::*;
use crate::engine::Body;
use bytes::Bytes;
use std::io::Write;
use std::time::Duration;

/// The whole body, as text as far as it is.
pub(super) fn text_of(payload: &Payload) -> String {
    let mut written = Vec::new();
    payload.write_to(&mut written).unwrap();
    assert_eq!(written.len() as u64, payload.len());
    String::from_utf8_lossy(&written).into_owned()
}

/// A message that says nothing but this.
pub(super) fn message(mail: &'static str) -> Message {
    Message { body: Body::Whole(Bytes::from_static(mail.as_bytes())), ..Message::sample() }
}

/// The same in a file.
pub(super) fn in_file(mail: &[u8]) -> Message {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(mail).unwrap();
    let head = Bytes::copy_from_slice(&mail[..mail.len().min(crate::mail::HEADER_LIMIT)]);
    Message { body: Body::File { head, file: file.into(), length: mail.len() as u64 }, ..Message::sample() }
}

fn formats() -> Vec<Format> {
    let fields: Vec<_> = Source::ALL.iter().map(|(name, source)| ((*name).into(), FieldValue::Of(*source))).collect();
    let json = |attachments| Format::Json { attachments, describe_above: Some(1000) };
    let key = Some(Secret::new("hunter2"));
    vec![
        Format::default(),
        Format::Raw { add_original_to: true },
        json(Attachments::Inline),
        json(Attachments::Omit),
        json(Attachments::Multipart),
        Format::Form { encoding: Encoding::Urlencoded, fields: fields.clone() },
        Format::Form { encoding: Encoding::Multipart, fields },
        Format::Mailgun { mime: false, signing_key: key.clone(), is_fresh: false },
        Format::Mailgun { mime: true, signing_key: key, is_fresh: false },
        Format::Postmark { raw_email: false },
        Format::Postmark { raw_email: true },
    ]
}

#[test]
fn a_body_is_the_same_at_every_attempt() {
    for format in formats() {
        let first = message("From: a@example.com\nSubject: x\n\nbody\n");
        let mut again = first.clone();
        again.history.add_try(SystemTime::UNIX_EPOCH, true);
        again.history.last_reason = "busy".into();
        again.name = "another.name".into();
        let later = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let sent = |message, now| {
            let payload = format.payload(message, now).unwrap();
            (payload.content_type.clone(), text_of(&payload))
        };
        assert_eq!(sent(&first, SystemTime::UNIX_EPOCH), sent(&again, later), "{format:?}");
    }
}

#[test]
fn hostile_mail_has_a_body_in_every_shape_and_says_nothing_in_its_content_type() {
    let names = "x\"; name=\"token\r\nX: 1";
    let hostile = format!("Content-Type: {names}/{names}; boundary={names}\nSubject: {}\n\n\0\u{1}", "=?".repeat(1000));
    let not_utf8: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for format in formats() {
        for mail in [hostile.as_bytes(), &not_utf8, b"", b"\n", b"\r\n\r\n"] {
            for message in [in_file(mail), Message { body: Body::Whole(mail.to_vec().into()), ..Message::sample() }] {
                let payload = format.payload(&message, SystemTime::UNIX_EPOCH).unwrap();
                let mut written = Vec::new();
                payload.write_to(&mut written).unwrap();
                assert_eq!(written.len() as u64, payload.len());
                let kinds = ["message/rfc822", "application/json", "application/x-www-form-urlencoded"];
                let boundary = payload.content_type.strip_prefix("multipart/form-data; boundary=maildirq-");
                let is_boundary = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let is_known = kinds.contains(&&*payload.content_type) || boundary.is_some_and(is_boundary);
                assert!(is_known, "{}", payload.content_type);
            }
        }
    }
}

#[test]
fn secrets_are_known_and_not_shown() {
    let fields =
        vec![("key".into(), FieldValue::Secret(Secret::new("hunter2"))), ("a".into(), FieldValue::Of(Source::Id))];
    let form = Format::Form { encoding: Encoding::Urlencoded, fields };
    let mailgun = Format::Mailgun { mime: false, signing_key: Some(Secret::new("hunter2")), is_fresh: false };
    for format in [form, mailgun] {
        assert_eq!(format.secrets(), [&Secret::new("hunter2")]);
        assert!(!format!("{format:?}").contains("hunter"));
    }
    assert_eq!(Format::default().secrets(), Vec::<&Secret>::new());
    let fields = vec![("project".into(), FieldValue::Text("support".into()))];
    let form = Format::Form { encoding: Encoding::Urlencoded, fields };
    assert_eq!(form.secrets(), Vec::<&Secret>::new(), "plain text is none");
}

/// A mail with a picture within its HTML, a mail, and a file of another charset without a name.
const ATTACHED: &str = "From: Ada <ada@example.com>\nTo: b@example.org\nSubject: Files\nMIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=m\n\n\
    --m\nContent-Type: multipart/related; boundary=r\n\n\
    --r\nContent-Type: text/html\n\n<p>See <img src=\"cid:logo@x\"></p>\n\
    --r\nContent-Type: image/png; name=\"a b.png\"\nContent-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\niVBORw0K\n--r--\n\
    --m\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody\n\
    --m\nContent-Type: text/csv; charset=iso-8859-1\nContent-Disposition: attachment\n\nx;y\n--m--\n";

fn json_of(payload: &Payload) -> serde_json::Value {
    serde_json::from_str(&text_of(payload)).unwrap()
}

#[test]
fn our_object_has_attachments_as_it_is_told() {
    let sent = |attachments, describe_above| {
        let format = Format::Json { attachments, describe_above };
        format.payload(&message(ATTACHED), SystemTime::UNIX_EPOCH).unwrap()
    };
    let inline = json_of(&sent(Attachments::Inline, None));
    let expected = serde_json::json!({
        "name": "a b.png", "type": "image/png", "charset": null, "size": 6, "content_id": "logo@x", "inline": true,
        "sha256": object::sha256_hex(b"\x89PNG\r\n"), "data": "iVBORw0K", "part": null
    });
    assert_eq!(inline["attachments"][0], expected);
    assert_eq!(inline["attachments"][2]["charset"], "iso-8859-1");
    let datas = |object: &serde_json::Value| {
        let attachments = object["attachments"].as_array().unwrap().iter();
        attachments.map(|one| one["data"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let texts = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned)).to_vec();
    let (mail, csv) = ("U3ViamVjdDogaW5uZXIKCmJvZHk=", "eDt5");
    assert_eq!(datas(&inline), texts([Some("iVBORw0K"), Some(mail), Some(csv)]));
    assert_eq!(datas(&json_of(&sent(Attachments::Inline, Some(6)))), texts([Some("iVBORw0K"), None, Some(csv)]));
    assert_eq!(datas(&json_of(&sent(Attachments::Omit, None))), texts([None; 3]));

    let parts = text_of(&sent(Attachments::Multipart, Some(19)));
    assert_eq!(parts.matches("\r\nContent-Disposition: form-data; name=").count(), 3, "{parts}");
    assert!(parts.contains(r#""data":null,"part":"attachment-1""#), "{parts}");
    assert!(parts.contains("name=\"attachment-3\"; filename=\"attachment-3\"\r\nContent-Type: text/csv; charset=iso-8859-1\r\n\r\nx;y\r\n--"), "{parts}");
    assert!(!parts.contains("name=\"attachment-2\""), "{parts}");
}

#[test]
fn a_text_that_is_cut_is_whole_in_every_object() {
    let long = "a line of text\n".repeat(100_000);
    let mail = format!("Subject: x\nContent-Type: text/plain; charset=us-ascii\n\n{long}");
    for attachments in [Attachments::Inline, Attachments::Omit, Attachments::Multipart] {
        for describe_above in [None, Some(1000)] {
            let format = Format::Json { attachments, describe_above };
            let sent = format.payload(&in_file(mail.as_bytes()), SystemTime::UNIX_EPOCH).unwrap();
            if attachments == Attachments::Multipart {
                let written = text_of(&sent);
                let part = format!(
                    "name=\"attachment-1\"; filename=\"attachment-1\"\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{long}"
                );
                assert!(written.contains(&part) && written.contains(r#""data":null,"part":"attachment-1""#));
                continue;
            }
            let object = json_of(&sent);
            assert_eq!((&object["cut"], &object["attachments"][0]["charset"]), (&true.into(), &"us-ascii".into()));
            assert_eq!(object["attachments"][0]["data"], data_encoding::BASE64.encode(long.as_bytes()));
        }
    }
}

#[test]
fn mailgun_has_attachments_as_files() {
    let format = Format::Mailgun { mime: false, signing_key: None, is_fresh: false };
    let sent = format.payload(&message(ATTACHED), SystemTime::UNIX_EPOCH).unwrap();
    let written = text_of(&sent);
    for part in [
        "name=\"attachment-count\"\r\n\r\n3\r\n",
        "name=\"content-id-map\"\r\n\r\n{\"<logo@x>\":\"attachment-1\"}\r\n",
        "name=\"attachment-1\"; filename=\"a b.png\"\r\nContent-Type: image/png\r\n\r\n\u{fffd}PNG\r\n\r\n",
        "name=\"attachment-2\"; filename=\"attachment-2.eml\"\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\n\nbody\r\n",
        "name=\"subject\"\r\n\r\nFiles\r\n",
    ] {
        assert!(written.contains(part), "{part} is not in {written}");
    }
}

#[test]
fn postmark_has_attachments_in_base64() {
    let sent = Format::Postmark { raw_email: false }.payload(&message(ATTACHED), SystemTime::UNIX_EPOCH).unwrap();
    let attachments = json_of(&sent)["Attachments"].clone();
    let expected = serde_json::json!({
        "Name": "a b.png", "Content": "iVBORw0K", "ContentLength": 6, "ContentType": "image/png", "ContentID": "logo@x"
    });
    assert_eq!((&attachments[0], attachments.as_array().unwrap().len()), (&expected, 3));
    assert_eq!(attachments[2]["ContentType"], "text/csv; charset=iso-8859-1");
}

#[test]
fn what_is_built_is_built_in_a_buffer_that_need_not_grow() {
    let part = "--m\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n";
    let lines = format!("{}\n", "QUJD".repeat(19)).repeat(4_000);
    let mail =
        format!("Subject: x\nContent-Type: multipart/mixed; boundary=m\n\n{part}{lines}\n{part}{lines}\n--m--\n");
    let message = in_file(mail.as_bytes());
    for format in formats() {
        for piece in format.payload(&message, SystemTime::UNIX_EPOCH).unwrap().pieces {
            let Piece::Bytes(bytes) = piece else { continue };
            let length = bytes.len();
            let capacity = Vec::from(bytes).capacity();
            assert!(capacity <= length.max(mail.len() * 5 / 2) + 1024, "{format:?}: {length} bytes in {capacity}");
        }
    }
}
