//! A process that is stopped in its tracks holds what it has in hand, however long; nobody else gives it to the app.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    Allowed, App, Exit, Ledger, Maildir, Maildirq, SOON, Script, from_environment, holds_for, wait_until,
};

const IN_HAND: usize = 4;

/// Others look again after 2 s at most at what they found busy. `MAILDIRQ_FROZEN_SECONDS` is longer.
fn long() -> Duration {
    Duration::from_secs(from_environment("MAILDIRQ_FROZEN_SECONDS", 5) as u64)
}

/// Stops it in its tracks: from now on it does nothing.
fn stop(watch: &Maildirq) {
    watch.signal(Signal::STOP);
    wait_until("it stands still", SOON, || watch.stands_still());
}

/// T09. No time is up for what is in hand: that the process lives is all there is to it.
#[test]
fn what_a_stopped_process_has_in_hand_is_delivered_by_nobody_else() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    let mut ledger = Ledger::produce(&maildir, IN_HAND as u64, 9);
    let frozen = Maildirq::watch(maildir.path(), &app.url()).concurrency(IN_HAND).start();
    app.wait_for_requests(IN_HAND);
    stop(&frozen);
    gate.open();

    let other = Maildirq::watch(maildir.path(), &app.url()).start();
    ledger.produce_more(5, 10);
    app.wait_for_requests(IN_HAND + 5);
    wait_until("the others are done", SOON, || maildir.waiting().len() == IN_HAND);
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::SomeWait);
    holds_for("nobody takes what is in hand", long(), || app.count() == IN_HAND + 5);

    frozen.signal(Signal::CONT);
    wait_until("it completes what it had in hand", SOON, || maildir.waiting().is_empty());
    assert_eq!((frozen.stop(), other.stop()), (Exit::Ok, Exit::Ok));
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, app.count()), (IN_HAND + 5, IN_HAND + 5));
}

/// T09. The answer came in time; it is only read late.
#[test]
fn an_answer_that_has_come_while_the_process_was_stopped_counts() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    let mut ledger = Ledger::produce(&maildir, 1, 9);
    let watch = Maildirq::watch_with(&maildir, &app.url(), "timeout = '2s'").start();
    app.wait_for_requests(1);
    stop(&watch);
    gate.open();
    holds_for("its time is up meanwhile", long(), || maildir.waiting().len() == 1);

    watch.signal(Signal::CONT);
    wait_until("it is done", SOON, || maildir.waiting().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);
    assert_eq!(ledger.check(&app.deliveries(), Allowed::nothing()).accepted, 1);
    assert_eq!(app.count(), 1);
}

/// T09. The command ended in time; nobody was there to see it.
#[test]
fn the_message_of_a_command_is_its_own_while_maildirq_is_stopped() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: frozen\n\n.\n");
    let script = Script::new("echo >>runs; await go; echo >>ends");
    let config = script.config(&maildir, "timeout = '2s'");
    let frozen = Maildirq::watch_config(&config).start();
    script.wait_for("runs");
    stop(&frozen);
    let other = Maildirq::watch_config(&config).start();
    other.wait_for_event("ready");
    script.give("go");
    script.wait_for("ends");
    holds_for("it is run once", long(), || script.told("runs").as_deref() == Some(b"\n"));

    frozen.signal(Signal::CONT);
    wait_until("it is done", SOON, || maildir.waiting().is_empty());
    assert_eq!((frozen.stop(), other.stop()), (Exit::Ok, Exit::Ok));
    assert_eq!(script.told("runs").as_deref(), Some(b"\n".as_slice()));
}
