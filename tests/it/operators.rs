//! What people and mail programs do to mail while it is worked on (T43): what is taken away is not delivered, what is
//! put back is, with its id; and nothing of it disturbs other mail.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::wait::comes_true;
use crate::support::{
    Allowed, Answer, App, Checkup, Exit, Gate, Launch, Ledger, Maildir, Maildirq, Request, SOON, holds_for, wait_until,
};

const MAIL: &str = "Subject: for a person\n\n.\n";
const OTHERS: u64 = 40;

/// Refused for the time being, unless it is from a ledger.
fn only_bystanders(request: &Request) -> Answer {
    if request.body.starts_with(b"Subject") { Answer::status(400).header("retry-after", 3600) } else { Answer::ok() }
}

/// Of few hands at a time: what each of them opens at its first mail is no growth.
fn watch(maildir: &Maildir, app: &App) -> Launch {
    Maildirq::watch_with(maildir, &app.url(), "retry = { min_delay = '1h', max_delay = '1h' }").concurrency(4)
}

/// As it is when all its threads have begun: what they open then is no growth.
fn at_rest(watch: &Maildirq) -> Checkup<'_> {
    wait_until("it has opened what it needs", SOON, || {
        let files = watch.open_files();
        !comes_true(Duration::from_secs(1), || watch.open_files() != files)
    });
    Checkup::begin(watch)
}

/// Other mail comes and goes as ever, and the watch has neither complained nor grown.
fn all_is_well(maildir: &Maildir, app: &App, watch: &Maildirq, checkup: Checkup<'_>) {
    let left = maildir.waiting();
    let mut others = Ledger::produce(maildir, OTHERS, 43);
    wait_until("other mail is done", SOON, || maildir.waiting() == left);
    let verdict = others.check_with(&of_ledger(app), Allowed::nothing(), &[checkup]);
    assert_eq!(verdict.accepted as u64, OTHERS);
    assert_eq!(watch.stop(), Exit::Ok);
    let problems: Vec<_> =
        watch.log_lines().into_iter().filter(|line| line["level"] == "ERROR" && line["event"] != "dead").collect();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(maildir.hands().is_empty());
}

fn of_ledger(app: &App) -> Vec<crate::support::Delivery> {
    app.deliveries().into_iter().filter(|delivery| delivery.ledger.is_some()).collect()
}

/// Of the requests for other mail than a ledger's.
fn ids(app: &App) -> Vec<String> {
    let requests = app.deliveries().into_iter().filter(|delivery| delivery.ledger.is_none());
    requests.map(|delivery| delivery.id).collect()
}

/// As a mail client does it that somebody has opened.
fn read_by_a_client(maildir: &Maildir, name: &OsStr) -> std::path::PathBuf {
    let seen = maildir.cur_folder().join(format!("{}:2,S", name.display()));
    fs::rename(maildir.message(name), &seen).unwrap();
    seen
}

#[test]
fn what_is_removed_or_opened_while_it_waits_is_not_delivered() {
    let (maildir, app) = (Maildir::new(), App::answering(only_bystanders));
    let names = [(); 2].map(|()| maildir.deliver(MAIL));
    let watch = watch(&maildir, &app).start();
    watch.wait_for_event("ready");
    let checkup = at_rest(&watch);
    wait_until("both wait for a retry", SOON, || maildir.stories().len() == 2);

    fs::remove_file(maildir.message(&names[0])).unwrap();
    let seen = read_by_a_client(&maildir, &names[1]);
    app.answer_with(|_| Answer::ok());
    maildir.stories().iter().for_each(|id| maildir.set_due(id, SystemTime::now()));

    holds_for("nothing comes", Duration::from_millis(300), || app.count() == 2);
    all_is_well(&maildir, &app, &watch, checkup);
    assert_eq!((ids(&app).len(), fs::read_to_string(seen).unwrap().as_str()), (2, MAIL));
}

#[test]
fn what_is_removed_or_opened_while_it_is_in_hand_stays_where_it_was_put() {
    for status in [200, 400, 422, 503] {
        let (maildir, gate) = (Maildir::new(), Gate::closed());
        let held = gate.clone();
        let app = App::answering(move |_| Answer::status(status).through(&held));
        let names = [(); 2].map(|()| maildir.deliver(MAIL));
        let watch = watch(&maildir, &app).start();
        watch.wait_for_event("ready");
        let checkup = at_rest(&watch);
        app.wait_for_requests(2);

        fs::remove_file(maildir.message(&names[0])).unwrap();
        let seen = read_by_a_client(&maildir, &names[1]);
        gate.open();
        let told = || watch.events("attempt").len() + watch.events("dead").len();
        wait_until("both answers are heard", SOON, || told() == 2);
        app.answer_with(|_| Answer::ok());

        all_is_well(&maildir, &app, &watch, checkup);
        assert_eq!((ids(&app).len(), maildir.dead().len(), maildir.waiting().len()), (2, 0, 0), "{status}");
        assert_eq!(fs::read_to_string(seen).unwrap(), MAIL, "{status}");
    }
}

#[test]
fn what_is_put_back_is_delivered_with_the_same_id() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(422)));
    let names = [(); 2].map(|()| maildir.deliver(MAIL));
    let watch = watch(&maildir, &app).start();
    watch.wait_for_event("ready");
    let checkup = at_rest(&watch);
    wait_until("both are dead", SOON, || maildir.dead().len() == 2);
    let before: BTreeSet<_> = ids(&app).into_iter().collect();
    app.answer_with(|_| Answer::ok());

    let [dead, opened] = names.each_ref().map(|name| maildir.path().join(".maildirq.dead/new").join(name));
    fs::rename(dead, maildir.message(&names[0])).unwrap();
    // Somebody has looked at it first.
    fs::rename(opened, maildir.message(format!("{}:2,S", names[1].display()))).unwrap();

    wait_until("both are done", SOON, || maildir.waiting().is_empty());
    assert_eq!((ids(&app).len(), ids(&app)[2..].iter().cloned().collect()), (4, before));
    assert!(app.deliveries()[2..].iter().all(|delivery| delivery.attempt == Some(1)));
    all_is_well(&maildir, &app, &watch, checkup);
}

#[test]
fn what_is_restored_from_a_backup_is_delivered_with_the_ids_that_it_had() {
    const MAILS: usize = 5;
    let (maildir, app) = (Maildir::new(), App::accepting());
    (0..MAILS).for_each(|_| drop(maildir.deliver(MAIL)));
    let backup = maildir.home().join("backup");
    copy(&maildir.new_folder(), &backup);
    let watch = watch(&maildir, &app).start();
    watch.wait_for_event("ready");
    let checkup = at_rest(&watch);
    wait_until("all are done", SOON, || maildir.waiting().is_empty());
    let before: BTreeSet<_> = ids(&app).into_iter().collect();

    copy(&backup.join("."), &maildir.new_folder());

    app.wait_for_requests(2 * MAILS);
    wait_until("all are done again", SOON, || maildir.waiting().is_empty());
    assert_eq!((before.len(), ids(&app)[MAILS..].iter().cloned().collect()), (MAILS, before));
    all_is_well(&maildir, &app, &watch, checkup);
}

#[test]
fn a_touch_brings_nothing_twice() {
    let (maildir, gate) = (Maildir::new(), Gate::closed());
    let held = gate.clone();
    let app = App::answering(move |_| Answer::ok().through(&held));
    let name = maildir.deliver(MAIL);
    let watch = watch(&maildir, &app).start();
    watch.wait_for_event("ready");
    let checkup = at_rest(&watch);
    app.wait_for_requests(1);

    for time in [SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_hours(24)] {
        fs::File::open(maildir.message(&name)).unwrap().set_modified(time).unwrap();
    }
    holds_for("it is in hand", Duration::from_millis(300), || app.count() == 1);
    gate.open();

    wait_until("it is done", SOON, || maildir.waiting().is_empty());
    assert_eq!(ids(&app).len(), 1);
    all_is_well(&maildir, &app, &watch, checkup);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
