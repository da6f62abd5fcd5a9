//! `format = "form"`: fields of the user's choice.

use super::json::described;
use super::multipart::{Multipart, Part};
use super::parsed::{Parsed, Readable};
use super::piece::{Payload, Piece};
use super::raw::write_crlf;
use super::urlencoded::{Urlencoded, escaped_length};
use super::{Encoding, FieldValue, PayloadError, Source};
use crate::engine::{Body, Message};
use crate::mail::TEXT_LIMIT;
use bytes::Bytes;
use std::io::{self, Write};

/// The type of a text that is in no charset, as a message is. Rails answers 400 to bytes that are no UTF-8, unless it
/// is told; and it takes no file where Redmine wants a message.
const BINARY_TEXT: &str = "text/plain; charset=binary";

/// What is in a field.
enum Content {
    /// Text that is in memory, or is made of the message when it is written.
    Text(Vec<Piece>),
    /// The message itself, which is read only when it is written.
    Raw,
    RawCrlf,
}

/// How the message itself is a part.
#[derive(Clone, Copy, PartialEq)]
enum RawAs {
    File,
    Text,
}

/// The body for a message.
pub(super) fn payload(
    message: &Message,
    encoding: Encoding,
    fields: &[(String, FieldValue)],
) -> Result<Payload, PayloadError> {
    let contents = contents(message, fields)?;
    let fields: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).zip(contents).collect();
    Ok(match encoding {
        Encoding::Urlencoded => urlencoded(message, fields)?,
        Encoding::Multipart => multipart(message, fields, RawAs::File)?,
    })
}

/// How long a form on one line may become, in bytes: percent signs make a mail of strange bytes three times as long,
/// and one of line ends six times. One that would be longer is multipart, which makes nothing longer. Its fields are
/// the same: none becomes a file, for whoever wants a text takes no file.
fn longest_line(message: &Message) -> u64 {
    4 * message.body.len() + 2 * 1024 * 1024
}

/// What is in each field. The message is parsed only where that is asked for, and let go of before anything is
/// written: a form may be several times as long.
fn contents(message: &Message, fields: &[(String, FieldValue)]) -> Result<Vec<Content>, PayloadError> {
    let told = |parsed| fields.iter().map(|(_, value)| content(value, message, parsed)).collect();
    let without_parsing: Option<io::Result<_>> = told(None);
    if let Some(contents) = without_parsing {
        return Ok(contents?);
    }
    let readable = Readable::of(message)?;
    let parsed = readable.parsed();
    let is_whole = |value: &FieldValue| matches!(value, FieldValue::Of(source) if source.is_whole());
    let lacking = || fields.iter().find_map(|(_, value)| lacking(value, &parsed));
    if !fields.iter().any(|(_, value)| is_whole(value))
        && let Some(why) = lacking()
    {
        return Err(PayloadError::Incomplete(why));
    }
    Ok(told(Some(&parsed)).expect("only a parsed message was lacking")?)
}

/// Why a field would not hold all of the text that it is to hold, where that is so.
fn lacking(value: &FieldValue, parsed: &Parsed<'_>) -> Option<String> {
    let mail = &parsed.mail;
    let (what, media_type) = match value {
        FieldValue::Of(Source::Text | Source::ReplyText) if mail.text.is_some() => ("text", "text/plain"),
        FieldValue::Of(Source::Text | Source::ReplyText | Source::Html) => ("HTML", "text/html"),
        _ => return None,
    };
    if let Some(why) = &parsed.parse_error {
        return Some(format!("it cannot be parsed ({why})"));
    }
    let is_cut = mail.attachments.iter().any(|one| one.is_body && one.media_type == media_type);
    is_cut.then(|| format!("its {what} is longer than {} MiB", TEXT_LIMIT / 1024 / 1024))
}

/// What is in a field; None where the message has to be parsed for that.
fn content(value: &FieldValue, message: &Message, parsed: Option<&Parsed<'_>>) -> Option<io::Result<Content>> {
    let source = match value {
        FieldValue::Text(text) => return Some(Ok(Content::text(text.clone()))),
        FieldValue::Secret(text) => return Some(Ok(Content::text(text.reveal().to_owned()))),
        FieldValue::Of(source) => *source,
    };
    let envelope = &message.envelope;
    let text = match source {
        Source::Raw => return Some(Ok(Content::Raw)),
        Source::RawCrlf => return Some(Ok(Content::RawCrlf)),
        Source::RawBase64 => return Some(Ok(Content::Text(vec![Piece::base64(&message.body)]))),
        Source::Json => return Some(described(parsed?).map(Content::Text)),
        Source::EnvelopeFrom => envelope.from.clone().unwrap_or_default(),
        Source::EnvelopeTo => envelope.to.clone().unwrap_or_default(),
        Source::Detail => envelope.detail.clone().unwrap_or_default(),
        Source::Id => message.id.to_string(),
        Source::Queue => message.queue.to_string(),
        Source::Route => message.route.to_string(),
        Source::Size => message.body.len().to_string(),
        Source::Kind => parsed?.kind().to_owned(),
        Source::From => parsed?.header("From").into_owned(),
        Source::To => parsed?.header("To").into_owned(),
        Source::Cc => parsed?.header("Cc").into_owned(),
        Source::Subject => parsed?.mail.subject.clone().unwrap_or_default().into_owned(),
        Source::MessageId => parsed?.mail.message_id.clone().unwrap_or_default(),
        Source::Date => parsed?.date(),
        Source::ReceivedAt => parsed?.received_at(),
        Source::Text => parsed?.text().into_owned(),
        Source::Html => parsed?.mail.html.clone().unwrap_or_default().into_owned(),
        Source::ReplyText => parsed?.reply().text,
    };
    Some(Ok(Content::text(text)))
}

fn urlencoded(message: &Message, fields: Vec<(&str, Content)>) -> io::Result<Payload> {
    let mut length = 0;
    for (name, content) in &fields {
        length += 2 + escaped_length(name.as_bytes()) + content.lengths(&message.body)?.escaped;
    }
    if length as u64 > longest_line(message) {
        return multipart(message, fields, RawAs::Text);
    }
    let mut form = Urlencoded::with_capacity(length);
    for (name, content) in fields {
        content.write_to(&mut form.field(name), &message.body)?;
    }
    Ok(Payload::whole("application/x-www-form-urlencoded", form.done()))
}

fn multipart(message: &Message, fields: Vec<(&str, Content)>, raw_as: RawAs) -> io::Result<Payload> {
    let raw = Piece::of(&message.body);
    let mut form = Multipart::default();
    for (name, content) in fields {
        form.add(match content {
            Content::Text(text) => Part::field(name, text),
            Content::Raw if raw_as == RawAs::File => Part::message(name, raw.clone()),
            Content::Raw => Part::field(name, vec![raw.clone()]).with_type(BINARY_TEXT),
            Content::RawCrlf => {
                let mut text = Vec::with_capacity(content.lengths(&message.body)?.plain);
                content.write_to(&mut text, &message.body)?;
                Part::text(name, text).with_type(BINARY_TEXT)
            }
        });
    }
    form.payload(message.id)
}

impl Content {
    fn text(text: String) -> Self {
        Content::Text(vec![Bytes::from(text).into()])
    }

    fn write_to(&self, out: &mut impl Write, message: &Body) -> io::Result<()> {
        match self {
            Content::Text(pieces) => pieces.iter().try_for_each(|piece| piece.each_chunk(|chunk| out.write_all(chunk))),
            Content::Raw => Piece::of(message).each_chunk(|chunk| out.write_all(chunk)),
            Content::RawCrlf => write_crlf(&Piece::of(message), out),
        }
    }

    /// How long it becomes. Whoever knows that needs no buffer that grows, which takes up to three times its length.
    fn lengths(&self, message: &Body) -> io::Result<Lengths> {
        let mut lengths = Lengths::default();
        self.write_to(&mut lengths, message)?;
        Ok(lengths)
    }
}

/// Counts what is written, in bytes.
#[derive(Default)]
struct Lengths {
    plain: usize,
    escaped: usize,
}

impl Write for Lengths {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plain += bytes.len();
        self.escaped += escaped_length(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;
    use crate::payload::tests::{in_file, message, text_of};

    fn sent(message: &Message, encoding: Encoding, fields: &[(&str, FieldValue)]) -> String {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        text_of(&payload(message, encoding, &fields).unwrap())
    }

    fn text(text: &str) -> FieldValue {
        FieldValue::Text(text.to_owned())
    }

    #[test]
    fn discourse_and_redmine_get_what_they_know() {
        for message in [message("Subject: x\n\na+b\n"), in_file(b"Subject: x\n\na+b\n")] {
            let discourse =
                sent(&message, Encoding::Urlencoded, &[("email_encoded", FieldValue::Of(Source::RawBase64))]);
            assert_eq!(discourse, "email_encoded=U3ViamVjdDogeAoKYStiCg%3D%3D");
            let redmine = [
                ("key", text("s3cret")),
                ("email", FieldValue::Of(Source::RawCrlf)),
                ("issue[project]", text("support")),
            ];
            assert_eq!(
                sent(&message, Encoding::Urlencoded, &redmine),
                "key=s3cret&email=Subject%3A+x%0D%0A%0D%0Aa%2Bb%0D%0A&issue%5Bproject%5D=support"
            );
            let parts = sent(&message, Encoding::Multipart, &redmine);
            let email =
                "name=\"email\"\r\nContent-Type: text/plain; charset=binary\r\n\r\nSubject: x\r\n\r\na+b\r\n\r\n--";
            assert!(parts.contains(email), "{parts}");
            let parts = sent(&message, Encoding::Multipart, &[("email", FieldValue::Of(Source::Raw))]);
            let file = "name=\"email\"; filename=\"message.eml\"\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\n\na+b\n\r\n";
            assert!(parts.contains(file), "{parts}");
        }
    }

    #[test]
    fn every_source_gives_a_field() {
        let envelope = Envelope {
            from: Some("ada@example.com".into()),
            to: Some("support+7@example.org".into()),
            detail: Some("7".into()),
        };
        let message = Message { envelope, route: "r".into(), ..message("Subject: x\n\n") };
        for (name, source) in Source::ALL {
            let value = sent(&message, Encoding::Urlencoded, &[(name, FieldValue::Of(source))]);
            let value = value.strip_prefix(&format!("{name}=")).unwrap();
            let expected = match source {
                Source::Raw => "Subject%3A+x%0A%0A",
                Source::EnvelopeFrom => "ada%40example.com",
                Source::EnvelopeTo => "support%2B7%40example.org",
                Source::Detail => "7",
                Source::Queue => "main",
                Source::Route => "r",
                Source::Kind => "human",
                Source::Size => "12",
                Source::ReceivedAt => "1970-01-01T00%3A00%3A00Z",
                Source::Id => &*message.id.to_string(),
                _ => continue,
            };
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn every_byte_of_a_message_comes_through() {
        let bytes: Vec<u8> = (0..=255).collect();
        let message = in_file(&bytes);
        let sent = sent(&message, Encoding::Urlencoded, &[("raw", FieldValue::Of(Source::Raw))]);
        assert!(sent.starts_with("raw=%00%01") && sent.ends_with("%FE%FF"), "{sent}");
    }

    #[test]
    fn a_form_that_would_be_too_long_is_multipart() {
        for (length, content_type) in
            [(1_000_000, "application/x-www-form-urlencoded"), (1_100_000, "multipart/form-data")]
        {
            let message = in_file(&vec![b'\n'; length]);
            let fields = [("email".to_owned(), FieldValue::Of(Source::RawCrlf))];
            let payload = payload(&message, Encoding::Urlencoded, &fields).unwrap();
            assert!(payload.content_type.starts_with(content_type), "{length}: {}", payload.content_type);
        }
    }

    #[test]
    fn in_a_form_that_became_multipart_nothing_is_a_file() {
        let message = in_file(&b"\n".repeat(1_500_000));
        let fields = [("email", FieldValue::Of(Source::Raw)), ("crlf", FieldValue::Of(Source::RawCrlf))];
        let written = sent(&message, Encoding::Urlencoded, &fields);
        for name in ["email", "crlf"] {
            let part = format!("name=\"{name}\"\r\nContent-Type: text/plain; charset=binary\r\n\r\n");
            assert_eq!(written.matches(&part).count(), 1, "{name}");
        }
        assert!(!written.contains("filename"));
    }

    /// A mail that is refused, one whose text is cut, and one whose HTML is cut.
    fn mails_that_are_not_whole() -> [Message; 3] {
        let parts = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(2000));
        let long = "a line of text\n".repeat(100_000);
        let html = format!(
            "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nshort\n--b\nContent-Type: text/html\n\n{long}\n--b--\n"
        );
        [parts, format!("Subject: x\n\n{long}"), html].map(|mail| in_file(mail.as_bytes()))
    }

    #[test]
    fn a_form_that_would_lose_text_is_not_sent() {
        let refused = "it cannot be parsed (it has more than 1000 parts)";
        let (text, html) = ("its text is longer than 1 MiB", "its HTML is longer than 1 MiB");
        for (source, expected) in [
            (Source::Text, [refused, text, ""]),
            (Source::ReplyText, [refused, text, ""]),
            (Source::Html, [refused, "", html]),
            (Source::Subject, ["", "", ""]),
        ] {
            for (message, expected) in mails_that_are_not_whole().iter().zip(expected) {
                let of = |source| ("a".to_owned(), FieldValue::Of(source));
                let error = payload(message, Encoding::Multipart, &[of(source)]).err();
                let said = error.as_ref().map(ToString::to_string).unwrap_or_default();
                let end = if expected.is_empty() { "" } else { ", and no field of the form holds the message itself" };
                assert_eq!(said, format!("{expected}{end}"), "{source}");
                assert!(matches!(error, None | Some(PayloadError::Incomplete(_))));
                for whole in Source::ALL.map(|(_, source)| source).into_iter().filter(|source| source.is_whole()) {
                    assert!(payload(message, Encoding::Multipart, &[of(source), of(whole)]).is_ok(), "{whole}");
                }
            }
        }
    }

    #[test]
    fn the_object_in_a_field_lacks_nothing() {
        for (message, is_parsed) in mails_that_are_not_whole().iter().zip([false, true, true]) {
            let fields = [("json".to_owned(), FieldValue::Of(Source::Json))];
            let written = text_of(&payload(message, Encoding::Multipart, &fields).unwrap());
            let json = written.split("\r\n\r\n").nth(1).and_then(|part| part.lines().next()).unwrap();
            let object: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(object["parsed"], is_parsed);
            let whole = if is_parsed { &object["attachments"][0]["data"] } else { &object["raw"] };
            let whole = data_encoding::BASE64.decode(whole.as_str().unwrap().as_bytes()).unwrap();
            let raw = message.body.bytes().unwrap();
            assert!(if is_parsed { whole.len() >= 1_499_999 } else { whole == raw }, "{}", whole.len());
        }
    }

    #[test]
    fn a_message_is_parsed_only_where_that_is_asked_for() {
        let file = tempfile::tempfile().unwrap();
        let body = crate::engine::Body::File { head: Bytes::new(), file: file.into(), length: 9 };
        let message = Message { body, ..Message::sample() };
        let of = |source| payload(&message, Encoding::Multipart, &[("a".into(), FieldValue::Of(source))]);
        assert!(of(Source::Size).is_ok() && of(Source::EnvelopeTo).is_ok());
        assert!(of(Source::Subject).is_err() && of(Source::RawBase64).is_err());
    }
}
