//! Text with soft line ends (RFC 3676, `format=flowed`).

/// The paragraphs that the lines of a flowed text make up, with its quotation marks before each.
///
/// With `is_delsp`, the blank that makes a line end soft does not belong to the text: languages
/// without blanks between words are sent that way.
pub(super) fn unflow(text: &str, is_delsp: bool) -> String {
    let mut paragraphs = String::with_capacity(text.len());
    // The depth of the quotation that the last line left open for more.
    let mut open = None;
    for line in text.split_inclusive('\n') {
        let (line, line_end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let unquoted = line.trim_start_matches('>');
        let depth = line.len() - unquoted.len();
        let content = unquoted.strip_prefix(' ').unwrap_or(unquoted);
        // Section 4.3: it is never part of a paragraph.
        let is_separator = content == "-- ";
        if open != Some(depth) || is_separator {
            if open.is_some() {
                paragraphs.push('\n');
            }
            let marks = if depth > 0 { &line[..line.len() - content.len()] } else { "" };
            paragraphs.push_str(marks);
        }
        let is_soft = content.ends_with(' ') && !is_separator && !line_end.is_empty();
        paragraphs.push_str(if is_soft && is_delsp { &content[..content.len() - 1] } else { content });
        open = is_soft.then_some(depth);
        if !is_soft {
            paragraphs.push_str(line_end);
        }
    }
    if open.is_some() {
        paragraphs.push('\n');
    }
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_paragraphs() {
        for (flowed, expected) in [
            ("", ""),
            ("one \ntwo \nthree\nfour\n", "one two three\nfour\n"),
            ("no line end", "no line end"),
            ("soft at the end \n", "soft at the end \n"),
            ("> a \n> b\n> c\nd\n", "> a b\n> c\nd\n"),
            (">> a \n>> b\n> c\n", ">> a b\n> c\n"),
            ("> a \n>> b \nc\n", "> a \n>> b \nc\n"),
            ("> > a \n> > b\n", "> > a > b\n"),
            (" >no quotation\n  indented\n From me\n", ">no quotation\n indented\nFrom me\n"),
            ("Bye \n-- \nAda\n", "Bye \n-- \nAda\n"),
            ("> Bye\n> -- \n> Ada \n> L.\n", "> Bye\n> -- \n> Ada L.\n"),
            ("a\n\nb\n", "a\n\nb\n"),
            ("a \n\nb\n", "a \nb\n"),
            (">\n> a\n>b\n", ">\n> a\n>b\n"),
        ] {
            assert_eq!(unflow(flowed, false), expected, "{flowed:?}");
        }
    }

    #[test]
    fn blanks_that_only_mark_a_soft_line_end_go() {
        assert_eq!(unflow("日本 \n語 \nです\n", true), "日本語です\n");
        assert_eq!(unflow("two  \nwords\n-- \nAda\n", true), "two words\n-- \nAda\n");
    }
}
