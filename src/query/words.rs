//! A line of text as words: quotes keep blanks together.

use super::QueryError;

/// The words of a line. A quotation may begin within a word, as in `subject:"printer on fire"`; there is no escape.
///
/// # Errors
/// A quotation does not end.
pub(super) fn words(line: &str) -> Result<Vec<String>, QueryError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if is_quoted {
        return Err(QueryError { text: "a quotation has no end".into(), help: Some("close it by another \"".into()) });
    }
    words.extend(word);
    Ok(words.into_iter().filter(|word| !word.trim().is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_blanks_together() {
        for (line, expected) in [
            ("", &[][..]),
            ("  state:dead   x ", &["state:dead", "x"]),
            (r#"subject:"printer on fire" -kind:bounce"#, &["subject:printer on fire", "-kind:bounce"]),
            (r#""two words" a"b c"d"#, &["two words", "ab cd"]),
            (r#""" x"#, &["x"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words("subject:\"open").is_err());
    }
}
