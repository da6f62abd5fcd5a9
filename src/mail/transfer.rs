//! Transfer encodings (RFC 2045 section 6), and uuencode.
//!
//! Decoding never fails. What is no part of an encoding is skipped or stands for itself, as it does in
//! other mail programs: half a picture is better than none.

use super::header::{line_length, lines};
use crate::base64::decode_quads;
use memchr::memchr;
use std::borrow::Cow;

/// How bytes are wrapped up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// Not at all.
    Identity,
    /// RFC 2045 section 6.8.
    Base64,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
    /// Of Unix, and older than MIME: POSIX's `uuencode`.
    Uuencode,
}

impl Transfer {
    /// The one that a raw `Content-Transfer-Encoding` names; none for a name that nobody knows.
    pub fn named(value: &[u8]) -> Self {
        let is_end = |byte: &u8| matches!(byte, b';' | b'(' | b',') || byte.is_ascii_whitespace();
        let value = value.trim_ascii();
        let token = value.split(is_end).next().unwrap_or_default();
        let token: Vec<u8> = token.iter().filter(|byte| **byte != b'"').map(u8::to_ascii_lowercase).collect();
        match &*token {
            b"base64" => Transfer::Base64,
            b"quoted-printable" => Transfer::QuotedPrintable,
            b"x-uuencode" | b"uuencode" | b"x-uue" | b"uue" => Transfer::Uuencode,
            _ => Transfer::Identity,
        }
    }

    /// Takes the wrapping off.
    pub fn unwrap(self, raw: &[u8]) -> Cow<'_, [u8]> {
        self.unwrap_start(raw, usize::MAX)
    }

    /// Takes the wrapping off, and stops when there are at least `limit` bytes: there may be a few more.
    pub fn unwrap_start(self, raw: &[u8], limit: usize) -> Cow<'_, [u8]> {
        match self {
            Transfer::Identity => Cow::Borrowed(&raw[..raw.len().min(limit)]),
            Transfer::Base64 => Cow::Owned(base64(raw, limit)),
            Transfer::QuotedPrintable => Cow::Owned(quoted_printable(raw, limit)),
            Transfer::Uuencode => Cow::Owned(uuencode(raw, limit)),
        }
    }
}

/// What a byte stands for in base64: 0 to 63, or [`FOREIGN`].
const BASE64: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [FOREIGN; 256];
    let mut value = 0;
    while value < 64 {
        table[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    table
};
const FOREIGN: u8 = 0xFF;
/// How much of a line is decoded before looking whether it is enough, in bytes.
const LINE_LIMIT: usize = 8 * 1024;

/// Several encoded pieces in a row, each with its padding, make one. Text that a mailing list put under
/// the last one does not belong to it.
fn base64(raw: &[u8], limit: usize) -> Vec<u8> {
    let mut quads = Quads { decoded: Vec::with_capacity((raw.len() / 4 * 3 + 3).min(limit)), bits: 0, count: 0 };
    let rest = quads.plain_lines(raw, limit);
    let mut is_padded = false;
    for line in lines(rest).flat_map(|line| line.chunks(LINE_LIMIT)) {
        if quads.decoded.len() >= limit || is_padded && !is_piece(line) {
            break;
        }
        is_padded |= quads.line(line);
    }
    quads.pad();
    quads.decoded
}

/// Whether this can stand behind padding.
fn is_piece(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.len().is_multiple_of(4) && line.iter().all(|&byte| BASE64[usize::from(byte)] != FOREIGN || byte == b'=')
}

/// Base64 on its way to bytes.
struct Quads {
    decoded: Vec<u8>,
    /// Six for each character of the quad begun.
    bits: u32,
    /// The characters of the quad begun: 0 to 3.
    count: u8,
}

impl Quads {
    /// Decodes lines of whole quads, many at a time, and returns what is behind them: the line with the padding, or the
    /// first lines among which there is something else.
    fn plain_lines<'a>(&mut self, mut raw: &'a [u8], limit: usize) -> &'a [u8] {
        let mut characters = Vec::with_capacity(raw.len().min(LINE_LIMIT));
        while self.decoded.len().saturating_add(LINE_LIMIT) <= limit {
            characters.clear();
            let (mut rest, mut length) = (raw, 0);
            while !rest.is_empty() {
                // Most lines are as long as the one before. Where one ends earlier, no quads come of it.
                if length == 0 || rest.get(length - 1) != Some(&b'\n') {
                    length = line_length(rest).min(LINE_LIMIT);
                }
                let text = rest[..length].trim_ascii_end();
                if characters.len() + text.len() > LINE_LIMIT || text.ends_with(b"=") {
                    break;
                }
                characters.extend_from_slice(text);
                rest = &rest[length..];
            }
            if rest.len() == raw.len() || !decode_quads(&characters, &mut self.decoded) {
                break;
            }
            raw = rest;
        }
        raw
    }

    /// Decodes a line up to what cannot stand behind padding, and tells whether there was padding in it.
    fn line(&mut self, mut line: &[u8]) -> bool {
        let mut is_padded = false;
        loop {
            if self.count == 0 {
                line = self.whole_quads(line);
            }
            let Some((&byte, rest)) = line.split_first() else { return is_padded };
            line = rest;
            match BASE64[usize::from(byte)] {
                FOREIGN if byte == b'=' => {
                    is_padded |= self.count > 0;
                    self.pad();
                    let is_over = is_padded && !line.starts_with(b"=") && !is_piece(&line[..line.len().min(4)]);
                    if is_over {
                        return true;
                    }
                }
                FOREIGN => {}
                value => self.push(value),
            }
        }
    }

    /// Decodes the quads that `line` begins with, and returns what is behind them.
    fn whole_quads<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        let (quads, _) = line.as_chunks::<4>();
        let mut whole = 0;
        for quad in quads {
            let [a, b, c, d] = quad.map(|byte| u32::from(BASE64[usize::from(byte)]));
            if (a | b | c | d) > 63 {
                break;
            }
            let [_, bytes @ ..] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
            self.decoded.extend_from_slice(&bytes);
            whole += 1;
        }
        &line[4 * whole..]
    }

    fn push(&mut self, value: u8) {
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 1;
        if self.count == 4 {
            let [_, bytes @ ..] = self.bits.to_be_bytes();
            self.decoded.extend_from_slice(&bytes);
            (self.bits, self.count) = (0, 0);
        }
    }

    /// Ends a quad that is not full: its whole bytes count.
    fn pad(&mut self) {
        let missing = 4 - self.count;
        if missing < 3 {
            let [_, bytes @ ..] = (self.bits << (6 * missing)).to_be_bytes();
            self.decoded.extend_from_slice(&bytes[..usize::from(self.count) - 1]);
        }
        (self.bits, self.count) = (0, 0);
    }
}

fn quoted_printable(raw: &[u8], limit: usize) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len().min(limit));
    let mut rest = raw;
    while decoded.len() < limit {
        let place = memchr(b'=', rest).unwrap_or(rest.len());
        decoded.extend_from_slice(&rest[..place.min(limit - decoded.len())]);
        let Some(after) = rest.get(place + 1..) else { break };
        rest = after;
        if let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else if let Some(after) = soft_break(rest) {
            rest = after;
        } else {
            decoded.push(b'=');
        }
    }
    decoded
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// What comes after a line end that does not count. Some hosts put blanks before it.
fn soft_break(rest: &[u8]) -> Option<&[u8]> {
    // RFC 2045 allows lines of 76 characters. Looking for the end of longer ones again and again took long.
    let window = &rest[..rest.len().min(80)];
    let blanks = window.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &rest[blanks..] {
        [] => Some(&[]),
        [b'\r', b'\n', after @ ..] | [b'\n' | b'\r', after @ ..] => Some(after),
        _ => None,
    }
}

fn uuencode(raw: &[u8], limit: usize) -> Vec<u8> {
    let mut decoded = Vec::with_capacity((raw.len() / 4 * 3).min(limit));
    for line in lines(raw).skip_while(|line| !line.starts_with(b"begin ")).skip(1) {
        if line.trim_ascii_end() == b"end" || decoded.len() >= limit {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let Some((&length, characters)) = line.strip_suffix(b"\r").unwrap_or(line).split_first() else { continue };
        let end = decoded.len() + usize::from(sixbit(length));
        for quad in characters.chunks(4) {
            let bits =
                (0..4).fold(0, |bits, place| bits << 6 | u32::from(quad.get(place).map_or(0, |&byte| sixbit(byte))));
            let [_, bytes @ ..] = bits.to_be_bytes();
            let wanted = end.saturating_sub(decoded.len()).min(3);
            decoded.extend_from_slice(&bytes[..wanted]);
        }
        // Blanks stand for zeros, and some hosts take them off line ends. No whole text is longer than its encoding.
        decoded.resize(end.min(raw.len()).max(decoded.len()), 0);
    }
    decoded
}

fn sixbit(byte: u8) -> u8 {
    byte.wrapping_sub(b' ') & 0x3F
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_decoded(transfer: Transfer, cases: &[(&str, &str)]) {
        for (raw, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&transfer.unwrap(raw.as_bytes())), *expected, "{raw:?}");
        }
    }

    #[test]
    fn an_encoding_is_known_however_its_name_is_written() {
        for (value, expected) in [
            (&b" base64"[..], Transfer::Base64),
            (b" BASE64 \r\n", Transfer::Base64),
            (b"Base64; x=1", Transfer::Base64),
            (b"\"base64\"", Transfer::Base64),
            (b"quoted-printable(really)", Transfer::QuotedPrintable),
            (b"Quoted-Printable;", Transfer::QuotedPrintable),
            (b"x-uuencode", Transfer::Uuencode),
            (b"7bit", Transfer::Identity),
            (b"8-bit", Transfer::Identity),
            (b"base65", Transfer::Identity),
            (b"", Transfer::Identity),
        ] {
            assert_eq!(Transfer::named(value), expected, "{value:?}");
        }
    }

    #[test]
    fn base64_is_decoded_whatever_stands_between() {
        assert_decoded(
            Transfer::Base64,
            &[
                ("", ""),
                ("YWJj", "abc"),
                ("YWJjZA==", "abcd"),
                ("YWJjZA", "abcd"),
                ("YWJjZGU", "abcde"),
                ("YWJjZ", "abc"),
                ("YW\r\nJj\r\nZA==\r\n", "abcd"),
                ("YW!!Jj", "abc"),
                ("Y W J j", "abc"),
                ("YQ==YmM=ZGVm", "abcdef"),
                ("YQ==\nYmM=\nZGVm\n", "abcdef"),
                ("==YWJj", "abc"),
                ("YWJjZA==\n\n_____\nmy list, list@example.org\n", "abcd"),
                ("YWJjZA==\nRegards\n", "abcd"),
                ("YWJjZA== ignored\n", "abcd"),
            ],
        );
    }

    #[test]
    fn base64_agrees_with_the_standard() {
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            let mut encoded = data_encoding::BASE64_MIME.encode(&bytes);
            assert_eq!(&*Transfer::Base64.unwrap(encoded.as_bytes()), &*bytes, "{encoded}");
            encoded.retain(|character| character != '\r' && character != '\n');
            assert_eq!(&*Transfer::Base64.unwrap(encoded.as_bytes()), &*bytes, "{encoded}");
        }
    }

    #[test]
    fn base64_of_many_lines_is_decoded_wherever_they_end() {
        let bytes: Vec<u8> = (0..20_002).map(|_| fastrand::u8(..)).collect();
        let encoded = data_encoding::BASE64.encode(&bytes);
        for width in [1, 3, 4, 64, 75, 76, 998, encoded.len()] {
            for line_end in ["\n", "\r\n", " \n"] {
                let lines = encoded.as_bytes().chunks(width).map(|line| [line, line_end.as_bytes()].concat());
                let lines: Vec<u8> = lines.flatten().collect();
                assert!(*Transfer::Base64.unwrap(&lines) == *bytes, "{width} {line_end:?}");
                for odd in [b'\n', b'!', 0xff] {
                    let (mut lines, place) = (lines.clone(), fastrand::usize(..lines.len()));
                    lines.insert(place, odd);
                    assert!(*Transfer::Base64.unwrap(&lines) == *bytes, "{width} {line_end:?} {odd} at {place}");
                }
            }
        }
    }

    #[test]
    fn quoted_printable_is_decoded_whatever_stands_between() {
        assert_decoded(
            Transfer::QuotedPrintable,
            &[
                ("", ""),
                ("a=3Db", "a=b"),
                ("caf=C3=a9", "café"),
                ("café", "café"),
                ("one=\ntwo=\r\nthree", "onetwothree"),
                ("one= \t\r\ntwo", "onetwo"),
                ("1+1=2, a=b, = c", "1+1=2, a=b, = c"),
                ("=", ""),
                ("a=4", "a=4"),
                ("==41", "=A"),
                ("-- \nAda", "-- \nAda"),
            ],
        );
    }

    #[test]
    fn uuencode_is_decoded() {
        assert_decoded(
            Transfer::Uuencode,
            &[
                ("Here it is:\nbegin 644 cat.txt\n#0V%T\n`\nend\nBye", "Cat"),
                ("begin 644 a\r\n$86)C9```\r\n \r\nend\r\n", "abcd"),
                ("begin 644 a\n$86)C9\n", "abcd"),
                ("begin 644 a\n$80  \nend", "a\0\0\0"),
                ("begin 644 a\n$80\nend", "a\0\0\0"),
                ("no beginning", ""),
            ],
        );
    }

    #[test]
    fn decoding_stops_at_a_limit() {
        let encoded = "YWJj\n".repeat(1000);
        for (transfer, raw) in [
            (Transfer::Identity, &*encoded),
            (Transfer::Base64, &encoded),
            (Transfer::QuotedPrintable, &encoded),
            (Transfer::QuotedPrintable, &"=41=41=41\n".repeat(1000)),
            (Transfer::Uuencode, &format!("begin 644 a\n{}", "#0V%T\n".repeat(1000))),
        ] {
            let start = transfer.unwrap_start(raw.as_bytes(), 100);
            assert!((100..200).contains(&start.len()), "{transfer:?}: {}", start.len());
            assert!(transfer.unwrap(raw.as_bytes()).starts_with(&start), "{transfer:?}");
        }
        let one_line = "YWJj".repeat(100_000);
        assert!(Transfer::Base64.unwrap_start(one_line.as_bytes(), 100).len() <= LINE_LIMIT);
    }
}
