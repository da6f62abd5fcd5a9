//! What the service manager is told while maildirq runs.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{App, Exit, Maildir, Maildirq, Manager, SOON, wait_until};

/// Short enough for a test: something is told three times as often.
const WITHIN: Duration = Duration::from_millis(300);
const HEARTBEAT: &str = "WATCHDOG=1";

#[test]
fn it_is_ready_once_it_serves() {
    let (maildir, app, manager) = (Maildir::new(), App::accepting(), Manager::new());
    let watch = manager.of(Maildirq::watch(maildir.path(), &app.url())).start();
    manager.wait_for("READY=1");
    maildir.deliver("Subject: served\n\n.\n");
    app.wait_for_requests(1);
    assert_eq!(watch.stop(), Exit::Ok);
    let heard = manager.heard();
    assert_eq!(heard[0], "READY=1", "{heard:?}");
    assert_eq!((manager.times("READY=1"), manager.times("STOPPING=1")), (1, 1), "{heard:?}");
}

#[test]
fn one_that_cannot_start_is_never_ready() {
    let (maildir, manager) = (Maildir::new(), Manager::new());
    let config = format!("maildir = '{}'\n[target.app]\nworker = ['/nonexistent']\n", maildir.path().display());
    assert_eq!(manager.of(Maildirq::watch_config(&config)).run().exit(), Exit::Config);
    assert_eq!(manager.heard(), Vec::<String>::new());
}

#[test]
fn the_status_tells_how_things_are() {
    let (maildir, (app, gate), manager) = (Maildir::new(), App::slow(), Manager::new());
    let launch = Maildirq::watch_with(&maildir, &app.url(), "concurrency = 2");
    let watch = manager.watching(launch, WITHIN).start();
    manager.wait_for_status(|status| status == "no mail waits");
    for number in 0..5 {
        maildir.deliver(format!("Subject: {number}\n\n.\n"));
    }
    manager.wait_for_status(|status| status.starts_with("3 new · 2 running · oldest "));
    fs::write(maildir.path().join(".maildirq.dead/new/1700000000.M1P1.host"), "Subject: dead\n\n.\n").unwrap();
    manager.wait_for_status(|status| status.starts_with("3 new · 2 running · 1 dead · oldest "));
    gate.open();
    manager.wait_for_status(|status| status == "1 dead");
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn a_reload_is_told_and_so_is_one_that_was_refused() {
    let (maildir, app, manager) = (Maildir::new(), App::accepting(), Manager::new());
    let config =
        |more: &str| format!("maildir = '{}'\n[target.app]\nurl = '{}'\n{more}\n", maildir.path().display(), app.url());
    let watch = manager.watching(Maildirq::watch_config(&config("")), WITHIN).start();
    manager.wait_for("READY=1");
    watch.reload(&config("concurrency = 2"));
    wait_until("it is ready again", SOON, || manager.times("READY=1") == 2);
    let order: Vec<_> =
        manager.heard().into_iter().filter(|line| line.contains("RE") && line.ends_with("=1")).collect();
    assert_eq!(order, ["READY=1", "RELOADING=1", "READY=1"]);
    assert!(manager.wait_for("MONOTONIC_USEC=").parse::<u64>().unwrap() > 0);

    watch.refuse_to_reload(&config("concurrenzy = 2"));
    manager.wait_for_status(|status| status.starts_with("the new configuration was refused"));
    assert_eq!(manager.times("READY=1"), 3);
    watch.reload(&config(""));
    manager.wait_for_status(|status| status == "no mail waits");
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn while_it_finishes_what_it_has_in_hand_it_asks_for_time() {
    let (maildir, (app, gate), manager) = (Maildir::new(), App::slow(), Manager::new());
    maildir.deliver("Subject: slow\n\n.\n");
    let watch = manager.watching(Maildirq::watch(maildir.path(), &app.url()), WITHIN).start();
    app.wait_for_requests(1);
    watch.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    manager.wait_for_more("EXTEND_TIMEOUT_USEC=20000000", 5);
    manager.wait_for_more(HEARTBEAT, 1);
    manager.wait_for_status(|status| status.starts_with("finishing what is running · 1 running"));
    gate.open();
    assert_eq!(watch.exit(), Exit::Ok);
}

#[test]
fn an_application_that_takes_its_time_does_not_stop_the_heartbeat() {
    let (maildir, (app, gate), manager) = (Maildir::new(), App::slow(), Manager::new());
    for number in 0..4 {
        maildir.deliver(format!("Subject: {number}\n\n.\n"));
    }
    let launch = Maildirq::watch(maildir.path(), &app.url()).concurrency(2);
    let watch = manager.watching(launch, WITHIN).start();
    app.wait_for_requests(2);
    manager.wait_for_more(HEARTBEAT, 10);
    gate.open();
    assert_eq!(watch.stop(), Exit::Ok);
    assert_eq!(watch.events("thread_hangs"), Vec::<serde_json::Value>::new());
}

/// Whoever waits in the kernel for longer than it should stands for all that hangs.
const HANGS: [&str; 4] =
    ["-e", "trace=epoll_wait,epoll_pwait", "-e", "inject=epoll_wait,epoll_pwait:delay_enter=3000000"];

#[test]
fn a_worker_thread_that_hangs_stops_the_heartbeat_until_it_goes_on() {
    let (maildir, app, manager) = (Maildir::new(), App::accepting(), Manager::new());
    let launch = Maildirq::watch(maildir.path(), &app.url()).concurrency(2);
    let watch = manager.watching(launch, WITHIN).start();
    manager.wait_for_more(HEARTBEAT, 3);
    let ambush = watch.trace_thread("lane-0", &HANGS);
    assert_eq!(watch.wait_for_event("thread_hangs")["thread"], "lane-0");
    manager.wait_for_silence(HEARTBEAT, Duration::from_secs(1));
    manager.wait_for_status(|status| status == "lane-0 hangs");
    drop(ambush);
    watch.wait_for_event("thread_goes_on");
    manager.wait_for_more(HEARTBEAT, 3);
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn a_main_thread_that_hangs_stops_the_heartbeat() {
    let (maildir, app, manager) = (Maildir::new(), App::accepting(), Manager::new());
    let watch = manager.watching(Maildirq::watch(maildir.path(), &app.url()), WITHIN).start();
    manager.wait_for_more(HEARTBEAT, 3);
    let ambush = watch.trace_thread("maildirq", &HANGS);
    manager.wait_for_silence(HEARTBEAT, Duration::from_secs(1));
    drop(ambush);
    manager.wait_for_more(HEARTBEAT, 3);
    assert_eq!(watch.stop(), Exit::Ok);
}
