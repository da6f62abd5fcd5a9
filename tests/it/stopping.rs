//! How it stops: nothing is cut off that need not be, and nothing is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{App, Exit, Maildir, Maildirq, SOON, holds_for, wait_until};

fn deliver(maildir: &Maildir, count: usize) {
    for number in 0..count {
        maildir.deliver(format!("Subject: {number}\n\n.\n"));
    }
}

/// What a stop must not leave behind: hands, or stories of attempts that were cut off.
#[track_caller]
fn assert_no_traces(maildir: &Maildir) {
    assert!(maildir.hands().is_empty(), "{:?}", maildir.hands());
    assert!(maildir.stories().is_empty(), "{:?}", maildir.stories());
}

#[test]
fn term_finishes_what_runs_and_claims_nothing_new() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    deliver(&maildir, 5);
    let watch = Maildirq::watch(maildir.path(), &app.url()).concurrency(2).start();
    app.wait_for_requests(2);

    watch.signal(Signal::TERM);
    watch.wait_for_event("stopping");
    gate.open();

    assert_eq!(watch.exit(), Exit::Ok);
    assert_eq!((app.count(), maildir.waiting().len()), (2, 3), "two were taken, and their answers heard");
    assert_no_traces(&maildir);
}

#[test]
fn when_the_grace_is_over_the_rest_is_given_back_uncharged() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    deliver(&maildir, 3);
    let (path, url) = (maildir.path().display(), app.url());
    let toml = format!("maildir = '{path}'\nshutdown_timeout = '500ms'\n[target.app]\nurl = '{url}'\n");
    let watch = Maildirq::watch_config(&toml).start();
    app.wait_for_requests(3);

    assert_eq!(watch.stop(), Exit::Ok);
    watch.wait_for_event("grace_over");
    assert_eq!(maildir.waiting().len(), 3);
    assert_no_traces(&maildir);

    gate.open();
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    let deliveries = app.deliveries();
    let attempts: Vec<_> = deliveries.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [Some(1); 6], "an attempt that a stop cut off does not count");
    let ids: BTreeSet<_> = deliveries.iter().map(|delivery| &delivery.id).collect();
    assert_eq!(ids.len(), 3, "the second time they have the same ids");
}

#[test]
fn a_second_term_stops_at_once() {
    let (maildir, (app, _closed)) = (Maildir::new(), App::slow());
    deliver(&maildir, 1);
    let watch = Maildirq::watch(maildir.path(), &app.url()).start();
    app.wait_for_requests(1);

    watch.signal(Signal::TERM);
    watch.wait_for_event("stopping");
    watch.signal(Signal::TERM);

    assert_eq!(watch.exit(), Exit::Ok);
    watch.wait_for_event("stopping_now");
    assert_eq!(maildir.waiting().len(), 1);
    assert_no_traces(&maildir);
}

/// T46
#[test]
fn an_interrupted_drain_finishes_what_runs_and_says_which_signal_it_was() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (maildir, (app, gate)) = (Maildir::new(), App::slow());
        deliver(&maildir, 3);
        let drain = Maildirq::drain(maildir.path(), &app.url()).concurrency(1).start();
        app.wait_for_requests(1);

        drain.signal(signal);
        drain.wait_for_line("stopping");
        gate.open();

        assert_eq!(drain.exit(), Exit::Code(code));
        assert_eq!((app.count(), maildir.waiting().len()), (1, 2));
        assert_no_traces(&maildir);
    }
}

#[test]
fn tstp_claims_nothing_until_cont() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    deliver(&maildir, 1);
    let watch = Maildirq::watch(maildir.path(), &app.url()).start();
    app.wait_for_requests(1);

    watch.signal(Signal::TSTP);
    watch.wait_for_event("quiet");
    deliver(&maildir, 2);
    gate.open();
    wait_until("what runs is finished", SOON, || maildir.waiting().len() == 2);
    holds_for("nothing is claimed", Duration::from_millis(500), || app.count() == 1);

    watch.signal(Signal::CONT);
    app.wait_for_accepted(3);
    assert_eq!(watch.stop(), Exit::Ok);
    assert_no_traces(&maildir);
}

#[test]
fn it_can_be_stopped_while_it_claims_nothing() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let watch = Maildirq::watch(maildir.path(), &app.url()).start();
    watch.wait_for_event("ready");
    watch.signal(Signal::TSTP);
    watch.wait_for_event("quiet");
    assert_eq!(watch.stop(), Exit::Ok);
    assert_no_traces(&maildir);
}

#[test]
fn sigkill_leaves_no_lock() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    deliver(&maildir, 1);
    let watch = Maildirq::watch(maildir.path(), &app.url()).start();
    app.wait_for_requests(1);
    watch.kill9();
    assert_eq!(maildir.hands().len(), 1, "a crash leaves its hands behind");

    gate.open();
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::Ok);
    assert!(maildir.waiting().is_empty());
    assert_no_traces(&maildir);
}
