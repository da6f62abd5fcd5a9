//! Lists of mailboxes (RFC 5322 section 3.4).
//!
//! A list is taken apart as it is written, and decoded after that: a comma in an encoded word separates nothing.

use super::charset::text;
use super::syntax::{Token, Tokens, content, unfold};
use super::words::{decode, without_tabs};
use std::ops::Range;

/// How many mailboxes are read of one value.
const LIMIT: usize = 10_000;

/// A mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The name beside the address, decoded.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

/// The mailboxes in a raw field value, those in groups among them.
///
/// The name is what stands before the angle brackets, or else a comment. Without angle brackets the address is
/// what has an `@` in it; where nothing has, all of it is one, as in `root`. Local parts in quotes keep them.
pub(super) fn mailboxes(value: &[u8]) -> Vec<Mailbox> {
    let value = unfold(value);
    let mut list = List::of(&value);
    let mut tokens = Tokens::of(&value);
    while list.found.len() < LIMIT {
        let at = tokens.at();
        match tokens.next() {
            Some(Token::Byte(byte)) => list.byte(at, byte),
            Some(_) => {}
            None => {
                list.end(at);
                break;
            }
        }
    }
    list.found.truncate(LIMIT);
    list.found
}

/// Takes a list apart, from left to right.
struct List<'a> {
    value: &'a [u8],
    found: Vec<Mailbox>,
    /// Where the present mailbox begins.
    start: usize,
    /// Where its first angle bracket is.
    bracket: Option<usize>,
    /// What stands behind an angle bracket that is not closed yet.
    open: Option<usize>,
    /// What stood in angle brackets.
    angle: Option<Range<usize>>,
    /// Whether this is an address of a host, as `[IPv6:::1]`.
    is_literal: bool,
    /// Whether there was an `@`, outside of angle brackets.
    has_at: bool,
}

impl<'a> List<'a> {
    fn of(value: &'a [u8]) -> Self {
        List {
            value,
            found: Vec::new(),
            start: 0,
            bracket: None,
            open: None,
            angle: None,
            is_literal: false,
            has_at: false,
        }
    }

    fn byte(&mut self, at: usize, byte: u8) {
        match (byte, self.open) {
            (b'<', Some(_)) => self.open = Some(at + 1),
            (b'<', None) => {
                if let Some(behind) = self.angle.as_ref().map(|angle| angle.end + 1) {
                    // The comma between two mailboxes is missing.
                    self.end(behind);
                    self.start = behind;
                }
                self.bracket = Some(at);
                self.open = Some(at + 1);
            }
            (b'>', Some(open)) => {
                self.angle = Some(open..at);
                self.open = None;
            }
            // A source route (RFC 5322 section 4.4).
            (b':', Some(open)) if self.is_route(open) => self.open = Some(at + 1),
            (b',', Some(open)) if self.is_route(open) => {}
            (b':', None) if !self.has_at && self.angle.is_none() => self.start = at + 1,
            (b':', None) if !self.is_literal && self.angle.is_none() => self.end(at),
            (b',' | b';', _) => self.end(at),
            (b'[', _) => self.is_literal = true,
            (b']', _) => self.is_literal = false,
            (b'@', None) => self.has_at = true,
            _ => {}
        }
    }

    fn is_route(&self, open: usize) -> bool {
        self.value[open..].first() == Some(&b'@')
    }

    /// The present mailbox ends here, before the separator.
    fn end(&mut self, at: usize) {
        let angle = self.angle.take().or(self.open.take().map(|open| open..at));
        match (angle, self.bracket.take()) {
            (Some(angle), Some(bracket)) => {
                let before = &self.value[self.start..bracket];
                let after = self.value[angle.end..at].get(1..).unwrap_or_default();
                self.found.extend(in_brackets(before, &self.value[angle], after));
            }
            _ => without_brackets(&self.value[self.start..at], &mut self.found),
        }
        self.start = at + 1;
        self.is_literal = false;
        self.has_at = false;
    }
}

/// `Ada <ada@example.com>`. None if there is nothing in it.
fn in_brackets(before: &[u8], angle: &[u8], after: &[u8]) -> Option<Mailbox> {
    let name = name(before).or_else(|| comment(before)).or_else(|| comment(after));
    let address = address(angle);
    (name.is_some() || !address.is_empty()).then_some(Mailbox { name, address })
}

/// `ada@example.com`, or anything else that somebody put there.
fn without_brackets(written: &[u8], found: &mut Vec<Mailbox>) {
    let addresses = words_with_at(written);
    let (Some(first), Some(last)) = (addresses.first(), addresses.last()) else {
        let address = address(written);
        if !address.is_empty() {
            found.push(Mailbox { name: comment(written), address });
        }
        return;
    };
    let name = name(&written[..first.start]).or_else(|| name(&written[last.end..])).or_else(|| comment(written));
    let mailbox = |range: Range<usize>| Mailbox { name: None, address: address(&written[range]) };
    let at = found.len();
    found.extend(addresses.into_iter().map(mailbox));
    found[at].name = name;
}

/// The words that have an `@` in them. Blanks beside it, and beside dots behind it, do not end a word.
fn words_with_at(written: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut tokens = Tokens::of(written);
    let (mut word, mut has_at) = (0..0, false);
    loop {
        let at = tokens.at();
        let token = tokens.next();
        if token.is_some_and(is_blank) {
            continue;
        }
        let is_glue = |byte: Option<u8>| byte == Some(b'@') || byte == Some(b'.') && has_at;
        let first = token.map(|_| written[at]);
        let last = written[..word.end].last().copied();
        if token.is_none() || at > word.end && !is_glue(first) && !is_glue(last) {
            if has_at && words.len() < LIMIT {
                words.push(word);
            }
            (word, has_at) = (at..at, false);
        }
        if token.is_none() {
            return words;
        }
        word.end = tokens.at();
        has_at |= token == Some(Token::Byte(b'@'));
    }
}

fn is_blank(token: Token<'_>) -> bool {
    matches!(token, Token::Comment(_) | Token::Byte(b' ' | b'\t'))
}

/// An address: without comments, and without blanks beside `@` and dots.
fn address(written: &[u8]) -> String {
    let mut plain = Vec::with_capacity(written.len());
    let is_tight = |byte: Option<&u8>| matches!(byte, None | Some(b'@' | b'.'));
    let mut is_apart = false;
    for token in Tokens::of(written) {
        if is_blank(token) {
            is_apart = true;
            continue;
        }
        let one;
        let piece = match token {
            Token::Byte(byte) => {
                one = [byte];
                &one[..]
            }
            Token::Letters(piece) | Token::Quoted(piece) | Token::Word(piece) | Token::Comment(piece) => piece,
        };
        if is_apart && !is_tight(plain.last()) && !is_tight(piece.first()) {
            plain.push(b' ');
        }
        plain.extend_from_slice(piece);
        is_apart = false;
    }
    let address = without_tabs(text(&plain, None));
    let address = address.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '<' | '>'));
    let is_mailto = address.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("mailto:"));
    let address = if is_mailto { &address[7..] } else { address };
    let unquoted = address.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    unquoted.filter(|inner| inner.contains('@') && !inner.contains('"')).unwrap_or(address).to_owned()
}

/// The name that a phrase (RFC 5322 section 3.2.5) is, without its comments.
fn name(written: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(written.len());
    for token in Tokens::of(written) {
        match token {
            Token::Byte(b' ' | b'\t') | Token::Comment(_) => {
                if plain.last() != Some(&b' ') {
                    plain.push(b' ');
                }
            }
            Token::Byte(byte) => plain.push(byte),
            Token::Letters(written) | Token::Word(written) => plain.extend_from_slice(written),
            Token::Quoted(quoted) => plain.extend(content(quoted)),
        }
    }
    Some(without_tabs(decode(&plain)).into_owned()).filter(|name| !name.is_empty())
}

/// The first comment that says something.
fn comment(written: &[u8]) -> Option<String> {
    Tokens::of(written).find_map(|token| match token {
        Token::Comment(comment) => {
            Some(without_tabs(decode(&content(comment))).into_owned()).filter(|comment| !comment.is_empty())
        }
        _ => None,
    })
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
