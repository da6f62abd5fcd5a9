//! Tests of the whole: from the text of a file to a configuration, or to what is said of it.

use super::keys::{For, KEYS, Key, Kind, Place};
use super::*;
use crate::engine::{KNOWN, Schedule};
use crate::target::{Account, Auth, Overrides};
use std::ffi::OsString;
use std::path::Path;

/// A world in which all programs are there, all secret files, and all variables but `UNSET`.
struct Rich;

impl World for Rich {
    fn variable(&self, name: &str) -> Option<OsString> {
        let value = match name {
            "UNSET" => return None,
            "CREDENTIALS_DIRECTORY" => "/run/credentials",
            "PATH" => "relative:/usr/bin",
            "APP_KEY" | "CRM_URL" => "https://app.example.com/",
            "WEBHOOK_SECRET" => "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=",
            _ => "https://hunter2:hunter2@app.example.com/?hunter2",
        };
        Some(value.into())
    }

    fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
        let contents = match path.extension().and_then(|extension| extension.to_str()) {
            Some("pem") => &include_bytes!("../../fixtures/tls/client.pem")[..],
            Some("key") => include_bytes!("../../fixtures/tls/client.key"),
            _ => b"hunter2\n",
        };
        Ok(SecretFile { contents: contents.to_vec(), mode: 0o600 })
    }

    fn is_program(&self, path: &Path) -> bool {
        path.is_absolute()
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_absolute()
    }

    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        Ok(Some(Account { name: name.to_owned(), uid: 1000, gid: 1000, home: "/home".into() }))
    }

    fn group(&self, _: &str) -> io::Result<Option<u32>> {
        Ok(Some(33))
    }
}

fn read(text: &str) -> Result<Reading, ConfigError> {
    Config::parse(text.as_bytes(), Path::new("maildirq.toml"), &Rich)
}

fn parsed(text: &str) -> Config {
    read(text).unwrap_or_else(|error| panic!("{text}\n{error}")).config
}

pub(super) fn remarks(text: &str) -> Vec<Remark> {
    match read(text) {
        Ok(reading) => reading.warnings,
        Err(ConfigError::Mistake { remarks, .. }) => remarks,
        Err(error) => panic!("{error}"),
    }
}

/// A file that is right, but for what is appended to it.
const RIGHT: &str = "maildir = \"/m\"\n[target.app]\nurl = \"http://x/\"\n";

#[test]
fn three_lines_are_what_the_flags_say() {
    let config = parsed("maildir = \"/m\"\n[target.app]\nurl = \"https://app.example.com/in\"\n");
    let flags = Config::of_flags("/m".into(), "https://app.example.com/in".parse().unwrap());
    assert_eq!(config, flags);
    assert_eq!(config.targets[0].concurrency, 8);
    assert_eq!(config.queues[0].max_size, 256 << 20);
}

/// A file with this key, which is right if what is written for the key is.
fn with(key: &Key, place: Place, written: &str) -> String {
    let (targets, key) = (key.targets, format!("{} = {written}\n", key.name));
    match place {
        Place::Top => format!("{key}{RIGHT}"),
        Place::Queue => {
            format!("[queue.support]\n{key}{}", if key.starts_with("maildir") { "" } else { "maildir = \"/n\"\n" })
                + "[target.app]\nurl = \"http://x/\"\n"
        }
        Place::Route => {
            let target = if key.starts_with("target") { "" } else { "target = \"app\"\n" };
            format!("{RIGHT}[[route]]\n{target}{key}")
        }
        Place::When => format!(
            "[queue.support]\nmaildir = \"/m\"\n{}[[route]]\ntarget = \"app\"\n[route.when]\n{key}",
            &RIGHT[15..]
        ),
        Place::Target if ["url =", "command =", "worker ="].iter().any(|name| key.starts_with(name)) => {
            format!("maildir = \"/m\"\n[target.app]\n{key}")
        }
        Place::Target if !targets.contains(&For::Url) => {
            let kind = if targets.contains(&For::Command) { "command" } else { "worker" };
            format!("maildir = \"/m\"\n[target.app]\n{kind} = [\"x\"]\n{}{key}", beside(&key))
        }
        Place::Target if key.starts_with("client_") => {
            format!("{}{}{key}", RIGHT.replace("http:", "https:"), beside(&key))
        }
        Place::Target => format!("{RIGHT}{}{key}", beside(&key)),
        Place::Auth => {
            let rest = if key.starts_with("password") {
                "basic = \"other\"\n"
            } else if key.starts_with("basic") {
                "password = \"p\"\n"
            } else {
                ""
            };
            format!("{RIGHT}[target.app.auth]\n{key}{rest}")
        }
        Place::Answers => format!("{RIGHT}[target.app.answers]\n{key}"),
        Place::Retry => format!("{RIGHT}[target.app.retry]\n{key}"),
        Place::Breaker => format!("{RIGHT}[target.app.breaker]\n{key}"),
        Place::Secret => format!("{RIGHT}[target.app.headers.Api-Key]\n{key}"),
        Place::FormField => format!("{RIGHT}format = \"form\"\n[target.app.fields.f]\n{key}"),
        Place::Web => format!("{RIGHT}[web]\n{key}"),
        Place::Keep => format!("{RIGHT}[keep]\n{key}"),
    }
}

/// What a target must have besides for this key to make sense.
fn beside(key: &str) -> &'static str {
    match key.split(" =").next() {
        Some("attachments" | "describe_above") => "format = \"json\"\n",
        Some("fields") => "format = \"form\"\n",
        Some("encoding") => "format = \"form\"\nfields = { f = \"x\" }\n",
        Some("signing_key" | "timestamp") => "format = \"mailgun\"\n",
        Some("raw_email") => "format = \"postmark\"\n",
        Some("client_certificate") => "client_key = \"/client.key\"\n",
        Some("group") => "user = \"app\"\n",
        Some("client_key") => "client_certificate = \"/client.pem\"\n",
        _ => "",
    }
}

#[test]
fn every_key_has_an_effect() {
    for key in KEYS.iter().filter(|key| !matches!(key.kind, Kind::Named(_) | Kind::Many(_))) {
        for place in key.places {
            let text = with(key, *place, key.example);
            let text = if *place == Place::Top && key.name == "maildir" {
                text.replacen(RIGHT, &RIGHT[15..], 1)
            } else {
                text
            };
            let line = format!("{} = {}\n", key.name, key.example);
            let config = parsed(&text);
            let without = read(&text.replacen(&line, "", 1)).map(|reading| reading.config);
            assert!(without.is_err() || without.is_ok_and(|without| without != config), "{text}");
        }
    }
}

#[test]
fn every_default_is_what_it_is_without_the_key() {
    for key in KEYS {
        for place in key.places {
            for (default, text) in [
                (key.default, with(key, *place, "@")),
                (key.default_of_program, with(key, *place, "@").replace("url = \"http://x/\"", "command = [\"x\"]")),
            ] {
                let Some(default) = default.filter(|_| key.default_of_program.is_none() || *place == Place::Target)
                else {
                    continue;
                };
                let given = parsed(&text.replace('@', default));
                let without = parsed(&text.replace(&format!("{} = @\n", key.name), ""));
                assert_eq!(given, without, "{text}");
            }
        }
    }
}

/// The sample file with nothing commented out.
fn uncommented() -> String {
    let text = reference::annotated_config();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ") && *line != "#");
    let lines: Vec<_> = lines.map(|line| line.strip_prefix('#').expect("all is commented out")).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_sample_file_is_right_when_nothing_is_commented_out() {
    assert!(reference::annotated_config().lines().all(|line| line.is_empty() || line.starts_with('#')));
    let config = parsed(&uncommented());
    assert_eq!((config.queues.len(), config.routes.len(), config.targets.len()), (1, 1, 7));
    let TargetKind::Url(url) = &config.targets[1].kind else { panic!("crm is a url") };
    assert!(matches!(url.auth, Some(Auth::Bearer(_))));
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let page = reference::markdown();
    let examples: Vec<_> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let warnings = read(example).unwrap_or_else(|error| panic!("{example}\n{error}")).warnings;
        assert_eq!(warnings, [], "{example}");
    }
}

#[test]
fn settings_are_inherited_and_overridden() {
    let text = "concurrency = 3\nrescan = \"10s\"\nrecipient = \"a@x\"\n[queue.a]\nmaildir = \"/a\"\n[queue.b]\nmaildir = [\"/b\", \"/c/*\"]\nrescan = \"1m\"\n\
                [target.one]\nurl = \"http://x/\"\nconcurrency = 1\nrate = \"2/s\"\n[target.two]\ncommand = [\"two\", \"a b\"]\nanswers = { done = [99], reject = [\"64-78\"] }\n\
                [[route]]\ntarget = \"one\"\nwhen = { queue = \"a\" }\n[[route]]\nname = \"rest\"\ntarget = \"two\"\n";
    let config = parsed(text);
    let rescans: Vec<_> = config.queues.iter().map(|queue| (&*queue.name, queue.rescan.as_secs())).collect();
    assert_eq!(rescans, [("a", 10), ("b", 60)]);
    assert_eq!(config.queues[1].envelope.recipient.as_deref(), Some("a@x"));
    assert_eq!(config.queues[1].maildirs, [Maildirs::One("/b".into()), Maildirs::Matching("/c/*".into())]);
    let limits: Vec<_> = config.targets.iter().map(|target| target.concurrency).collect();
    assert_eq!(limits, [1, 3]);
    assert_eq!(config.targets[0].rate, Rate::new(2, Duration::from_secs(1)));
    let TargetKind::Command(command) = &config.targets[1].kind else { panic!("it has a command") };
    assert_eq!(
        (command.run.program.to_str(), &*command.run.arguments),
        (Some("/usr/bin/two"), &["a b".to_owned()][..])
    );
    assert_eq!(command.timeout, Duration::from_mins(5));
    assert_eq!(command.answers, Overrides { done: vec![99..=99], reject: vec![64..=78], retry: vec![] });
    let ways: Vec<_> = config.routes.iter().map(|route| (&*route.name, route.way.clone())).collect();
    assert_eq!(ways, [("one", Way::To("one".into())), ("rest", Way::To("two".into()))]);
}

#[test]
fn a_retry_policy_is_a_name_or_waits_or_limits() {
    let day = Duration::from_hours(24);
    let policy = |text: &str| parsed(&format!("{RIGHT}retry = {text}\n")).targets[0].retry.clone();
    for known in KNOWN {
        let expected = RetryPolicy { schedule: known.schedule(), give_up: known.give_up, attempts: known.attempts };
        assert_eq!(policy(&format!("\"{}\"", known.name)), expected);
        assert_eq!(policy(&format!("{{ policy = \"{}\" }}", known.name)), expected);
    }
    let usual = RetryPolicy::default();
    let steps: Schedule = "1m,5m*2".parse().unwrap();
    for (text, expected) in [
        ("{}", usual.clone()),
        ("\"1m,5m*2\"", RetryPolicy { schedule: steps.clone(), give_up: None, attempts: Some(4) }),
        (
            "{ schedule = \"1m,5m*2\", for = \"1d\" }",
            RetryPolicy { schedule: steps, give_up: Some(day), attempts: Some(4) },
        ),
        ("{ attempts = 3 }", RetryPolicy { attempts: Some(3), ..usual.clone() }),
        ("{ for = \"forever\" }", RetryPolicy { give_up: None, ..usual.clone() }),
        (
            "{ min_delay = \"1s\", max_delay = \"1m\" }",
            RetryPolicy {
                schedule: Schedule::Doubling { first: Duration::from_secs(1), most: Duration::from_mins(1) },
                ..usual
            },
        ),
        (
            "{ policy = \"postfix\", attempts = 9, for = \"forever\" }",
            RetryPolicy {
                schedule: crate::engine::Known::find("postfix").unwrap().schedule(),
                give_up: None,
                attempts: Some(9),
            },
        ),
    ] {
        assert_eq!(policy(text), expected, "{text}");
    }
}

#[test]
fn no_secret_is_in_any_debug_output() {
    let text = format!(
        "{RIGHT}proxy = {{ env = \"P\" }}\nheaders = {{ A = \"hunter2\", B = {{ file = \"/s\" }} }}\nauth = {{ basic = \"u\", password = \"hunter2\" }}\n\
         [target.b]\nurl = {{ env = \"U\" }}\n[target.c]\nurl = \"http://hunter2:hunter2@x/?hunter2\"\n[target.d]\nurl = \"http://x/\"\nauth.bearer = {{ credential = \"c\" }}\n\
         [[route]]\ntarget = \"app\"\n"
    );
    let reading = read(&text).unwrap();
    let TargetKind::Url(url) = &reading.config.targets[0].kind else { panic!("it has a url") };
    assert!(url.headers.iter().all(|(_, value)| value.reveal() == "hunter2"));
    let Some(Auth::Basic { password, .. }) = &url.auth else { panic!("it has a password") };
    assert_eq!(password.reveal(), "hunter2");
    assert!(reading.warnings.len() > 3);
    let shown = format!("{reading:?} {reading:#?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn without_systemd_there_are_no_credentials() {
    struct Bare;
    impl World for Bare {
        fn variable(&self, _: &str) -> Option<OsString> {
            None
        }
        fn secret_file(&self, _: &Path) -> io::Result<SecretFile> {
            Err(io::ErrorKind::NotFound.into())
        }
        fn is_program(&self, path: &Path) -> bool {
            path == Path::new("/usr/bin/found")
        }
    }
    let text = format!(
        "{RIGHT}headers = {{ A = {{ credential = \"c\" }} }}\n[target.b]\ncommand = [\"found\"]\non_dead = [\"lost\"]\n"
    );
    let error = Config::parse(text.as_bytes(), Path::new("m"), &Bare).unwrap_err().to_string();
    assert!(error.contains("there is no credential c: $CREDENTIALS_DIRECTORY is not set"), "{error}");
    assert!(error.contains("LoadCredential=c:/PATH"), "{error}");
    assert!(error.contains("there is no program lost in PATH") && !error.contains("found in PATH"), "{error}");
}

#[test]
fn a_thousand_queues_are_read_in_their_order() {
    let queue = |queue: u32| format!("[queue.q{queue}]\nmaildir = \"/home/{queue}/Maildir\"\n");
    let queues: Vec<_> = (0..1000).rev().map(queue).collect();
    let text = format!("[target.app]\nurl = \"http://x/\"\n{}", queues.concat());
    let config = parsed(&text);
    let names: Vec<_> = config.queues.iter().map(|queue| queue.name.clone()).collect();
    assert_eq!(names, (0..1000).rev().map(|queue| format!("q{queue}")).collect::<Vec<_>>());
}

#[test]
fn nothing_that_a_file_can_be_makes_it_panic() {
    let text = uncommented().replace("  # an example", "");
    for end in 0..=text.len() {
        let _ = Config::parse(&text.as_bytes()[..end], Path::new("m"), &Rich);
    }
    let mut dice = fastrand::Rng::with_seed(4711);
    for _ in 0..700 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..dice.usize(1..4) {
            let place = dice.usize(..bytes.len());
            match dice.u8(..3) {
                0 => bytes[place] = dice.u8(..),
                1 => bytes[place] = *dice.choice(b"[]{}\"'=.,#\n\\").unwrap(),
                _ => drop(bytes.remove(place)),
            }
        }
        let _ = Config::parse(&bytes, Path::new("m"), &Rich);
    }
}
