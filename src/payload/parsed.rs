//! A message, parsed for those shapes that tell what is in it.

use super::piece::Piece;
use crate::engine::{Body, Message};
use crate::mail::{self, Kind, Mail, PARSE_LIMIT, Refusal, Reply};
use bytes::Bytes;
use jiff::Timestamp;
use std::borrow::Cow;
use std::io;
use std::time::SystemTime;

/// The bytes of a message that can be parsed.
pub(super) struct Readable<'a> {
    message: &'a Message,
    bytes: Bytes,
    is_whole: bool,
}

/// A message and what it says.
pub(super) struct Parsed<'a> {
    /// The message.
    pub message: &'a Message,
    /// Its bytes, where they are not more than [`PARSE_LIMIT`].
    pub raw: Option<Bytes>,
    /// What it says.
    pub mail: Mail<'a>,
    /// Why that is but its header, where it is.
    pub parse_error: Option<String>,
}

impl<'a> Readable<'a> {
    /// Reads the message, where that is not too long to be parsed.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub(super) fn of(message: &'a Message) -> io::Result<Self> {
        let (bytes, is_whole) = match &message.body {
            Body::File { head, length, .. } if *length > PARSE_LIMIT => (head.clone(), false),
            body => (body.bytes()?, true),
        };
        Ok(Readable { message, bytes, is_whole })
    }

    /// Only the header of the message; no file is read for that.
    pub(super) fn header_of(message: &'a Message) -> Self {
        let bytes = match &message.body {
            Body::Whole(bytes) | Body::File { head: bytes, .. } => bytes.clone(),
        };
        Readable { message, bytes, is_whole: false }
    }

    /// Parses it.
    pub(super) fn parsed(&self) -> Parsed<'_> {
        let mut mail = if self.is_whole {
            mail::read(&self.bytes)
        } else {
            Mail { refusal: Some(Refusal::Size), ..mail::read_header(&self.bytes) }
        };
        // The envelope may know better than the header who has sent it.
        mail.bounce = mail.bounce.filter(|_| kind_of(self.message) == Kind::Bounce);
        let parse_error = mail.refusal.as_ref().map(ToString::to_string);
        let raw = self.is_whole.then(|| self.bytes.clone()).filter(|raw| raw.len() as u64 <= PARSE_LIMIT);
        Parsed { message: self.message, raw, mail, parse_error }
    }
}

fn kind_of(message: &Message) -> Kind {
    mail::kind(message.header(), message.envelope.from.as_deref())
}

impl Parsed<'_> {
    /// The bytes of an attachment, without a copy where they stand in the message as they are.
    pub(super) fn piece(&self, content: Cow<'_, [u8]>) -> Piece {
        match (content, &self.raw) {
            (Cow::Borrowed(part), Some(raw)) if holds(raw, part) => raw.slice_ref(part).into(),
            (content, _) => Bytes::from(content.into_owned()).into(),
        }
    }

    /// Whether a person wrote it.
    pub(super) fn kind(&self) -> &'static str {
        kind_of(self.message).word()
    }

    /// Its text; of a mail that has only HTML, what can be read of that.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match (&self.mail.text, &self.mail.html) {
            (Some(text), _) => Cow::Borrowed(text),
            (None, Some(html)) => mail::text_of_html(html).into(),
            (None, None) => "".into(),
        }
    }

    /// Its text, taken apart.
    pub(super) fn reply(&self) -> Reply {
        mail::reply(&self.text())
    }

    /// The values of all header fields of this name, decoded, with a comma between them; empty where there is none.
    pub(super) fn header(&self, name: &str) -> Cow<'_, str> {
        let mut values = self.mail.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let first = values.next().map_or("", |field| &field.value);
        values.fold(first.into(), |all, field| all + ", " + &*field.value)
    }

    /// When it was written, as it says itself; empty where it does not.
    pub(super) fn date(&self) -> String {
        self.mail.date.map(rfc3339).unwrap_or_default()
    }

    /// When it was delivered to its queue.
    pub(super) fn received_at(&self) -> String {
        rfc3339(Timestamp::try_from(self.message.arrived).unwrap_or_default())
    }
}

/// Whether `part` is a part of `whole`, and not only equal to one.
fn holds(whole: &[u8], part: &[u8]) -> bool {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

/// A moment in UTC, to the second (RFC 3339).
pub(super) fn rfc3339(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}

/// How many seconds passed between 1970 and a moment.
pub(super) fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
impl<'a> Parsed<'a> {
    /// The message with what a test says of it.
    pub(super) fn sample(message: &'a Message, mail: Mail<'a>) -> Self {
        Parsed { message, raw: message.body.bytes().ok(), mail, parse_error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Field;
    use std::time::Duration;

    #[test]
    fn a_moment_is_told_to_the_second() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_762_092_129_999_999_999);
        assert_eq!(rfc3339(Timestamp::try_from(moment).unwrap()), "2025-11-02T14:02:09Z");
        assert_eq!(unix_seconds(moment), 1_762_092_129);
        assert_eq!(unix_seconds(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    }

    #[test]
    fn fields_of_one_name_are_told_together() {
        let field = |name: &'static str, value: &'static str| Field { name: name.into(), value: value.into() };
        let fields = vec![field("To", "a@x"), field("Cc", "b@x"), field("TO", "c@x")];
        let message = Message::sample();
        let parsed = Parsed::sample(&message, Mail { fields, ..Mail::default() });
        assert_eq!((&*parsed.header("to"), &*parsed.header("cc"), &*parsed.header("bcc")), ("a@x, c@x", "b@x", ""));
    }

    #[test]
    fn of_a_mail_too_long_to_be_parsed_only_the_beginning_is_read() {
        let file = tempfile::tempfile().unwrap();
        let length = PARSE_LIMIT + 1;
        file.set_len(length).unwrap();
        let head = Bytes::from_static(b"Subject: long\n\n");
        let body = Body::File { head: head.clone(), file: file.into(), length };
        let message = Message { body, ..Message::sample() };
        let readable = Readable::of(&message).unwrap();
        assert_eq!(readable.bytes, head);
        let parsed = readable.parsed();
        assert!(parsed.raw.is_none());
        assert_eq!(parsed.parse_error.as_deref(), Some("it is larger than 26 MiB"));
    }
}
