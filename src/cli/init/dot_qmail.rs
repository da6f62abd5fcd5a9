//! What stands in a `.qmail` file: see dot-qmail(5).

/// One line that does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// All of it.
    pub text: &'a str,
    /// What it asks for.
    pub wish: Wish<'a>,
}

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// `|`: this is to be run by `sh`.
    Run(&'a str),
    /// `/` or `.`: a Maildir or an mbox.
    Keep,
    /// `&`, or an address as it is.
    Forward,
    /// `+`: something about the other lines.
    Option,
}

/// The lines that do something, in their order.
///
/// # Errors
/// qmail itself would refuse them: why.
pub(super) fn lines(contents: &[u8]) -> Result<Vec<Line<'_>>, String> {
    let line_at = |place: usize| contents[..place].split(|&byte| byte == b'\n').count();
    let text = std::str::from_utf8(contents)
        .map_err(|error| format!("line {} is not UTF-8 text, as a configuration is", line_at(error.valid_up_to())))?;
    if let Some(place) = text.find('\0') {
        return Err(format!("line {} has a NUL byte in it", line_at(place)));
    }
    let mut lines = Vec::new();
    for (place, line) in text.split('\n').enumerate() {
        let line = line.trim_end_matches([' ', '\t']);
        let wish = match line.chars().next() {
            None if place == 0 && !text.is_empty() => {
                return Err("line 1 is blank: qmail defers all mail for such a file".to_owned());
            }
            None | Some('#') => continue,
            Some('|') => Wish::Run(&line[1..]),
            Some('/' | '.') => Wish::Keep,
            Some('+') => Wish::Option,
            Some(_) => Wish::Forward,
        };
        lines.push(Line { number: place + 1, text: line, wish });
    }
    Ok(lines)
}

/// What `preline` runs, if a command begins with it: see preline(1). Without a program it is a mistake of the file's.
pub(super) fn without_preline(command: &str) -> Option<&str> {
    let (program, mut rest) = command.trim_start().split_once([' ', '\t'])?;
    if program.rsplit('/').next() != Some("preline") {
        return None;
    }
    loop {
        rest = rest.trim_start();
        let (word, behind) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        match word.strip_prefix('-') {
            Some("-") => return Some(behind.trim_start()).filter(|run| !run.is_empty()),
            Some(letters) if letters.chars().all(|letter| "dfr".contains(letter)) => rest = behind,
            Some(_) => return None,
            None => return Some(rest).filter(|run| !run.is_empty()),
        }
    }
}

/// The words of a command, if `sh` would do nothing but run a program with them.
pub(super) fn plain_words(command: &str) -> Option<Vec<&str>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+, \t".contains(c);
    let words: Vec<_> = command.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let program = words.first()?;
    // The first word may be a variable to set.
    (command.chars().all(is_plain) && !program.contains('=')).then_some(words)
}

/// The extension that a file is for, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    /// What stands behind `.qmail-`, with dots, and without `default`; it ends in a dash then.
    pub text: String,
    /// Whether it is for all extensions that begin so.
    pub is_default: bool,
}

impl Extension {
    /// That of a file with this name, if it is one of qmail's.
    pub fn of_file(name: &str) -> Option<Self> {
        let name = name.strip_prefix(".qmail")?;
        if name.is_empty() {
            return Some(Extension { text: String::new(), is_default: false });
        }
        let text = name.strip_prefix('-').filter(|text| !text.is_empty())?.replace(':', ".");
        let before = text.strip_suffix("default").filter(|before| before.is_empty() || before.ends_with('-'));
        Some(match before {
            Some(before) => Extension { text: before.to_owned(), is_default: true },
            None => Extension { text, is_default: false },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_asks_for_something() {
        let file =
            "# first\n|handler --x \t\n\n./Maildir/\n/var/mail/ada\n&ada@example.com\nbob@example.com\n+list\n |x";
        let found: Vec<_> = lines(file.as_bytes()).unwrap().into_iter().map(|line| (line.number, line.wish)).collect();
        let expected = [
            (2, Wish::Run("handler --x")),
            (4, Wish::Keep),
            (5, Wish::Keep),
            (6, Wish::Forward),
            (7, Wish::Forward),
            (8, Wish::Option),
            (9, Wish::Forward),
        ];
        assert_eq!(found, expected);
        assert_eq!(lines(b"").unwrap(), []);
    }

    #[test]
    fn what_qmail_refuses_is_refused() {
        for (file, explained) in [
            (&b"\n|x\n"[..], "line 1 is blank"),
            (b" \t\n|x\n", "line 1 is blank"),
            (b"#\n|caf\xe9\n", "line 2 is not UTF-8"),
            (b"#\n#\n|a\0b\n", "line 3 has a NUL"),
        ] {
            let error = lines(file).unwrap_err();
            assert!(error.contains(explained), "{error}");
        }
    }

    #[test]
    fn only_a_line_without_anything_for_a_shell_is_a_list_of_words() {
        for (command, words) in [
            ("handler", Some(&["handler"][..])),
            (" /usr/bin/handler  --to=ada@example.com\t-v ", Some(&["/usr/bin/handler", "--to=ada@example.com", "-v"])),
            ("A=b handler", None),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(plain_words(command).as_deref(), words, "{command}");
        }
        for special in "$`\"'\\|&;<>()*?[]{}~#!^\u{fc}\r".chars() {
            assert_eq!(plain_words(&format!("handler a{special}b")), None, "{special}");
        }
    }

    #[test]
    fn what_preline_runs_is_found() {
        for (command, expected) in [
            ("preline handler --x", Some("handler --x")),
            (" /var/qmail/bin/preline\t -f  -dr handler | tee x", Some("handler | tee x")),
            ("preline -- -handler", Some("-handler")),
            ("preline -x handler", None),
            ("preline", None),
            ("preline -f", None),
            ("preline -f ", None),
            ("prelines handler", None),
            ("handler preline x", None),
            ("", None),
        ] {
            assert_eq!(without_preline(command), expected, "{command}");
        }
    }

    #[test]
    fn a_name_tells_the_extension() {
        for (name, expected) in [
            (".qmail", Some(("", false))),
            (".qmail-support", Some(("support", false))),
            (".qmail-support-default", Some(("support-", true))),
            (".qmail-default", Some(("", true))),
            (".qmail-a:b-default", Some(("a.b-", true))),
            (".qmail-mydefault", Some(("mydefault", false))),
            (".qmail-", None),
            (".qmailx", None),
            ("qmail-support", None),
            (".forward", None),
        ] {
            let found = Extension::of_file(name);
            let found = found.as_ref().map(|extension| (&*extension.text, extension.is_default));
            assert_eq!(found, expected, "{name}");
        }
    }
}
