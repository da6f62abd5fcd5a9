//! The environment of a command.
//!
//! What an environment holds is read by programs that nobody thinks of: a shell that imports
//! functions, a linker that loads libraries. So it begins empty, its names are fixed, and of what a
//! stranger wrote only short and harmless values get in: a mail can neither make the program fail to
//! start (`E2BIG`, a NUL) nor make it do something else.

use crate::engine::Message;
use crate::engine::text::{is_harmless, printable};
use std::ffi::OsString;

/// What a command gets of our own environment.
const INHERITED: &[&str] = &["PATH", "LANG", "HOME", "USER"];
/// The longest value, in bytes.
const LONGEST: usize = 1024;
/// The variable by which a job's processes are known.
pub(super) const ID: &str = "MAILDIRQ_ID";

/// All variables that a command gets for this message; what is not known or not harmless is left
/// out. The names without a prefix are those of qmail-command(8).
pub(super) fn environment(message: &Message) -> Vec<(&'static str, OsString)> {
    let inherited = INHERITED.iter().filter_map(|&name| Some((name, std::env::var_os(name)?)));
    let envelope = &message.envelope;
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let told = [
        (ID, Some(message.id.to_string())),
        ("MAILDIRQ_ATTEMPT", Some(message.attempt().to_string())),
        ("MAILDIRQ_SIZE", Some(message.body.len().to_string())),
        ("MAILDIRQ_QUEUE", named(&message.queue)),
        ("MAILDIRQ_ROUTE", named(&message.route)),
        ("MAILDIRQ_REASON", named(&shortened(&printable(message.history.last_reason.as_bytes())))),
        ("SENDER", envelope.from.clone()),
        ("RECIPIENT", envelope.to.clone()),
        ("LOCAL", envelope.local().map(str::to_owned)),
        ("HOST", envelope.host().map(str::to_owned)),
        ("EXT", envelope.detail.clone()),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| is_safe(value))?.into())));
    inherited.chain(told).collect()
}

/// Whether a value can do no harm. An old bash runs what follows a value that looks like a function.
fn is_safe(value: &str) -> bool {
    value.len() <= LONGEST && is_harmless(value) && !value.starts_with("()")
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;

    fn told(message: &Message) -> Vec<(&'static str, String)> {
        let all = environment(message).into_iter();
        let told = all.filter(|(name, _)| !INHERITED.contains(name));
        told.map(|(name, value)| (name, value.into_string().unwrap())).collect()
    }

    fn of_envelope(from: Option<&str>, to: Option<&str>, detail: Option<&str>) -> Vec<(&'static str, String)> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let envelope = Envelope { from: text(from), to: text(to), detail: text(detail) };
        let mut told = told(&Message { envelope, ..Message::sample() });
        told.retain(|(name, _)| !name.starts_with("MAILDIRQ_"));
        told
    }

    #[test]
    fn a_command_is_told_what_is_known() {
        let mut message = Message { route: "support".into(), ..Message::sample() };
        message.history.tries = 2;
        message.history.last_reason = "exit code 75: busy\nvery".into();
        let id = message.id.to_string();
        let expected = [
            ("MAILDIRQ_ID", &*id),
            ("MAILDIRQ_ATTEMPT", "3"),
            ("MAILDIRQ_SIZE", "22"),
            ("MAILDIRQ_QUEUE", "main"),
            ("MAILDIRQ_ROUTE", "support"),
            ("MAILDIRQ_REASON", "exit code 75: busy\\nvery"),
        ];
        assert_eq!(told(&message), expected.map(|(name, value)| (name, value.to_owned())));
        let names: Vec<_> = told(&Message::sample()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["MAILDIRQ_ID", "MAILDIRQ_ATTEMPT", "MAILDIRQ_SIZE", "MAILDIRQ_QUEUE"]);
    }

    #[test]
    fn the_envelope_is_told_as_qmail_does() {
        for (from, to, detail, expected) in [
            (None, None, None, &[][..]),
            (Some(""), None, None, &[("SENDER", "")]),
            (
                Some("ada@example.com"),
                Some("support+7@example.org"),
                Some("7"),
                &[
                    ("SENDER", "ada@example.com"),
                    ("RECIPIENT", "support+7@example.org"),
                    ("LOCAL", "support+7"),
                    ("HOST", "example.org"),
                    ("EXT", "7"),
                ],
            ),
            (None, Some("ada"), Some(""), &[("RECIPIENT", "ada"), ("LOCAL", "ada"), ("EXT", "")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|&(name, value)| (name, value.to_owned())).collect();
            assert_eq!(of_envelope(from, to, detail), expected);
        }
    }

    #[test]
    fn a_hostile_value_is_left_out() {
        let (longest, too_long) = ("x".repeat(LONGEST), "x".repeat(LONGEST + 1));
        for (value, is_told) in [
            ("a\0b", false),
            ("a\nLD_PRELOAD=/tmp/x", false),
            ("\u{1b}[31m", false),
            ("\u{202e}moc.elpmaxe", false),
            ("() { :;}; touch /tmp/shocked", false),
            (&*too_long, false),
            (&*longest, true),
            ("$(id)`id`;'\"|&", true),
            ("\u{e9}@example.org", true),
        ] {
            assert_eq!(of_envelope(Some(value), None, None).len(), usize::from(is_told), "{value:?}");
        }
    }

    #[test]
    fn a_reason_is_made_harmless_and_short() {
        let mut message = Message::sample();
        message.history.last_reason = "\u{202e}".repeat(10_000);
        let told = told(&message);
        let (_, reason) = told.iter().find(|(name, _)| *name == "MAILDIRQ_REASON").unwrap();
        assert!(reason.starts_with(r"\u{202e}") && reason.len() <= LONGEST, "{reason}");
    }
}
