//! A text that is looked for in another, in any case.

/// Pieces that must stand in a text, one behind the other: `*` between them is anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// In lower case.
    pieces: Vec<String>,
}

impl Text {
    pub(super) fn new(written: &str) -> Self {
        Text { pieces: written.to_lowercase().split('*').map(str::to_owned).collect() }
    }

    /// The text itself, in lower case, where it is no pattern.
    pub(super) fn as_name(&self) -> Option<&str> {
        if let [only] = &self.pieces[..] { Some(only) } else { None }
    }

    /// Whether it stands anywhere in this text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let mut rest = &*text;
        self.pieces.iter().all(|piece| match rest.find(piece.as_str()) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    }

    /// Whether it is this text from its beginning to its end, as it is with names.
    pub(super) fn is(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let [first, between @ .., last] = &self.pieces[..] else {
            return self.pieces.first().is_some_and(|only| *only == name);
        };
        let Some(rest) = name.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else { return false };
        Text { pieces: between.to_vec() }.is_in(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_anywhere_and_a_name_is_whole() {
        for (written, text, is_in, is) in [
            ("app", "App", true, true),
            ("app", "webapp", true, false),
            ("*app", "webapp", true, true),
            ("a*p", "app", true, true),
            ("a*a", "a", false, false),
            ("b*a", "ab", false, false),
            ("support+*@", "<support+42@example.org>", true, false),
            ("*", "", true, true),
            ("É", "café", true, false),
            ("x**y", "axby", true, false),
            ("x**y", "xy", true, true),
        ] {
            let wanted = Text::new(written);
            assert_eq!((wanted.is_in(text), wanted.is(text)), (is_in, is), "{written} {text}");
        }
    }
}
