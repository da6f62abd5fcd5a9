//! Names of attachments that do no harm.

/// The longest name that file systems take, in bytes.
const LIMIT: usize = 255;
/// The longest ending that a name keeps when it is cut, in bytes with its dot.
const ENDING_LIMIT: usize = 20;

/// A name that is one: without folders, control characters, and what turns the direction of text. It does not
/// begin or end with a dot or a blank, no system reads a meaning into its characters, and it is at most 255
/// bytes long. All else stays, in any script. None if nothing is left.
pub(super) fn safe(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|&c| !c.is_control() && !turns_text(c)).collect();
    let file = name.rsplit(['/', '\\']).map(str::trim).find(|part| !part.is_empty())?;
    let file = trim(file).replace(['<', '>', ':', '"', '|', '?', '*'], "_");
    let file = cut(&file);
    (!file.is_empty()).then_some(file)
}

/// Whether a character is there to turn the direction of text (UAX 9), by which `exe.fdp` is shown as
/// `pdf.exe`, or separates lines.
fn turns_text(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Names with a dot at the beginning are hidden, and those with one at the end are others on some systems.
fn trim(name: &str) -> &str {
    name.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Cuts a long name within what stands before its ending, which tells what it is.
fn cut(name: &str) -> String {
    if name.len() <= LIMIT {
        return name.to_owned();
    }
    let dot = name.rfind('.').filter(|dot| name.len() - dot <= ENDING_LIMIT);
    let ending = dot.map_or("", |dot| &name[dot..]);
    let stem = &name[..name.floor_char_boundary(LIMIT - ending.len())];
    format!("{}{ending}", trim(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe() {
        for (name, expected) in [
            ("a.pdf", Some("a.pdf")),
            ("../../etc/passwd", Some("passwd")),
            (r"C:\mail\a b.pdf", Some("a b.pdf")),
            ("C:a.pdf", Some("C_a.pdf")),
            ("folder/", Some("folder")),
            ("/ /", None),
            ("..", None),
            ("a/..", None),
            (" . .hidden. ", Some("hidden")),
            ("a\r\nb\0\u{9b}.txt", Some("ab.txt")),
            ("pdf.\u{202e}exe.fdp\u{2069}", Some("pdf.exe.fdp")),
            ("\u{200e}a\u{61c}\u{2028}.txt", Some("a.txt")),
            ("a<b>:\"|?*.txt", Some("a_b______.txt")),
            ("Rechnung für Ärger – 請求書.pdf", Some("Rechnung für Ärger – 請求書.pdf")),
            ("e\u{301}.txt", Some("e\u{301}.txt")),
            ("", None),
        ] {
            assert_eq!(safe(name).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_before_their_ending() {
        let name = safe(&("é".repeat(1000) + ".pdf")).unwrap();
        assert_eq!((name.len(), name.ends_with("é.pdf")), (254, true));
        let name = safe(&format!("a.{}", "b".repeat(1000))).unwrap();
        assert_eq!(name.len(), LIMIT);
        let name = safe(&format!("a{}b.pdf", " ".repeat(1000))).unwrap();
        assert_eq!(name, "a.pdf");
    }
}
