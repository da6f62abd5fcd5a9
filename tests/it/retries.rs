//! A message that failed comes again when it is due: not earlier, and not when something else happens to happen.

use std::thread;
use std::time::Duration;

use crate::support::{Answer, App, Gate, Maildir, Maildirq, Request, SOON, holds_for, wait_until};

const LATER: &str = "Subject: later\n\nhi\n";

#[test]
fn nobody_comes_earlier_than_asked() {
    let (maildir, app) = (Maildir::new(), App::answering(|request| later_if_first(request, 429)));
    maildir.deliver(LATER);

    let _watch = Maildirq::watch_with(&maildir, &app.url(), r#"retry = { min_delay = "1ms" }"#).start();

    app.wait_for_accepted(1);
    let [asked, came] = app.deliveries().try_into().expect("two attempts");
    assert!(came.at.duration_since(asked.at).unwrap() >= Duration::from_secs(1), "{asked:?} {came:?}");
}

/// Which of two threads is faster decides whether there is room just then, so several try.
#[test]
fn a_retry_comes_when_due_though_there_was_no_room_when_it_was_scheduled() {
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(schedule_a_retry_without_room);
        }
    });
}

/// The only hand is busy and more is ready; when the retry is due nothing is left but it.
fn schedule_a_retry_without_room() {
    let gate = Gate::closed();
    let held = gate.clone();
    let app = App::answering(move |request| match later_if_first(request, 400) {
        accepted if accepted.is_accepting() => accepted.through(&held),
        later => later,
    });
    let maildir = Maildir::new();
    maildir.deliver_as("1000000000.1.mx", LATER);
    (0..3).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));

    let _watch = Maildirq::watch(&maildir, &app.url()).concurrency(1).start();
    app.wait_for_requests(2);
    holds_for("one after the other", Duration::from_millis(100), || app.count() == 2);
    gate.open();

    app.wait_for_accepted(4);
}

/// The app recovers before those are due that failed when it went down.
#[test]
fn a_retry_comes_when_due_after_an_outage() {
    let app = App::answering(|_| Answer::status(503).header("retry-after", 2));
    let maildir = Maildir::new();
    (0..4).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));
    let settings = r#"breaker = { after = 3, probe = "100ms" }"#;
    let watch = Maildirq::watch_with(&maildir, &app.url(), settings).concurrency(1).start();
    watch.wait_for_event("target_down");

    let gate = Gate::closed();
    let held = gate.clone();
    app.answer_with(move |_| Answer::ok().through(&held));
    wait_until("the probe", SOON, || app.accepted().len() == 1);
    holds_for("a slow probe", Duration::from_millis(100), || app.in_hand() == 1);
    gate.open();

    app.wait_for_accepted(4);
}

/// Taken at its second attempt; first it is asked to come again in a second.
fn later_if_first(request: &Request, status: u16) -> Answer {
    match (request.body == LATER.as_bytes(), request.attempt()) {
        (true, Some(1)) => Answer::status(status).header("retry-after", 1),
        _ => Answer::ok(),
    }
}
