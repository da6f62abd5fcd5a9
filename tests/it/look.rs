//! `status`, `list` and `show`: what an operator sees, with a daemon and without, and what a terminal gets of it.

use crate::support::launch::{binary, write_config};
use crate::support::pty::on_a_terminal;
use crate::support::{Answer, App, Exit, Gate, Maildir, Maildirq, Request, SOON, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// A subject that would set the title of a terminal, and colours.
const HOSTILE: &str = "Return-Path: <eve\u{1b}[31m@example.com>\nDelivered-To: support@example.org\nReceived: x\n\
    From: \"Eve \u{1b}]0;x\u{7}\" <eve@example.com>\nSubject: pwned \u{1b}]0;x\u{7} =?utf-8?q?=1b]0;y=07?= \u{9b}31m end\n\
    Message-ID: <eve@example.com>\nX-\u{1b}[2J: y\n\nbody \u{1b}]0;z\u{7}\n";
const PLAIN: &str = "Return-Path: <ada@example.com>\nDelivered-To: support+42@example.org\nReceived: x\n\
    From: Ada Lovelace <ada@example.com>\nSubject: Re: Invoice 1042 overdue\nMessage-ID: <1042@example.com>\n\nPay up.\n";

/// Refuses what Eve wrote, and everything else for the time being.
fn picky(request: &Request) -> Answer {
    if request.body.windows(3).any(|part| part == b"Eve") {
        Answer::status(410).body("gone \u{1b}]0;a\u{7}")
    } else {
        Answer::status(503)
    }
}

/// A Maildir with a configuration of its own.
struct Desk {
    folder: TempDir,
    maildir: Maildir,
    toml: String,
}

impl Desk {
    fn new(url: &str) -> Desk {
        let (folder, maildir) = (TempDir::new().unwrap(), Maildir::new());
        let toml = format!(
            "[queue.support]\nmaildir = '{}'\n[target.app]\nurl = {url:?}\nretry = {{ min_delay = '1h', max_delay = '1h' }}\nanswers = {{ reject = [410] }}\n",
            maildir.path().display()
        );
        write_config(&folder.path().join("maildirq.toml"), &toml);
        Desk { folder, maildir, toml }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command.env("MAILDIRQ_CONFIG", self.folder.path().join("maildirq.toml"));
        command
    }

    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let output = self.command(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let (code, said, talk) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {said}{talk}");
        said
    }

    #[track_caller]
    fn objects(&self, words: &[&str]) -> Vec<Value> {
        self.ok(words).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"]).1).unwrap()
    }

    fn id(&self, query: &str) -> String {
        let found = self.ok(&["list", "-q", query]);
        assert_eq!(found.lines().count(), 1, "{query}: {found}");
        found.trim().to_owned()
    }
}

/// One message waits for a retry, one is dead, both with what could act on a terminal.
fn scene() -> (Desk, App) {
    let app = App::answering(picky);
    let desk = Desk::new(&app.url());
    desk.maildir.deliver(PLAIN);
    desk.maildir.deliver(HOSTILE);
    assert_eq!(Maildirq::drain_config(&desk.toml).run().exit(), Exit::SomeDead);
    (desk, app)
}

#[test]
fn what_happened_is_seen_with_the_daemon_stopped() {
    let (desk, _app) = scene();
    desk.maildir.deliver("From: bob@example.com\nSubject: printer on fire\n\nhelp\n");

    let all = desk.objects(&["list", "--json"]);
    let states: Vec<_> = all.iter().map(|message| message["state"].as_str().unwrap()).collect();
    assert_eq!(states.len(), 3);
    let of = |state: &str| all.iter().find(|message| message["state"] == state).unwrap_or_else(|| panic!("{states:?}"));
    let retry = of("retry");
    for (field, value) in [
        ("v", Value::from(1)),
        ("queue", "support".into()),
        ("envelope_from", "ada@example.com".into()),
        ("envelope_to", "support+42@example.org".into()),
        ("subject", "Re: Invoice 1042 overdue".into()),
        ("message_id", "<1042@example.com>".into()),
        ("kind", "human".into()),
        ("size", PLAIN.len().into()),
        ("target", "app".into()),
        ("tries", 1.into()),
        ("status", 503.into()),
    ] {
        assert_eq!(retry[field], value, "{field} of {retry}");
    }
    let due = humantime::parse_rfc3339(retry["due"].as_str().unwrap()).unwrap();
    assert!(due > SystemTime::now() && due < SystemTime::now() + Duration::from_hours(2), "{retry}");
    assert_eq!(of("dead")["status"], 410);
    assert!(of("new")["tries"] == 0 && of("new")["target"].is_null());

    for (words, count) in [
        (&["list", "-q"][..], 3),
        (&["ls", "-q", "dead"], 1),
        (&["list", "-q", "dead", "from:ada"], 0),
        (&["list", "-q", "dead", "state:retry"], 0),
        (&["list", "-q", "dead", "state:retry,dead"], 1),
        (&["dead", "-q"], 1),
        (&["dead", "--quiet", "from:ada"], 0),
        (&["list", "-q", "state:retry,dead", "-from:eve"], 1),
        (&["list", "-q", "target:app", "error:503"], 1),
        (&["list", "-q", "-queue:support"], 0),
        (&["list", "-q", "age:<10m tries:>=1"], 2),
        (&["list", "-q", "fire"], 1),
        (&["list", "-q", "to:support+*"], 1),
        (&["list", "-q", "-n", "2"], 2),
        (&["list", "-q", "done"], 0),
    ] {
        assert_eq!(desk.ok(words).lines().count(), count, "{words:?}");
    }

    let id = desk.id("from:ada");
    for named in [&id[..], &id[..6], "<1042@example.com>"] {
        let shown = desk.ok(&["show", named]);
        for words in ["Re: Invoice 1042 overdue", "support+42@example.org", "503 Service Unavailable", &id, "→  app"]
        {
            assert!(shown.contains(words), "{words} is not in\n{shown}");
        }
        assert!(!shown.contains("Pay up"), "a body is private");
    }
    assert_eq!(desk.ok(&["show", &id, "--text"]), "Pay up.\n");
    assert_eq!(desk.ok(&["show", &id, "--raw"]), PLAIN);
    assert_eq!(desk.ok(&["show", &id, "--payload"]), PLAIN);
    assert!(desk.ok(&["show", &id, "--headers"]).contains("Subject: Re: Invoice 1042 overdue\n"));
    assert!(desk.ok(&["show", &id, "--parts"]).contains("text/plain\t8"));
    assert!(desk.ok(&["show", &id, "--curl"]).contains("curl --silent"));
    assert!(desk.ok(&["show", &id, "--attempt", "1"]).contains("503"));
    assert_eq!(desk.run(&["show", &id, "--attempt", "2"]).0, 66);
    let whole = &desk.objects(&["show", &id, "--json"])[0];
    assert_eq!((&whole["story"][0]["event"], &whole["story"][0]["try"]), (&"retry".into(), &1.into()));

    let groups = desk.objects(&["dead", "--json"]);
    assert!(groups.len() == 1 && groups[0]["count"] == 1 && groups[0]["target"] == "app", "{groups:?}");
    assert_eq!(groups[0]["example"], desk.id("state:dead"));
}

#[test]
fn what_makes_no_sense_and_what_is_not_there_is_told() {
    let (desk, _app) = scene();
    let id = desk.id("from:ada");
    let (first, rest) = id.split_at(1);
    let slip = format!("{}{}", if first == "a" { "b" } else { "a" }, &rest[..5]);
    let (code, _, talk) = desk.run(&["show", &slip]);
    assert!(code == 66 && talk.contains(&format!("near:     {}", &id[..6])), "{talk}");
    assert!(talk.contains("searched: new, running, retry, dead") && talk.contains("Re: Invoice 1042"), "{talk}");
    for (words, code, explained) in [
        (&["list", "stat:dead"][..], 64, "state:…"),
        (&["list", "state:daed"], 64, "did you mean `dead`?"),
        (&["list", "age:>soon"], 64, "age:>2h"),
        (&["show", "nothing"], 66, "no message matches"),
        (&["tail", "age:>2h"], 64, "what happens has no `age`\n  = try: state, target, queue"),
        (&["tail", "-has:attachment"], 64, "has no `has`"),
        (&["list", "--sort", "colour"], 64, "possible values"),
        (&["status", "--check", "--json"], 64, "cannot be used"),
    ] {
        let (found, said, talk) = desk.run(words);
        assert!(found == code && said.is_empty() && talk.contains(explained), "{words:?}: {found} {talk}");
    }
    for (words, noted) in [
        (&["list", "target:ap"][..], "has no target `ap`\n  = did you mean `app`?"),
        (&["list", "-queue:suport"], "has no queue `suport`\n  = did you mean `support`?"),
        (&["dead", "target:nowhere"], "there are: app"),
        (&["list", "target:APP queue:supp*"], ""),
    ] {
        let (code, _, talk) = desk.run(words);
        let is_noted = if noted.is_empty() { talk.is_empty() } else { talk.contains(noted) };
        assert!(code == 0 && is_noted, "{words:?}: {talk}");
    }
}

#[test]
fn a_group_begins_with_the_first_failure_of_its_messages() {
    let (desk, _app) = scene();
    let second = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let first = second(SystemTime::now());
    wait_until("it is another second", SOON, || second(SystemTime::now()) > first);
    desk.ok(&["retry", "from:ada"]);
    Maildirq::drain_config(&desk.toml).run();
    let message = &desk.objects(&["list", "--json", "retry"])[0];
    assert!(message["tries"] == 2 && message["first_failure"] != message["last_failure"], "{message}");
    let group = &desk.objects(&["list", "--json", "--group", "retry"])[0];
    assert_eq!((&group["first"], &group["last"]), (&message["first_failure"], &message["last_failure"]));
}

#[test]
fn the_watched_status_ends_with_its_reader() {
    let (desk, _app) = scene();
    let mut watched = desk.command(&["status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watched.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("● "), "{line}");
    let mut ended = None;
    wait_until("it has ended", SOON, || {
        ended = watched.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}

#[test]
fn looking_changes_nothing() {
    let (desk, _app) = scene();
    let before = snapshot(desk.maildir.path());
    let id = desk.id("from:ada");
    for words in [
        &["list"][..],
        &["list", "trash"],
        &["list", "--group", "has:attachment"],
        &["show", &id],
        &["show", &id, "--raw"],
        &["show", &id, "--parts"],
        &["status", "--ages"],
    ] {
        desk.ok(words);
    }
    desk.status();
    assert_eq!(snapshot(desk.maildir.path()), before);
}

/// All files below a folder, by inode, size, and the times of their changes.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.symlink_metadata().unwrap();
        found.insert(path.clone(), (file.ino(), file.size(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()));
        if file.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found
}

#[test]
fn beside_a_daemon_it_is_seen_what_is_in_hand() {
    let gate = Gate::closed();
    let held = gate.clone();
    let app = App::answering(move |_| Answer::ok().through(&held));
    let desk = Desk::new(&app.url());
    let watch = Maildirq::watch_config(&desk.toml).start();
    watch.wait_for_event("ready");
    let (code, said, _) = desk.run(&["status"]);
    assert!(code == 0 && said.starts_with("● healthy: nothing waits\n"), "{said}");

    desk.maildir.deliver(PLAIN);
    app.wait_for_requests(1);
    wait_until("it is running", SOON, || desk.ok(&["list", "-q", "running"]).lines().count() == 1);
    assert!(desk.ok(&["show", "1042@example.com"]).contains("◐ running"));
    let status = desk.status();
    assert_eq!(status["queues"][0]["states"]["running"]["count"], 1);
    assert!(status["level"] == "ok" && status["queues"][0]["served"] == true, "{status}");

    gate.open();
    wait_until("it is done", SOON, || desk.ok(&["list", "-q"]).is_empty());
    watch.kill9();
    let (code, said, _) = desk.run(&["status"]);
    assert!(code == 1 && said.starts_with("● stopped: no maildirq runs; nothing waits\n"), "{said}");
    desk.maildir.deliver(PLAIN);
    let (code, said, _) = desk.run(&["status", "--check"]);
    assert!(code == 2 && said.starts_with("CRITICAL - stopped: no maildirq runs; 1 message"), "{said}");
    assert!(said.contains(" | new=1 running=0 retry=0 dead=0;0;50 oldest="), "{said}");
}

#[test]
fn the_sentence_speaks_of_dead_mail_and_of_pauses() {
    let (desk, _app) = scene();
    let watch = Maildirq::watch_config(&desk.toml).start();
    watch.wait_for_event("ready");
    let (code, said, _) = desk.run(&["status"]);
    let first = said.lines().next().unwrap();
    assert!(code == 1 && first.starts_with("● needs a person: 1 dead on support: app 410 Gone"), "{said}");
    assert!(said.contains("→ maildirq dead"), "{said}");
    assert_eq!(desk.run(&["status", "--check"]).0, 1);
    assert_eq!(desk.status()["targets"][0]["state"], "ok");

    fs::write(desk.maildir.path().join("maildirq/paused/app"), "").unwrap();
    assert_eq!(desk.status()["targets"][0]["state"], "paused");
    assert!(desk.run(&["status"]).1.contains("‖ paused"));
    let ages = desk.objects(&["status", "--ages", "--json"]);
    assert!(ages.len() == 1 && ages[0]["target"] == "app" && ages[0]["counts"][0] == 1, "{ages:?}");
}

#[test]
fn a_maildir_that_cannot_be_read_is_no_healthy_one() {
    let desk = Desk::new("http://127.0.0.1:9/");
    fs::remove_dir(desk.maildir.new_folder()).unwrap();
    assert_eq!(desk.run(&["status"]).0, 1);
    let (code, said, _) = desk.run(&["status", "--check"]);
    assert!(code == 3 && said.starts_with("UNKNOWN - "), "{said}");
    fs::create_dir(desk.maildir.new_folder()).unwrap();
    assert_eq!(desk.run(&["list"]).0, 0);
}

/// What shows messages, one of them hostile, in every way there is.
fn views_of(desk: &Desk) -> Vec<Vec<String>> {
    let id = desk.id("from:eve");
    let mut all = Vec::new();
    for words in [
        "list",
        "list dead --all",
        "list --group state:dead,retry",
        "dead",
        "list --json",
        "list --group --json",
        "list from:eve",
        "show ID",
        "show ID --headers",
        "show ID --text",
        "show ID --parts",
        "show ID --json",
        "show ID --attempt 1",
        "show zzzzzz",
        "show eve",
        "route ID",
        "status",
        "status --json",
        "status --check",
        "status --ages",
        "check",
        "list stat\u{1b}:x",
    ] {
        all.push(words.split(' ').map(|word| if word == "ID" { id.clone() } else { word.to_owned() }).collect());
    }
    all
}

#[test]
fn nothing_of_a_mail_or_an_app_acts_on_a_terminal() {
    let (desk, _app) = scene();
    let id = desk.id("from:eve");
    let mut all = views_of(&desk);
    all.push(vec!["show".into(), id, "--raw".into()]);
    for words in all {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (_, written) = on_a_terminal(&mut desk.command(&words), 80);
        assert!(!written.is_empty(), "{words:?}");
        // Colours are ours; all else that begins by ESC would be of a stranger.
        let plain = ["\u{1b}[0m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"]
            .iter()
            .fold(written.clone(), |text, colour| text.replace(colour, ""));
        assert!(!plain.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{words:?}: {written:?}");
        assert!(!written.contains("eve\u{1b}[31m"), "{words:?}: {written:?}");
        let (_, written) = on_a_terminal(desk.command(&words).env("NO_COLOR", "1"), 80);
        assert!(!written.contains('\u{1b}'), "{words:?}: {written:?}");
    }
}

#[test]
fn behind_a_pipe_there_is_no_escape_and_nothing_is_cut() {
    let (desk, _app) = scene();
    for words in views_of(&desk) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (_, said, talk) = desk.run(&words);
        assert!(!said.contains('\u{1b}') && !talk.contains('\u{1b}'), "{words:?}: {said}{talk}");
    }
    let id = desk.id("from:eve");
    for words in [&["list", "dead"][..], &["show", &id]] {
        assert!(desk.ok(words).contains("pwned ]0;x ]0;y"), "a Subject is without its control characters: {words:?}");
    }
    let long = format!("Subject: {}\n\n", "long ".repeat(40));
    desk.maildir.deliver(long);
    assert!(desk.ok(&["list", "new"]).contains(&"long ".repeat(40).trim_end()[..190]));
    assert!(desk.ok(&["list", "--color", "always"]).contains("\u{1b}[31m"));
    let forced = desk.command(&["list"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(forced.stdout.contains(&0x1b));
}

#[test]
fn at_a_terminal_lines_fit_and_say_what_they_leave_out() {
    let desk = Desk::new("http://127.0.0.1:9/");
    for number in 0..25 {
        desk.maildir.deliver(format!("From: ada@example.com\nSubject: {number} {}\n\n", "日本語 ".repeat(30)));
    }
    let (code, written) = on_a_terminal(desk.command(&["list"]).env("NO_COLOR", "1"), 80);
    assert_eq!(code, 0);
    let lines: Vec<_> = written.lines().collect();
    assert!(lines.iter().all(|line| unicode_width::UnicodeWidthStr::width(*line) <= 80), "{written}");
    assert_eq!(lines.len(), 1 + 20 + 1, "a title, a page, what is left out: {written}");
    assert!(lines[21].starts_with("25 open · oldest ") && lines[21].contains("showing 20 (--all)"), "{written}");
    let (_, written) = on_a_terminal(desk.command(&["list", "--all"]).env("NO_COLOR", "1"), 80);
    assert_eq!(written.lines().count(), 27, "{written}");
    let (_, written) = on_a_terminal(&mut desk.command(&["list", "dead"]), 80);
    assert_eq!(written, "no dead messages\n");
}

#[test]
fn the_map_fits_one_screen_and_every_command_has_an_example() {
    let desk = Desk::new("http://127.0.0.1:9/");
    let map = desk.ok(&[]);
    assert!(map.lines().count() <= 24 && map.lines().all(|line| line.chars().count() <= 80), "{map}");
    let verbs = map.lines().filter_map(|line| line.get(10..21).filter(|_| line.starts_with("  ")));
    let verbs: Vec<_> = verbs.map(str::trim).filter(|verb| !verb.is_empty()).collect();
    assert!(verbs.contains(&"list") && verbs.contains(&"status") && verbs.len() >= 10, "{verbs:?}");
    for verb in verbs {
        let help = desk.ok(&[verb, "--help"]);
        assert!(help.contains("Example: "), "{verb}: {help}");
    }
}

/// Three queues: one with mail, one with mail, and one whose disk is not there.
fn with_a_broken_one() -> (Desk, Maildir) {
    let (mut desk, other) = (Desk::new("http://127.0.0.1:1"), Maildir::new());
    let gone = desk.folder.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let more = format!(
        "[queue.gone]\nmaildir = '{}'\n[queue.other]\nmaildir = '{}'\n",
        gone.display(),
        other.path().display()
    );
    desk.toml.push_str(&more);
    write_config(&desk.folder.path().join("maildirq.toml"), &desk.toml);
    desk.maildir.deliver(PLAIN);
    other.deliver(PLAIN.replace("1042", "7"));
    (desk, other)
}

#[test]
fn a_maildir_that_is_not_there_hides_nothing_of_the_others() {
    let (desk, _other) = with_a_broken_one();
    let names_it = |talk: &str| talk.contains("there is no Maildir at") && talk.contains("/gone");

    let (code, said, _) = desk.run(&["status"]);
    let first = said.lines().next().unwrap();
    assert!(code == 1 && first.starts_with("● unknown: ") && names_it(first), "{said}");
    let status = desk.status();
    assert_eq!(status["level"], "unknown");
    assert_eq!(status["queues"][0]["states"]["new"]["count"], 1, "{status}");
    assert!(names_it(status["unreadable"][0].as_str().unwrap()), "{status}");
    let (code, said, _) = desk.run(&["status", "--check"]);
    assert!(code == 3 && said.starts_with("UNKNOWN - ") && names_it(&said), "{said}");

    let (code, said, talk) = desk.run(&["list", "--json"]);
    assert!(code == 74 && said.lines().count() == 2 && names_it(&talk), "{said}{talk}");
    let (code, said, talk) = desk.run(&["show", "1042@example.com"]);
    assert!(code == 74 && said.contains("Invoice 1042") && names_it(&talk), "{said}{talk}");
    let (code, said, talk) = desk.run(&["bury", "subject:overdue"]);
    assert!(code == 74 && said.contains("✓ 2 buried") && names_it(&talk), "{said}{talk}");
    let (code, said, talk) = desk.run(&["forget", "ada@example.com", "--yes"]);
    assert!(code == 74 && said.contains("2 kept messages") && names_it(&talk), "{said}{talk}");
}

#[test]
fn a_query_that_names_a_queue_has_nothing_to_do_with_the_others() {
    let (desk, _other) = with_a_broken_one();
    assert_eq!(desk.objects(&["list", "--json", "queue:other"]).len(), 1);
    assert_eq!(desk.objects(&["list", "--json", "--", "-queue:gone"]).len(), 2);
    let (code, said, talk) = desk.run(&["bury", "queue:support"]);
    assert!(code == 0 && said.contains("buried") && talk.is_empty(), "{said}{talk}");
    assert_eq!(desk.run(&["list", "queue:gone"]).0, 74);
}

#[test]
fn a_new_folder_that_must_not_be_read_is_a_broken_maildir_too() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let (desk, other) = with_a_broken_one();
    let new = other.path().join("new");
    fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o300)).unwrap();
    let (code, said, talk) = desk.run(&["list", "--json", "--", "-queue:gone"]);
    fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert!(code == 74 && said.lines().count() == 1, "{said}{talk}");
    assert!(talk.contains(new.to_str().unwrap()), "{talk}");
}

#[test]
fn a_pause_is_made_and_ended_wherever_that_can_be() {
    let (desk, other) = with_a_broken_one();
    let names_it = |talk: &str| talk.matches("there is no Maildir at").count() == 1 && talk.contains("/gone");
    let (code, said, talk) = desk.run(&["pause", "app"]);
    assert!(code == 74 && said.contains("‖ app paused") && said.contains("in 2 of 3 Maildirs"), "{said}");
    assert!(names_it(&talk), "{talk}");
    for maildir in [&desk.maildir, &other] {
        assert!(maildir.path().join("maildirq/paused/app").exists());
    }
    let (code, said, talk) = desk.run(&["resume", "app"]);
    assert!(code == 74 && said.contains("✓ app goes on in 2 of 3 Maildirs; 2 messages waited"), "{said}");
    assert!(names_it(&talk), "{talk}");
    for maildir in [&desk.maildir, &other] {
        assert!(!maildir.path().join("maildirq/paused/app").exists());
    }
    let (code, said, _) = desk.run(&["pause", "app", "--queue", "gone"]);
    assert!(code == 74 && said.is_empty(), "{said}");
    assert_eq!(desk.run(&["pause", "app", "--queue", "other"]).0, 0);
}

#[test]
fn nobody_says_that_a_target_is_ok_where_no_daemon_knows() {
    let desk = Desk::new("http://127.0.0.1:1");
    let said = desk.run(&["status"]).1;
    let row = said.lines().find(|line| line.starts_with("app")).unwrap();
    assert!(row.contains('–') && !row.contains("ok"), "{said}");
    assert_eq!(desk.status()["targets"][0]["state"], "unknown");
}

#[test]
fn a_mistake_in_a_target_takes_nobody_the_tools_to_look_and_to_act() {
    let mut desk = Desk::new("http://127.0.0.1:1");
    desk.toml.push_str("[target.other]\nurl = 7\n[[route]]\ntarget = 'nobody'\n");
    write_config(&desk.folder.path().join("maildirq.toml"), &desk.toml);
    desk.maildir.deliver(PLAIN);
    let tells = |talk: &str| talk.contains("maildirq.toml") && talk.contains("maildirq check");

    let (code, said, talk) = desk.run(&["list", "--json"]);
    assert!(code == 0 && said.lines().count() == 1 && tells(&talk), "{said}{talk}");
    let (code, said, talk) = desk.run(&["show", "1042@example.com"]);
    assert!(code == 0 && said.contains("Invoice 1042") && tells(&talk), "{said}{talk}");
    assert_eq!(desk.status()["queues"][0]["states"]["new"]["count"], 1);
    assert_eq!(desk.run(&["pause", "other"]).0, 0);
    assert!(desk.maildir.path().join("maildirq/paused/other").exists());
    assert_eq!(desk.run(&["bury", "state:new"]).0, 0);
    // What sends needs all of it.
    assert_eq!(desk.run(&["show", "1042@example.com", "--curl"]).0, 78);

    write_config(&desk.folder.path().join("maildirq.toml"), &format!("{}[queue.x]\nmaildir = 'relative'\n", desk.toml));
    assert_eq!(desk.run(&["list"]).0, 78);
}
