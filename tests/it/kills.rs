//! SIGKILL at any moment loses nothing, and blames no mail that is innocent.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use std::{fs, thread};

use tempfile::TempDir;

use crate::support::{
    Allowed, Answer, App, Exit, Gate, Ledger, Maildir, Maildirq, Pace, SOON, from_environment, holds_for, read_log,
    wait_until,
};

const KILLED: Exit = Exit::Signal(9);

/// T01. `MAILDIRQ_KILLS` and `MAILDIRQ_STORM_MAILS` are the least there shall be of both.
#[test]
fn a_storm_of_kills_loses_no_mail() {
    const WATCHES: usize = 4;
    const CONCURRENCY: usize = 8;
    const MILLISECONDS: RangeInclusive<u64> = 5..=50;
    let (least_kills, least_mails) =
        (from_environment("MAILDIRQ_KILLS", 100), from_environment("MAILDIRQ_STORM_MAILS", 1000));

    let (maildir, home) = (Maildir::in_memory(), TempDir::new().unwrap());
    let log = home.path().join("app.log");
    let app = Arc::new(App::plan(|_| Answer::ok()).forgetting().logging_to(&log).start());
    let kills = Arc::new(AtomicUsize::new(0));
    let mut ledger = Ledger::producing_at(&maildir, 41, {
        let (app, kills) = (Arc::clone(&app), Arc::clone(&kills));
        move |produced| pace(usize::try_from(produced).unwrap(), app.count(), least_mails, &kills, least_kills)
    });
    let mut dice = fastrand::Rng::with_seed(41);
    let start = || Maildirq::watch(maildir.path(), &app.url()).concurrency(CONCURRENCY).start();
    let mut watches = [(); WATCHES].map(|()| start());
    while !ledger.is_finished() {
        // Not for anything to happen: the kills come whenever they come.
        thread::sleep(Duration::from_millis(dice.u64(MILLISECONDS)));
        let victim = dice.usize(0..WATCHES);
        watches[victim].kill9();
        kills.fetch_add(1, Ordering::Relaxed);
        watches[victim] = start();
    }
    for watch in watches {
        watch.kill9();
    }
    ledger.finish();

    let last = Maildirq::drain(maildir.path(), &app.url()).arg("--wait-retries").run();
    assert_eq!(last.exit(), Exit::Ok);
    let kills = kills.load(Ordering::Relaxed) + WATCHES;
    let verdict = ledger.check(&read_log(log), Allowed::crashes(kills, CONCURRENCY));
    println!("{kills} kills: {verdict}");
    assert_eq!((verdict.accepted, verdict.dead), (verdict.produced, 0), "{verdict}");
    assert_eq!(hands(&maildir), 0, "it recovers of itself");
}

/// There is always mail to be killed over, and never so much that the end takes long.
fn pace(produced: usize, taken: usize, least_mails: usize, kills: &AtomicUsize, least_kills: usize) -> Pace {
    const BACKLOG: usize = 300;
    if produced >= least_mails && kills.load(Ordering::Relaxed) >= least_kills {
        Pace::Stop
    } else if produced >= taken + BACKLOG {
        Pace::Wait
    } else {
        Pace::Deliver
    }
}

/// How many processes have hands here, or have left them behind. A hidden file is one that was still being made.
fn hands(maildir: &Maildir) -> usize {
    maildir.hands().iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")).count()
}

/// T10
#[test]
fn killed_between_the_answer_and_the_removal_the_same_mail_comes_again() {
    let (maildir, app) = (served_maildir(), App::accepting());
    let mut ledger = Ledger::produce(&maildir, 1, 10);

    let drain = Maildirq::drain(maildir.path(), &app.url()).concurrency(1).killed_at("unlinkat", 1).run();
    assert_eq!((drain.exit(), app.count(), maildir.waiting().len()), (KILLED, 1, 1));
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::Ok);

    let verdict = ledger.check(&app.deliveries(), Allowed::crashes(1, 1));
    assert_eq!((verdict.accepted, verdict.duplicates, verdict.waiting), (1, 1, 0), "{verdict}");
    let requests = app.requests();
    assert_eq!((requests[0].id(), &requests[0].body), (requests[1].id(), &requests[1].body));
}

/// A Maildir whose folders and identity are there, so that nothing but mail is left to work on.
fn served_maildir() -> Maildir {
    let (maildir, nobody) = (Maildir::in_memory(), "http://127.0.0.1:9/");
    assert_eq!(Maildirq::drain(maildir.path(), nobody).run().exit(), Exit::Ok);
    maildir
}

const MAILS: usize = 3;
/// More calls of one name than three mails can explain.
const ENOUGH: usize = 100;

#[test]
fn killed_at_each_call_of_a_delivery_nothing_is_lost() {
    for call in ["openat", "flock", "fcntl", "pread64", "pwrite64", "unlinkat", "write"] {
        kill_at_each(call, 200);
    }
}

#[test]
fn killed_at_each_call_of_a_refusal_nothing_is_lost() {
    for call in ["openat", "flock", "fcntl", "pwrite64", "write", "utimensat", "fdatasync", "renameat2"] {
        kill_at_each(call, 422);
    }
}

#[test]
fn killed_at_each_call_of_a_failure_nothing_is_lost() {
    for call in ["openat", "flock", "fcntl", "pwrite64", "write", "utimensat"] {
        kill_at_each(call, 500);
    }
}

/// First at the worker's first call of this name, then at its second, until there is none left to be killed at.
fn kill_at_each(call: &str, status: u16) {
    let kills = (1..ENOUGH).take_while(|&nth| is_killed_at(call, nth, status)).count();
    assert!((MAILS..ENOUGH - 1).contains(&kills), "{call} is called for each mail, but killed it {kills} times");
}

fn is_killed_at(call: &str, nth: usize, status: u16) -> bool {
    let maildir = Maildir::in_memory();
    let app = App::answering(move |_| Answer::status(status));
    let (path, url) = (maildir.path().display(), app.url());
    let toml = format!(
        "maildir = '{path}'\n[target.app]\nurl = '{url}'\nretry = {{ min_delay = '1ms', max_delay = '1ms' }}\n"
    );
    let watch = Maildirq::watch_config(&toml).concurrency(1).start();
    watch.wait_for_event("ready");
    let _ambush = watch.will_die_at(call, nth);
    let mut ledger = Ledger::produce(&maildir, MAILS as u64, nth as u64);
    wait_until("all mails tried, or a death", SOON, || app.count() >= MAILS || !watch.is_running());
    let exit = watch.stop();
    assert!(matches!(exit, KILLED | Exit::Ok), "{exit:?}");

    if status == 500 {
        app.answer_with(|_| Answer::ok());
    }
    let next = Maildirq::drain_config(&toml).arg("--wait-retries").run();
    let what = format!("after {call} {nth}: {:?}", next.exit());
    let verdict = ledger.check(&app.deliveries(), Allowed::crashes(1, 1));
    assert_eq!(
        (verdict.accepted, verdict.dead),
        if status == 422 { (0, MAILS) } else { (MAILS, 0) },
        "{what} {verdict}"
    );
    assert_eq!(hands(&maildir), 0, "{what}");
    exit == KILLED
}

#[test]
fn killed_at_each_call_of_its_first_start_nothing_is_lost() {
    for call in ["mkdirat", "openat", "linkat", "unlinkat", "flock", "fallocate", "renameat", "fsync"] {
        let kills = (1..ENOUGH).take_while(|&nth| is_killed_on_its_first_start(call, nth)).count();
        assert!((1..ENOUGH - 1).contains(&kills), "{call} killed it {kills} times");
    }
}

fn is_killed_on_its_first_start(call: &str, nth: usize) -> bool {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let mut ledger = Ledger::produce(&maildir, 1, nth as u64);
    let drain = Maildirq::drain(maildir.path(), &app.url()).concurrency(1).killed_at(call, nth).run();
    assert!(matches!(drain.exit(), KILLED | Exit::Ok), "{call} {nth}");
    let next = Maildirq::drain(maildir.path(), &app.url()).run();
    assert_eq!(next.exit(), Exit::Ok, "after {call} {nth}");
    assert_eq!(ledger.check(&app.deliveries(), Allowed::crashes(1, 1)).accepted, 1, "{call} {nth}");
    assert_eq!(hands(&maildir), 0, "after {call} {nth}");
    drain.exit() == KILLED
}

#[test]
fn a_request_in_flight_is_taken_over_at_once_and_is_no_death() {
    const LONG: Duration = Duration::from_millis(3500);
    const AT_ONCE: Duration = Duration::from_millis(1500);
    let (maildir, gate) = (Maildir::new(), Gate::closed());
    let app = App::answering(move |_| Answer::ok().through(&gate));
    maildir.deliver("Subject: in flight\n\n.\n");
    let holder = Maildirq::watch(maildir.path(), &app.url()).start();
    app.wait_for_requests(1);
    let other = Maildirq::watch(maildir.path(), &app.url()).start();
    holds_for("one of them has it, however long", LONG, || app.count() == 1);

    app.answer_with(|_| Answer::ok());
    holder.kill9();
    wait_until("the other takes over", AT_ONCE, || app.count() == 2);

    wait_until("it is settled", SOON, || maildir.waiting().is_empty());
    let [first, second] = app.deliveries().try_into().expect("one request of each");
    assert_eq!((&first.id, first.attempt, &first.sha256), (&second.id, second.attempt, &second.sha256));
    assert!(maildir.stories().is_empty(), "nobody died of it");
    wait_until("only the other's own hands are left", SOON, || hands(&maildir) == 1);
    assert_eq!(other.stop(), Exit::Ok);
}

#[test]
fn a_mail_that_kills_whoever_reads_it_is_set_aside_after_three_deaths() {
    const POISON: &str = "Subject: poison\n\n.\n";
    let maildir = served_maildir();
    for deaths in 1..=3 {
        let app = App::accepting();
        die_of_reading(&maildir, &app, POISON);

        let mut innocent = Ledger::produce(&maildir, 5, deaths as u64);
        let drain = Maildirq::drain(maildir.path(), &app.url()).run();
        assert_eq!(drain.exit(), Exit::SomeWait, "what kills is given a rest");
        assert_eq!(innocent.check(&app.deliveries(), Allowed::nothing()).accepted, app.count());
        assert_eq!(events(&maildir), vec!["died"; deaths]);
        maildir.set_due(&maildir.stories()[0], SystemTime::now() + Duration::from_hours(1));
    }

    let app = App::accepting();
    maildir.set_due(&maildir.stories()[0], SystemTime::now());
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::SomeDead);
    assert_eq!((app.count(), maildir.waiting().len()), (0, 0));
    assert_eq!(fs::read_to_string(&maildir.dead()[0]).unwrap(), POISON);
    assert_eq!(events(&maildir), ["died", "died", "died", "dead"]);
    assert_eq!(maildir.story(&maildir.stories()[0])[3]["reason"], "3 processes died over this message");
}

/// Delivers the mail, or makes it due if it is there, and kills the process that reads it.
fn die_of_reading(maildir: &Maildir, app: &App, mail: &str) {
    let watch = Maildirq::watch(maildir.path(), &app.url()).concurrency(1).start();
    watch.wait_for_event("ready");
    let _ambush = watch.will_die_at("pread64", 1);
    match maildir.stories().first() {
        None => drop(maildir.deliver(mail)),
        Some(id) => maildir.set_due(id, SystemTime::now()),
    }
    assert_eq!(watch.exit(), KILLED);
}

/// What the only story tells.
fn events(maildir: &Maildir) -> Vec<String> {
    let lines = maildir.story(&maildir.stories()[0]);
    lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_burial_that_a_kill_cut_short_is_finished_without_another_request() {
    let (maildir, app) = (served_maildir(), App::answering(|_| Answer::status(422)));
    let name = maildir.deliver("Subject: no, thanks\n\n.\n");
    let drain = Maildirq::drain(maildir.path(), &app.url()).killed_at("renameat2", 1).run();
    assert_eq!((drain.exit(), maildir.waiting().len(), maildir.dead().len()), (KILLED, 1, 0));

    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::SomeDead);
    assert_eq!((app.count(), maildir.waiting().len(), maildir.dead().len()), (1, 0, 1));

    app.answer_with(|_| Answer::ok());
    fs::rename(&maildir.dead()[0], maildir.message(name)).unwrap();
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::Ok);
    let deliveries = app.deliveries();
    assert_eq!((deliveries.len(), deliveries[1].attempt), (2, Some(1)), "moved back, it starts afresh");
    assert_eq!(deliveries[0].id, deliveries[1].id);
    assert_eq!(maildir.stories().len(), 0);
}
