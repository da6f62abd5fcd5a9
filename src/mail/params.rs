//! A value with parameters: `Content-Type`, `Content-Disposition` (RFC 2045, RFC 2231).

use super::charset::text;
use super::syntax::{Token, Tokens, unfold};
use super::words::{decode, hex_byte, one_line};
use memchr::memchr;

/// How many parameters are looked at. A long name takes some 40 in RFC 2231, and putting pieces together takes
/// time by the square of their number.
const LIMIT: usize = 100;
/// What can begin a parameter although there is no semicolon before it. Any other name could as well be a part
/// of the value, which often has blanks where it should be quoted.
const USUAL: [&[u8]; 10] =
    [b"charset", b"name", b"filename", b"boundary", b"format", b"delsp", b"type", b"size", b"method", b"protocol"];

/// A value with parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    /// What stands before the first semicolon, in lower case.
    pub value: String,
    /// The parameters: names in lower case, values decoded, continuations put together.
    pub params: Vec<(String, String)>,
}

impl Params {
    /// Reads a raw field value. Of several parameters of one name the first counts, but one that tells its
    /// charset (RFC 2231) comes before one that does not: it stands beside it for programs that can read it.
    pub fn read(value: &[u8]) -> Self {
        let value = unfold(value);
        let (head, sections) = Reader::read(&value, |reader| reader.sections.len() == LIMIT);
        let mut params: Vec<(String, String)> = Vec::new();
        for section in &sections {
            if !params.iter().any(|(name, _)| *name == section.name) {
                params.push((section.name.clone(), put_together(&section.name, &sections)));
            }
        }
        Params { value: value_of(&head), params }
    }

    /// Reads only what stands before the parameters.
    pub fn read_value(value: &[u8]) -> String {
        value_of(&Reader::read(&unfold(value), |reader| reader.place != Place::Head).0)
    }

    /// The value of a parameter, by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// `text/plain` of ` Text / Plain what else`.
fn value_of(head: &[u8]) -> String {
    // Most are one word.
    let only_word = std::str::from_utf8(head.trim_ascii()).ok();
    if let Some(word) = only_word.filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic())) {
        return word.to_ascii_lowercase();
    }
    let head = one_line(text(head, None));
    let word = |text: &str| text.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    match head.split_once('/') {
        Some((kind, subtype)) => word(kind) + "/" + &word(subtype),
        None => word(&head),
    }
}

/// One parameter as it is written: it can be a part of one that goes on in others.
#[derive(Debug)]
struct Section {
    /// In lower case, without stars.
    name: String,
    /// Which part of the parameter, of one that is in several (RFC 2231 section 3).
    number: Option<u16>,
    /// Whether bytes are written as `%E9` (RFC 2231 section 4).
    is_extended: bool,
    /// Without quotes.
    value: Vec<u8>,
}

impl Section {
    /// Nothing comes of one without a name.
    fn new(name: &[u8], value: Vec<u8>) -> Option<Self> {
        let name = name.rsplit(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let (name, is_extended) = name.strip_suffix('*').map_or((name.as_str(), false), |name| (name, true));
        let (name, number) = match name.split_once('*') {
            Some((name, number)) => (name, Some(number.parse().ok()?)),
            None => (name, None),
        };
        (!name.is_empty()).then(|| Section { name: name.to_owned(), number, is_extended, value })
    }
}

/// The value of the parameter of this name, decoded.
fn put_together(name: &str, sections: &[Section]) -> String {
    let mut parts: Vec<&Section> = sections.iter().filter(|section| section.name == name).collect();
    // Sorting is stable: of several that are alike, the first stays the first.
    parts.sort_by_key(|part| (!part.is_extended || part.number.is_some(), part.number.is_none(), part.number));
    let is_whole = parts.first().is_some_and(|part| part.number.is_none());
    parts.truncate(if is_whole { 1 } else { parts.len() });
    parts.dedup_by_key(|part| part.number);
    let (mut label, mut is_labelled) = (None, false);
    let mut bytes = Vec::new();
    let mut last = None;
    for part in parts.into_iter().filter(|part| is_whole || part.number.is_some()) {
        if last.is_some_and(|last: u16| part.number != last.checked_add(1)) {
            break;
        }
        let written = match charset_and_rest(&part.value) {
            // Only the first part should have it, but that can be one without escapes.
            Some((charset, rest)) if part.is_extended && !is_labelled => {
                label = Some(charset);
                rest
            }
            _ => &part.value,
        };
        if part.is_extended {
            percent_decode(written, &mut bytes);
        } else {
            bytes.extend_from_slice(written);
        }
        is_labelled |= part.is_extended;
        last = part.number;
    }
    let value = match (label, name) {
        (Some(label), _) => one_line(text(&bytes, Some(label))),
        // Nobody encodes these, and some look as if.
        (None, "boundary") => one_line(text(&bytes, None)),
        // Many programs know nothing of RFC 2231.
        (None, _) => decode(&bytes),
    };
    value.into_owned()
}

/// The charset of an extended value, and what stands behind it and the language.
fn charset_and_rest(value: &[u8]) -> Option<(&str, &[u8])> {
    let mut parts = value.splitn(3, |&byte| byte == b'\'');
    let charset = parts.next().filter(|charset| charset.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'%'))?;
    let rest = parts.nth(1)?;
    Some((std::str::from_utf8(charset).ok()?, rest))
}

/// Takes off the escapes of RFC 2231. What is none stays as it is.
fn percent_decode(written: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = written;
    while let [byte, after @ ..] = rest {
        rest = after;
        match hex_byte(after) {
            Some(escaped) if *byte == b'%' => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            _ => bytes.push(*byte),
        }
    }
}

/// Reads a value from left to right.
#[derive(Default)]
struct Reader {
    head: Vec<u8>,
    sections: Vec<Section>,
    name: Vec<u8>,
    value: Vec<u8>,
    place: Place,
}

/// Where the reader is.
#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    #[default]
    Head,
    Name,
    Value,
    /// Behind the quoted string that is the value.
    Quoted,
}

impl Reader {
    /// What stands before the parameters, and these, up to where it is enough.
    fn read(value: &[u8], is_enough: impl Fn(&Reader) -> bool) -> (Vec<u8>, Vec<Section>) {
        let mut reader = Reader::default();
        let mut tokens = Tokens::of(value);
        while let Some(token) = tokens.next() {
            match token {
                Token::Letters(letters) => reader.letters(letters),
                Token::Byte(byte) => reader.byte(byte),
                Token::Quoted(written) => reader.quoted(written),
                Token::Word(written) => reader.part().extend_from_slice(written),
                Token::Comment(written) => {
                    let rest = tokens.rest().trim_ascii_start();
                    let is_last = rest.is_empty() || rest.starts_with(b";");
                    let is_apart = reader.value.last().is_none_or(u8::is_ascii_whitespace);
                    // `scan(1).pdf` and `my scan (1).pdf` are names of files.
                    if reader.place == Place::Value && !(is_apart && is_last) {
                        reader.value.extend_from_slice(written);
                    }
                }
            }
            if is_enough(&reader) {
                break;
            }
        }
        reader.finish();
        (reader.head, reader.sections)
    }

    /// What is being read.
    fn part(&mut self) -> &mut Vec<u8> {
        match self.place {
            Place::Head => &mut self.head,
            Place::Name => &mut self.name,
            Place::Value | Place::Quoted => &mut self.value,
        }
    }

    fn byte(&mut self, byte: u8) {
        match (self.place, byte) {
            (_, b';') => self.finish(),
            (Place::Name, b'=') => self.place = Place::Value,
            (Place::Head, b'=') => {
                self.name = last_word(&mut self.head);
                self.place = Place::Value;
            }
            (Place::Value, b'=') if ends_in_usual_name(&self.value) => {
                let name = last_word(&mut self.value);
                self.finish();
                self.name = name;
                self.place = Place::Value;
            }
            (Place::Quoted, _) if byte.is_ascii_whitespace() => {}
            _ => self.letters(&[byte]),
        }
    }

    fn letters(&mut self, letters: &[u8]) {
        // Behind a quoted string anything begins a name.
        if self.place == Place::Quoted {
            self.finish();
        }
        self.part().extend_from_slice(letters);
    }

    fn quoted(&mut self, written: &[u8]) {
        if self.place == Place::Value && self.value.trim_ascii().is_empty() {
            self.value.clear();
            self.place = Place::Quoted;
        }
        let inner = &written[1..written.len() - 1];
        unescape(inner, self.part());
    }

    /// The end of a parameter, or of what stands before the first one.
    fn finish(&mut self) {
        let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.value));
        if matches!(self.place, Place::Value | Place::Quoted) {
            let is_quoted = self.place == Place::Quoted;
            let value = if is_quoted { value } else { without_open_quote(value.trim_ascii()).to_vec() };
            self.sections.extend(Section::new(&name, value));
        }
        self.place = Place::Name;
    }
}

/// A quote that is not closed is not part of the value.
fn without_open_quote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").unwrap_or(value)
}

/// Takes the backslashes off quotes and backslashes. Others stay: they are of paths such as `C:\mail\a.pdf`,
/// written by programs that know nothing of escapes.
fn unescape(inner: &[u8], plain: &mut Vec<u8>) {
    let mut rest = inner;
    while let Some(backslash) = memchr(b'\\', rest) {
        let (before, after) = rest.split_at(backslash);
        plain.extend_from_slice(before);
        let is_escape = matches!(after.get(1), Some(b'"' | b'\\'));
        let written = if is_escape { &after[1..2] } else { &after[..1] };
        plain.extend_from_slice(written);
        rest = &after[1 + usize::from(is_escape)..];
    }
    plain.extend_from_slice(rest);
}

/// Where the last word begins, blanks behind it being left out of account.
fn last_word_start(text: &[u8]) -> usize {
    text.trim_ascii_end().iter().rposition(u8::is_ascii_whitespace).map_or(0, |blank| blank + 1)
}

/// Takes the last word off.
fn last_word(text: &mut Vec<u8>) -> Vec<u8> {
    text.split_off(last_word_start(text))
}

/// Whether a parameter begins here, behind a blank.
fn ends_in_usual_name(value: &[u8]) -> bool {
    const LONGEST: usize = 24;
    let end = &value[value.len().saturating_sub(LONGEST)..];
    let start = last_word_start(end);
    let name = end[start..].split(|&byte| byte == b'*').next().unwrap_or_default();
    start > 0 && USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(name))
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
