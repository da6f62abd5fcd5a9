//! Message ids (RFC 5322 section 3.6.4).

use super::charset::text;
use super::syntax::{Token, Tokens, unfold};
use super::words::without_tabs;

/// How many ids are read of one value.
const LIMIT: usize = 10_000;

/// All ids in a raw value, with their angle brackets. What stands between them is left out, and so are blanks
/// within them, which are left by folds.
///
/// A value that is one single word without angle brackets is an id whose program forgot them: it gets them.
/// Several such words are none, as old mail says things like `your message of Monday`.
pub(super) fn ids(value: &[u8]) -> Vec<String> {
    let value = unfold(value);
    let mut found = Vec::new();
    let mut bare = Vec::new();
    let mut inside: Option<Vec<u8>> = None;
    for token in Tokens::of(&value) {
        match (token, &mut inside) {
            (Token::Byte(b'<'), _) => add(inside.replace(Vec::new()), &mut found),
            (Token::Byte(b'>'), Some(_)) => add(inside.take(), &mut found),
            (Token::Byte(byte), Some(id)) if !byte.is_ascii_whitespace() => id.push(byte),
            (Token::Byte(_), Some(_)) | (Token::Comment(_), None) => {}
            (Token::Byte(byte), None) => bare.push(byte),
            (Token::Letters(written) | Token::Quoted(written) | Token::Word(written), None) => {
                bare.extend_from_slice(written);
            }
            (
                Token::Letters(written) | Token::Quoted(written) | Token::Word(written) | Token::Comment(written),
                Some(id),
            ) => id.extend_from_slice(written),
        }
        if found.len() == LIMIT {
            return found;
        }
    }
    add(inside, &mut found);
    let bare = bare.trim_ascii();
    if found.is_empty() && !bare.contains(&b' ') && !bare.contains(&b'\t') {
        add(Some(bare.to_vec()), &mut found);
    }
    found
}

/// Adds what stood within angle brackets, if anything.
fn add(inside: Option<Vec<u8>>, found: &mut Vec<String>) {
    let inside = inside.unwrap_or_default();
    let id = without_tabs(text(&inside, None));
    if !id.is_empty() {
        found.push(format!("<{id}>"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_among_anything() {
        for (value, expected) in [
            (" <a@b>", &["<a@b>"][..]),
            ("<a@b> <c@d>", &["<a@b>", "<c@d>"]),
            ("<a@b><c@d>,\r\n\t<e@f>", &["<a@b>", "<c@d>", "<e@f>"]),
            ("Your message of \"Mon, 1 Jan <x>\" <a@b> (was <c@d>)", &["<a@b>"]),
            ("<long-\r\n id@host >", &["<long-id@host>"]),
            ("<\"a b\"@c>", &["<\"a b\"@c>"]),
            ("<\"a\tb\"@(\t)c>", &["<\"a b\"@( )c>"]),
            ("<a(1)@b>", &["<a(1)@b>"]),
            ("<a@b", &["<a@b>"]),
            ("<a@b <c@d>", &["<a@b>", "<c@d>"]),
            ("<<a@b>>", &["<a@b>"]),
            ("a@b", &["<a@b>"]),
            (" abc (comment)\r\n", &["<abc>"]),
            ("ada@example.com's message of Monday", &[]),
            ("<>", &[]),
            ("<é@b>", &["<é@b>"]),
            ("<a\0\x1b@b>", &["<a@b>"]),
            ("", &[]),
        ] {
            assert_eq!(ids(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn there_is_a_limit() {
        assert_eq!(ids("<a>".repeat(LIMIT + 1).as_bytes()).len(), LIMIT);
        assert_eq!(ids("<".repeat(1 << 20).as_bytes()), Vec::<String>::new());
    }
}
