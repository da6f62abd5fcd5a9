//! Every format, and what holds for the body that it makes of any bytes. The fuzzer of `tests/fuzz` has this file, too.

use std::io::Write;
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use maildirq::engine::{Body, Envelope, EnvelopeRules, History, Id, Message};
use maildirq::mail::{HEADER_LIMIT, Header};
use maildirq::payload::{Attachments, Encoding, FieldValue, Format, Payload, Source};
use maildirq::secret::Secret;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What stands between the parts of a form is made of the id of the message.
const BOUNDARY: &str = "multipart/form-data; boundary=";

pub fn formats() -> Vec<Format> {
    let fields: Vec<_> = Source::ALL.iter().map(|(name, source)| ((*name).into(), FieldValue::Of(*source))).collect();
    let json = |attachments| Format::Json { attachments, describe_above: None };
    let key = Some(Secret::new("key"));
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

/// A message that is in memory.
pub fn message(mail: &[u8]) -> Message {
    Message {
        id: Id::from_digest(&[1; 32]),
        name: "1762087331.M1P1Q1.mx".into(),
        queue: "main".into(),
        place: None,
        route: "".into(),
        envelope: Envelope::read(Header::of(mail), &EnvelopeRules::default()),
        arrived: SystemTime::UNIX_EPOCH,
        body: Body::Whole(Bytes::copy_from_slice(mail)),
        file: None,
        history: History::default(),
    }
}

/// The same message in a file, as large ones are.
pub fn message_in_file(mail: &[u8]) -> Message {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(mail).unwrap();
    let head = Bytes::copy_from_slice(&mail[..mail.len().min(HEADER_LIMIT)]);
    Message { body: Body::File { head, file: file.into(), length: mail.len() as u64 }, ..message(mail) }
}

/// There is a body, it is well-formed, and what it has of the mail itself is the mail to the last byte.
///
/// # Panics
/// One of these is not so.
#[track_caller]
pub fn check(format: &Format, message: &Message, mail: &[u8]) {
    let payload = format.payload(message, SystemTime::UNIX_EPOCH).unwrap();
    let mut body = Vec::new();
    payload.write_to(&mut body).unwrap();
    assert_eq!(body.len() as u64, payload.len());
    match format {
        Format::Raw { .. } => check_raw(&body, mail),
        Format::Json { attachments: Attachments::Multipart, .. } => {
            let parts = parts(&payload, &body);
            check_object(parts[0].content, mail);
            check_files(&parts);
        }
        Format::Json { .. } => check_object(&body, mail),
        Format::Form { .. } => check_fields(&fields(&payload, &body), mail),
        Format::Mailgun { mime: true, .. } => assert!(content(&fields(&payload, &body), "body-mime") == mail),
        Format::Mailgun { .. } => {
            let fields = fields(&payload, &body);
            assert!(!is_refused(mail) || fields.iter().any(|(_, content)| content == mail));
        }
        Format::Postmark { raw_email } => check_postmark(&body, *raw_email, mail),
    }
}

fn check_raw(body: &[u8], mail: &[u8]) {
    let above = body.strip_suffix(mail).expect("the mail is at the end of the body");
    let is_recipient = above.starts_with(b"X-Original-To: ") && memchr::memchr_iter(b'\n', above).count() == 1;
    assert!(above.is_empty() || is_recipient, "{}", above.escape_ascii());
}

fn check_object(object: &[u8], mail: &[u8]) {
    let object: Value = serde_json::from_slice(object).unwrap();
    assert_eq!((&object["size"], &object["sha256"]), (&mail.len().into(), &sha256(mail).into()));
    match object["raw"].as_str() {
        Some(raw) => assert!(object["parsed"] == false && base64(raw) == mail),
        None => assert_eq!(object["parsed"], true),
    }
    for attachment in object["attachments"].as_array().unwrap() {
        let Some(data) = attachment["data"].as_str().map(base64) else { continue };
        assert_eq!((&attachment["size"], &attachment["sha256"]), (&data.len().into(), &sha256(&data).into()));
    }
}

fn check_files(parts: &[Part<'_>]) {
    let object: Value = serde_json::from_slice(parts[0].content).unwrap();
    let mut files = parts[1..].iter();
    for attachment in object["attachments"].as_array().unwrap() {
        let Some(name) = attachment["part"].as_str() else { continue };
        let file = files.next().expect("a part for each that is said to have one");
        assert_eq!((file.name, &attachment["sha256"]), (name, &sha256(file.content).into()));
    }
    assert_eq!(files.len(), 0);
}

fn check_fields(fields: &[(String, Vec<u8>)], mail: &[u8]) {
    assert!(content(fields, "raw") == mail);
    assert!(base64(str::from_utf8(content(fields, "raw_base64")).unwrap()) == mail);
    assert_eq!(without_line_ends(content(fields, "raw_crlf")), without_line_ends(mail));
    check_object(content(fields, "json"), mail);
    for (name, _) in Source::ALL.iter().filter(|(_, source)| *source != Source::Raw && *source != Source::RawCrlf) {
        assert!(str::from_utf8(content(fields, name)).is_ok(), "{name}");
    }
}

fn check_postmark(body: &[u8], has_raw_email: bool, mail: &[u8]) {
    let object: Value = serde_json::from_slice(body).unwrap();
    if let (true, Ok(text)) = (has_raw_email, str::from_utf8(mail)) {
        assert!(object["RawEmail"] == text);
    }
    let attachments = object["Attachments"].as_array().unwrap().iter();
    let contents: Vec<_> = attachments.clone().map(|one| base64(one["Content"].as_str().unwrap())).collect();
    assert!(attachments.zip(&contents).all(|(one, content)| one["ContentLength"] == content.len()));
    assert!(!is_refused(mail) || contents.last().is_some_and(|last| last == mail));
}

/// Whether it is not parsed, so that it must be there itself.
fn is_refused(mail: &[u8]) -> bool {
    maildirq::mail::read(mail).refusal.is_some()
}

struct Part<'a> {
    name: &'a str,
    content: &'a [u8],
}

/// The parts of a form (RFC 7578).
fn parts<'a>(payload: &Payload, body: &'a [u8]) -> Vec<Part<'a>> {
    let boundary = payload.content_type.strip_prefix(BOUNDARY).expect("it is multipart");
    let delimiter = format!("\r\n--{boundary}");
    let first = body.strip_prefix(&delimiter.as_bytes()[2..]).expect("it begins with a delimiter");
    let mut found: Vec<_> = split(first, delimiter.as_bytes()).collect();
    assert_eq!(found.pop(), Some(&b"--\r\n"[..]), "it ends with the last delimiter");
    found.into_iter().map(part).collect()
}

fn part(part: &[u8]) -> Part<'_> {
    let end = memchr::memmem::find(part, b"\r\n\r\n").expect("a part has a header");
    let header = str::from_utf8(&part[2..end]).unwrap();
    let name = header.strip_prefix("Content-Disposition: form-data; name=\"").unwrap().split('"').next().unwrap();
    assert!(header.split("\r\n").count() <= 2 && !header.replace("\r\n", "").contains(char::is_control), "{header}");
    Part { name, content: &part[end + 4..] }
}

/// The fields of a form of either encoding.
fn fields(payload: &Payload, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    if payload.content_type.starts_with(BOUNDARY) {
        let parts = parts(payload, body).into_iter();
        return parts.map(|part| (part.name.to_owned(), part.content.to_vec())).collect();
    }
    assert_eq!(payload.content_type, "application/x-www-form-urlencoded");
    let fields = body.split(|&byte| byte == b'&').map(|field| {
        let mut sides = field.splitn(2, |&byte| byte == b'=').map(unescaped);
        let name = sides.next().and_then(|name| String::from_utf8(name).ok());
        (name.expect("names are text"), sides.next().expect("a field has a value"))
    });
    fields.collect()
}

/// The last field of this name: a header field of a mail may have it, too.
fn content<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    let found = fields.iter().rev().find(|(found, _)| found == name);
    &found.unwrap_or_else(|| panic!("there is no {name}")).1
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = rest.split_off(..2).expect("two digits behind a percent sign");
                u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()
            }
            plain => plain,
        });
    }
    bytes
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut from = 0;
    let ends: Vec<_> = memchr::memmem::find_iter(bytes, at).chain([bytes.len()]).collect();
    ends.into_iter().map(move |end| {
        let piece = &bytes[from..end];
        from = (end + at.len()).min(bytes.len());
        piece
    })
}

fn without_line_ends(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

fn base64(text: &str) -> Vec<u8> {
    BASE64.decode(text.as_bytes()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
