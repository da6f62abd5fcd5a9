//! A new binary takes over from the old one while mail comes in: it is started first, then the old one is told to
//! stop. No message is lost, none goes to the application twice, whatever the application is.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Allowed, Answer, App, Exit, Ledger, Maildir, Maildirq, SOON, Script, wait_until};

/// How often a new one takes over.
const UPGRADES: usize = 5;

/// Starts one after the other while there is work, each before the one before it is told to stop; and then sees to it
/// that all mail is done.
fn upgrade_under_load(toml: &str, maildir: &Maildir, ledger: &mut Ledger, mails: u64) {
    let mails = usize::try_from(mails).unwrap();
    let mut current = Maildirq::watch_config(toml).start();
    current.wait_for_event("ready");
    for upgrade in 1..=UPGRADES {
        let share = mails * upgrade / (UPGRADES + 1);
        wait_until("some more is done", SOON, || ledger.produced().saturating_sub(maildir.waiting().len()) >= share);
        let next = Maildirq::watch_config(toml).start();
        next.wait_for_event("ready");
        current.signal(Signal::TERM);
        assert_eq!(current.exit(), Exit::Ok);
        assert!(current.events("grace_over").is_empty(), "all that ran was finished");
        current = next;
    }
    ledger.finish();
    wait_until("all is done", 3 * SOON, || maildir.waiting().is_empty());
    assert_eq!(current.stop(), Exit::Ok);
}

#[test]
fn a_url_gets_every_message_once() {
    const MAILS: u64 = 900;
    let (maildir, app) =
        (Maildir::in_memory(), App::plan(|_| Answer::ok().after(Duration::from_millis(5))).forgetting().start());
    let mut ledger = Ledger::producing(&maildir, MAILS, 21);
    let (path, url) = (maildir.path().display(), app.url());
    let toml = format!("maildir = '{path}'\n[target.app]\nurl = '{url}'\nconcurrency = 6\n");

    upgrade_under_load(&toml, &maildir, &mut ledger, MAILS);

    ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((app.count(), maildir.dead().len()), (900, 0));
}

#[test]
fn a_command_runs_once_for_every_message() {
    const MAILS: u64 = 240;
    let maildir = Maildir::in_memory();
    let mut ledger = Ledger::producing(&maildir, MAILS, 22);
    let script = Script::new("cat >\"$MAILDIRQ_ID.$$\"; sleep 0.02");

    upgrade_under_load(&script.config(&maildir, "concurrency = 4"), &maildir, &mut ledger, MAILS);

    assert_every_message_once(&script, &mut ledger, MAILS);
}

#[test]
fn a_worker_gets_every_message_once() {
    const MAILS: u64 = 900;
    let maildir = Maildir::in_memory();
    let mut ledger = Ledger::producing(&maildir, MAILS, 23);
    let script = Script::new("exec python3 -u .worker.py");
    fs::write(script.path(".worker.py"), WORKER).unwrap();
    let (path, command) = (maildir.path().display(), script.command());
    let toml = format!("maildir = '{path}'\n[target.app]\nworker = {command}\nprocesses = 3\nmax_jobs = 60\n");

    upgrade_under_load(&toml, &maildir, &mut ledger, MAILS);

    assert_every_message_once(&script, &mut ledger, MAILS);
}

/// Copies each message, as the command does.
const WORKER: &str = r#"
import json, os, shutil, sys, time
print(json.dumps({"type": "ready", "version": 1}))
for line in sys.stdin:
    job = json.loads(line)
    if job["type"] == "job":
        shutil.copyfile(job["path"], f"{job['id']}.{os.getpid()}")
        time.sleep(0.005)
        print(json.dumps({"type": "done", "id": job["id"]}))
"#;

/// By the copies that were made: one for each time that a message was worked on, under a name of its own.
fn assert_every_message_once(script: &Script, ledger: &mut Ledger, mails: u64) {
    let deliveries = script.deliveries();
    ledger.check(&deliveries, Allowed::nothing());
    assert_eq!(deliveries.len(), usize::try_from(mails).unwrap());
}

/// T41. What a later version has noted is read as far as it is understood, and the rest is left alone.
#[test]
fn notes_of_a_later_version_are_in_nobodys_way() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(400)));
    let mut ledger = Ledger::produce(&maildir, 3, 41);
    let run = || Maildirq::drain(&maildir, &app.url()).run().exit();
    assert_eq!(run(), Exit::SomeWait);
    for (number, id) in maildir.stories().iter().enumerate() {
        let story = maildir.path().join("maildirq/story").join(id);
        let mut text = fs::read_to_string(&story).unwrap().replacen('{', "{\"colour\":\"red\",", 1);
        writeln!(text, "{{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"teleported\",\"to\":[{number}]}}").unwrap();
        fs::write(story, text).unwrap();
    }
    for (name, slot) in [("later", &b"x 1.0 mq_aaaa 3 a\xffb\n"[..]), ("larger", &[b'r'; 5000]), ("empty", b"")] {
        fs::write(maildir.path().join("maildirq/hands").join(name), slot).unwrap();
    }
    fs::write(maildir.path().join("maildirq/later"), "version 2").unwrap();

    app.answer_with(|_| Answer::ok());
    assert_eq!(run(), Exit::Ok);

    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, verdict.attempts), (3, 6), "{verdict}");
    assert!(app.deliveries()[3..].iter().all(|delivery| delivery.attempt == Some(2)), "the first attempt is known");
    assert!(maildir.path().join("maildirq/later").exists());
}
