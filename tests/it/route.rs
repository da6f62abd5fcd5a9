//! `maildirq route`: where a message would go, and why.

use crate::support::launch::binary;
use crate::support::leaks::assert_none_in;
use crate::support::{Answer, App, Exit, Maildir, Maildirq, SOON, wait_until};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const BOUNCE: &str =
    "Return-Path: <>\nDelivered-To: support+42@example.org\nReceived: x\nSubject: Undelivered\n\nbody\n";
const REPLY: &str =
    "Return-Path: <ada@example.com>\nDelivered-To: support@example.org\nReceived: x\nSubject: Re: hi\n\nbody\n";
const OTHER: &str =
    "Return-Path: <bob@example.com>\nDelivered-To: sales@example.org\nReceived: x\nSubject: buy\n\nbody\n";
const SPAM: &str = "Return-Path: <bob@example.com>\nDelivered-To: sales@example.org\nX-Spam-Flag: YES\n\nbody\n";

const ROUTES: &str = r#"
[queue.support]
maildir = "/nowhere/support"
[queue.crm]
maildir = "/nowhere/crm"
recipient = "crm+7@example.org"
[[route]]
name = "bounces"
when = { from = "<>", to = "support*" }
target = "archive"
[[route]]
when = { header = { X-Spam-Flag = "YES*" } }
target = "ignore"
[[route]]
when = { to = "support*@example.org" }
target = "app"
[[route]]
name = "crm"
when = { queue = "crm" }
target = "app"
[target.app]
url = "https://user:hunter2@app.example.com/in?key=hunter2"
headers = { Api-Key = { env = "MAILDIRQ_SURELY_UNSET" } }
[target.archive]
command = ["/nowhere/archive", "--in", "two words"]
"#;

/// A folder with a configuration and mail.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(toml: &str) -> Desk {
        let desk = Desk { folder: TempDir::new().unwrap() };
        let config = desk.write("maildirq.toml", toml);
        fs::set_permissions(config, Permissions::from_mode(0o600)).unwrap();
        for (name, mail) in [("bounce.eml", BOUNCE), ("reply.eml", REPLY), ("other.eml", OTHER), ("spam.eml", SPAM)] {
            desk.write(name, mail);
        }
        desk
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn route(&self, arguments: &[&str]) -> (i32, String, String) {
        self.route_of(b"", arguments)
    }

    fn route_of(&self, stdin: &[u8], arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(binary());
        command.args(["route", "-c", "maildirq.toml"]).args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may not want to read.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        let [said, talk] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        for text in [&said, &talk] {
            assert_none_in("maildirq route", text.as_bytes());
        }
        assert!(!said.contains('\u{1b}') && !talk.contains('\u{1b}'), "{said:?}{talk:?}");
        (output.status.code().unwrap(), said, talk)
    }
}

#[test]
fn it_is_explained_which_conditions_held_and_what_was_found() {
    let desk = Desk::new(ROUTES);
    let (code, said, talk) = desk.route(&["bounce.eml"]);
    let expected = "  1  bounces   to = \"support*\"  ✓ support+42@example.org
               from = \"<>\"      ✓ <>
→ target archive: command /nowhere/archive --in \"two words\"
  not tried: 2 ignore, 3 app, 4 crm
facts: kind bounce · envelope from <> · to support+42@example.org · detail 42 · queue support · size {} B
";
    assert_eq!((code, &*said, &*talk), (0, &*expected.replace("{}", &BOUNCE.len().to_string()), ""));
    let (code, said, _) = desk.route(&["reply.eml"]);
    let expected = "  1  bounces   to = \"support*\"  ✓ support@example.org
               from = \"<>\"      ✗ ada@example.com
  2  ignore    header.X-Spam-Flag = \"YES*\"  ✗ (nothing there)
  3  app       to = \"support*@example.org\"  ✓ support@example.org
→ target app: https://app.example.com/in
  not tried: 4 crm
facts: kind human · envelope from ada@example.com · to support@example.org · queue support · size {} B
";
    assert_eq!((code, &*said), (0, &*expected.replace("{}", &REPLY.len().to_string())));
}

#[test]
fn the_ways_to_nowhere_are_told_apart() {
    let desk = Desk::new(ROUTES);
    let (code, said, _) = desk.route(&["spam.eml"]);
    assert!(code == 0 && said.contains("→ ignore: it would be taken, and go nowhere"), "{said}");
    let (code, said, _) = desk.route(&["other.eml"]);
    assert!(code == 1 && said.contains("→ no route: it would be dead\nfacts:"), "{said}");
}

#[test]
fn an_address_a_sender_and_a_queue_can_be_supposed() {
    let desk = Desk::new(ROUTES);
    for (arguments, target) in [
        (&["--to", "support+9@example.org", "other.eml"][..], "app"),
        (&["--to", "support@example.org", "--from", "<>", "other.eml"], "archive"),
        (&["--from", "x@y", "bounce.eml"], "app"),
        (&["--queue", "crm", "other.eml"], "app"),
    ] {
        let (code, said, _) = desk.route(&[arguments, &["--json"]].concat());
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, said["target"].as_str()), (0, Some(target)), "{arguments:?}");
    }
    let (_, said, _) = desk.route_of(b"Subject: x\n\n", &["--queue", "crm", "-"]);
    assert!(said.contains("to crm+7@example.org · detail 7 · queue crm"), "the queue's own rules: {said}");
    let (code, _, talk) = desk.route(&["--queue", "cmr", "other.eml"]);
    assert!(code == 64 && talk.contains("there are: support, crm"), "{talk}");
}

#[test]
fn for_programs_there_is_an_object_for_each_message() {
    let desk = Desk::new(ROUTES);
    let (code, said, _) = desk.route(&["--json", "reply.eml", "other.eml"]);
    let objects: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, objects.len()), (1, 2));
    let reply = &objects[0];
    for (field, expected) in [
        ("v", 1.into()),
        ("mail", "reply.eml".into()),
        ("route", "app".into()),
        ("target", "app".into()),
        ("destination", "https://app.example.com/in".into()),
        ("from", "ada@example.com".into()),
        ("detail", Value::Null),
        ("size", REPLY.len().into()),
    ] {
        assert_eq!(reply[field], expected, "{field}");
    }
    assert_eq!(reply["routes"][0]["conditions"][1]["found"], "ada@example.com");
    assert_eq!((&reply["routes"][2]["matches"], &reply["routes"][3]["tried"]), (&true.into(), &false.into()));
    assert_eq!(objects[1]["route"], Value::Null);
}

#[test]
fn the_list_of_several_files_is_what_is_expected_next_time() {
    let desk = Desk::new(ROUTES);
    let all = ["bounce.eml", "reply.eml", "other.eml", "spam.eml"];
    let (code, list, _) = desk.route(&all);
    assert_eq!((code, &*list), (1, "bounce.eml  bounces\nreply.eml   app\nother.eml   dead\nspam.eml    ignore\n"));
    desk.write("routes.txt", &list);
    let (code, said, talk) = desk.route(&[&all[..], &["--expect", "routes.txt"]].concat());
    assert_eq!((code, said.lines().filter(|line| line.starts_with("✓ ")).count()), (0, 4), "{said}{talk}");
}

#[test]
fn what_differs_from_what_is_expected_is_pointed_at() {
    let desk = Desk::new(ROUTES);
    desk.write("routes.txt", "# target or route\nbounce.eml archive\nreply.eml bounces\nelsewhere.eml app\n");
    let (code, said, _) = desk.route(&["bounce.eml", "reply.eml", "spam.eml", "--expect", "routes.txt"]);
    let expected = "✓ bounce.eml  bounces
✗ reply.eml  app, expected bounces
✗ spam.eml  ignore, and nothing is expected of it
✗ elsewhere.eml  is expected, and was not given
";
    assert_eq!((code, &*said), (1, expected));
    let (code, said, _) = desk.route(&["--json", "reply.eml", "--expect", "routes.txt"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["expected"], &said["as_expected"]), (1, &"bounces".into(), &false.into()));
    desk.write("routes.txt", "bounce.eml\n");
    assert_eq!(desk.route(&["bounce.eml", "--expect", "routes.txt"]).0, 65);
    assert_eq!(desk.route(&["bounce.eml", "--expect", "none.txt"]).0, 66);
}

#[test]
fn what_cannot_be_explained_is_told_by_the_exit_code() {
    let desk = Desk::new(ROUTES);
    desk.write("empty.eml", "");
    desk.write("text.eml", "hello\nworld\n");
    for (stdin, arguments, code, words) in [
        ("", &["empty.eml"][..], 65, "empty.eml is not a message: it is empty"),
        ("", &["text.eml"], 65, "header fields"),
        ("hello\n", &["-"], 65, "standard input is not a message"),
        ("", &["./none.eml"], 66, "none.eml"),
        ("", &["-", "-"], 64, "only once"),
        ("", &[], 64, "Usage"),
    ] {
        let (found, said, talk) = desk.route_of(stdin.as_bytes(), arguments);
        assert_eq!((found, &*said), (code, ""), "{arguments:?}: {talk}");
        assert!(talk.contains(words), "{talk}");
    }
    let (found, said, talk) = desk.route_of(b"", &["reply.eml", "empty.eml"]);
    assert_eq!((found, said.lines().count()), (65, 1), "what can be explained is: {said}{talk}");
    desk.write("maildirq.toml", "maildir = 1\n");
    assert_eq!(desk.route(&["reply.eml"]).0, 78);
}

#[test]
fn mail_that_waits_or_is_dead_is_found_by_its_id() {
    let (maildir, other) = (Maildir::new(), Maildir::new());
    let app = App::answering(|request| Answer::status(if request.body.ends_with(b"no\n") { 422 } else { 503 }));
    let toml = format!(
        "[queue.support]\nmaildir = {:?}\n[queue.other]\nmaildir = {:?}\nrecipient = \"other+1@example.org\"\n[target.app]\nurl = {:?}\n",
        maildir.path(),
        other.path(),
        app.url()
    );
    let name = maildir.deliver(REPLY);
    other.deliver("Subject: x\n\nno\n");
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeDead);
    wait_until("both requests", SOON, || app.count() == 2);
    let desk = Desk::new(&toml);
    let id = |at: usize| app.requests()[at].id().to_owned();
    let ids = if app.requests()[0].body.ends_with(b"no\n") { [id(1), id(0)] } else { [id(0), id(1)] };
    for (wanted, words) in [
        (&ids[0][..], "queue support"),
        (&ids[0][..6], "to support@example.org"),
        (name.to_str().unwrap(), "queue support"),
        (&ids[1][..8], "to other+1@example.org · detail 1 · queue other"),
    ] {
        let (code, said, talk) = desk.route(&[wanted]);
        assert!(code == 0 && said.contains("every message  ✓") && said.contains(words), "{wanted}: {said}{talk}");
    }
    for wanted in [&ids[0][..5], "zzzzzzzz"] {
        let (code, _, talk) = desk.route(&[wanted]);
        assert!(code == 66 && talk.contains(&maildir.path().display().to_string()), "{wanted}: {talk}");
    }
    assert_eq!(desk.route(&["--queue", "other", &ids[0]]).0, 66);
    fs::copy(maildir.message(&name), other.message(&name)).unwrap();
    let (code, _, talk) = desk.route(&[name.to_str().unwrap()]);
    assert!(code == 64 && talk.contains("may be any of these") && talk.matches(name.to_str().unwrap()).count() == 3);
}
