//! One thing that is wrong, and how it is shown.

use crate::config::{Remark, Severity};
use crate::engine::text::{is_harmless, printable};
use crate::maildir::OpenError;
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong, with the configuration or with the machine. An error keeps mail from being processed;
/// with a warning it goes on, though perhaps not as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    text: String,
    help: Option<String>,
    file: Option<PathBuf>,
    line: Option<usize>,
    column: Option<usize>,
    rendered: Option<String>,
}

impl Finding {
    /// This keeps mail from being processed.
    pub fn error(text: impl Into<String>, help: impl Into<String>) -> Self {
        let (text, help) = (text.into(), Some(help.into()));
        Finding { severity: Severity::Error, text, help, file: None, line: None, column: None, rendered: None }
    }

    /// This does not.
    pub fn warning(text: impl Into<String>, help: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, ..Finding::error(text, help) }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.to_string(),
            "text": self.text,
            "help": self.help,
            "file": self.file.as_ref().map(|file| file.to_string_lossy()),
            "line": self.line,
            "column": self.column,
        })
    }
}

impl From<Remark> for Finding {
    fn from(remark: Remark) -> Self {
        let Remark { severity, text, file, line, column, help, rendered } = remark;
        Finding { severity, text, help, file: Some(file), line, column, rendered: Some(rendered) }
    }
}

/// What keeps a Maildir from being opened is always an error; its text already says what to try.
impl From<&OpenError> for Finding {
    fn from(error: &OpenError) -> Self {
        // Paths in it are as they are; the line break before the advice is ours.
        let harmless = |line: &str| if is_harmless(line) { line.to_owned() } else { printable(line.as_bytes()) };
        let said = error.to_string().split('\n').map(harmless).collect::<Vec<_>>().join("\n");
        match said.split_once("\n  = try: ") {
            Some((text, help)) => Finding::error(text, help),
            None => Finding { help: None, ..Finding::error(said, "") },
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rendered) = &self.rendered {
            return f.write_str(rendered);
        }
        write!(f, "{}: {}", self.severity, self.text)?;
        self.help.iter().try_for_each(|help| write!(f, "\n   = help: {help}"))
    }
}

/// A path as it is shown.
pub fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

/// A path as a word of a shell command that can be copied.
pub fn word(path: &Path) -> String {
    let shown = shown(path);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    if shown.chars().all(is_plain) { shown } else { format!("'{}'", shown.replace('\'', r"'\''")) }
}

/// Some of several paths: what is wrong with a thousand Maildirs is said once.
pub fn some_of(paths: &[&Path]) -> String {
    const SHOWN: usize = 3;
    let names: Vec<_> = paths.iter().take(SHOWN).map(|path| shown(path)).collect();
    match paths.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", names.join(", ")),
        _ => names.join(", "),
    }
}

/// "1 message", "2 messages".
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_shown_with_its_help() {
        let finding = Finding::warning("no room", "rm something");
        assert_eq!(finding.to_string(), "warning: no room\n   = help: rm something");
        let error = OpenError::NotAMaildir { path: "/m".into(), what: "it is a file".into() };
        let shown = Finding::from(&error).to_string();
        assert_eq!(
            shown,
            "error: /m is not a Maildir: it is a file\n   = help: name the folder that holds new/, cur/ and tmp/"
        );
        let error = OpenError::Id { path: "/m\u{1b}[2J".into() };
        assert!(Finding::from(&error).to_string().starts_with("error: /m\\u{1b}[2J does not hold an id"));
    }

    #[test]
    fn a_path_in_a_command_is_one_word() {
        for (path, expected) in [("/srv/mail", "/srv/mail"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'")] {
            assert_eq!(word(Path::new(path)), expected);
        }
    }

    #[test]
    fn of_many_paths_some_are_shown() {
        let paths = ["/a", "/b", "/c", "/d", "/e"].map(Path::new);
        for (count, expected) in [(1, "/a"), (3, "/a, /b, /c"), (4, "/a, /b, /c and 1 more")] {
            assert_eq!(some_of(&paths[..count]), expected);
        }
    }
}
