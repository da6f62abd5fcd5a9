//! Commands: what a program is given, and what its end means.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::support::digest::sha256;
use crate::support::{Exit, Fate, Maildir, Maildirq, SOON, Script, wait_until};

/// So many failures in a row are no reason to stop here.
const UNDAUNTED: &str = "breaker = { after = 1000 }";
const AT_ONCE: &str = "retry = { min_delay = '1ms', max_delay = '1ms' }";
const MEGABYTE: u64 = 1024;

/// The table of docs/answers.md.
fn usual_fate(code: u8) -> Fate {
    match code {
        0 | 99 => Fate::Done,
        64 | 65 | 70 | 76 | 77 | 78 | 100 | 112 => Fate::Dead,
        126 | 127 => Fate::Waits { charged: false },
        _ => Fate::Waits { charged: true },
    }
}

/// Ends as the mail wants it.
const OBEDIENT: &str = "code=$(cat | sed -n 's/^Subject: //p'); echo $MAILDIRQ_ID | tell $code\n\
                        echo because $code is what it wants >&2; exit $code";

#[test]
fn every_exit_code_has_its_fate() {
    let maildir = Maildir::new();
    let mails: Vec<_> = (0..=255).map(|code| (code, maildir.deliver(wanting(code)))).collect();
    let script = Script::new(OBEDIENT);

    let drain = Maildirq::drain_config(&script.config(&maildir, UNDAUNTED)).run();

    assert_eq!(drain.exit(), Exit::SomeDead);
    for (code, name) in mails {
        let story = maildir.story(&script.wait_for(&code.to_string()));
        assert_eq!(Fate::of(&maildir, &name, &story), usual_fate(code), "{code}");
        if usual_fate(code) != Fate::Done {
            let hint = if matches!(code, 126 | 127) { " (looks like configuration)" } else { "" };
            let reason = format!("exit code {code}{hint}: because {code} is what it wants");
            let told = (&story[0]["status"], &story[0]["try"], &story[0]["reason"]);
            assert_eq!(told, (&code.into(), &1.into(), &reason.as_str().into()));
        }
    }
}

#[test]
fn a_target_has_meanings_of_its_own() {
    let answers = "answers = { done = [3, '10-12', 127], reject = [75, '200-255'], retry = [0, 100, 126, 111] }";
    let (done, dead) = (Fate::Done, Fate::Dead);
    let (charged, not_charged) = (Fate::Waits { charged: true }, Fate::Waits { charged: false });
    let (maildir, script) = (Maildir::new(), Script::new(OBEDIENT));
    let fates = [
        (3, done),
        (10, done),
        (12, done),
        (13, charged),
        (127, done),
        (99, done),
        (75, dead),
        (199, charged),
        (200, dead),
        (255, dead),
        (64, dead),
        (0, charged),
        (100, charged),
        (111, charged),
        (126, not_charged),
    ];
    let mails = fates.map(|(code, fate)| (code, fate, maildir.deliver(wanting(code))));

    Maildirq::drain_config(&script.config(&maildir, &format!("{UNDAUNTED}\n{answers}"))).run();

    for (code, fate, name) in mails {
        let story = maildir.story(&script.wait_for(&code.to_string()));
        assert_eq!(Fate::of(&maildir, &name, &story), fate, "{code}");
    }
}

/// Not a copy of it: what the command holds is the file in `new/`, and the lock on it.
/// The system throws exit codes away where SIGCHLD is ignored, which a program inherits.
#[test]
fn exit_codes_are_heard_by_whoever_was_started_to_ignore_them() {
    let (maildir, script) = (Maildir::new(), Script::new(OBEDIENT));
    maildir.deliver(wanting(0));
    maildir.deliver(wanting(100));

    let drain = Maildirq::drain_config(&script.config(&maildir, UNDAUNTED));
    let drain = drain.by_way_of(&["env", "--ignore-signal=CHLD"]).run();

    assert_eq!(drain.exit(), Exit::SomeDead);
    assert_eq!((maildir.waiting().len(), maildir.dead().len()), (0, 1));
}

#[test]
fn standard_input_is_the_claimed_file() {
    let maildir = Maildir::new();
    let mail: Vec<u8> =
        b"Subject: large\n\n".iter().copied().chain((0..1_000_000u32).flat_map(u32::to_le_bytes)).collect();
    let name = maildir.deliver(&mail);
    let file = fs::metadata(maildir.message(&name)).unwrap();
    let script = Script::new(
        "stat -L -c %d:%i /proc/self/fd/0 | tell inode$MAILDIRQ_ATTEMPT\n\
         grep -c 'lock:.*FLOCK.*WRITE' /proc/self/fdinfo/0 | tell locks$MAILDIRQ_ATTEMPT\n\
         printf x 2>/dev/null >&0 && exit 100\n\
         sha256sum | tell sum$MAILDIRQ_ATTEMPT\n\
         test $MAILDIRQ_ATTEMPT = 2 || exit 75",
    );

    let drain = Maildirq::drain_config(&script.config(&maildir, AT_ONCE)).arg("--wait-retries").run();

    assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::Ok, 0));
    for attempt in ["1", "2"] {
        let told = ["inode", "locks", "sum"].map(|what| script.wait_for(&format!("{what}{attempt}")));
        let [inode, locks, sum] = told;
        assert_eq!((inode, &*locks), (format!("{}:{}", file.dev(), file.ino()), "1"), "attempt {attempt}");
        assert_eq!(sum, format!("{}  -", sha256(&mail)), "attempt {attempt} reads from the beginning");
    }
}

#[test]
fn the_environment_is_what_is_documented_and_nothing_else() {
    let mail =
        "Return-Path: <ada@example.net>\nX-Original-To: box+a+b@example.org\nReceived: x\nSubject: hi\n\nhello\n";
    let maildir = Maildir::new();
    maildir.deliver(mail);
    let script = Script::new("cat /proc/$$/environ | tell $MAILDIRQ_ATTEMPT; test $MAILDIRQ_ATTEMPT = 2 || exit 75");
    let toml = format!("[[route]]\nname = 'way'\ntarget = 'app'\n{}", config_of_target(&script.command(), AT_ONCE));
    let toml = format!("[queue.inbox]\nmaildir = '{}'\n{toml}", maildir.path().display());

    let drain = Maildirq::drain_config(&toml).arg("--wait-retries");
    let drain = drain.env("HOME", "/nowhere").env("LANG", "C.UTF-8").env("USER", "ada").env("PATH", "/usr/bin:/bin");
    let drain = drain.env("APP_KEY", "hunter2").env("LD_LIBRARY_PATH", "/nowhere").env("MAILDIRQ_SPY", "x").run();

    assert_eq!(drain.exit(), Exit::Ok);
    let id = drain.events("attempt")[0]["id"].as_str().unwrap().to_owned();
    let size = mail.len().to_string();
    let mut expected = BTreeMap::from([
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nowhere"),
        ("LANG", "C.UTF-8"),
        ("USER", "ada"),
        ("MAILDIRQ_ID", &id),
        ("MAILDIRQ_ATTEMPT", "1"),
        ("MAILDIRQ_SIZE", &size),
        ("MAILDIRQ_QUEUE", "inbox"),
        ("MAILDIRQ_ROUTE", "way"),
        ("SENDER", "ada@example.net"),
        ("NEWSENDER", "ada@example.net"),
        ("RPLINE", "Return-Path: <ada@example.net>\n"),
        ("RECIPIENT", "box+a+b@example.org"),
        ("DTLINE", "Delivered-To: box+a+b@example.org\n"),
        ("LOCAL", "box+a+b"),
        ("HOST", "example.org"),
        ("HOST2", "example"),
        ("HOST3", "example"),
        ("HOST4", "example"),
        ("EXT", "a+b"),
        ("EXT2", ""),
        ("EXT3", ""),
        ("EXT4", ""),
    ]);
    // Its time is that of the message, at each attempt.
    let told = ["1", "2"].map(|attempt| script.wait_for(attempt));
    let from_line = variables(&told[0])["UFLINE"].to_owned();
    assert!(from_line.starts_with("From ada@example.net ") && from_line.ends_with('\n'), "{from_line}");
    expected.insert("UFLINE", &from_line);
    assert_eq!(variables(&told[0]), expected);
    expected.extend([("MAILDIRQ_ATTEMPT", "2"), ("MAILDIRQ_REASON", "exit code 75")]);
    assert_eq!(variables(&told[1]), expected);
}

/// An old bash ran what stood behind a function in its environment; the limits of execve(2) are at 128 KiB.
#[test]
fn a_hostile_envelope_poisons_nothing() {
    let (maildir, long) = (Maildir::new(), "x".repeat(200 * 1024));
    let hostile = [
        "() { :;}; touch shocked",
        "a\0b@example.org",
        &long,
        "a@example.org\n LD_PRELOAD=/nowhere/evil.so",
        "a@example.org\r\n\tIFS=x",
        "$(touch shocked)@`touch shocked`;touch shocked",
        "\u{1b}]0;owned\u{7}",
        "a@\u{202e}gro.elpmaxe",
        "=\n=\n=",
    ];
    for (number, text) in hostile.iter().enumerate() {
        maildir.deliver(format!("Return-Path: <{text}>\nDelivered-To: {text}\nSubject: {number}\n\n.\n"));
    }
    let script = Script::new("cat /proc/$$/environ | tell $MAILDIRQ_ID");

    let target = config_of_target(&script.command_of("/bin/bash"), "");
    let drain = Maildirq::drain_config(&format!("maildir = '{}'\n{target}", maildir.path().display())).run();

    assert_eq!((drain.exit(), maildir.dead().len()), (Exit::Ok, 0));
    let names = [
        "PATH",
        "HOME",
        "LANG",
        "USER",
        "MAILDIRQ_ID",
        "MAILDIRQ_ATTEMPT",
        "MAILDIRQ_SIZE",
        "MAILDIRQ_QUEUE",
        "MAILDIRQ_ROUTE",
        "SENDER",
        "NEWSENDER",
        "RPLINE",
        "UFLINE",
        "RECIPIENT",
        "DTLINE",
        "LOCAL",
        "HOST",
        "HOST2",
        "HOST3",
        "HOST4",
        "EXT",
        "EXT2",
        "EXT3",
        "EXT4",
    ];
    let told = script.files();
    assert_eq!(told.len(), hostile.len(), "each is run, and nothing of it: {told:?}");
    for file in told {
        let environment = script.wait_for(&file);
        let variables = variables(&environment);
        assert_eq!(variables["MAILDIRQ_ID"], file);
        for (name, value) in variables {
            assert!(names.contains(&name), "{name} in {environment:?}");
            // Lines of a header, and of an mbox, are whole.
            let value = if name.ends_with("LINE") { value.strip_suffix('\n').expect("a line ends") } else { value };
            let is_harmless = value.len() <= 1024 && !value.starts_with("()") && !value.chars().any(char::is_control);
            assert!(is_harmless, "{name} is {value:?}");
        }
    }
}

#[test]
fn a_gigabyte_of_talk_is_not_kept_in_memory() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new(
        "head -c 500000000 /dev/zero; head -c 500000000 /dev/zero >&2; echo >&2; echo enough >&2\n\
         echo $MAILDIRQ_ID | tell id; exit 75",
    );
    let watch = Maildirq::watch_config(&script.config(&maildir, "")).start();

    let attempt = watch.wait_for_event("attempt");

    assert_eq!(attempt["reason"], "exit code 75: enough");
    let peak = watch.peak_memory();
    assert!(peak < 64 * MEGABYTE, "{peak} kB");
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn a_program_that_is_removed_is_the_configurations_fault_and_its_mail_waits_for_it() {
    let (maildir, script) = (Maildir::new(), Script::new("cat | tell $MAILDIRQ_ID"));
    let program = script.path(".program");
    symlink("/bin/sh", &program).unwrap();
    let settings =
        "breaker = { after = 2, probe = '200ms' }\nconcurrency = 1\nretry = { max_delay = '10ms', for = '1s' }";
    let target = config_of_target(&script.command_of(program.to_str().unwrap()), settings);
    let watch = Maildirq::watch_config(&format!("maildir = '{}'\n{target}", maildir.path().display())).start();
    maildir.deliver("Subject: before\n\n.\n");
    wait_until("it works", SOON, || script.files().len() == 1 && maildir.waiting().is_empty());

    fs::remove_file(&program).unwrap();
    (0..5).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\n.\n"))));
    watch.wait_for_event("target_down");
    // Longer than a message may fail by its own fault.
    let attempts = watch.wait_for_events("attempt", 10);

    let reason = attempts.last().unwrap()["reason"].as_str().unwrap().to_owned();
    for word in ["cannot run", ".program", "No such file", "looks like configuration"] {
        assert!(reason.contains(word), "{reason}");
    }
    let told: Vec<_> = maildir.stories().iter().flat_map(|id| maildir.story(id)).collect();
    assert!(told.iter().all(|line| line["event"] == "retry" && line["charged"] == false), "{told:?}");
    assert_eq!((maildir.dead().len(), maildir.waiting().len()), (0, 5));

    symlink("/bin/sh", &program).unwrap();
    watch.wait_for_event("target_up");
    wait_until("all are done", SOON, || maildir.waiting().is_empty());
    assert_eq!((script.files().len(), maildir.dead().len(), watch.stop()), (6, 0, Exit::Ok));
}

#[test]
fn the_last_words_on_standard_error_are_the_reason_and_harmless() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new(
        "echo $MAILDIRQ_ID | tell id; echo not this\n\
         i=0; while test $((i += 1)) -le 2000; do echo line $i; done >&2\n\
         printf '\\033]0;owned\\007\\r{\"event\":\"dead\"}\\n\\342\\200\\256 \\377\\376\\nthe end' >&2; exit 100",
    );

    let drain = Maildirq::drain_config(&script.config(&maildir, "")).run();

    let id = script.wait_for("id");
    let (story, dead) = (maildir.story(&id), drain.events("dead"));
    assert_eq!((drain.exit(), story.len(), dead.len()), (Exit::SomeDead, 1, 1));
    for reason in [&story[0]["reason"], &dead[0]["reason"]] {
        let reason = reason.as_str().unwrap();
        let is_harmless = reason.chars().all(|c| !c.is_control() && c != '\u{202e}');
        assert!(reason.starts_with("exit code 100: ") && is_harmless, "{reason}");
        assert!(!reason.contains("not this") && !reason.contains("line 1 "), "{reason}");
    }
    let logged = dead[0]["reason"].as_str().unwrap();
    assert!(logged.contains("line 2000 | ") && logged.ends_with(r"\u{202e} \xff\xfe | the end"), "{logged}");
    assert!(story[0]["reason"].as_str().unwrap().len() <= 500, "{story:?}");
}

fn config_of_target(command: &str, settings: &str) -> String {
    format!("[target.app]\ncommand = {command}\n{settings}\n")
}

/// A mail that wants this exit code.
fn wanting(code: u8) -> String {
    format!("From: ada@example.org\nSubject: {code}\n\nplease\n")
}

fn variables(environment: &str) -> BTreeMap<&str, &str> {
    environment.split_terminator('\0').map(|variable| variable.split_once('=').expect("NAME=VALUE")).collect()
}
