//! The text of HTML, for those who take no HTML.
//!
//! It is meant for reading, not for showing: lines and paragraphs, lists and quotations are kept, looks,
//! links and pictures are not.

use super::tags::{Tag, Tags, Token};
use html_escape::decode_html_entities;

/// The longest text that is made, in bytes.
const TEXT_LIMIT: usize = 1024 * 1024;
/// How many quotations within one another are told apart.
const DEEPEST_QUOTE: usize = 5;

/// What an HTML says, as plain text with lines ending in `\n`.
///
/// A quotation (`blockquote`) has `> ` before each line, as in plain mail. There is no blank line at either
/// end, and never more than one in a row. A text longer than 1 MiB is cut.
pub(super) fn text_of_html(html: &str) -> String {
    let mut writer = Writer::default();
    for token in Tags::new(html) {
        match token {
            Token::Text(text) => writer.text(&decode_html_entities(text)),
            Token::Open(tag) => writer.open(&tag),
            Token::Close(name) => writer.close(&name),
        }
        if writer.text.len() > TEXT_LIMIT {
            writer.text.truncate(writer.text.floor_char_boundary(TEXT_LIMIT));
            break;
        }
    }
    writer.text
}

/// How far an element stands from what is before and after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    Line,
    Paragraph,
}

fn gap(name: &str) -> Option<Gap> {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "blockquote" | "pre" | "hr" => {
            Some(Gap::Paragraph)
        }
        "address" | "article" | "aside" | "body" | "caption" | "center" | "dd" | "div" | "dt" | "figcaption"
        | "figure" | "footer" | "form" | "header" | "li" | "main" | "nav" | "section" | "table" | "tbody" | "tfoot"
        | "thead" | "title" | "tr" => Some(Gap::Line),
        _ => None,
    }
}

#[derive(Default)]
struct Writer {
    text: String,
    /// How many line ends come before the next text.
    breaks: usize,
    /// Whether a blank comes before the next text, unless that begins a line.
    is_spaced: bool,
    /// Whether the next text begins a list's item.
    is_item: bool,
    quotes: usize,
    /// How many quotations the last text stood in.
    text_quotes: usize,
    preformatted: usize,
}

impl Writer {
    fn open(&mut self, tag: &Tag<'_>) {
        self.gap(&tag.name);
        match tag.name.as_str() {
            "br" => self.line_break(),
            "li" => self.is_item = true,
            "td" | "th" => self.is_spaced = true,
            "blockquote" => self.quotes += 1,
            "pre" => self.preformatted += 1,
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        self.gap(name);
        match name {
            "blockquote" => self.quotes = self.quotes.saturating_sub(1),
            "pre" => self.preformatted = self.preformatted.saturating_sub(1),
            "li" => self.is_item = false,
            "td" | "th" => self.is_spaced = true,
            _ => {}
        }
    }

    fn gap(&mut self, name: &str) {
        match gap(name) {
            Some(Gap::Line) => self.breaks = self.breaks.max(1),
            Some(Gap::Paragraph) => self.breaks = 2,
            None => {}
        }
    }

    /// A line's end, and a blank line where there is an end already.
    fn line_break(&mut self) {
        self.breaks = (self.breaks + 1).min(2);
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' if self.preformatted > 0 => self.line_break(),
                _ if c.is_whitespace() && self.preformatted > 0 => self.push(' '),
                _ if c.is_whitespace() => self.is_spaced = true,
                _ if c.is_control() => {}
                _ => self.push(c),
            }
        }
    }

    fn push(&mut self, c: char) {
        let quotes = self.quotes.min(DEEPEST_QUOTE);
        let is_first = self.text.is_empty();
        if is_first || self.breaks > 0 {
            if !is_first && self.breaks > 1 {
                self.text.push('\n');
                self.text.push_str(">".repeat(quotes.min(self.text_quotes)).as_str());
            }
            if !is_first {
                self.text.push('\n');
            }
            self.text.push_str("> ".repeat(quotes).as_str());
            self.text_quotes = quotes;
            if std::mem::take(&mut self.is_item) {
                self.text.push_str("- ");
            }
        } else if self.is_spaced {
            self.text.push(' ');
        }
        self.breaks = 0;
        self.is_spaced = false;
        self.text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_paragraphs_lists_and_quotations_are_kept() {
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("<p>One</p>\r\n<p>Two\n  words</p>", "One\n\nTwo words"),
            ("<div>a</div><div><br></div><div>b</div>", "a\n\nb"),
            ("a<br>b<br><br><br><br>c<br>", "a\nb\n\nc"),
            ("<div>a<br></div><div>b</div>", "a\nb"),
            ("<b>bo</b>ld <i> and </i> not", "bold and not"),
            ("<ul><li>one<li><p>two</p></li></ul>end", "- one\n\n- two\n\nend"),
            ("<ul>\n<li>one</li>\n<li>two</li>\n</ul>", "- one\n- two"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<p>Yes</p><blockquote><p>Come?</p><p>Ada</p></blockquote>", "Yes\n\n> Come?\n>\n> Ada"),
            ("<blockquote>a<blockquote>b</blockquote></blockquote>c", "> a\n>\n> > b\n\nc"),
            ("&lt;b&gt; &amp;amp; caf&eacute; &#8364;&#x41;&nbsp;!", "<b> &amp; café €A !"),
            ("<head><title>T</title><style>p{}</style></head><body>x<script>y</script></body>", "x"),
            ("<!-- a --><pre>  two\n    four\n</pre>", "  two\n    four"),
            ("1 < 2 & 3", "1 < 2 & 3"),
            ("a\u{0}\u{1b}[1mb&#0;", "a[1mb&#0;"),
        ];
        for (html, expected) in cases {
            assert_eq!(text_of_html(html), expected, "{html}");
        }
    }

    #[test]
    fn no_html_makes_a_text_much_larger_than_itself() {
        let size = 512 * 1024;
        let deep = "<blockquote>".repeat(100) + &"<br>a".repeat(size / 5);
        let unclosed = ["<a \"", "<!--", "<style>", "</", "<", "&", "<a b='", "&#", "<div><table>"];
        for html in unclosed.iter().map(|piece| piece.repeat(size / piece.len())).chain([deep]) {
            assert!(text_of_html(&html).len() <= TEXT_LIMIT);
        }
    }
}
