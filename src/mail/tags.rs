//! A walk over the tags and texts of HTML, as far as mail needs it.
//!
//! It goes over the bytes once, and keeps no tree. What is never closed (a comment, a tag, a style) reaches
//! to the end, as it does in browsers.

/// One step of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text as it is written, with its character references.
    Text(&'a str),
    /// The beginning of an element.
    Open(Tag<'a>),
    /// The end of an element: its name in lower case.
    Close(String),
}

/// The beginning of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Its name in lower case.
    pub name: String,
    /// All that stands between the name and the `>`.
    pub attributes: &'a str,
}

impl Tag<'_> {
    /// The value of an attribute, by its name in lower case.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut rest = self.attributes.trim_start_matches(is_between);
        while !rest.is_empty() {
            let end = rest.find(|c: char| c == '=' || is_between(c)).unwrap_or(rest.len());
            // A stray `=` is no name, but must be got past.
            let (found, after) = rest.split_at(end);
            let after = after.trim_start();
            let (value, after) = match after.strip_prefix('=') {
                Some(after) => split_value(after.trim_start()),
                None => ("", after),
            };
            if found.eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = after.trim_start_matches(is_between);
        }
        None
    }

    /// Whether an element of this name has no content and so no end.
    pub fn is_void(&self) -> bool {
        const VOID: [&str; 14] = [
            "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
            "wbr",
        ];
        VOID.contains(&self.name.as_str())
    }
}

fn is_between(c: char) -> bool {
    c == '/' || c.is_ascii_whitespace()
}

/// The value at the beginning, without its quotes, and what comes after it.
fn split_value(text: &str) -> (&str, &str) {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split_once(quote).unwrap_or((&text[1..], "")),
        _ => text.split_at(text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len())),
    }
}

/// The walk. Its position is in bytes of the HTML.
#[derive(Debug)]
pub(super) struct Tags<'a> {
    html: &'a str,
    position: usize,
}

impl<'a> Tags<'a> {
    /// A walk from the beginning.
    pub fn new(html: &'a str) -> Self {
        Tags { html, position: 0 }
    }

    /// Where the next token begins, or something that is none.
    pub fn position(&self) -> usize {
        self.position
    }

    fn rest(&self) -> &'a str {
        &self.html[self.position..]
    }

    /// Goes past the next occurrence of `end`.
    fn skip_past(&mut self, end: &str) {
        self.position = self.rest().find(end).map_or(self.html.len(), |at| self.position + at + end.len());
    }

    /// Goes to the end tag of an element in which no markup counts.
    fn skip_to_end_of(&mut self, name: &str) {
        let rest = self.rest().as_bytes();
        let is_end = |at: &usize| {
            rest.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
        };
        let end = self.rest().match_indices("</").map(|(at, _)| at).find(is_end);
        self.position += end.unwrap_or(rest.len());
    }

    /// The tag at this position, of which `length` bytes are its opening and its name.
    fn tag(&mut self, name_start: usize) -> (String, &'a str) {
        let rest = self.rest();
        let name_end = rest[name_start..]
            .find(|c: char| c == '>' || is_between(c))
            .map_or(rest.len(), |length| name_start + length);
        let end = name_end + tag_end(&rest[name_end..]);
        self.position = (self.position + end + 1).min(self.html.len());
        (rest[name_start..name_end].to_ascii_lowercase(), &rest[name_end..end])
    }
}

/// Where a tag's `>` is: not within a quoted value.
fn tag_end(attributes: &str) -> usize {
    let mut quote = None;
    let mut is_value = false;
    for (at, byte) in attributes.bytes().enumerate() {
        match quote {
            Some(end) if byte == end => quote = None,
            None if byte == b'>' => return at,
            None if is_value && matches!(byte, b'"' | b'\'') => quote = Some(byte),
            _ => {}
        }
        is_value = byte == b'=' || is_value && byte.is_ascii_whitespace();
    }
    attributes.len()
}

impl<'a> Iterator for Tags<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest();
            let mut bytes = rest.bytes();
            match (bytes.next()?, bytes.next()) {
                (b'<', Some(b'!' | b'?')) => {
                    self.skip_past(if rest.starts_with("<!--") { "-->" } else { ">" });
                }
                (b'<', Some(b'/')) if bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) => {
                    return Some(Token::Close(self.tag(2).0));
                }
                (b'<', Some(letter)) if letter.is_ascii_alphabetic() => {
                    let (name, attributes) = self.tag(1);
                    if matches!(name.as_str(), "script" | "style" | "title") {
                        self.skip_to_end_of(&name);
                    }
                    return Some(Token::Open(Tag { name, attributes }));
                }
                _ => {
                    let length = rest.bytes().skip(1).position(|byte| byte == b'<').map_or(rest.len(), |at| at + 1);
                    self.position += length;
                    return Some(Token::Text(&rest[..length]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(html: &str) -> String {
        let shown = |token| match token {
            Token::Text(text) => format!("\"{text}\""),
            Token::Open(tag) => format!("<{}|{}>", tag.name, tag.attributes.trim()),
            Token::Close(name) => format!("</{name}>"),
        };
        Tags::new(html).map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tags_and_texts_come_in_order() {
        let cases = [
            ("a<b>c</B >d", r#""a" <b|> "c" </b> "d""#),
            (r#"<A title="x > y" href=z>t"#, r#"<a|title="x > y" href=z> "t""#),
            ("it's 1 < 2 <br/>", r#""it's 1 " "< 2 " <br|/>"#),
            ("<p title = '>'>x", "<p|title = '>'> \"x\""),
            ("<p it's>x", "<p|it's> \"x\""),
            ("<!DOCTYPE html><!-- <b> --><?xml?>x<![if !mso]>", r#""x""#),
            ("<style>p > b { }</STYLE><script>'<i>'</script>x", r#"<style|> </style> <script|> </script> "x""#),
            ("é<ü>", r#""é" "<ü>""#),
        ];
        for (html, expected) in cases {
            assert_eq!(shown(html), expected, "{html}");
        }
    }

    #[test]
    fn what_is_never_closed_reaches_to_the_end() {
        for html in ["x<!-- y", "x<style>y", "x<a href=\"y>z", "x<b y", "x<?y", "x</b y"] {
            let texts: Vec<_> = Tags::new(html).filter(|token| matches!(token, Token::Text(_))).collect();
            assert_eq!(texts, [Token::Text("x")], "{html}");
        }
    }

    #[test]
    fn attributes_are_found_however_they_are_written() {
        let Some(Token::Open(tag)) = Tags::new("<div a CLASS = 'b c' id=d/e f=\"g>h\" = =x z='q>").next() else {
            panic!("no tag");
        };
        let cases = [("a", Some("")), ("class", Some("b c")), ("id", Some("d/e")), ("f", Some("g>h")), ("y", None)];
        for (name, value) in cases {
            assert_eq!(tag.attribute(name), value, "{name}");
        }
    }
}
