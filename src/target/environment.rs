//! The environment of a command.
//!
//! What an environment holds is read by programs that nobody thinks of: a shell that imports
//! functions, a linker that loads libraries. So it begins empty, its names are fixed, and of what a
//! stranger wrote only short and harmless values get in: a mail can neither make the program fail to
//! start (`E2BIG`, a NUL) nor make it do something else.

use super::command::CommandConfig;
use super::program::Account;
use super::recipient::{Recipient, quoted, unquoted};
use crate::engine::Message;
use crate::engine::text::{is_harmless, printable};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::time::SystemTime;

/// What a command gets of our own environment.
const INHERITED: &[&str] = &["PATH", "LANG", "HOME", "USER"];
/// The longest value, in bytes.
const LONGEST: usize = 1024;
/// The variable by which a job's processes are known.
pub(super) const ID: &str = "MAILDIRQ_ID";

/// What a program has of our own environment; the account that it runs as has its own.
pub(super) fn inherited(account: Option<&Account>) -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.iter().filter_map(move |&name| {
        let value = match (name, account) {
            ("HOME", Some(account)) => Some(account.home.clone().into()),
            ("USER", Some(account)) => Some(account.name.clone().into()),
            _ => std::env::var_os(name),
        };
        Some((name, value?))
    })
}

/// All variables that a command gets for this message; what is not known or not harmless is left
/// out. What the configuration says counts last, and cannot name one of ours.
pub(super) fn environment<'a>(config: &'a CommandConfig, message: &Message) -> Vec<(&'a str, OsString)> {
    let run = &config.run;
    let mut all: Vec<(&'a str, OsString)> = inherited(run.account.as_ref()).collect();
    all.extend(of_maildirq(message).into_iter().map(|(name, value)| (name, value.into())));
    let of_qmail = of_qmail(message, config.default_prefix.as_deref());
    all.extend(of_qmail.into_iter().map(|(name, value)| (name, value.into())));
    all.extend(run.environment.iter().map(|(name, value)| (&**name, value.reveal().into())));
    all
}

fn of_maildirq(message: &Message) -> Vec<(&'static str, String)> {
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let told = [
        (ID, Some(message.id.to_string())),
        ("MAILDIRQ_ATTEMPT", Some(message.attempt().to_string())),
        ("MAILDIRQ_SIZE", Some(message.body.len().to_string())),
        ("MAILDIRQ_QUEUE", named(&message.queue)),
        ("MAILDIRQ_ROUTE", named(&message.route)),
        ("MAILDIRQ_REASON", named(&shortened(&printable(message.history.last_reason.as_bytes())))),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| is_safe(value))?)));
    told.collect()
}

/// What qmail-command(8) promises, by the same names. Addresses are not quoted, but for those of `RPLINE`.
fn of_qmail(message: &Message, default_prefix: Option<&str>) -> Vec<(&'static str, String)> {
    let safe = |text: &str| Some(text.to_owned()).filter(|text| is_safe(text));
    let sender = message.envelope.from.as_deref().and_then(|from| safe(&unquoted(from)));
    let mut told = Vec::new();
    if let Some(recipient) = Recipient::of(&message.envelope) {
        if let Some(address) = safe(&recipient.address) {
            told.extend([("DTLINE", format!("Delivered-To: {address}\n")), ("RECIPIENT", address)]);
        }
        told.extend(safe(recipient.local()).map(|local| ("LOCAL", local)));
        told.extend(recipient.host().and_then(safe).into_iter().flat_map(hosts));
        // An address without a delimiter has an empty extension.
        let extension = safe(recipient.extension.as_deref().unwrap_or_default());
        told.extend(extension.into_iter().flat_map(|extension| extensions(extension, default_prefix)));
    }
    if let Some(sender) = sender {
        told.push(("RPLINE", format!("Return-Path: <{}>\n", quoted(&sender))));
        told.extend(from_line(&sender, message.arrived).map(|line| ("UFLINE", line)));
        told.extend([("NEWSENDER", sender.clone()), ("SENDER", sender)]);
    }
    told
}

/// `HOST2` is what stands before the last dot of the host, `HOST3` before the last but one, and so on; where there
/// are not so many, it is what is left.
fn hosts(host: String) -> [(&'static str, String); 4] {
    let shorter = |host: &str| host.rsplit_once('.').map_or(host, |(before, _)| before).to_owned();
    let second = shorter(&host);
    let third = shorter(&second);
    let fourth = shorter(&third);
    [("HOST", host), ("HOST2", second), ("HOST3", third), ("HOST4", fourth)]
}

/// `EXT2` is what stands behind the first dash of the extension, `EXT3` behind the second, and so on. `DEFAULT` is
/// what the `default` in the name of a `.qmail` file stands for; such files are found in any case.
fn extensions(ext: String, default_prefix: Option<&str>) -> Vec<(&'static str, String)> {
    let behind = |ext: &str| ext.split_once('-').map_or("", |(_, behind)| behind).to_owned();
    let default = default_prefix.and_then(|prefix| {
        let (begin, rest) = ext.split_at_checked(prefix.len())?;
        begin.eq_ignore_ascii_case(prefix).then(|| ("DEFAULT", rest.to_owned()))
    });
    let second = behind(&ext);
    let third = behind(&second);
    let fourth = behind(&third);
    let mut told = vec![("EXT", ext), ("EXT2", second), ("EXT3", third), ("EXT4", fourth)];
    told.extend(default);
    told
}

/// The line that mail begins with in an mbox, as qmail-local(8) writes it. It is the same at each attempt. None
/// for a time that no calendar has.
fn from_line(sender: &str, arrived: SystemTime) -> Option<String> {
    let sender = if sender.is_empty() { "MAILER-DAEMON".to_owned() } else { sender.replace([' ', '\t', '\n'], "-") };
    let arrived = Timestamp::try_from(arrived).ok()?.to_zoned(TimeZone::UTC);
    Some(format!("From {sender} {}\n", arrived.strftime("%a %b %d %H:%M:%S %Y")))
}

/// Whether a value can do no harm. An old bash runs what follows a value that looks like a function.
pub(super) fn is_safe(value: &str) -> bool {
    value.len() <= LONGEST && is_harmless(value) && !value.starts_with("()")
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;
    use crate::secret::Secret;
    use crate::target::{Limits, Overrides, ProgramConfig};
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn config(default_prefix: Option<&str>) -> CommandConfig {
        let run = ProgramConfig::new("/bin/true", [""; 0]);
        let (answers, limits) = (Overrides::default(), Limits::default());
        CommandConfig { run, timeout: Duration::MAX, answers, limits, default_prefix: default_prefix.map(Into::into) }
    }

    fn told(message: &Message) -> Vec<(String, String)> {
        let config = config(None);
        let all = environment(&config, message).into_iter();
        let told = all.filter(|(name, _)| !INHERITED.contains(name));
        told.map(|(name, value)| (name.to_owned(), value.into_string().unwrap())).collect()
    }

    fn envelope(from: Option<&str>, to: Option<&str>, detail: Option<&str>) -> Message {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let envelope = Envelope { from: text(from), to: text(to), detail: text(detail) };
        // 5 November 2026, 01:02:03 UTC.
        let arrived = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_840_523);
        Message { envelope, arrived, ..Message::sample() }
    }

    fn as_qmail(message: &Message, default_prefix: Option<&str>) -> BTreeMap<&'static str, String> {
        of_qmail(message, default_prefix).into_iter().collect()
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
        assert_eq!(told(&message), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let names: Vec<_> = told(&Message::sample()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["MAILDIRQ_ID", "MAILDIRQ_ATTEMPT", "MAILDIRQ_SIZE", "MAILDIRQ_QUEUE"]);
    }

    /// What qmail-local(8) sets for these, worked out by hand from its manual and its source.
    #[test]
    fn the_envelope_is_told_as_qmail_does() {
        let support =
            envelope(Some("ada@example.com"), Some("joe-support-a-b-c@mx.lists.example.org"), Some("support-a-b-c"));
        let expected = [
            ("SENDER", "ada@example.com"),
            ("NEWSENDER", "ada@example.com"),
            ("RPLINE", "Return-Path: <ada@example.com>\n"),
            ("UFLINE", "From ada@example.com Thu Nov 05 01:02:03 2026\n"),
            ("RECIPIENT", "joe-support-a-b-c@mx.lists.example.org"),
            ("DTLINE", "Delivered-To: joe-support-a-b-c@mx.lists.example.org\n"),
            ("LOCAL", "joe-support-a-b-c"),
            ("HOST", "mx.lists.example.org"),
            ("HOST2", "mx.lists.example"),
            ("HOST3", "mx.lists"),
            ("HOST4", "mx"),
            ("EXT", "support-a-b-c"),
            ("EXT2", "a-b-c"),
            ("EXT3", "b-c"),
            ("EXT4", "c"),
            ("DEFAULT", "a-b-c"),
        ];
        let expected: BTreeMap<_, _> = expected.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        assert_eq!(as_qmail(&support, Some("support-")), expected);

        let plain = envelope(Some(""), Some("joe@localhost"), None);
        let expected = [
            ("SENDER", ""),
            ("NEWSENDER", ""),
            ("RPLINE", "Return-Path: <>\n"),
            ("UFLINE", "From MAILER-DAEMON Thu Nov 05 01:02:03 2026\n"),
            ("RECIPIENT", "joe@localhost"),
            ("DTLINE", "Delivered-To: joe@localhost\n"),
            ("LOCAL", "joe"),
            ("HOST", "localhost"),
            ("HOST2", "localhost"),
            ("HOST3", "localhost"),
            ("HOST4", "localhost"),
            ("EXT", ""),
            ("EXT2", ""),
            ("EXT3", ""),
            ("EXT4", ""),
        ];
        let expected: BTreeMap<_, _> = expected.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        assert_eq!(as_qmail(&plain, None), expected);
        assert_eq!(as_qmail(&envelope(None, None, None), Some("")), BTreeMap::new());
        assert_eq!(as_qmail(&envelope(None, Some("joe"), None), None).get("HOST"), None);
    }

    #[test]
    fn only_lines_of_a_header_are_quoted() {
        let message = envelope(Some(r#""a b"@example.com"#), Some(r#""joe-x y"@example.org"#), Some(r#"x y""#));
        let told = as_qmail(&message, None);
        for (name, value) in [
            ("SENDER", "a b@example.com"),
            ("RPLINE", "Return-Path: <\"a b\"@example.com>\n"),
            ("UFLINE", "From a-b@example.com Thu Nov 05 01:02:03 2026\n"),
            ("RECIPIENT", "joe-x y@example.org"),
            ("LOCAL", "joe-x y"),
            ("EXT", "x y"),
        ] {
            assert_eq!(told[name], value);
        }
    }

    #[test]
    fn default_is_what_stands_behind_its_prefix() {
        for (detail, prefix, expected) in [
            (Some("support-7"), Some("support-"), Some("7")),
            (Some("Support-A"), Some("support-"), Some("A")),
            (Some("support-"), Some("support-"), Some("")),
            (Some("support"), Some("support-"), None),
            (Some("sales-7"), Some("support-"), None),
            (Some("\u{fc}"), Some("s"), None),
            (Some("anything"), Some(""), Some("anything")),
            (None, Some(""), Some("")),
            (Some("anything"), None, None),
        ] {
            let told = as_qmail(&envelope(None, Some("joe@x"), detail), prefix);
            assert_eq!(told.get("DEFAULT").map(String::as_str), expected, "{detail:?} {prefix:?}");
        }
    }

    #[test]
    fn the_account_and_the_configuration_have_their_say() {
        let mut config = config(None);
        let account = Account { name: "app".into(), uid: 1, gid: 1, home: "/srv/app".into() };
        config.run.account = Some(account);
        config.run.environment = vec![("EXT".into(), Secret::new("theirs")), ("KEY".into(), Secret::new("hunter2"))];
        let message = envelope(None, Some("joe-x@example.org"), Some("x"));
        let told: BTreeMap<_, _> = environment(&config, &message).into_iter().collect();
        for (name, value) in
            [("HOME", "/srv/app"), ("USER", "app"), ("EXT", "theirs"), ("KEY", "hunter2"), ("EXT2", "")]
        {
            assert_eq!(told[name], value, "{name}");
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
            ("\"() { :;}; touch /tmp/shocked\"", false),
            (&*too_long, false),
            (&*longest, true),
            ("$(id)`id`;'\"|&", true),
            ("\u{e9}@example.org", true),
        ] {
            let names = |message| as_qmail(&message, Some("")).into_keys().collect::<Vec<_>>();
            let (sender, recipient) = if is_told {
                (&["NEWSENDER", "RPLINE", "SENDER", "UFLINE"][..], &["DTLINE", "LOCAL", "RECIPIENT"][..])
            } else {
                (&[][..], &[][..])
            };
            assert_eq!(names(envelope(Some(value), None, None)), sender, "{value:?}");
            let mut told = names(envelope(None, Some(value), Some(value)));
            told.retain(|name| !name.starts_with("HOST") && !name.starts_with("EXT") && *name != "DEFAULT");
            assert_eq!(told, recipient, "{value:?}");
        }
        let told = as_qmail(&envelope(None, Some("joe@x"), Some("() { :;}")), Some(""));
        assert!(!told.contains_key("EXT") && !told.contains_key("DEFAULT"), "{told:?}");
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
