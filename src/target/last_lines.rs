//! The last lines of what a command says on its standard error.

use crate::engine::text::printable;

/// How much is kept, in bytes.
const KEPT: usize = 1024;
/// Stands between two lines.
const SEPARATOR: &str = " | ";

/// The end of a text of any length.
#[derive(Default)]
pub(super) struct LastLines {
    end: Vec<u8>,
    is_cut: bool,
}

impl LastLines {
    /// Adds a piece, of any length.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.end.extend_from_slice(&piece[piece.len().saturating_sub(KEPT)..]);
        let surplus = self.end.len().saturating_sub(KEPT);
        self.is_cut |= surplus > 0 || piece.len() > KEPT;
        self.end.drain(..surplus);
    }

    /// As many of the last lines as fit, as one line fit to be shown.
    pub(super) fn shown(&self) -> String {
        let mut lines: Vec<_> = self.end.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect();
        if self.is_cut && lines.len() > 1 {
            // It has lost its beginning.
            lines.remove(0);
        }
        let mut shown = String::new();
        for line in lines.into_iter().rev().filter(|line| !line.is_empty()) {
            let line = printable(line);
            if shown.is_empty() {
                shown = line;
            } else if shown.len() + SEPARATOR.len() + line.len() <= KEPT {
                shown = format!("{line}{SEPARATOR}{shown}");
            } else {
                break;
            }
        }
        shown.truncate(shown.floor_char_boundary(KEPT));
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut lines = LastLines::default();
        for piece in pieces {
            lines.add(piece);
        }
        assert!(lines.end.len() <= KEPT);
        lines.shown()
    }

    #[test]
    fn the_last_lines_become_one() {
        for (pieces, expected) in [
            (&[][..], ""),
            (&[&b"\n \n\r\n"[..]], ""),
            (&[b"no such customer\n"], "no such customer"),
            (&[b"Traceback:\n  line 1\r\n", b"Key", b"Error: 7"], "Traceback: | line 1 | KeyError: 7"),
            (&[b"\x1b[31mred\x1b[0m \xe9"], r"\u{1b}[31mred\u{1b}[0m \xe9"),
        ] {
            assert_eq!(shown(pieces), expected);
        }
    }

    #[test]
    fn of_much_text_the_end_is_shown() {
        let much = (0..10_000).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n");
        for size in [1, 7, KEPT - 1, KEPT, KEPT + 1, 16 * 1024] {
            let pieces: Vec<_> = much.as_bytes().chunks(size).collect();
            let shown = shown(&pieces);
            assert!(shown.ends_with("line 9998 | line 9999") && shown.starts_with("line 99"), "{shown}");
            assert!(shown.len() <= KEPT);
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        for endless in [&b"x"[..], b"\x1b", "\u{202e}".as_bytes()] {
            let shown = shown(&[&endless.repeat(100_000)]);
            assert!(!shown.is_empty() && shown.len() <= KEPT, "{}", shown.len());
        }
    }
}
