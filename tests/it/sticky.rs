//! A call that fails and goes on failing: maildirq says so, waits without running in circles, and goes on by itself
//! once the call succeeds again.

#![cfg(target_arch = "x86_64")]

use std::sync::Arc;
use std::time::Duration;

use crate::support::ledger::number_in;
use crate::support::wait::comes_true;
use crate::support::{Allowed, Answer, App, Exit, Launch, Ledger, Maildir, Maildirq, Request, SOON, wait_until};

const MAILS: u64 = 8;
/// Mails of which one is refused and one fails at first.
const DEAD: usize = 1;

/// What a message needs from its arrival to its end, on whichever thread.
const CALLS_FOR_MAIL: [&str; 10] = [
    "openat",
    "flock",
    "fstat",
    "newfstatat",
    "pread64",
    "pwrite64",
    "unlinkat",
    "renameat2",
    "utimensat",
    "fdatasync",
];
/// What is done beside it.
const CALLS_BESIDE: [&str; 2] = ["getdents64", "fsync"];

/// T04
#[test]
fn what_fails_with_an_error_of_the_disk_is_outlasted() {
    let calls = CALLS_FOR_MAIL.iter().chain(&CALLS_BESIDE);
    outlasts("EIO", calls);
}

/// T04
#[test]
fn what_fails_for_want_of_room_is_outlasted() {
    outlasts("ENOSPC", &["openat", "pwrite64", "renameat2", "fdatasync", "fsync"]);
}

/// T04
#[test]
fn what_is_not_permitted_is_outlasted() {
    outlasts("EACCES", &["openat", "newfstatat", "unlinkat", "renameat2", "utimensat"]);
}

/// T04
#[test]
fn what_fails_for_want_of_descriptors_is_outlasted() {
    outlasts("EMFILE", &["openat", "socket"]);
}

/// T04. Only network file systems say this; but who knows what a Maildir lies on.
#[test]
fn what_fails_on_a_stale_handle_is_outlasted() {
    outlasts("ESTALE", CALLS_FOR_MAIL.iter().filter(|call| **call != "flock").chain(&CALLS_BESIDE));
}

/// T04. What is interrupted was not done, and is no fault: it is done again, and mail goes on. These are the calls that
/// can be interrupted: sockets are never waited for in a call of their own, and no local file system is while it opens.
#[test]
fn what_is_interrupted_over_and_over_is_done_all_the_same() {
    let calls = ["pread64", "pwrite64", "fsync", "fdatasync", "epoll_wait"];
    let wrong: Vec<_> = calls.into_iter().filter_map(|call| goes_on_under(call).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every second call is interrupted; for good.
fn goes_on_under(call: &str) -> Result<(), String> {
    let scene = Scene::begin();
    let ambush = scene.watch.trace_all(&[format!("--trace={call}"), format!("--inject={call}:error=EINTR:when=1+2")]);
    let mut ledger = Ledger::produce(&scene.maildir, 2 * MAILS, 6);
    let is_over = comes_true(SOON, || scene.maildir.waiting().is_empty());
    let hits = || ambush.so_far().matches("(INJECTED)").count();
    // What is done beside the mail may come after it.
    let is_hit = comes_true(SOON, || hits() > 0);
    let hits = hits();
    drop(ambush);
    let exit = scene.watch.stop();
    let verdict = ledger.audit(&scene.app.deliveries(), Allowed::nothing());
    println!("{call} interrupted {hits} times: {exit:?}, {verdict}");
    if !is_hit || !is_over || exit != Exit::Ok || !verdict.faults.is_empty() || verdict.dead != 2 * DEAD {
        return Err(format!("{call} interrupted {hits} times: settles all {is_over}, ends {exit:?}, {verdict}"));
    }
    Ok(())
}

fn outlasts<'a>(errno: &str, calls: impl IntoIterator<Item = &'a &'a str>) {
    let wrong: Vec<_> = calls.into_iter().filter_map(|call| outlast(call, errno).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// From the second half of the mail on the call fails, until all rests; then no more.
fn outlast(call: &str, errno: &str) -> Result<(), String> {
    let scene = Scene::begin();
    let mut ledger = Ledger::produce(&scene.maildir, MAILS, 4);
    wait_until("the first half is settled", SOON, || scene.maildir.waiting().is_empty());

    let said_before = scene.watch.lines().len();
    let ambush = scene.watch.trace_all(&[format!("--trace={call}"), format!("--inject={call}:error={errno}:when=1+")]);
    ledger.produce_more(MAILS, 5);
    let hits = || ambush.so_far().matches("(INJECTED)").count();
    wait_until(format!("{call} fails with {errno}"), SOON, || hits() > 0);
    let rests = || {
        let before = hits();
        !comes_true(Duration::from_millis(500), || hits() > before + AT_REST)
    };
    let rests = comes_true(SOON, rests);
    let log = scene.watch.lines().split_off(said_before);
    let said = complaints(&log, errno);
    drop(ambush);

    let is_over = comes_true(SOON, || scene.maildir.waiting().is_empty());
    let exit = scene.watch.stop();
    let verdict = ledger.audit(&scene.app.deliveries(), Allowed::nothing());
    println!("{call} {errno}: {said} complaints, {rests} {is_over} {exit:?} {verdict}");
    if !rests || !is_over || exit != Exit::Ok || said == 0 || !verdict.faults.is_empty() || verdict.dead != 2 * DEAD {
        return Err(format!(
            "{call} {errno}: rests {rests}, settles all afterwards {is_over}, ends {exit:?}, {said} complaints, {verdict}{}",
            log.join("\n")
        ));
    }
    Ok(())
}

/// So many failures in half a second are no running in circles: a look at each message, and at the Maildir.
const AT_REST: usize = 40;

/// How errno(3) has it, and strerror(3).
const ERRORS: [(&str, &str); 5] = [
    ("EACCES", "Permission denied"),
    ("EIO", "Input/output error"),
    ("EMFILE", "Too many open files"),
    ("ENOSPC", "No space left on device"),
    ("ESTALE", "Stale file handle"),
];

struct Scene {
    maildir: Maildir,
    app: Arc<App>,
    watch: Maildirq,
}

impl Scene {
    fn begin() -> Scene {
        let maildir = Maildir::in_memory();
        let app = Arc::new(App::plan(answer).forgetting().start());
        let watch = launch(&maildir, &app).start();
        watch.wait_for_event("ready");
        Scene { maildir, app, watch }
    }
}

/// Lines of the log that ask for attention and name the error. Those of the mail that the app refuses do not.
fn complaints(log: &[String], errno: &str) -> usize {
    let (_, words) = ERRORS.iter().find(|(name, _)| *name == errno).expect("one of these");
    let asks = |line: &str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    log.iter().filter(|line| asks(line) && line.contains(words)).count()
}

fn launch(maildir: &Maildir, app: &App) -> Launch {
    let (path, url) = (maildir.path().display(), app.url());
    Maildirq::watch_config(&format!(
        "maildir = '{path}'\nrescan = '200ms'\n[target.app]\nurl = '{url}'\n\
         retry = {{ min_delay = '250ms', max_delay = '250ms' }}\nbreaker = {{ probe = '100ms' }}\n"
    ))
    .concurrency(2)
}

/// Each request is on a connection of its own, so that sockets are needed all the time.
fn answer(request: &Request) -> Answer {
    match (number_in(&request.body).map(|number| number % MAILS), request.attempt()) {
        (Some(2), _) => Answer::status(422),
        (Some(5), Some(1)) => Answer::status(400),
        _ => Answer::ok(),
    }
    .closing()
}
