//! `maildirq send`: one test mail, all the way through, or straight to an application.

use crate::support::launch::binary;
use crate::support::{Answer, App, Gate, Maildir, Maildirq, Overheard, SOON, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use tempfile::NamedTempFile;

fn send(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    let output = command.arg("send").args(arguments).stdin(Stdio::null()).overheard();
    let [said, talk] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(!said.contains('\u{1b}') && !talk.contains('\u{1b}'), "{said:?}{talk:?}");
    (output.status.code().unwrap(), said, talk)
}

/// A configuration, and a daemon that goes by it.
struct Bench {
    maildir: Maildir,
    config: NamedTempFile,
    toml: String,
}

impl Bench {
    fn new(app: &App) -> Bench {
        let maildir = Maildir::new();
        let toml = format!(
            "[queue.support]\nmaildir = \"{}\"\n[[route]]\nwhen = {{ to = \"nobody@*\" }}\ntarget = \"ignore\"\n[[route]]\ntarget = \"app\"\n[target.app]\nurl = {:?}\nheaders = {{ Key = {{ env = \"MAILDIRQ_TEST_KEY\" }} }}\n",
            maildir.path().display(),
            app.url()
        );
        let config = NamedTempFile::new().unwrap();
        fs::write(config.path(), &toml).unwrap();
        fs::set_permissions(config.path(), Permissions::from_mode(0o600)).unwrap();
        Bench { maildir, config, toml }
    }

    fn watch(&self) -> Maildirq {
        let daemon = Maildirq::watch_config(&self.toml).env("MAILDIRQ_TEST_KEY", "hunter2").start();
        daemon.wait_for_event("ready");
        daemon
    }

    fn send(&self, arguments: &[&str]) -> (i32, String, String) {
        send(&[&["-c", self.config.path().to_str().unwrap()], arguments].concat())
    }
}

fn words(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect()
}

#[test]
fn a_test_mail_is_followed_to_the_application() {
    let app = App::answering(|_| Answer::ok().after(std::time::Duration::from_millis(300)));
    let bench = Bench::new(&app);
    let _daemon = bench.watch();
    let (code, said, talk) = bench.send(&["--to", "support+7@example.org"]);
    assert_eq!((code, &*talk), (0, ""), "{said}");
    assert_eq!(words(&said), ["written", "claimed", "routed", "taken", "→"], "{said}");
    assert!(said.contains("support → app") && said.contains(&app.url()) && said.ends_with("ms. It works.\n"), "{said}");
    let mail = String::from_utf8(app.requests()[0].body.clone()).unwrap();
    assert!(
        mail.starts_with("Return-Path: <test@maildirq.invalid>\nDelivered-To: support+7@example.org\nDate: "),
        "{mail}"
    );
    assert!(mail.contains("\nTo: <support+7@example.org>\nSubject: maildirq test\n"), "{mail}");
    assert!(bench.maildir.waiting().is_empty());
}

#[test]
fn every_sample_goes_through() {
    let app = App::accepting();
    let bench = Bench::new(&app);
    let _daemon = bench.watch();
    let samples = ["plain", "reply", "html", "attachment", "utf8", "big"];
    for sample in samples {
        let (code, said, talk) = bench.send(&["--sample", sample]);
        assert!(code == 0 && said.contains("It works."), "{sample}: {said}{talk}");
    }
    let ids: BTreeSet<_> = app.deliveries().into_iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids.len(), samples.len());
    let (code, said, _) = bench.send(&["--to", "nobody@example.org"]);
    assert!(code == 0 && said.contains("support → ignore") && said.contains("it was removed"), "{said}");
    assert_eq!(app.count(), samples.len());
}

#[test]
fn a_file_gets_the_envelope_that_is_asked_for() {
    let app = App::accepting();
    let bench = Bench::new(&app);
    let _daemon = bench.watch();
    let file = NamedTempFile::new().unwrap();
    let mail = "Return-Path: <ada@example.com>\nX-Original-To: old@example.org\nReceived: x\nDelivered-To: older@example.org\n\nbody\n";
    fs::write(file.path(), mail).unwrap();
    let path = file.path().to_str().unwrap();
    for (arguments, expected) in [
        (&[][..], mail),
        (&["--to", "new@x"], "Delivered-To: new@x\nReturn-Path: <ada@example.com>\nReceived: x\n\nbody\n"),
        (&["--from", "<>", "--to", "new@x"], "Return-Path: <>\nDelivered-To: new@x\nReceived: x\n\nbody\n"),
    ] {
        let before = app.count();
        let (code, said, talk) = bench.send(&[&[path], arguments].concat());
        assert_eq!(code, 0, "{said}{talk}");
        assert_eq!(String::from_utf8_lossy(&app.requests()[before].body), expected);
    }
}

#[test]
fn what_fails_is_told_with_the_reason() {
    let app = App::answering(|_| Answer::status(503).body("no database"));
    let bench = Bench::new(&app);
    let daemon = bench.watch();
    let (code, said, _) = bench.send(&[]);
    assert_eq!(code, 75, "{said}");
    assert!(words(&said).contains(&"retry") && said.contains("503 Service Unavailable: no database"), "{said}");
    assert!(said.contains("stays in the queue, and is tried again in "), "{said}");
    app.answer_with(|_| Answer::status(422).body("unknown sender"));
    let (code, said, _) = bench.send(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(words(&said).contains(&"dead") && said.contains("unknown sender"), "{said}");
    assert!(said.contains(&bench.maildir.path().join(".maildirq.dead").display().to_string()), "{said}");
    drop(daemon);
}

#[test]
fn without_a_daemon_it_is_said_that_there_is_none() {
    let app = App::accepting();
    let bench = Bench::new(&app);
    let (code, said, talk) = bench.send(&["--timeout", "100ms"]);
    assert_eq!((code, words(&said)), (75, vec!["written"]), "{talk}");
    assert!(talk.contains("no maildirq runs here") && talk.contains("try: maildirq watch"), "{talk}");
    let waiting = bench.maildir.waiting();
    assert_eq!(waiting.len(), 1);
    assert!(talk.contains(bench.maildir.message(&waiting[0]).to_str().unwrap()), "{talk}");
}

#[test]
fn a_daemon_that_does_not_get_on_is_told_from_none() {
    let gate = Gate::closed();
    let app = App::answering({
        let gate = gate.clone();
        move |_| Answer::ok().through(&gate)
    });
    let bench = Bench::new(&app);
    let _daemon = bench.watch();
    let (code, _, talk) = bench.send(&["--timeout", "1s"]);
    assert!(code == 75 && talk.contains("app has not answered within 1s"), "{talk}");
    gate.open();
    wait_until("the mail is taken", SOON, || bench.maildir.waiting().is_empty());
    let paused = bench.maildir.path().join("maildirq/paused/app");
    fs::write(&paused, "").unwrap();
    let (code, _, talk) = bench.send(&["--timeout", "1s"]);
    assert!(code == 75 && talk.contains("the target app is paused"), "{talk}");
}

#[test]
fn what_root_sends_belongs_to_the_owner_of_the_maildir() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let app = App::accepting();
    let bench = Bench::new(&app);
    bench.maildir.give_to(12_345);
    let (code, _, talk) = bench.send(&["--timeout", "1ms"]);
    assert_eq!(code, 75, "{talk}");
    let file = bench.maildir.message(&bench.maildir.waiting()[0]);
    assert_eq!(fs::metadata(file).unwrap().uid(), 12_345);
}

#[test]
fn what_cannot_be_sent_is_told_by_the_exit_code() {
    let app = App::accepting();
    let bench = Bench::new(&app);
    let empty = NamedTempFile::new().unwrap();
    for (arguments, code, words) in [
        (&[empty.path().to_str().unwrap()][..], 65, "it is empty"),
        (&["/nowhere/mail.eml"], 66, "/nowhere/mail.eml"),
        (&["--queue", "other"], 64, "there are: support"),
        (&["--sample", "smoke"], 64, "attachment"),
        (&["--to", "a\nb"], 64, "control characters"),
        (&["--queue", "support", "--direct", "http://x/"], 64, "cannot be used with"),
        (&["--direct", "http://x/", "--to", "a@b", "/nowhere/mail.eml"], 64, "posted as it is"),
        (&["--target", "nobody"], 78, "MAILDIRQ_TEST_KEY"),
    ] {
        let (found, said, talk) = bench.send(arguments);
        assert_eq!((found, &*said), (code, ""), "{arguments:?}: {talk}");
        assert!(talk.contains(words), "{talk}");
    }
    assert!(bench.maildir.waiting().is_empty());
    fs::remove_dir(bench.maildir.tmp_folder()).unwrap();
    assert_eq!(bench.send(&["--timeout", "1s"]).0, 74);
}

#[test]
fn without_a_queue_an_application_is_asked_at_once() {
    let app = App::answering(|_| Answer::status(204));
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), "Subject: replayed\n\nbody\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (code, said, _) = send(&["--direct", &app.url(), path]);
    assert!(code == 0 && said.starts_with("✓ POST http://") && said.contains("done: "), "{said}");
    for (status, code, words) in
        [(503, 75, "↻ "), (422, 1, "dead: the message would be set aside"), (404, 75, "looks like configuration")]
    {
        app.answer_with(move |_| Answer::status(status).body("because"));
        let (found, said, _) = send(&["--direct", &app.url(), path]);
        assert_eq!(found, code, "{said}");
        assert!(said.contains(words) && said.contains(&format!("{status} ")) && said.contains(": because"), "{said}");
    }
    let requests = app.requests();
    assert!(requests.iter().all(|request| request.body == b"Subject: replayed\n\nbody\n"));
    let ids: BTreeSet<_> = requests.iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 4, "none is a repeat");
    let mut app = app;
    let url = app.url();
    app.stop();
    let (code, said, _) = send(&["--direct", &url, "--sample", "html"]);
    assert!(code == 75 && said.contains("cannot connect to"), "{said}");
}

#[test]
fn a_target_can_be_asked_by_its_own_settings() {
    let app = App::accepting();
    let bench = Bench::new(&app);
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["send", "-c", bench.config.path().to_str().unwrap()]).args(arguments);
        command.env("MAILDIRQ_TEST_KEY", "hunter2").overheard()
    };
    assert!(ask(&["--target", "app"]).status.success());
    assert_eq!(app.count(), 1);
    let other = App::accepting();
    assert!(ask(&["--target", "app", "--direct", &other.url()]).status.success());
    assert_eq!((app.count(), other.count()), (1, 1));
    let wrong = ask(&["--target", "ap"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("there are: app"));
    assert!(bench.maildir.waiting().is_empty(), "no queue was used");
}

/// A developer's app sees what it will see in production, but for the id.
#[test]
fn a_target_is_sent_what_a_message_of_the_queue_would_be() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = format!(
        "[queue.support]\nmaildir = {:?}\nrecipient_delimiter = \"-\"\n[[route]]\nname = \"orders\"\n\
         target = \"app\"\n[target.app]\nurl = {:?}\nformat = \"json\"\n",
        maildir.path(),
        app.url()
    );
    let mail = "Delivered-To: support-42@example.org\nReceived: x\nSubject: hi\n\nhello\n";
    let name = maildir.deliver(mail);
    let config = NamedTempFile::new().unwrap();
    fs::write(config.path(), &toml).unwrap();
    let path = maildir.message(&name);
    let sent = send(&["-c", config.path().to_str().unwrap(), "--target", "app", path.to_str().unwrap()]);
    assert_eq!(sent.0, 0, "{sent:?}");
    Maildirq::drain_config(&toml).run();

    let objects = app.requests().into_iter().map(|request| {
        let mut object: Value = serde_json::from_slice(&request.body).unwrap();
        object["id"] = "the same".into();
        object
    });
    let [by_hand, by_queue] = &objects.collect::<Vec<_>>()[..] else { panic!("two requests") };
    assert_eq!(by_hand, by_queue);
    assert_eq!((&by_queue["route"], &by_queue["detail"]), (&"orders".into(), &"42".into()));
}
