//! Encoded words (RFC 2047), and raw 8-bit text in header fields.
//!
//! Real mail has encoded words where the standard allows none: in quoted strings, longer than 75 characters,
//! with blanks in them, run into the text beside them. All of these are decoded. What is no encoded word stays
//! as it is.

use super::charset::{is_utf7, text};
use super::syntax::unfold;
use crate::base64::decode_quads;
use memchr::{memchr_iter, memchr2_iter, memchr3_iter};
use std::borrow::Cow;

/// The longest name of a charset, in bytes. Bounded so that it takes no time to see that something is no word.
const LABEL_LIMIT: usize = 64;

/// A raw unstructured value as text on one line.
///
/// Line ends of folds are removed, and their blanks stay. Line ends within encoded words become
/// blanks; other control characters but tabs are removed.
pub(super) fn decode(value: &[u8]) -> Cow<'_, str> {
    match unfold(value) {
        Cow::Borrowed(value) => decode_unfolded(value),
        Cow::Owned(value) => decode_unfolded(&value).into_owned().into(),
    }
}

fn decode_unfolded(value: &[u8]) -> Cow<'_, str> {
    let value = value.trim_ascii();
    if let Some(plain) = plain_ascii(value) {
        return plain.into();
    }
    let begins_word = |at: usize| value[at..].starts_with(b"=?");
    let mut words = WordFinder::new(value);
    let mut decoded = String::with_capacity(value.len());
    let mut run = Run::default();
    let (mut plain, mut at) = (0, 0);
    while let Some(start) = memchr_iter(b'=', &value[at..]).map(|offset| at + offset).find(|&at| begins_word(at)) {
        let Some(word) = words.word_at(start) else {
            at = start + 2;
            continue;
        };
        let between = &value[plain..start];
        if run.is_empty() || !between.iter().all(u8::is_ascii_whitespace) {
            run.finish(&mut decoded);
            decoded.push_str(&text(between, None));
        }
        at = start + word.length;
        plain = at;
        run.add(word, &mut decoded);
    }
    run.finish(&mut decoded);
    decoded.push_str(&text(&value[plain..], None));
    let line = one_line(decoded.into());
    let trimmed = line.trim_matches(|c: char| c.is_ascii_whitespace());
    if trimmed.len() == line.len() { line } else { trimmed.to_owned().into() }
}

/// A value in which there is nothing to be decoded, as most are.
fn plain_ascii(value: &[u8]) -> Option<&str> {
    // Hardly any has a question mark.
    let has_words = || memchr_iter(b'?', value).any(|at| value[..at].ends_with(b"="));
    if is_printable(value) && !has_words() { std::str::from_utf8(value).ok() } else { None }
}

/// Whether these are ASCII, and no control characters but tabs.
fn is_printable(bytes: &[u8]) -> bool {
    // All of them are looked at, many at a time.
    bytes.iter().fold(true, |is_printable, byte| is_printable & matches!(byte, b'\t' | b' '..=b'~'))
}

/// Whether nothing is in a text that [`one_line`] changes, going by its bytes: C1 controls and the line ends of Unicode
/// begin by `C2` and `E2`.
fn is_one_line(text: &str) -> bool {
    let bytes = text.as_bytes();
    let acts = |at: usize| matches!(bytes[at..], [0xC2, 0x80..0xA0, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..]);
    let is_harmless = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    bytes.iter().fold(true, |are_harmless, byte| are_harmless & is_harmless(byte))
        && !memchr2_iter(0xC2, 0xE2, bytes).any(acts)
}

/// Text on one line: line ends, those of Unicode among them, become blanks. All other control characters but
/// tabs are removed.
pub(super) fn one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_one_line(&text) {
        return text;
    }
    let mut line = String::with_capacity(text.len());
    let mut last = None;
    for character in text.chars() {
        match character {
            '\n' if last == Some('\r') => {}
            '\n' | '\r' | '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}' => line.push(' '),
            '\t' => line.push('\t'),
            control if control.is_control() => {}
            other => line.push(other),
        }
        last = Some(character);
    }
    line.into()
}

/// The same for what is no text but a name for machines: a tab, which may stand within quotation marks, becomes a
/// blank, too.
pub(super) fn without_tabs(text: Cow<'_, str>) -> Cow<'_, str> {
    let line = one_line(text);
    if line.contains('\t') { line.replace('\t', " ").into() } else { line }
}

/// Words of one charset with nothing but blanks between them. They are joined before they are decoded, since
/// many programs split them within a character, or leave out the escape sequences at the border.
#[derive(Default)]
struct Run<'a> {
    label: Option<&'a str>,
    bytes: Vec<u8>,
}

impl<'a> Run<'a> {
    fn is_empty(&self) -> bool {
        self.label.is_none()
    }

    fn add(&mut self, word: Word<'a>, decoded: &mut String) {
        let goes_on = self.label.is_some_and(|label| label.eq_ignore_ascii_case(word.label) && !is_utf7(label));
        if !goes_on {
            self.finish(decoded);
            self.label = Some(word.label);
        }
        match word.encoding {
            Encoding::B => base64(word.payload, &mut self.bytes),
            Encoding::Q => quoted(word.payload, &mut self.bytes),
        }
    }

    fn finish(&mut self, decoded: &mut String) {
        if let Some(label) = self.label.take() {
            decoded.push_str(&text(&self.bytes, Some(label)));
            self.bytes.clear();
        }
    }
}

/// An encoded word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    label: &'a str,
    encoding: Encoding,
    payload: &'a [u8],
    /// Its length as it is written, in bytes.
    pub length: usize,
}

/// How bytes are written in an encoded word (RFC 2047 section 4).
#[derive(Clone, Copy, Debug)]
enum Encoding {
    B,
    Q,
}

/// Finds encoded words, each byte being searched once however many beginnings there are without an end.
pub(super) struct WordFinder<'a> {
    bytes: &'a [u8],
    stop: Option<Stop>,
}

/// Where the payload of a word stops, going on from any place before it.
#[derive(Clone, Copy)]
struct Stop {
    at: usize,
    is_end: bool,
}

impl<'a> WordFinder<'a> {
    /// Finds words in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        WordFinder { bytes, stop: None }
    }

    /// The word that begins here. Must be asked in ascending order.
    pub fn word_at(&mut self, start: usize) -> Option<Word<'a>> {
        let bytes = self.bytes;
        let after = bytes.get(start..)?.strip_prefix(b"=?")?;
        let is_label = |byte: &u8| byte.is_ascii_graphic() && *byte != b'?';
        let length = after.iter().take(LABEL_LIMIT).take_while(|byte| is_label(byte)).count();
        let (label, rest) = after.split_at(length);
        let encoding = match rest {
            [b'?', b'B' | b'b', b'?', ..] => Encoding::B,
            [b'?', b'Q' | b'q', b'?', ..] => Encoding::Q,
            _ => return None,
        };
        let label = std::str::from_utf8(label).ok().filter(|label| !label.is_empty())?;
        let payload = start + 2 + length + 3;
        let stop = self.stop_from(payload);
        stop.is_end.then(|| Word { label, encoding, payload: &bytes[payload..stop.at], length: stop.at + 2 - start })
    }

    /// The next `?=`, or the beginning of another word behind a blank: a word without an end must not take the
    /// next one along.
    fn stop_from(&mut self, from: usize) -> Stop {
        if let Some(stop) = self.stop.filter(|stop| stop.at >= from) {
            return stop;
        }
        let mut stop = Stop { at: self.bytes.len(), is_end: false };
        for at in memchr3_iter(b'?', b' ', b'\t', &self.bytes[from..]).map(|at| from + at) {
            match &self.bytes[at..] {
                [b'?', b'=', ..] => stop = Stop { at, is_end: true },
                [b' ' | b'\t', b'=', b'?', next, ..] if *next != b'=' => stop = Stop { at, is_end: false },
                _ => continue,
            }
            break;
        }
        self.stop = Some(stop);
        stop
    }
}

/// Decodes base64 as far as it is some: other bytes are skipped, and the padding need not be there.
fn base64(payload: &[u8], decoded: &mut Vec<u8>) {
    // The last quad may have padding.
    let (quads, last) = payload.split_at(payload.len().saturating_sub(1) / 4 * 4);
    let rest = if decode_quads(quads, decoded) { last } else { payload };
    let (mut bits, mut count) = (0_u32, 0);
    for byte in rest {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                count = 0;
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count).to_le_bytes()[0]);
        }
    }
}

/// Decodes the Q encoding. What is no escape stays as it is.
fn quoted(payload: &[u8], decoded: &mut Vec<u8>) {
    let mut rest = payload;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, hex_byte(after)) {
            (b'_', _) => decoded.push(b' '),
            (b'=', Some(escaped)) => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            _ => decoded.push(*byte),
        }
    }
}

/// The byte that two hexadecimal digits at the beginning stand for.
pub(super) fn hex_byte(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
