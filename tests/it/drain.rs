//! `drain`: what it takes, what it leaves, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{Answer, App, Exit, Maildir, Maildirq, Request};

/// November 2023, from a time when nobody thought of this Maildir.
const OLD: &str = "1700000000.M1P1.mx.example.org";

/// T46
#[test]
fn the_exit_code_says_what_is_left() {
    for (wishes, exit) in [
        (&[][..], Exit::Ok),
        (&[200, 204], Exit::Ok),
        (&[200, 503], Exit::SomeWait),
        (&[400], Exit::SomeWait),
        (&[200, 422], Exit::SomeDead),
        (&[422, 503, 200], Exit::SomeDead),
    ] {
        let (maildir, app) = (Maildir::new(), App::answering(as_the_mail_wants));
        for status in wishes {
            maildir.deliver(format!("Subject: a wish\n\n{status}"));
        }

        assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), exit, "{wishes:?}");

        assert_eq!(app.count(), wishes.len());
    }
}

#[test]
fn the_dead_of_earlier_runs_are_history() {
    let (maildir, app) = (Maildir::new(), App::answering(as_the_mail_wants));
    maildir.deliver("Subject: a wish\n\n422");

    let exits = [(); 2].map(|()| Maildirq::drain(&maildir, &app.url()).run().exit());

    assert_eq!((exits, app.count()), ([Exit::SomeDead, Exit::Ok], 1));
}

#[test]
fn it_says_what_it_did() {
    let (maildir, app) = (Maildir::new(), App::answering(as_the_mail_wants));
    for status in [200, 200, 200, 503, 400, 422] {
        maildir.deliver(format!("Subject: a wish\n\n{status}"));
    }

    let drain = Maildirq::drain(&maildir, &app.url()).log_text().run();

    drain.wait_for_line("3 done, 2 waiting, 1 dead, in ");
}

#[test]
fn each_message_is_tried_once_however_soon_its_retry_is_due() {
    const MAILS: usize = 30;
    let (maildir, app) = (with_mail(MAILS), App::answering(|_| Answer::status(400)));

    let at_once = r#"retry = { max_delay = "1ms" }"#;
    let drain = Maildirq::drain_with(&maildir, &app.url(), at_once).concurrency(2).run();

    assert_eq!((drain.exit(), app.count(), attempts_by_id(&app).len()), (Exit::SomeWait, MAILS, MAILS));
}

#[test]
fn with_wait_retries_it_goes_on_until_nothing_waits() {
    const MAILS: usize = 10;
    let app = App::answering(|request| match request.attempt() {
        Some(1 | 2) => Answer::status(400),
        _ => Answer::ok(),
    });
    let maildir = with_mail(MAILS);

    let soon = r#"retry = { min_delay = "100ms", max_delay = "200ms" }"#;
    let drain = Maildirq::drain_with(&maildir, &app.url(), soon).arg("--wait-retries").run();

    assert_eq!((drain.exit(), maildir.waiting().len(), maildir.stories().len()), (Exit::Ok, 0, 0));
    let attempts = attempts_by_id(&app);
    assert_eq!(attempts.len(), MAILS);
    assert!(attempts.values().all(|attempts| attempts == &[1, 2, 3]), "{attempts:?}");
}

#[test]
fn with_wait_retries_it_outlasts_an_outage() {
    let (maildir, app) = (with_mail(20), App::answering(|_| Answer::status(503)));
    let settings = r#"breaker = { after = 3, probe = "100ms" }
                      retry = { max_delay = "100ms" }"#;
    let drain = Maildirq::drain_with(&maildir, &app.url(), settings).arg("--wait-retries").start();
    drain.wait_for_event("target_down");

    app.answer_with(|_| Answer::ok());

    assert_eq!((drain.exit(), app.accepted().len()), (Exit::Ok, 20));
}

#[test]
fn a_dry_run_only_looks() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver_as(OLD, "Subject: old\n\nhi\n");
    (0..2).for_each(|_| drop(maildir.deliver("Subject: new\n\nhi\n")));
    let before = everything_in(maildir.path());

    let drain = Maildirq::drain(&maildir, &app.url()).arg("--dry-run").run();

    assert_eq!(drain.stdout(), "3 messages wait, the oldest since 2023-11-14T22:13:20Z");
    assert_eq!((drain.exit(), drain.lines(), app.connections()), (Exit::Ok, vec![], 0));
    assert_eq!(everything_in(maildir.path()), before);
}

#[test]
fn a_dry_run_tells_what_waits_for_a_retry() {
    let (maildir, app) = (with_mail(3), App::answering(|_| Answer::status(400).header("retry-after", 1000)));
    Maildirq::drain(&maildir, &app.url()).run();
    maildir.deliver_as(OLD, "Subject: old\n\nhi\n");

    let drain = Maildirq::drain(&maildir, &app.url()).arg("--dry-run").run();

    assert_eq!(drain.stdout(), "4 messages wait (3 of them for a retry), the oldest since 2023-11-14T22:13:20Z");
}

#[test]
fn old_mail_is_left_alone_if_asked() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver_as(OLD, "Subject: old\n\nhi\n");
    maildir.deliver("Subject: new\n\nhi\n");

    let drain = Maildirq::drain(&maildir, &app.url()).args(["--since", "1h"]).run();

    assert_eq!((drain.exit(), app.count()), (Exit::Ok, 1), "old mail does not count as waiting");
    assert_eq!(maildir.waiting(), [OLD]);
    assert!(app.requests()[0].body.starts_with(b"Subject: new"));
}

#[test]
fn the_first_start_says_what_it_finds() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver_as(OLD, "Subject: old\n\nhi\n");
    maildir.deliver("Subject: new\n\nhi\n");

    let [first, second] = [(); 2].map(|()| Maildirq::drain(&maildir, &app.url()).run());

    let told = first.wait_for_event("first_start");
    assert_eq!((&told["waiting"], &told["oldest"]), (&2.into(), &"2023-11-14T22:13:20Z".into()));
    assert_eq!(second.events("first_start").len(), 0);
}

#[test]
fn the_first_start_says_so_to_people_too() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver_as(OLD, "Subject: old\n\nhi\n");

    let drain = Maildirq::drain(&maildir, &app.url()).log_text().run();

    drain.wait_for_line("first start: 1 message waits, the oldest since 2023-11-14T22:13:20Z");
}

#[test]
fn what_is_said_to_people_is_written_in_one_piece() {
    let (maildir, app) = (with_mail(1), App::accepting());
    let writes = maildir.path().join("writes");
    let strace = ["strace", "-f", "-e", "trace=write", "-s", "200", "-o", writes.to_str().unwrap()];

    let drain = Maildirq::drain(&maildir, &app.url()).log_text().by_way_of(&strace).run();

    assert_eq!(drain.exit(), Exit::Ok);
    let writes = fs::read_to_string(writes).unwrap();
    assert!(writes.contains("write(2, \"1 done, 0 waiting, 0 dead, in "), "{writes}");
    assert!(writes.lines().any(|write| write.contains("1 done") && write.contains("/s)\\n\"")), "{writes}");
}

fn with_mail(count: usize) -> Maildir {
    let maildir = Maildir::new();
    (0..count).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));
    maildir
}

fn as_the_mail_wants(request: &Request) -> Answer {
    let wish = request.body.rsplit(|&byte| byte == b'\n').next().unwrap();
    Answer::status(str::from_utf8(wish).unwrap().parse().unwrap())
}

fn attempts_by_id(app: &App) -> BTreeMap<String, Vec<u32>> {
    let mut attempts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for delivery in app.deliveries() {
        attempts.entry(delivery.id).or_default().extend(delivery.attempt);
    }
    attempts
}

/// The paths of all that is there, and what the files hold.
fn everything_in(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let content = path.is_file().then(|| fs::read(&path).unwrap());
        if content.is_none() {
            found.extend(everything_in(&path));
        }
        found.insert(path.display().to_string(), content);
    }
    found
}
