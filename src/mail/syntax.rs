//! The small pieces of a header value: folds, quoted strings, comments, encoded words.

use super::words::WordFinder;
use memchr::memchr2;
use std::borrow::Cow;

/// A value without the line ends of its folds (RFC 5322 section 2.2.3). The blanks after them stay.
pub(super) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut unfolded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        unfolded.extend_from_slice(&rest[..end]);
        let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        rest = &rest[end + rest[end..].iter().take_while(is_line_end).count()..];
    }
    unfolded.extend_from_slice(rest);
    Cow::Owned(unfolded)
}

/// A piece of a value, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Letters, digits and dashes, as many as stand together.
    Letters(&'a [u8]),
    /// A byte that is in none of the others.
    Byte(u8),
    /// A quoted string, with its quotes.
    Quoted(&'a [u8]),
    /// A comment and those in it, with its parentheses.
    Comment(&'a [u8]),
    /// An encoded word: whatever stands in it, it separates nothing.
    Word(&'a [u8]),
}

/// The pieces of an unfolded value. Quotes and parentheses that are not closed are bytes as all others. Each
/// byte is looked at a few times at most, whatever the value.
pub(super) struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    words: WordFinder<'a>,
    has_open_quote: bool,
    has_open_comment: bool,
}

impl<'a> Tokens<'a> {
    /// Takes this value apart.
    pub fn of(bytes: &'a [u8]) -> Self {
        Tokens { bytes, at: 0, words: WordFinder::new(bytes), has_open_quote: false, has_open_comment: false }
    }

    /// Where the next piece begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is left of the value.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn quoted(&mut self) -> Option<usize> {
        let length = if self.has_open_quote { None } else { quoted_length(self.rest()) };
        self.has_open_quote |= length.is_none();
        length
    }

    fn comment(&mut self) -> Option<usize> {
        let length = if self.has_open_comment { None } else { comment_length(self.rest()) };
        self.has_open_comment |= length.is_none();
        length
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let first = *self.bytes.get(self.at)?;
        let (length, token): (_, fn(&'a [u8]) -> Token<'a>) = match first {
            b'"' => (self.quoted(), Token::Quoted),
            b'(' => (self.comment(), Token::Comment),
            b'=' => (self.words.word_at(self.at).map(|word| word.length), Token::Word),
            _ => (letters_length(self.rest()), Token::Letters),
        };
        let Some(length) = length else {
            self.at += 1;
            return Some(Token::Byte(first));
        };
        let written = &self.bytes[self.at..self.at + length];
        self.at += length;
        Some(token(written))
    }
}

/// What stands between the first and the last byte, a backslash standing for what follows it
/// (RFC 5322 section 3.2.1).
pub(super) fn content(written: &[u8]) -> Vec<u8> {
    let inner = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
    let mut content = Vec::with_capacity(inner.len());
    let mut is_escaped = false;
    for &byte in inner {
        is_escaped = byte == b'\\' && !is_escaped;
        if !is_escaped {
            content.push(byte);
        }
    }
    content
}

/// The length of the letters, digits and dashes at the beginning, if there are any.
fn letters_length(bytes: &[u8]) -> Option<usize> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let length = bytes.iter().position(|byte| !is_letter(byte)).unwrap_or(bytes.len());
    (length > 0).then_some(length)
}

/// The length of the quoted string at the beginning.
fn quoted_length(bytes: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the comment at the beginning.
fn comment_length(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut is_escaped) = (0_usize, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(value: &str) -> String {
        let piece = |token| match token {
            Token::Letters(letters) => String::from_utf8_lossy(letters).into_owned(),
            Token::Byte(byte) => char::from(byte).to_string(),
            Token::Quoted(written) => format!("[q{}]", written.escape_ascii()),
            Token::Comment(written) => format!("[c{}]", written.escape_ascii()),
            Token::Word(written) => format!("[w{}]", written.escape_ascii()),
        };
        Tokens::of(value.as_bytes()).map(piece).collect()
    }

    #[test]
    fn values_are_taken_apart() {
        for (value, expected) in [
            ("a \"b(c\"(d (e) f)g", r#"a [q\"b(c\"][c(d (e) f)]g"#),
            ("=?utf-8?Q?a, (b?=,", "[w=?utf-8?Q?a, (b?=],"),
            ("a) \"(\"", r#"a) [q\"(\"]"#),
            ("a (b \"c\"", r#"a (b [q\"c\"]"#),
            ("a \"b (c)", "a \"b [c(c)]"),
            ("=? = (", "=? = ("),
            ("", ""),
        ] {
            assert_eq!(pieces(value), expected, "{value}");
        }
    }

    #[test]
    fn a_backslash_stands_for_what_follows_it() {
        assert_eq!(content(br#""a\"b\\c\d""#), br#"a"b\cd"#);
        assert_eq!(content(br"(\()"), b"(");
        assert_eq!(content(br#"""#), b"");
    }
}
