//! What there is to say of a file, and how it is shown: the line, a caret under the place, a hint.

use crate::engine::text::printable;
use std::fmt::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use unicode_width::UnicodeWidthChar;

/// No line of a file is shown wider than this, in columns of a terminal.
const WIDEST: usize = 120;
/// Where the caret stands at most in a line that is cut at its beginning.
const CARET_WITHIN: usize = 60;
/// What a secret is shown as.
const DOTS: &str = "••••";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There is no configuration with this.
    Error,
    /// It works, though perhaps not as it was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One thing that there is to say of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter.
    pub text: String,
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; None where it is about the whole file.
    pub line: Option<usize>,
    /// The column, in characters counted from 1.
    pub column: Option<usize>,
    /// What to do about it.
    pub help: Option<String>,
    /// All of this as it is shown to people, without a newline at the end.
    pub rendered: String,
}

/// A remark that knows its place by bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub severity: Severity,
    pub text: String,
    pub span: Option<Range<usize>>,
    /// What stands beside the caret.
    pub label: Option<String>,
    pub help: Option<String>,
    /// Whether it is about something that is not there; it may be in a part that could not be read.
    pub is_absence: bool,
}

impl Note {
    pub fn error(text: impl Into<String>) -> Self {
        Note { severity: Severity::Error, text: text.into(), span: None, label: None, help: None, is_absence: false }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Note { severity: Severity::Warning, ..Note::error(text) }
    }

    pub fn absence(text: impl Into<String>) -> Self {
        Note { is_absence: true, ..Note::error(text) }
    }

    pub fn at(self, span: Range<usize>) -> Self {
        Note { span: Some(span), ..self }
    }

    pub fn label(self, label: impl Into<String>) -> Self {
        Note { label: Some(label.into()), ..self }
    }

    pub fn help(self, help: impl Into<String>) -> Self {
        Note { help: Some(help.into()), ..self }
    }
}

/// The text that notes are about.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    /// What is not to be shown of it.
    pub hidden: Vec<Range<usize>>,
}

/// A line with a part to point at.
struct Excerpt {
    line: usize,
    column: usize,
    shown: String,
    caret_at: usize,
    caret_width: usize,
}

/// A character as it is shown.
struct Glyph {
    shown: String,
    width: usize,
    offset: usize,
}

impl Source<'_> {
    /// The note, with its place in lines and columns.
    pub fn remark(&self, note: Note) -> Remark {
        let excerpt = note.span.clone().map(|span| self.excerpt(span));
        let rendered = self.render(&note, excerpt.as_ref());
        let help = match (note.label, note.help) {
            (Some(label), Some(help)) => Some(format!("{label}; {help}")),
            (label, help) => label.or(help),
        };
        let (line, column) = excerpt.map(|excerpt| (excerpt.line, excerpt.column)).unzip();
        Remark { severity: note.severity, text: note.text, file: self.file.to_owned(), line, column, help, rendered }
    }

    /// The line that a place is in, counted from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        before.matches('\n').count() + 1
    }

    fn render(&self, note: &Note, excerpt: Option<&Excerpt>) -> String {
        let file = printable(self.file.as_os_str().as_encoded_bytes());
        let mut text = format!("{}: {}\n", note.severity, note.text);
        let number = excerpt.map(|excerpt| excerpt.line.to_string()).unwrap_or_default();
        let gutter = " ".repeat(number.len().max(2) + 1);
        let written = match excerpt {
            None => write!(text, "{gutter}┌─ {file}"),
            Some(Excerpt { line, column, shown, caret_at, caret_width }) => write!(
                text,
                "{gutter}┌─ {file}:{line}:{column}\n{number:>2} │ {shown}\n{gutter}│ {}{} {}",
                " ".repeat(*caret_at),
                "^".repeat(*caret_width),
                note.label.as_deref().unwrap_or_default(),
            ),
        };
        written.expect("writing to a string cannot fail");
        let mut text = text.trim_end().to_owned();
        if let Some(help) = &note.help {
            write!(text, "\n{gutter}= help: {help}").expect("writing to a string cannot fail");
        }
        text
    }

    fn excerpt(&self, span: Range<usize>) -> Excerpt {
        let start = self.text.floor_char_boundary(span.start);
        let begin = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[begin..].find('\n').map_or(self.text.len(), |length| begin + length);
        let column = self.text[begin..start].chars().count() + 1;
        let mut glyphs = self.glyphs(begin, end);
        let width_of = |glyphs: &[Glyph], part: Range<usize>| -> usize {
            glyphs.iter().filter(|glyph| part.contains(&glyph.offset)).map(|glyph| glyph.width).sum()
        };
        let mut caret_at = width_of(&glyphs, begin..start);
        if caret_at > CARET_WITHIN {
            let mut dropped = 0;
            let too_much = caret_at - CARET_WITHIN;
            glyphs.retain(|glyph| {
                dropped >= too_much || {
                    dropped += glyph.width;
                    false
                }
            });
            glyphs.insert(0, Glyph { shown: "…".into(), width: 1, offset: begin });
            caret_at = caret_at - dropped + 1;
        }
        let mut shown = String::new();
        let mut width = 0;
        let mut last = 0;
        for glyph in &glyphs {
            if width + glyph.width > WIDEST {
                shown.push('…');
                break;
            }
            width += glyph.width;
            last = glyph.offset + 1;
            shown.push_str(&glyph.shown);
        }
        let caret_width = width_of(&glyphs, start..span.end.min(last)).max(1);
        Excerpt { line: self.line_of(start), column, shown: shown.trim_end().to_owned(), caret_at, caret_width }
    }

    fn glyphs(&self, begin: usize, end: usize) -> Vec<Glyph> {
        let characters = self.text[begin..end].char_indices().map(|(offset, character)| (begin + offset, character));
        let characters = characters.filter(|(offset, character)| !(*character == '\r' && offset + 1 == end));
        let shown = characters.map(|(offset, character)| {
            let shown = match self.hidden.iter().find(|hidden| hidden.contains(&offset)) {
                Some(hidden) if hidden.start.max(begin) == offset => DOTS.to_owned(),
                Some(_) => String::new(),
                None if character == '\t' => " ".to_owned(),
                None => printable(character.encode_utf8(&mut [0; 4]).as_bytes()),
            };
            let width = shown.chars().map(|character| character.width().unwrap_or(0)).sum();
            Glyph { shown, width, offset }
        });
        shown.collect()
    }
}

/// All remarks as they are shown, and how many there are.
pub(super) fn render_all(remarks: &[Remark]) -> String {
    let count = |severity, name: &str| {
        let count = remarks.iter().filter(|remark| remark.severity == severity).count();
        (count > 0).then(|| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
    };
    let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
    let mut parts: Vec<String> = remarks.iter().map(|remark| remark.rendered.clone()).collect();
    parts.push(counts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, span: Range<usize>, hidden: Vec<Range<usize>>) -> (usize, usize, String) {
        let source = Source { file: Path::new("m.toml"), text, hidden };
        let remark = source.remark(Note::error("no").at(span));
        (remark.line.unwrap(), remark.column.unwrap(), remark.rendered)
    }

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        for (text, word, line, column, caret) in [
            ("timout = 1", "timout", 1, 1, "   │ ^^^^^^"),
            ("a = 1\ntimout = 1\n", "timout", 2, 1, "   │ ^^^^^^"),
            ("\ttimout = 1\r\n", "timout", 1, 2, "   │  ^^^^^^"),
            ("ä = \"é\", timout = 1", "timout", 1, 10, "   │          ^^^^^^"),
            ("a = \"受信\", timout = 1", "timout", 1, 11, "   │             ^^^^^^"),
            ("a = \"\u{1b}[2J\", timout = 1", "timout", 1, 13, "   │                  ^^^^^^"),
            ("a = 受信", "受信", 1, 5, "   │     ^^^^"),
        ] {
            let start = text.find(word).unwrap();
            let (found_line, found_column, shown) = rendered(text, start..start + word.len(), vec![]);
            assert_eq!((found_line, found_column), (line, column), "{text:?}");
            assert_eq!(shown.lines().last(), Some(caret), "{shown}");
            assert!(!shown.contains(['\u{1b}', '\r', '\t']), "{shown:?}");
        }
    }

    #[test]
    fn a_place_at_the_end_or_over_several_lines_has_a_caret_too() {
        let (line, column, shown) = rendered("a = ", 4..4, vec![]);
        assert_eq!((line, column, shown.lines().last()), (1, 5, Some("   │     ^")));
        let (line, column, shown) = rendered("a = [\n1,\n]\n", 4..10, vec![]);
        assert_eq!((line, column, shown.lines().last()), (1, 5, Some("   │     ^")));
        assert_eq!(rendered("a\n", 2..2, vec![]).0, 2);
        assert_eq!(rendered("a", 70..90, vec![]).1, 2);
    }

    #[test]
    fn what_is_hidden_is_dots_of_one_length() {
        let text = "password = \"hunter2\", timout = 1";
        let password = 11..20;
        let (_, column, shown) = rendered(text, 22..28, vec![password]);
        assert_eq!(column, 23);
        assert!(shown.contains("password = ••••, timout = 1\n   │                  ^^^^^^"), "{shown}");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_caret() {
        let text = format!("a = \"{}\", timout = 1, b = \"{}\"", "x".repeat(5000), "y".repeat(5000));
        let start = text.find("timout").unwrap();
        let (_, column, shown) = rendered(&text, start..start + 6, vec![]);
        assert_eq!(column, start + 1);
        let lines: Vec<_> = shown.lines().collect();
        let caret = lines[3].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[2].chars().skip(caret).take(6).collect::<String>(), "timout");
        assert!(lines[2].chars().count() < WIDEST + 10 && lines[2].ends_with('…'), "{shown}");
    }

    #[test]
    fn the_last_line_counts() {
        let source = Source { file: Path::new("m.toml"), text: "", hidden: vec![] };
        let error = source.remark(Note::error("no"));
        let warning = source.remark(Note::warning("hm").help("do"));
        assert_eq!(
            render_all(&[error.clone(), error.clone(), warning.clone()]).lines().last(),
            Some("2 errors, 1 warning")
        );
        assert_eq!(render_all(&[warning]), "warning: hm\n   ┌─ m.toml\n   = help: do\n\n1 warning");
    }
}
