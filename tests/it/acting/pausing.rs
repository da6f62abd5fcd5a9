//! Pausing and going on, with a daemon and without.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{config, done, mail, watch};
use crate::support::{App, Exit, Maildir, Maildirq, SOON, holds_for, wait_until};

fn marker(maildir: &Maildir, target: &str) -> Value {
    let text = fs::read(maildir.path().join("maildirq/paused").join(target)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_pause_needs_no_daemon_and_says_who_until_when_and_why() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    maildir.deliver(mail("waits"));

    let (exit, said) = done(&toml, "pause app --reason migration --for 2h");

    assert_eq!(exit, Exit::Ok);
    assert!(said.starts_with("‖ app paused until ") && said.contains("(ada, \"migration\")"), "{said}");
    let marker = marker(&maildir, "app");
    assert_eq!((&marker["v"], &marker["by"], &marker["reason"]), (&json!(1), &json!("ada"), &json!("migration")));
    let until = humantime::parse_rfc3339(marker["until"].as_str().unwrap()).unwrap();
    assert!(until > SystemTime::now() + Duration::from_mins(110), "{marker}");
    assert_eq!((Maildirq::drain_config(&toml).run().exit(), app.count()), (Exit::SomeWait, 0));
    assert_eq!(done(&toml, "resume app"), (Exit::Ok, "✓ app goes on; 1 message waited".to_owned()));
    assert_eq!(done(&toml, "resume app"), (Exit::Ok, "✓ app was not paused".to_owned()));
    assert_eq!((Maildirq::drain_config(&toml).run().exit(), app.count()), (Exit::Ok, 1));
}

#[test]
fn a_running_daemon_obeys_at_once() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    let watch = watch(&toml);
    assert_eq!(done(&toml, "pause --all").0, Exit::Ok);
    watch.wait_for_events("paused", 2);
    maildir.deliver(mail("waits"));
    holds_for("nothing comes", Duration::from_millis(300), || app.count() == 0);

    let (exit, said) = done(&toml, "resume --all");

    assert_eq!(exit, Exit::Ok);
    assert!(said.contains("✓ app goes on; 1 message waited") && said.contains("✓ archive goes on; 0"), "{said}");
    app.wait_for_accepted(1);
    watch.wait_for_events("resumed", 2);
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn a_pause_that_has_an_end_is_over_then_without_anybodys_doing() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    let watch = watch(&toml);
    assert_eq!(done(&toml, "pause app --for 2s").0, Exit::Ok);
    let until = humantime::parse_rfc3339(marker(&maildir, "app")["until"].as_str().unwrap()).unwrap();
    watch.wait_for_event("paused");
    maildir.deliver(mail("waits"));

    app.wait_for_accepted(1);

    assert!(SystemTime::now() >= until, "it waited until then");
    watch.wait_for_event("resumed");
    wait_until("it is done", SOON, || maildir.is_empty());
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn an_ended_pause_keeps_no_drain_from_its_work() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    maildir.deliver(mail("goes"));
    fs::create_dir_all(maildir.path().join("maildirq/paused")).unwrap();
    let marker = maildir.path().join("maildirq/paused/app");
    let ended = json!({ "v": 1, "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T01:00:00Z" });
    fs::write(&marker, ended.to_string()).unwrap();
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    maildir.deliver(mail("waits"));
    fs::write(&marker, "").unwrap();
    assert_eq!((Maildirq::drain_config(&toml).run().exit(), app.count()), (Exit::SomeWait, 1), "as touch makes it");
}

#[test]
fn a_pause_of_one_queue_is_none_of_another() {
    let (support, app) = (Maildir::new(), App::accepting());
    let billing = support.beside("billing");
    let (here, there) = (support.path().display(), billing.path().display());
    let toml = format!(
        "[queue.support]\nmaildir = '{here}'\n[queue.billing]\nmaildir = '{there}'\n[[route]]\ntarget = 'app'\n[target.app]\nurl = '{}'\n",
        app.url()
    );
    assert_eq!(done(&toml, "pause app --queue support").0, Exit::Ok);
    assert_eq!(done(&toml, "pause app --queue none").0, Exit::NoInput);
    support.deliver(mail("waits"));
    billing.deliver(mail("goes"));
    assert_eq!((Maildirq::drain_config(&toml).run().exit(), app.count()), (Exit::SomeWait, 1));
    assert_eq!((support.waiting().len(), billing.waiting().len()), (1, 0));
}
