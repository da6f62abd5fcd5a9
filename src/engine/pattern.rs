//! Patterns for text that strangers write: globs, and regular expressions in linear time.

use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use std::str::FromStr;

/// The most memory that a compiled pattern may take, in bytes.
const COMPILED_LIMIT: usize = 1 << 20;

/// A pattern for the whole of a text, in any case: a glob (`*` is any text, `?` any one character), or
/// a regular expression between slashes, which matches anywhere.
#[derive(Clone)]
pub struct Pattern {
    written: String,
    regex: Regex,
}

impl Pattern {
    /// Whether the pattern matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Whether it matches every text.
    pub fn is_universal(&self) -> bool {
        !self.written.is_empty() && self.written.bytes().all(|byte| byte == b'*')
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let inner = written.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let expression = inner.map_or_else(|| expression_of_glob(written), str::to_owned);
        let regex = RegexBuilder::new(&expression)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .size_limit(COMPILED_LIMIT)
            .build();
        let regex = regex.map_err(|error| {
            let last = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("not a regular expression: {last}")
        })?;
        Ok(Pattern { written: written.to_owned(), regex })
    }
}

fn expression_of_glob(glob: &str) -> String {
    let mut expression = String::from("^");
    for character in glob.chars() {
        match character {
            // Any bytes, also those that are no text.
            '*' => expression.push_str("(?s-u:.)*"),
            '?' => expression.push('.'),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    expression
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.written)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(text.as_bytes())
    }

    #[test]
    fn a_glob_is_for_the_whole_text_in_any_case() {
        for (pattern, text, expected) in [
            ("support@example.com", "Support@Example.COM", true),
            ("support@example.com", "xsupport@example.com", false),
            ("support@example.com", "support@example.com.evil.net", false),
            ("support@example.com", "support@exampleXcom", false),
            ("support+*@example.com", "support+1042@example.com", true),
            ("support+*@example.com", "support@example.com", false),
            ("*@example.com", "@example.com", true),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("[a]", "[a]", true),
            ("a*", "a\nb", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!("*".parse::<Pattern>().unwrap().matches(b"\xff\xfe"));
    }

    #[test]
    fn between_slashes_is_a_regular_expression() {
        assert!(matches(r"/^support\+\d+@/", "SUPPORT+10@x"));
        assert!(!matches(r"/^support\+\d+@/", "support+a@x"));
        assert!(matches("/invoice/", "Re: Invoice 7"));
        assert!(!matches("/", "invoice"), "a slash alone is a glob");
        for wrong in ["/(/", "/a{9999999}/", "/(?<name/"] {
            let error = wrong.parse::<Pattern>().unwrap_err();
            assert!(error.starts_with("not a regular expression: "), "{error}");
        }
    }

    #[test]
    fn no_text_makes_it_slow() {
        let evil = "/^(a+)+$/".parse::<Pattern>().unwrap();
        assert!(!evil.matches(format!("{}b", "a".repeat(100_000)).as_bytes()));
    }

    #[test]
    fn what_matches_everything_is_known() {
        for (pattern, expected) in [("*", true), ("**", true), ("", false), ("*@*", false), ("/.*/", false)] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().is_universal(), expected, "{pattern}");
        }
    }
}
