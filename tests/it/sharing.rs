//! What one target, one message or one queue does, no other pays for.

mod herd;
mod on_dead;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::support::{Answer, App, Exit, Gate, Maildir, Maildirq, Request, SOON, from_environment, wait_until};

const SUBJECT: &str = "Subject: ";

fn mail(subject: &str) -> String {
    format!("From: ada@example.org\n{SUBJECT}{subject}\n\nHello\n")
}

fn deliver(maildir: &Maildir, subject: &str, count: usize) {
    (0..count).for_each(|_| drop(maildir.deliver(mail(subject))));
}

fn subject(request: &Request) -> String {
    let text = str::from_utf8(&request.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(SUBJECT)).unwrap().to_owned()
}

/// An app that never answers anything whole.
fn hanging_app() -> App {
    let never = Gate::closed();
    App::answering(move |_| Answer::ok().through(&never))
}

fn target(name: &str, url: &str, settings: &str) -> String {
    format!("[target.{name}]\nurl = '{url}'\n{settings}\n")
}

/// By a header, from one Maildir.
fn by_header(maildir: &Maildir, targets: &[String; 2]) -> String {
    let maildir = maildir.path().display();
    format!(
        "maildir = '{maildir}'\n\
         [[route]]\nwhen = {{ header = {{ subject = 'bad*' }} }}\ntarget = 'bad'\n\
         [[route]]\ntarget = 'good'\n{}",
        targets.concat()
    )
}

mod neighbours {
    use super::*;

    const GOOD: usize = 1000;
    const BAD: usize = 50;

    /// A thousand messages for one target, and fifty among them for another one, which must not matter.
    struct Street {
        maildir: Maildir,
        good: App,
    }

    impl Street {
        fn new() -> Street {
            let maildir = Maildir::in_memory();
            // What is in the way comes first.
            deliver(&maildir, "bad", BAD);
            deliver(&maildir, "good", GOOD);
            Street { maildir, good: App::plan(|_| Answer::ok()).start() }
        }

        fn config(&self, bad: &str, settings: &str) -> String {
            let targets = [target("bad", bad, settings), target("good", &self.good.url(), "concurrency = 4")];
            by_header(&self.maildir, &targets)
        }

        /// All thousand come, each once, while those for the other target are as they were.
        #[track_caller]
        fn is_not_disturbed(&self) {
            self.good.wait_for_accepted(GOOD);
            wait_until("only bad mail waits", SOON, || self.maildir.waiting().len() == BAD);
            assert_eq!(self.good.count(), GOOD);
            // Nor does what comes later.
            for number in 1..=5 {
                deliver(&self.maildir, "good", 1);
                self.good.wait_for_accepted(GOOD + number);
            }
        }
    }

    #[test]
    fn a_target_that_hangs_holds_up_no_other() {
        let (street, hanging) = (Street::new(), hanging_app());
        let config = street.config(&hanging.url(), "concurrency = 2\ntimeout = '1h'");
        let watch = Maildirq::watch_config(&config).start();

        hanging.wait_for_requests(2);
        street.is_not_disturbed();

        assert_eq!((hanging.count(), hanging.in_hand()), (2, 2), "its two requests hang still");
        assert!(watch.is_running());
    }

    #[test]
    fn a_queue_whose_target_hangs_holds_up_no_other() {
        let (bad, hanging, app) = (Maildir::in_memory(), hanging_app(), App::accepting());
        let good = bad.beside("good/Maildir");
        deliver(&bad, "bad", BAD);
        deliver(&good, "good", GOOD);
        let queues = [("bad", &bad), ("good", &good)];
        let queues =
            queues.map(|(name, maildir)| format!("[queue.{name}]\nmaildir = '{}'\n", maildir.path().display()));
        let routes =
            ["bad", "good"].map(|name| format!("[[route]]\nwhen = {{ queue = '{name}' }}\ntarget = '{name}'\n"));
        let targets = [
            target("bad", &hanging.url(), "concurrency = 2\ntimeout = '1h'"),
            target("good", &app.url(), "concurrency = 2"),
        ];
        let _watch = Maildirq::watch_config(&[queues, routes, targets].concat().concat()).start();

        hanging.wait_for_requests(2);
        app.wait_for_accepted(GOOD);

        wait_until("all is done", SOON, || good.waiting().is_empty());
        assert_eq!((app.count(), hanging.count(), bad.waiting().len()), (GOOD, 2, BAD));
    }

    #[test]
    fn a_target_that_is_down_holds_up_no_other() {
        let (street, home) = (Street::new(), TempDir::new().unwrap());
        let mut bad = App::plan(|_| Answer::ok()).on_socket(home.path().join("bad.sock")).start();
        bad.stop();
        let config =
            street.config(&bad.url(), "breaker = { after = 3, probe = '300ms' }\nretry = { max_delay = '10ms' }");
        let watch = Maildirq::watch_config(&config).start();

        street.is_not_disturbed();
        watch.wait_for_event("target_down");

        bad.restart();
        bad.wait_for_accepted(BAD);
        wait_until("all is done", SOON, || street.maildir.waiting().is_empty());
        assert_eq!((bad.count(), street.maildir.dead().len()), (BAD, 0));
    }

    #[test]
    fn a_target_that_is_paused_holds_up_no_other() {
        let (street, bad) = (Street::new(), App::accepting());
        let marker = street.maildir.path().join("maildirq/paused/bad");
        fs::create_dir_all(marker.parent().unwrap()).unwrap();
        File::create(&marker).unwrap();
        let _watch = Maildirq::watch_config(&street.config(&bad.url(), "")).start();

        street.is_not_disturbed();
        assert_eq!(bad.connections(), 0);

        fs::remove_file(marker).unwrap();
        bad.wait_for_accepted(BAD);
    }

    #[test]
    fn a_target_with_a_rate_holds_up_no_other() {
        let (street, bad) = (Street::new(), App::accepting());
        let watch = Maildirq::watch_config(&street.config(&bad.url(), "rate = '1/h'")).start();

        bad.wait_for_accepted(1);
        deliver(&street.maildir, "bad", 1);
        street.is_not_disturbed();

        assert_eq!((bad.count(), watch.stop()), (1, Exit::Ok));
    }

    #[test]
    fn a_drain_with_a_target_that_is_down_does_all_the_rest() {
        let (street, bad) = (Street::new(), App::answering(|_| Answer::status(503)));
        let config = street.config(&bad.url(), "concurrency = 2\nbreaker = { after = 3, probe = '1h' }");
        let drain = Maildirq::drain_config(&config).run();

        assert_eq!((drain.exit(), street.good.count(), street.maildir.waiting().len()), (Exit::SomeWait, GOOD, BAD));
        assert!(bad.count() <= 3 - 1 + 2, "{} requests", bad.count());
    }
}

/// T28
#[test]
fn one_bad_mail_among_good_ones_dies_alone_with_the_answer_in_its_story() {
    let maildir = Maildir::in_memory();
    for number in 0..200 {
        deliver(&maildir, if number == 50 { "bad" } else { "good" }, 1);
    }
    let app = App::answering(|request| match subject(request).as_str() {
        "bad" => Answer::status(422).body("{\"error\":\"no such ticket\"}"),
        _ => Answer::ok(),
    });
    let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), "concurrency = 2"));
    let watch = Maildirq::watch_config(&toml).start();

    app.wait_for_accepted(199);
    wait_until("all is settled", SOON, || maildir.waiting().is_empty());

    assert_eq!((app.count(), maildir.dead().len()), (200, 1));
    assert!(fs::read_to_string(&maildir.dead()[0]).unwrap().contains("Subject: bad"));
    let dead = watch.wait_for_event("dead");
    let story = maildir.story(dead["id"].as_str().unwrap());
    let last = story.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"dead".into(), &422.into()));
    assert!(last["reason"].as_str().unwrap().contains("no such ticket"), "{last}");
    assert!(watch.events("target_down").is_empty());
}

/// T28, and the mail of one sender fails for hours: it has a policy of its own, all other mail flows.
#[test]
fn a_mail_that_is_worn_out_dies_after_its_attempts_and_others_flow() {
    let (maildir, app) = (Maildir::in_memory(), App::answering(bad_is_refused));
    deliver(&maildir, "bad", 1);
    let retry = "retry = { min_delay = '10ms', max_delay = '20ms', attempts = 4 }";
    let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), retry));
    let watch = Maildirq::watch_config(&toml).start();
    for number in 1..=20 {
        deliver(&maildir, "good", 1);
        app.wait_for_accepted(number);
    }

    let dead = watch.wait_for_event("dead");

    wait_until("all is settled", SOON, || maildir.waiting().is_empty());
    let story = maildir.story(dead["id"].as_str().unwrap());
    let reason = story.last().unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("after 4 failures") && reason.contains("400"), "{reason}");
    let attempts = app.requests().iter().filter(|request| subject(request) == "bad").count();
    assert_eq!((attempts, maildir.dead().len()), (4, 1));
    assert!(dead["reason"].as_str().unwrap().contains("400"), "{dead}");
}

fn bad_is_refused(request: &Request) -> Answer {
    if subject(request) == "bad" { Answer::status(400) } else { Answer::ok() }
}

mod turns {
    use super::*;

    const RETRIES: usize = 300;

    /// For an hour: of so many that wait for a time by chance, one comes again at once now and then.
    fn not_now(_: &Request) -> Answer {
        Answer::status(400).header("retry-after", 3600)
    }

    /// Whichever there is more of, neither waits until there is none of the other.
    #[test]
    fn retries_and_fresh_mail_take_turns() {
        let (maildir, app) = (Maildir::in_memory(), App::answering(not_now));
        deliver(&maildir, "retry", RETRIES);
        let settings = "concurrency = 1\nretry = { max_delay = '1h' }";
        let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), settings));
        Maildirq::drain_config(&toml).run();
        let ids = maildir.stories();
        assert_eq!((app.count(), ids.len()), (RETRIES, RETRIES));

        let soon = SystemTime::now() - Duration::from_secs(1);
        for id in &ids {
            maildir.set_due(id, soon);
        }
        deliver(&maildir, "fresh", RETRIES);
        app.answer_with(|_| Answer::ok());
        let _watch = Maildirq::watch_config(&toml).start();

        app.wait_for_accepted(2 * RETRIES);
        let order: Vec<_> = app.requests()[RETRIES..].iter().map(subject).collect();
        assert_fair(&order);
    }

    /// The same while it runs: the retries come due, and fresh mail never ends.
    #[test]
    fn mail_that_keeps_coming_does_not_keep_retries_waiting() {
        let (maildir, app) = (Maildir::in_memory(), App::answering(not_now));
        deliver(&maildir, "retry", RETRIES);
        let settings = "concurrency = 1\nretry = { max_delay = '1h' }";
        let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), settings));
        let watch = Maildirq::watch_config(&toml).start();
        wait_until("all of them wait", SOON, || maildir.stories().len() == RETRIES && app.in_hand() == 0);
        // One is held, so that all stand in line behind it.
        let gate = Gate::closed();
        let held = gate.clone();
        app.answer_with(move |_| Answer::ok().through(&held));
        deliver(&maildir, "held", 1);
        app.wait_for_requests(RETRIES + 1);
        app.answer_with(|_| Answer::ok());

        let now = SystemTime::now();
        maildir.stories().iter().for_each(|id| maildir.set_due(id, now));
        deliver(&maildir, "fresh", RETRIES);
        assert_eq!((maildir.waiting().len(), app.in_hand()), (2 * RETRIES + 1, 1));
        watch.wait_until_it_rests("notify");
        gate.open();

        app.wait_for_accepted(2 * RETRIES + 1);
        let order: Vec<_> = app.requests()[RETRIES + 1..].iter().map(subject).collect();
        assert_fair(&order);
    }

    #[track_caller]
    fn assert_fair(order: &[String]) {
        let first: Vec<_> = order.iter().take(100).map(String::as_str).collect();
        for kind in ["retry", "fresh"] {
            let count = first.iter().filter(|subject| **subject == kind).count();
            assert!(count >= 30, "{count} of the first hundred are {kind}: {first:?}");
        }
        let counts = ["retry", "fresh"].map(|kind| order.iter().filter(|subject| *subject == kind).count());
        assert_eq!(counts, [RETRIES, RETRIES]);
    }
}
