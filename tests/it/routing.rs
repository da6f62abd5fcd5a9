//! Which way mail goes: what the envelope is read from, and which of several routes takes a message.

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::support::postfix::Postfix;
use crate::support::{App, Exit, Maildir, Maildirq, SOON, Script, wait_until};

/// How a mail comes from an MTA: its file, the settings of its queue, and the sender, the recipient and the detail
/// that are to be found; "-" is nothing at all.
type Row = (&'static str, &'static str, [&'static str; 3]);

const QMAIL: &str = "strip_prefix = 'example.com-'\nrecipient_delimiter = '-'";
const FALLBACK: &str = "recipient = 'ada-home@example.org'\nrecipient_delimiter = '-'";

const ENVELOPES: &[Row] = &[
    ("qmail", "", ["grace@example.net", "example.com-ada@example.com", "-"]),
    ("qmail", QMAIL, ["grace@example.net", "ada@example.com", "-"]),
    (
        "qmail-extension",
        QMAIL,
        ["list-return-17-ada=example.com@example.net", "ada-tickets-7@example.com", "tickets-7"],
    ),
    ("qmail-alias", QMAIL, ["grace@example.net", "ada@mx.example.com", "-"]),
    ("qmail-double-bounce", QMAIL, ["#@[]", "postmaster@mx.example.com", "-"]),
    ("postfix", "", ["grace@example.net", "support+order-7@example.org", "order-7"]),
    ("postfix", "recipient_delimiter = '-'", ["grace@example.net", "support+order-7@example.org", "7"]),
    ("postfix", "recipient = 'other@example.org'", ["grace@example.net", "support+order-7@example.org", "order-7"]),
    ("postfix-bounce", "", ["<>", "support@example.org", "-"]),
    ("postfix-procmail", "", ["grace@example.net", "support@example.org", "-"]),
    ("exim", "", ["grace@example.net", "support+billing@example.org", "billing"]),
    ("opensmtpd", "", ["grace@example.net", "support+a+b@example.org", "a+b"]),
    ("dovecot-lmtp", "", ["grace@example.net", "support+42@example.org", "42"]),
    ("courier", "", ["Grace@Example.net", "Support@mx.example.org", "-"]),
    ("fetchmail", "", ["-", "-", "-"]),
    ("fetchmail", FALLBACK, ["-", "ada-home@example.org", "home"]),
    ("no-envelope", "", ["-", "-", "-"]),
    ("no-envelope", FALLBACK, ["-", "ada-home@example.org", "home"]),
    ("forged", "", ["mallory@example.net", "support@example.org", "-"]),
    ("crlf", "", ["grace@example.net", "support+crlf@example.org", "crlf"]),
];

/// Each row is a queue with routes of its own: what is not to be found must not match anything, what is to be found
/// must match to the letter. A program then tells what it was told.
#[test]
fn every_mta_is_understood_and_no_forger_is_believed() {
    let teller = Script::new(r#"printf '%s %s %s' "${SENDER-?}" "${RECIPIENT--}" "${EXT--}" | tell "$MAILDIRQ_QUEUE""#);
    let (mut queues, mut routes, mut maildirs) = (String::new(), String::new(), Vec::new());
    for (number, (file, settings, found)) in ENVELOPES.iter().enumerate() {
        let maildir = Maildir::new();
        maildir.deliver(fixture(file));
        writeln!(queues, "[queue.row{number}]\nmaildir = '{}'\n{settings}", maildir.path().display()).unwrap();
        maildirs.push(maildir);
        let mut conditions = format!("queue = 'row{number}'");
        for (fact, text) in ["from", "to", "detail"].iter().zip(found) {
            if *text == "-" {
                routes += &route(&format!("queue = 'row{number}', {fact} = '*'"), "wrong");
            } else {
                write!(conditions, ", {fact} = '/(?-i)^{}$/'", escaped(text)).unwrap();
            }
        }
        routes += &route(&conditions, "right");
    }
    routes += &route("", "wrong");
    let targets = format!("[target.right]\ncommand = {}\n[target.wrong]\ncommand = ['/bin/false']\n", teller.command());

    let drain = Maildirq::drain_config(&[queues, routes, targets].concat()).run();

    for (number, (file, settings, [from, to, detail])) in ENVELOPES.iter().enumerate() {
        let told = teller.told(&format!("row{number}")).map(|told| String::from_utf8(told).unwrap());
        // The null sender is empty in an environment, and one that is not known is not there.
        let from = from.replace("<>", "");
        let from = if from == "-" { "?" } else { &from };
        // A recipient without a detail has an empty extension, as for qmail.
        let detail = if *detail == "-" && *to != "-" { "" } else { detail };
        assert_eq!(told, Some(format!("{from} {to} {detail}")), "row {number}: {file} with {settings:?}");
    }
    assert_eq!(drain.exit(), Exit::Ok);
}

#[test]
fn the_first_route_that_matches_counts() {
    let mail = |to: &str| format!("Delivered-To: {to}\nReceived: x\nSubject: {to}\n\n.\n");
    let mut office = Office::new(&["one", "two", "three"]);
    for to in ["ada@a.test", "bob@a.test", "ada@b.test", "bob@b.test", "ADA@A.TEST"] {
        office.maildir.deliver(mail(to));
    }

    office.route("to = 'ada@*', from = '*'", "three");
    office.route("to = 'ada@*'", "one");
    office.route("to = ['x@y.test', '*@a.test']", "two");
    office.route("", "three");
    office.route("to = 'bob@b.test'", "one");

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!(office.subjects("one"), ["ADA@A.TEST", "ada@a.test", "ada@b.test"]);
    assert_eq!(office.subjects("two"), ["bob@a.test"]);
    assert_eq!(office.subjects("three"), ["bob@b.test"]);
}

#[test]
fn header_fields_are_looked_at_unfolded_and_decoded_however_often_they_stand() {
    let mut office = Office::new(&["folded", "repeated", "raw", "encoded", "both", "rest"]);
    for (subject, fields) in [
        (&b"folded"[..], &b"X-Note: one\n\ttwo\r\n  three\n"[..]),
        (b"repeated", b"X-Tag: first\nx-tag: second\nX-TAG: third\n"),
        (b"raw", b"X-Name: caf\xe9 \xff\xfe\n"),
        (b"encoded", b"X-Name: =?utf-8?q?caf=C3=A9?=\n"),
        (b"both", b"X-Tag: a\nX-Note: b\n"),
        (b"body only", b"\nX-Tag: second\nX-Note: one two  three\n"),
        (b"name is part", b"X-Tagged: second\nX-No: one two  three\n"),
    ] {
        office.maildir.deliver([b"Subject: ", subject, b"\n", fields, b"\n.\n"].concat());
    }

    office.route("header = { x-note = 'one?two  three' }", "folded");
    office.route("header = { X-Tag = ['none', 'SECOND'] }", "repeated");
    office.route("header = { X-Name = '/^caf\u{e9} \u{ff}\u{fe}$/' }", "raw");
    office.route("header = { X-Name = '=?utf-8*' }", "rest");
    office.route("header = { X-Name = 'caf\u{e9}' }", "encoded");
    office.route("header = { X-Tag = '*', X-Note = 'b' }", "both");
    office.route("", "rest");

    assert_eq!(office.drain().exit(), Exit::Ok);
    for target in ["folded", "repeated", "raw", "encoded", "both"] {
        assert_eq!(office.subjects(target), [target]);
    }
    assert_eq!(office.subjects("rest"), ["body only", "name is part"]);
}

/// A star stands for any bytes, text or not.
#[test]
fn a_glob_matches_what_is_no_text() {
    let mut office = Office::new(&["one", "rest"]);
    office.maildir.deliver(b"Subject: raw\nX-Name: begin \xff\xfe\x80 end\n\n.\n");

    office.route("header = { X-Name = 'begin*end' }", "one");
    office.route("", "rest");

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!(office.subjects("one"), ["raw"]);
}

#[test]
fn a_size_is_bounded_to_the_byte() {
    let bounds = [(">1KB", "more"), ("<=999", "less"), ("<1KB", "never"), (">=1000", "exact")];
    let mut office = Office::new(&bounds.map(|(_, target)| target));
    for size in [1_usize, 999, 1000, 1001, 200_000] {
        let head = format!("Subject: {size}\n\n");
        let body = ".".repeat(size.saturating_sub(head.len()));
        office.maildir.deliver(&(head + &body)[..size]);
    }

    for (bound, target) in bounds {
        office.route(&format!("size = '{bound}'"), target);
    }

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!(office.subjects("more"), ["1001", "200000"]);
    assert_eq!(office.subjects("less"), ["", "999"], "of the smallest there is only an S");
    assert_eq!(office.subjects("exact"), ["1000"]);
    assert_eq!(office.subjects("never"), [""; 0]);
}

#[test]
fn queues_are_told_apart_by_their_names() {
    let names = ["sales-de", "sales-fr", "support", "Sales"];
    let maildirs = names.map(|name| (name, Maildir::new()));
    let mut office = Office::new(&["sales", "support", "rest"]);
    office.queues = String::new();
    for (name, maildir) in &maildirs {
        maildir.deliver(format!("Subject: {name}\n\n.\n"));
        writeln!(office.queues, "[queue.{name}]\nmaildir = '{}'", maildir.path().display()).unwrap();
    }

    office.route("queue = 'sales-??'", "sales");
    office.route("queue = ['sup*', 'none*']", "support");
    office.route("", "rest");

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!(office.subjects("sales"), ["sales-de", "sales-fr"]);
    assert_eq!(office.subjects("support"), ["support"]);
    assert_eq!(office.subjects("rest"), ["Sales"]);
}

#[test]
fn a_regular_expression_matches_anywhere_and_in_any_case() {
    let mut office = Office::new(&["number", "either", "rest"]);
    for subject in ["Ticket #4711: help", "ticket #x", "URGENT", "not urgent at all", "café 4711"] {
        office.maildir.deliver(format!("Subject: {subject}\n\n.\n"));
    }

    office.route(r"header = { Subject = '/#\d+/' }", "number");
    office.route("header = { Subject = ['/^urgent$/', '/^CAF.\\b/'] }", "either");
    office.route("", "rest");

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!(office.subjects("number"), ["Ticket #4711: help"]);
    assert_eq!(office.subjects("either"), ["URGENT", "café 4711"]);
    assert_eq!(office.subjects("rest"), ["not urgent at all", "ticket #x"]);
}

#[test]
fn mail_without_a_route_is_kept_and_can_be_moved_back_once_there_is_one() {
    let mut office = Office::new(&["one", "two"]);
    let name = office.maildir.deliver("Delivered-To: new@a.test\nReceived: x\nSubject: lost\n\n.\n");
    office.maildir.deliver("Delivered-To: old@a.test\nReceived: x\nSubject: known\n\n.\n");
    office.route("to = 'old@a.test'", "one");

    let first = office.drain();

    assert_eq!((first.exit(), office.maildir.waiting().len()), (Exit::SomeDead, 0));
    let [dead] = &office.maildir.dead()[..] else { panic!("there is one without a route") };
    assert_eq!(dead.file_name(), Some(&*name));
    let told = first.wait_for_event("dead");
    assert_eq!((&told["reason"], &told["to"]), (&"no route".into(), &"new@a.test".into()));
    let story = office.maildir.story(told["id"].as_str().unwrap());
    assert_eq!((&story[0]["event"], &story[0]["reason"]), (&"dead".into(), &"no route".into()));

    office.route("to = 'new@a.test'", "two");
    fs::rename(dead, office.maildir.message(&name)).unwrap();

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!((office.subjects("one"), office.subjects("two")), (vec!["known".into()], vec!["lost".into()]));
    assert_eq!((office.maildir.dead().len(), office.maildir.stories().len()), (0, 0));
}

#[test]
fn what_is_ignored_is_removed_and_said_so() {
    let mut office = Office::new(&["one"]);
    let spam = |number: u8| format!("Subject: spam {number}\nX-Spam: yes\nMessage-ID: <{number}@spam.test>\n\n.\n");
    (0..3).for_each(|number| drop(office.maildir.deliver(spam(number))));
    office.maildir.deliver("Subject: ham\n\n.\n");
    office.routes += "[[route]]\nname = 'junk'\nwhen = { header = { X-Spam = 'yes' } }\ntarget = 'ignore'\n";
    office.route("", "one");

    let drain = office.drain();

    assert_eq!((drain.exit(), office.maildir.waiting().len(), office.maildir.dead().len()), (Exit::Ok, 0, 0));
    let ignored = drain.events("ignored");
    assert_eq!((ignored.len(), drain.events("attempt").len()), (3, 1));
    assert!(ignored.iter().all(|line| line["route"] == "junk" && line["level"] == "INFO"), "{ignored:?}");
    assert!(ignored.iter().any(|line| line["message_id"] == "<2@spam.test>"), "{ignored:?}");
    assert_eq!(office.subjects("one"), ["ham"]);
    assert_eq!(office.maildir.stories(), [""; 0]);
}

#[test]
fn bounces_are_told_by_their_null_sender() {
    let mut office = Office::new(&["bounces", "mail", "rest"]);
    for (subject, sender) in [("bounce", "Return-Path: <>\n"), ("mail", "Return-Path: <a@b.test>\n"), ("rest", "")] {
        office.maildir.deliver(format!("{sender}Received: x\nSubject: {subject}\n\n.\n"));
    }

    office.route("from = '<>'", "bounces");
    office.route("from = '*@*'", "mail");
    office.route("", "rest");

    assert_eq!(office.drain().exit(), Exit::Ok);
    assert_eq!(office.subjects("bounces"), ["bounce"]);
    assert_eq!(office.subjects("mail"), ["mail"]);
    assert_eq!(office.subjects("rest"), ["rest"]);
}

/// One transaction, two recipients, two targets: each gets its own copy, as it is on the disk.
#[test]
fn one_smtp_transaction_goes_two_ways() {
    let home = TempDir::new().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let postfix = Postfix::start(home.path(), &[("alice@office.test", "alice"), ("bob@office.test", "bob")]);
    let mail = b"Subject: for both\nX-Raw: \xff\xfe\n\n.\n..\nbody \x80\x00\n";
    let to = ["alice+orders+7@office.test", "bob+Notes@office.test"];
    postfix.submit("sender+tag@client.test", &to, mail);
    let [alice, bob] = ["alice", "bob"].map(|name| wait_for_the_mail_in(&home.path().join(name).join("new")));
    let (app, script) = (App::accepting(), Script::new("cat | tell mail; cat /proc/$$/environ | tell env"));
    let queues =
        ["alice", "bob"].map(|name| format!("[queue.{name}]\nmaildir = '{}'\n", home.path().join(name).display()));
    let routes =
        [route("to = 'alice+*@office.test', detail = 'orders+*'", "app"), route("detail = 'notes'", "script")].concat();
    let targets = format!("[target.app]\nurl = {:?}\n[target.script]\ncommand = {}\n", app.url(), script.command());

    let drain = Maildirq::drain_config(&[queues.concat(), routes, targets].concat()).run();

    assert_eq!(drain.exit(), Exit::Ok);
    let [request] = app.requests().try_into().expect("one copy");
    assert!(request.body == alice && alice.ends_with(mail), "{}", String::from_utf8_lossy(&request.body));
    assert!(script.told("mail").as_ref() == Some(&bob) && bob.ends_with(mail), "{}", String::from_utf8_lossy(&bob));
    let environment = script.wait_for("env");
    for variable in [
        "RECIPIENT=bob+Notes@office.test",
        "SENDER=sender+tag@client.test",
        "EXT=Notes",
        "LOCAL=bob+Notes",
        "HOST=office.test",
        "MAILDIRQ_QUEUE=bob",
        "MAILDIRQ_ROUTE=script",
    ] {
        assert!(environment.split('\0').any(|known| known == variable), "{variable} is not in {environment:?}");
    }
}

fn wait_for_the_mail_in(new: &Path) -> Vec<u8> {
    wait_until("Postfix to deliver", SOON, || fs::read_dir(new).unwrap().count() == 1);
    fs::read(fs::read_dir(new).unwrap().next().unwrap().unwrap().path()).unwrap()
}

/// One Maildir, and a target for each of some names that keeps what it gets.
struct Office {
    maildir: Maildir,
    queues: String,
    routes: String,
    targets: Vec<(&'static str, Script)>,
}

impl Office {
    fn new(targets: &[&'static str]) -> Office {
        let maildir = Maildir::new();
        let queues = format!("maildir = '{}'\n", maildir.path().display());
        let script = |name: &&'static str| (*name, Script::new("cat | tell $MAILDIRQ_ID"));
        Office { maildir, queues, routes: String::new(), targets: targets.iter().map(script).collect() }
    }

    fn route(&mut self, conditions: &str, target: &str) {
        self.routes += &route(conditions, target);
    }

    #[track_caller]
    fn drain(&self) -> Maildirq {
        let target = |(name, script): &(&str, Script)| format!("[target.{name}]\ncommand = {}\n", script.command());
        let targets: String = self.targets.iter().map(target).collect();
        Maildirq::drain_config(&[&*self.queues, &self.routes, &targets].concat()).run()
    }

    /// What a target got, sorted.
    fn subjects(&self, target: &str) -> Vec<String> {
        let (_, script) = self.targets.iter().find(|(name, _)| *name == target).expect("it is a target");
        let mails = script.files().into_iter().map(|file| script.told(&file).unwrap());
        let mut subjects: Vec<_> = mails.map(|mail| subject(&mail)).collect();
        subjects.sort();
        subjects
    }
}

fn route(conditions: &str, target: &str) -> String {
    format!("[[route]]\nwhen = {{ {conditions} }}\ntarget = '{target}'\n")
}

fn subject(mail: &[u8]) -> String {
    let subject = mail.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Subject: "));
    String::from_utf8(subject.unwrap_or_default().to_vec()).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/envelope").join(name).with_extension("eml");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As a regular expression that is this text.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\x{{{:x}}}", u32::from(c)) })
        .collect()
}
