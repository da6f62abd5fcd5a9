//! Any number of processes share one Maildir, and no mail is lost or comes twice.

use std::fs;
use std::time::Duration;

use crate::support::{
    Allowed, Answer, App, Exit, Gate, Ledger, Maildir, Maildirq, SOON, from_environment, holds_for, wait_until,
};

/// T06. `MAILDIRQ_RACE_PROCESSES` take part, and there are `MAILDIRQ_RACE_MAILS`.
#[test]
fn on_tmpfs_no_mail_comes_twice_however_many_take_part() {
    race(&Maildir::in_memory(), 4000);
}

/// T06, as above.
#[test]
fn on_disk_no_mail_comes_twice_however_many_take_part() {
    race(&Maildir::new(), 1000);
}

/// Not even the Maildir's own folders exist when they all begin.
fn race(maildir: &Maildir, usual_mails: usize) {
    const WATCHES: usize = 2;
    let drains = from_environment("MAILDIRQ_RACE_PROCESSES", 14).max(WATCHES + 2) - WATCHES;
    let mails = from_environment("MAILDIRQ_RACE_MAILS", usual_mails) as u64;
    let long = Duration::from_mins(1) + Duration::from_millis(10 * mails);

    let app = App::plan(|_| Answer::ok()).forgetting().start();
    let mut ledger = Ledger::produce(maildir, mails, mails);
    // On a machine that has too much to do an answer may take long, and a time-out would be a reason to ask again.
    let patient = "timeout = '1h'\nconnect_timeout = '1h'";
    let watches = [(); WATCHES].map(|()| Maildirq::watch_with(maildir, &app.url(), patient).start());
    let drains: Vec<_> = (0..drains).map(|_| Maildirq::drain_with(maildir, &app.url(), patient).start()).collect();

    app.wait_for_accepted_within(ledger.produced(), long);
    for drain in &drains {
        drain.wait_within(long);
        assert!(matches!(drain.exit(), Exit::Ok | Exit::SomeWait), "{:?}", drain.exit());
    }
    for watch in &watches {
        assert_eq!(watch.stop(), Exit::Ok);
    }
    let busy = drains.iter().chain(&watches).filter(|process| !process.events("attempt").is_empty()).count();
    assert!(busy > 1, "it was no race");

    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    println!("{busy} of {} processes took some: {verdict}", drains.len() + WATCHES);
    assert_eq!((verdict.attempts, verdict.waiting, verdict.dead), (ledger.produced(), 0, 0), "{verdict}");
    assert!(app.overlaps().is_empty());
    assert!(maildir.hands().is_empty());
    assert!(maildir.stories().is_empty());
}

#[test]
fn a_drain_leaves_alone_what_another_process_holds() {
    let (maildir, gate) = (Maildir::new(), Gate::closed());
    let app = App::answering({
        let gate = gate.clone();
        move |_| Answer::ok().through(&gate)
    });
    let name = maildir.deliver("Subject: held\n\nby a watch\n");
    let holder = Maildirq::watch(maildir.path(), &app.url()).start();
    app.wait_for_requests(1);

    let drain = Maildirq::drain(maildir.path(), &app.url()).run();
    assert_eq!(drain.exit(), Exit::SomeWait);
    assert_eq!((app.count(), maildir.waiting()), (1, vec![name]));
    assert!(maildir.stories().is_empty());

    gate.open();
    wait_until("the holder removes it", SOON, || maildir.waiting().is_empty());
    assert_eq!(holder.stop(), Exit::Ok);
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::Ok);
    assert_eq!(app.count(), 1);
}

#[test]
fn a_drain_takes_the_rest_while_another_process_is_stuck() {
    let (maildir, gate) = (Maildir::in_memory(), Gate::closed());
    let stuck = App::answering({
        let gate = gate.clone();
        move |_| Answer::ok().through(&gate)
    });
    let held = maildir.deliver("Subject: held\n\n.\n");
    let holder = Maildirq::watch(maildir.path(), &stuck.url()).concurrency(1).start();
    stuck.wait_for_requests(1);

    let app = App::accepting();
    let mut ledger = Ledger::produce(&maildir, 100, 7);
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::SomeWait);
    assert_eq!(maildir.waiting(), [held]);
    assert_eq!(ledger.check(&app.deliveries(), Allowed::nothing()).accepted, 100);

    gate.open();
    assert_eq!(holder.stop(), Exit::Ok);
    assert!(maildir.waiting().is_empty());
    assert_eq!(stuck.count(), 1);
}

#[test]
fn two_names_of_one_file_are_two_messages_one_after_the_other() {
    let (maildir, gate) = (Maildir::new(), Gate::closed());
    let app = App::answering({
        let gate = gate.clone();
        move |_| Answer::ok().through(&gate)
    });
    let watch = Maildirq::watch(maildir.path(), &app.url()).start();
    let first = maildir.deliver("Subject: twice\n\nthe same file\n");
    app.wait_for_requests(1);
    fs::hard_link(maildir.message(&first), maildir.message(format!("{}-again", first.display()))).unwrap();
    holds_for("the file is locked under both names", Duration::from_millis(300), || app.count() == 1);

    gate.open();
    app.wait_for_requests(2);
    wait_until("both are removed", SOON, || maildir.waiting().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);
    let requests = app.requests();
    assert_ne!(requests[0].id(), requests[1].id());
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!((requests.len(), app.most_at_once()), (2, 1));
}
