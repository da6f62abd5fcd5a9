//! A bounded, linear look at the header fields of a message.
//!
//! This is not a mail parser: it finds where the header ends and which fields stand in it, and it
//! does so for any bytes whatever, in one pass, without decoding anything.

use memchr::memchr;

/// How much of a message is searched for header fields, in bytes.
pub const HEADER_LIMIT: usize = 64 * 1024;

const RECEIVED: &[u8] = b"Received";

/// The header section of a message: its first bytes, up to the blank line or [`HEADER_LIMIT`].
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    bytes: &'a [u8],
}

impl<'a> Header<'a> {
    /// The header at the beginning of `message`, which may be cut off anywhere.
    pub fn of(message: &'a [u8]) -> Self {
        Self::up_to(message, |_| false)
    }

    /// The part of it that [`Header::of_delivery`] gives, which is found without reading on.
    pub fn top_of(message: &'a [u8]) -> Self {
        Self::up_to(message, is_received)
    }

    fn up_to(message: &'a [u8], is_end: impl Fn(&[u8]) -> bool) -> Self {
        let searched = &message[..message.len().min(HEADER_LIMIT)];
        let mut end = 0;
        for line in lines(searched) {
            if matches!(Line::of(line), Line::Blank | Line::Text) || is_end(line) {
                break;
            }
            end += line.len();
        }
        Header { bytes: &searched[..end] }
    }

    /// The header that these lines are, however many. None of them is [blank](Line::Blank) or
    /// [text](Line::Text).
    pub(super) fn of_lines(bytes: &'a [u8]) -> Self {
        Header { bytes }
    }

    /// What is looked at of this header where the message is not read whole: [`HEADER_LIMIT`].
    pub(super) fn beginning(self) -> Self {
        if self.bytes.len() > HEADER_LIMIT { Header::of(self.bytes) } else { self }
    }

    /// The fields in order: name as written, and raw value without the line end of its last line
    /// (folded lines keep theirs). Lines that are no field, as mbox's `From ` line, are skipped.
    pub fn fields(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (field, after) = rest.split_at(field_length(rest));
                rest = after;
                if let Some(parts) = split_field(field) {
                    return Some(parts);
                }
            }
            None
        })
    }

    /// The fields that the last delivery has put on top: those above the first `Received`. What stands
    /// below was there before, and anybody can have written it.
    pub fn of_delivery(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields().take_while(|(name, _)| !name.eq_ignore_ascii_case(RECEIVED))
    }

    /// The value of the first field called `name` (in any case), trimmed.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        let name = name.as_bytes();
        let mut rest = self.bytes;
        loop {
            // Most lines begin with another letter. A folded one begins with a blank, and no name does.
            if rest.first()?.eq_ignore_ascii_case(name.first()?)
                && rest.get(..name.len())?.eq_ignore_ascii_case(name)
                && let Some((found, value)) = split_field(&rest[..field_length(rest)])
                && found.len() == name.len()
            {
                return Some(value.trim_ascii());
            }
            rest = &rest[line_length(rest)..];
        }
    }
}

/// What a line is to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It ends the header, and belongs to neither header nor body.
    Blank,
    /// It begins a field, be it one without a name, continues one, or is mbox's separator.
    Header,
    /// It can stand in a body only. Somebody forgot the blank line, and MTAs end the header here.
    Text,
}

impl Line {
    /// What this line is, given with its line end.
    pub fn of(line: &[u8]) -> Self {
        if matches!(line, b"\n" | b"\r\n") {
            return Line::Blank;
        }
        let is_folded = matches!(line.first(), Some(b' ' | b'\t'));
        let is_separator = || line.starts_with(b"From ") || line.starts_with(b">From ");
        let is_field = || line.starts_with(b":") || split_field(line).is_some();
        if is_folded || is_field() || is_separator() { Line::Header } else { Line::Text }
    }
}

/// Whether this line begins a field that an MTA has written at a hop.
fn is_received(line: &[u8]) -> bool {
    split_field(line).is_some_and(|(name, _)| name.eq_ignore_ascii_case(RECEIVED))
}

/// The lines of these bytes, with their line ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (line, after) = rest.split_at(line_length(rest));
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// The length of the first line, with its line end.
pub(super) fn line_length(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1)
}

/// The length of the first field: its line and the folded ones (RFC 5322 section 2.2.3) after it.
fn field_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    for line in lines(bytes) {
        if length > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            break;
        }
        length += line.len();
    }
    length
}

fn split_field(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', field)?;
    let name = field[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then(|| (name, field[colon + 1..].trim_ascii_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Header::of(message).fields().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn fields_are_found_in_order_and_the_body_is_not() {
        let mail = b"Received: a\r\n\tb\r\nSubject : hi\r\nX: 1\r\nx: 2\r\n\r\nNot-A-Field: 3\r\n";
        let found = fields(mail);
        assert_eq!(found[0], ("Received".into(), " a\r\n\tb".into()));
        assert_eq!(found[1], ("Subject".into(), " hi".into()));
        assert_eq!(found.len(), 4);
        assert_eq!(Header::of(mail).get("X"), Some(&b"1"[..]));
        assert_eq!(Header::of(mail).get("not-a-field"), None);
    }

    #[test]
    fn a_line_that_is_no_field_ends_the_header() {
        let mail = b"From ada Thu Jan  1 00:00:00\nSubject: x\nHello Ada: I forgot the blank line\nNot-A-Field: 1\n\n";
        assert_eq!(fields(mail), [("Subject".into(), " x".into())]);
        assert_eq!(fields(b"A: 1\n: 2\nB: 3\n").len(), 2);
        assert_eq!(fields(b"A: 1\n \nB: 2\n").len(), 2, "a line of blanks is a folded one");
    }

    #[test]
    fn the_top_is_what_the_last_delivery_has_written() {
        for mail in [
            &b"Return-Path: <a>\nDelivered-To: b\nRECEIVED : x\n by y\nDelivered-To: c\nReceived: z\n\n"[..],
            b"Delivered-To: b\n Received: folded\nX-Received: x\nReceived: y\nTo: z\n\n",
            b"Received: x\nTo: y\n\n",
            b"From a Thu 00:00\nTo: y\n\nReceived: in the body\nTo: z\n",
            b"To: y\nno field\nTo: z\n",
            b"",
        ] {
            let top: Vec<_> = Header::top_of(mail).fields().collect();
            assert_eq!(top, Header::of(mail).of_delivery().collect::<Vec<_>>(), "{}", mail.escape_ascii());
        }
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let header = Header::of(b"X-Filler: 1\n X: 2\nXa: 3\nX\t : 4\n 5\nx: 6\n\n");
        assert_eq!(header.get("x"), Some(&b"4\n 5"[..]));
        assert_eq!((header.get("X-Fill"), header.get("X-Filler:")), (None, None));
        assert_eq!(Header::of(b"X").get("X"), None);
    }

    #[test]
    fn odd_bytes_are_no_fields_and_no_trouble() {
        for odd in [
            &b""[..],
            b"\n",
            b"no colon at all",
            b": empty name\n",
            b" folded first line\n",
            b"From somebody Thu Jan  1\n",
            b"na me: with blank\n",
            b"\xff\xfe: bytes\n",
        ] {
            assert_eq!(fields(odd), [], "{odd:?}");
        }
        assert_eq!(fields(b"From a Thu 00:00\nSubject: x").len(), 1);
    }

    #[test]
    fn a_header_without_end_is_read_up_to_the_limit() {
        let mut mail = Vec::new();
        while mail.len() < 3 * HEADER_LIMIT {
            mail.extend_from_slice(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n");
        }
        mail.extend_from_slice(b"X-Late: 1\n\nbody");
        assert_eq!(Header::of(&mail).get("x-late"), None);
        assert!(Header::of(&mail).fields().count() > 1000);
    }
}
