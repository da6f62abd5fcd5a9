//! Macros in the arguments of a command, as Postfix's pipe(8) has them: `${sender}`, `$sender` or `$(sender)`.
//!
//! There is no shell, and a word stays one argument whatever a stranger has put into an address. So that a word
//! of a shell stays what it is, too, only the names that are known here are macros; each other `$` is text.
//! `$$` before such a name is one `$`.

use super::environment::is_safe;
use super::recipient::{Recipient, unquoted};
use crate::engine::Message;
use crate::engine::text::printable;
use std::ffi::OsString;

/// What stands for an empty sender, as in pipe(8).
const NULL_SENDER: &str = "MAILER-DAEMON";

/// Something of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Macro {
    /// The envelope's sender.
    Sender,
    /// The envelope's recipient; `original_recipient` is the same, because only one is known.
    Recipient,
    /// What stands before the delimiter in the recipient's local part.
    User,
    /// What stands behind it.
    Extension,
    /// The whole local part.
    Mailbox,
    /// What stands behind the `@`; `nexthop` is the same.
    Domain,
    /// The length of the message in bytes.
    Size,
    /// The id of the message.
    QueueId,
}

/// The macros, by their names.
pub const MACROS: [(&str, Macro); 10] = [
    ("sender", Macro::Sender),
    ("recipient", Macro::Recipient),
    ("original_recipient", Macro::Recipient),
    ("user", Macro::User),
    ("extension", Macro::Extension),
    ("mailbox", Macro::Mailbox),
    ("domain", Macro::Domain),
    ("nexthop", Macro::Domain),
    ("size", Macro::Size),
    ("queue_id", Macro::QueueId),
];

/// Macros of pipe(8) for what no Maildir keeps.
pub const LOST_MACROS: [&str; 8] = [
    "client_address",
    "client_helo",
    "client_hostname",
    "client_port",
    "client_protocol",
    "sasl_method",
    "sasl_sender",
    "sasl_username",
];

/// A part of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text that stays as it is.
    Text(&'a str),
    /// A macro, and how it is written.
    Macro(Macro, &'a str),
    /// A macro of pipe(8) for what is not known here, as it is written.
    Lost(&'a str),
}

/// A reference to a macro, and the run of dollars that it ends.
struct Found<'a> {
    at: usize,
    dollars: usize,
    reference: &'a str,
    name: &'a str,
}

/// A word in its parts.
pub fn parts(word: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = word;
    while let Some(Found { at, dollars, reference, name }) = find(rest) {
        // Each pair of dollars is one.
        parts.extend(text(&rest[..at + dollars / 2]));
        if dollars % 2 == 0 {
            parts.extend(text(&reference[1..]));
        } else {
            let known = MACROS.iter().find(|(known, _)| *known == name);
            parts.push(known.map_or(Part::Lost(reference), |&(_, known)| Part::Macro(known, reference)));
        }
        rest = &rest[at + dollars - 1 + reference.len()..];
    }
    parts.extend(text(rest));
    parts
}

/// The word that stands for this text as it is.
pub fn literal(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(Found { at, dollars, reference, .. }) = find(rest) {
        let end = at + dollars - 1 + reference.len();
        word.push_str(&rest[..at]);
        word.push_str(&"$".repeat(dollars));
        word.push_str(&rest[at..end]);
        rest = &rest[end..];
    }
    word + rest
}

/// The first reference in a text.
fn find(text: &str) -> Option<Found<'_>> {
    let mut searched = 0;
    while let Some(at) = text[searched..].find('$').map(|at| searched + at) {
        let dollars = text[at..].bytes().take_while(|&byte| byte == b'$').count();
        searched = at + dollars;
        if let Some((reference, name)) = reference(&text[searched - 1..]) {
            return Some(Found { at, dollars, reference, name });
        }
    }
    None
}

fn text(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then_some(Part::Text(text))
}

/// The reference that a text begins with, and the name in it, if pipe(8) knows that.
fn reference(text: &str) -> Option<(&str, &str)> {
    let behind = text.strip_prefix('$')?;
    let in_brackets = |open: char, close: char| {
        let inside = behind.strip_prefix(open)?;
        Some(&inside[..inside.find(close)?])
    };
    let (length, name) = if let Some(name) = in_brackets('{', '}').or_else(|| in_brackets('(', ')')) {
        (name.len() + 3, name)
    } else {
        let is_outside = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let end = behind.find(is_outside).unwrap_or(behind.len());
        (end + 1, &behind[..end])
    };
    let is_known = MACROS.iter().any(|(known, _)| *known == name) || LOST_MACROS.contains(&name);
    is_known.then(|| (&text[..length], name))
}

/// The arguments for this message.
///
/// # Errors
/// One of them cannot be given: why.
pub(super) fn expand(words: &[String], message: &Message) -> Result<Vec<OsString>, String> {
    words.iter().map(|word| expand_word(word, message).map(OsString::from)).collect()
}

fn expand_word(word: &str, message: &Message) -> Result<String, String> {
    let parts = parts(word);
    let begins_with_macro = matches!(parts.first(), Some(Part::Macro(..)));
    let mut argument = String::with_capacity(word.len());
    for part in &parts {
        match part {
            Part::Text(text) | Part::Lost(text) => argument.push_str(text),
            Part::Macro(name, written) => {
                let value = value(*name, message).ok_or_else(|| not_told(*name, written))?;
                if !is_safe(&value) {
                    let shown = printable(value.as_bytes());
                    return Err(format!("{written} is too long or not harmless, and no argument: {shown}"));
                }
                argument.push_str(&value);
            }
        }
    }
    if begins_with_macro && argument.starts_with('-') {
        let shown = printable(argument.as_bytes());
        return Err(format!(
            "the argument {word} begins with - in this message, and the program would take it for an option: {shown}; a word such as --value={word} can hold it"
        ));
    }
    Ok(argument)
}

/// Why there is no value, and what can be done about it.
fn not_told(name: Macro, written: &str) -> String {
    let help = match name {
        Macro::Sender => "it has no Return-Path; a route with from = \"*\" gives a target only mail that has a sender",
        _ => {
            "it has no Delivered-To or the like; `recipient` of the queue is for such mail, and a route with to = \"*\" gives a target only mail that has one"
        }
    };
    format!("the message does not tell {written}: {help}")
}

/// Addresses are not quoted.
fn value(name: Macro, message: &Message) -> Option<String> {
    let envelope = &message.envelope;
    let of_recipient = |part: fn(Recipient) -> String| Recipient::of(envelope).map(part);
    match name {
        Macro::Sender => envelope.from.as_deref().map(|from| match from {
            "" => NULL_SENDER.to_owned(),
            from => unquoted(from).into_owned(),
        }),
        Macro::Recipient => of_recipient(|recipient| recipient.address),
        Macro::User => of_recipient(|recipient| recipient.user),
        Macro::Extension => of_recipient(|recipient| recipient.extension.unwrap_or_default()),
        Macro::Mailbox => of_recipient(|recipient| recipient.local().to_owned()),
        Macro::Domain => of_recipient(|recipient| recipient.host().unwrap_or_default().to_owned()),
        Macro::Size => Some(message.body.len().to_string()),
        Macro::QueueId => Some(message.id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;

    fn message(from: Option<&str>, to: Option<&str>, detail: Option<&str>) -> Message {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Message { envelope: Envelope { from: text(from), to: text(to), detail: text(detail) }, ..Message::sample() }
    }

    fn usual() -> Message {
        message(Some("ada@example.com"), Some("joe+a+b@mx.example.org"), Some("a+b"))
    }

    #[test]
    fn every_macro_has_its_value() {
        let id = usual().id.to_string();
        let values = [
            ("sender", "ada@example.com"),
            ("recipient", "joe+a+b@mx.example.org"),
            ("original_recipient", "joe+a+b@mx.example.org"),
            ("user", "joe"),
            ("extension", "a+b"),
            ("mailbox", "joe+a+b"),
            ("domain", "mx.example.org"),
            ("nexthop", "mx.example.org"),
            ("size", "22"),
            ("queue_id", &id),
        ];
        assert_eq!(values.map(|(name, _)| name), MACROS.map(|(name, _)| name));
        for (name, value) in values {
            for word in [format!("${{{name}}}"), format!("${name}"), format!("$({name})")] {
                assert_eq!(expand_word(&word, &usual()).as_deref(), Ok(value), "{word}");
                let inside = format!("--x={word}/{word},");
                assert_eq!(expand_word(&inside, &usual()), Ok(format!("--x={value}/{value},")));
            }
        }
    }

    #[test]
    fn a_dollar_before_anything_else_is_text() {
        for word in [
            "",
            "$",
            "$$",
            "$$$",
            "$1",
            "$@",
            "$?",
            "$SENDER",
            "${SENDER}",
            "$Sender",
            "$senders",
            "$sender_",
            "$sender2",
            "${sender",
            "${sender:-x}",
            "${sender?x}",
            "$(sender ",
            "${ sender}",
            "$(id)",
            "`id`",
            "$$1",
            "echo $$ >$1/pid",
            "${}",
            "$()",
            "a$",
            "\u{fc}$\u{fc}",
            "\\n",
        ] {
            assert_eq!(parts(word), Vec::from_iter(text(word)), "{word}");
            assert_eq!(expand_word(word, &usual()).as_deref(), Ok(word));
        }
    }

    #[test]
    fn a_pair_of_dollars_before_a_macro_is_one() {
        for (word, expected) in [
            ("$$sender", "$sender"),
            ("$${sender}", "${sender}"),
            ("$$(sender)x", "$(sender)x"),
            ("$$$user", "$joe"),
            ("$$$$user", "$$user"),
            ("$$client_address", "$client_address"),
            ("$1$user$$user", "$1joe$user"),
            ("$$ $user", "$$ joe"),
        ] {
            assert_eq!(expand_word(word, &usual()).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn a_text_can_be_told_as_it_is() {
        for text in
            ["", "echo $$ $1", "$size", "$$size", "$$$size${user}$(domain)", "$client_helo $", "a${size}b$sizes"]
        {
            assert_eq!(expand_word(&literal(text), &usual()).as_deref(), Ok(text), "{}", literal(text));
        }
        assert_eq!(literal("$1 ${x} $$"), "$1 ${x} $$");
    }

    #[test]
    fn what_no_maildir_keeps_is_known_as_such() {
        for name in LOST_MACROS {
            let word = format!("x${name}");
            assert_eq!(parts(&word), [Part::Text("x"), Part::Lost(&word[1..])]);
        }
    }

    #[test]
    fn values_are_as_pipe_has_them() {
        for (from, to, detail, word, expected) in [
            (Some(""), None, None, "$sender", "MAILER-DAEMON"),
            (Some(r#""a b"@example.com"#), None, None, "$sender", "a b@example.com"),
            (None, Some("joe@example.org"), None, "<$extension>", "<>"),
            (None, Some("joe+@example.org"), Some(""), "$user,$extension", "joe,"),
            (None, Some("+x@example.org"), Some("x"), "$user", ""),
            (None, Some("joe"), None, "$mailbox@$domain", "joe@"),
            (None, Some(r#""j o+x y"@example.org"#), Some(r#"x y""#), "$user|$extension|$mailbox", "j o|x y|j o+x y"),
        ] {
            assert_eq!(
                expand_word(word, &message(from, to, detail)).as_deref(),
                Ok(expected),
                "{word} of {from:?} {to:?}"
            );
        }
    }

    #[test]
    fn a_word_is_one_argument_whatever_is_in_it() {
        for hostile in
            ["$(id)@x", "a b@x", "a'\"b@x", "`id`;id|id&id>id@x", "$user@x", "${recipient}@x", "*?[a]@x", "\u{e9}@x"]
        {
            let words = ["--from", "${sender}", "-f${sender}"].map(str::to_owned);
            let expanded = expand(&words, &message(Some(hostile), None, None)).unwrap();
            assert_eq!(expanded, ["--from", hostile, &format!("-f{hostile}")]);
        }
    }

    #[test]
    fn what_would_do_harm_is_no_argument() {
        let long = "x".repeat(2000);
        for (from, word, explained) in [
            (Some("-oX/tmp/x@example.com"), "$sender", "take it for an option: -oX"),
            (Some(r#""-oX"@example.com"#), "${sender}", "take it for an option: -oX"),
            (Some("a\0b"), "x$sender", "not harmless"),
            (Some("a\nb"), "x$sender", r"not harmless, and no argument: a\nb"),
            (Some(&*long), "x$sender", "too long"),
            (Some("() { :; }"), "$sender", "not harmless"),
            (None, "x$sender", "does not tell $sender"),
            (Some("x"), "$(user)", "does not tell $(user)"),
        ] {
            let error = expand_word(word, &message(from, None, None)).unwrap_err();
            assert!(error.contains(explained), "{error}");
        }
        // The value is empty, and what is left would be an option.
        assert!(expand_word("$user-x", &message(None, Some("+y@x"), Some("y"))).is_err());
        assert_eq!(expand_word("-f$sender", &message(Some("-x@y"), None, None)).as_deref(), Ok("-f-x@y"));
        assert_eq!(expand_word("-v", &usual()).as_deref(), Ok("-v"));
    }
}
