//! One bad mail among good ones: it is the one that dies, and holds nobody up (T28).

use std::path::Path;

use crate::support::{Answer, App, Exit, Maildir, Maildirq, Request, SOON, wait_until};

const POISON: &str = "Subject: poison\n\ndrink me\n";
const GOOD: &str = "Subject: good\n\nhi\n";

/// A message is given up when its own failures have gone on for 300 ms.
const SHORT_OF_BREATH: &str = r#"retry = { for = "300ms", min_delay = "20ms", max_delay = "50ms" }"#;

#[test]
fn what_the_app_refuses_is_dead_at_once_and_all_else_goes_through() {
    let (maildir, app) = (Maildir::new(), App::answering(|request| refuse_poison(request, 422)));
    maildir.deliver(POISON);
    (0..20).for_each(|_| drop(maildir.deliver(GOOD)));

    let drain = Maildirq::drain(&maildir, &app.url()).run();

    assert_eq!((drain.exit(), app.accepted().len(), app.count()), (Exit::SomeDead, 20, 21));
    assert_only_poison_is_dead(&maildir);
    let [line] = maildir.story(&poison_in(&app)).try_into().expect("a line");
    assert_eq!((&line["event"], &line["status"], &line["try"]), (&"dead".into(), &422.into(), &1.into()));
    assert_eq!(line["reason"], "422 Unprocessable Entity: what is this?");
}

#[test]
fn a_message_dies_of_its_own_failures_when_they_go_on_for_too_long() {
    let (maildir, app) = (Maildir::new(), App::answering(|request| refuse_poison(request, 400)));
    maildir.deliver(POISON);
    (0..20).for_each(|_| drop(maildir.deliver(GOOD)));

    let _watch = Maildirq::watch_with(&maildir, &app.url(), SHORT_OF_BREATH).start();

    wait_until("the poison is dead", SOON, || !maildir.dead().is_empty());
    app.wait_for_accepted(20);
    assert_only_poison_is_dead(&maildir);
    let story = maildir.story(&poison_in(&app));
    let (last, retries) = story.split_last().unwrap();
    assert!(retries.iter().all(|line| line["event"] == "retry" && line["charged"] == true), "{story:?}");
    let reason = format!("gave up after {} failures: 400 Bad Request: what is this?", story.len());
    assert_eq!((&last["event"], &last["reason"]), (&"dead".into(), &reason.into()));
}

/// A 500 may be anybody's failure, until others come through and this message does not.
#[test]
fn a_failure_that_others_do_not_share_becomes_the_messages_own() {
    let (maildir, app) = (Maildir::new(), App::answering(|request| refuse_poison(request, 500)));
    maildir.deliver(POISON);

    let _watch = Maildirq::watch_with(&maildir, &app.url(), SHORT_OF_BREATH).start();

    app.wait_for_requests(1);
    wait_until("the poison is dead while good mail comes and goes", SOON, || {
        maildir.deliver(GOOD);
        !maildir.dead().is_empty()
    });
    wait_until("all good mail is gone", SOON, || maildir.waiting().is_empty());
    assert_only_poison_is_dead(&maildir);
    let story = maildir.story(&poison_in(&app));
    assert_eq!(story[0]["charged"], false, "nothing was known of others then: {story:?}");
    assert!(story.iter().filter(|line| line["charged"] == true).count() > 1, "{story:?}");
    let last = story.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"dead".into(), &500.into()));
}

/// As long as it is alone it may be the app that is broken, and then age alone kills nobody.
#[test]
fn a_failure_that_nobody_can_tell_from_an_outage_is_never_charged() {
    let patient = format!("{SHORT_OF_BREATH}\nbreaker = {{ after = 1000 }}");
    let (maildir, app) = (Maildir::new(), App::answering(|request| refuse_poison(request, 500)));
    maildir.deliver(POISON);

    let watch = Maildirq::watch_with(&maildir, &app.url(), &patient).start();

    // On average 25 ms apart: more than three times the age that would kill it.
    app.wait_for_requests(40);
    assert_eq!((maildir.dead().len(), watch.events("dead").len()), (0, 0));
    assert!(maildir.story(&poison_in(&app)).iter().all(|line| line["charged"] == false));
}

fn refuse_poison(request: &Request, status: u16) -> Answer {
    if request.body == POISON.as_bytes() { Answer::status(status).body("what is this?") } else { Answer::ok() }
}

fn poison_in(app: &App) -> String {
    let requests = app.requests();
    requests.iter().find(|request| request.body == POISON.as_bytes()).expect("it was sent").id().to_owned()
}

#[track_caller]
fn assert_only_poison_is_dead(maildir: &Maildir) {
    let dead: Vec<_> = maildir.dead().iter().map(|path| read(path)).collect();
    assert_eq!((dead, maildir.waiting().len()), (vec![POISON.to_owned()], 0));
    wait_until("only its story is left", SOON, || maildir.stories().len() == 1);
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
