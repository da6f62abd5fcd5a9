//! A disk that is full, write-protected, failing or gone, and what else may run out: nothing is lost, and nothing is
//! sent over and over.

mod full;
mod limits;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::support::disk::set_immutable;
use crate::support::groups::Group;
use crate::support::ledger::number_in;
use crate::support::{
    Allowed, Answer, App, Disk, Exit, Fault, Gate, Launch, Ledger, Maildir, Maildirq, Request, SOON, Script, holds_for,
    skipped, wait_until,
};

const MAIL: &str = "From: ada@example.org\nSubject: disk\n\nHello\n";

/// Searches so often that whatever comes again at a search, comes again here.
fn watch(maildir: &Maildir, app: &App) -> Launch {
    Maildirq::watch_config(&config(maildir, app))
}

fn drain(maildir: &Maildir, app: &App) -> Launch {
    Maildirq::drain_config(&config(maildir, app))
}

fn config(maildir: &Maildir, app: &App) -> String {
    let (path, url) = (maildir.path().display(), app.url());
    format!(
        "maildir = \"{path}\"\nrescan = \"50ms\"\n[target.app]\nurl = \"{url}\"\nbreaker = {{ probe = \"100ms\" }}\n"
    )
}

/// Past the first start, which has files of its own to make.
fn served_before(maildir: Maildir) -> Maildir {
    let maildirq = Maildirq::drain(maildir.path(), "http://127.0.0.1:9/").run();
    assert_eq!(maildirq.exit(), Exit::Ok);
    maildir
}

/// How often each message was posted.
fn posts(app: &App) -> BTreeMap<String, usize> {
    let mut posts = BTreeMap::new();
    for delivery in app.deliveries() {
        *posts.entry(delivery.id).or_default() += 1;
    }
    posts
}

/// T11
#[test]
fn a_mail_that_cannot_be_removed_is_posted_once_by_each_process() {
    for errno in ["EPERM", "EROFS"] {
        let (maildir, app) = (served_before(Maildir::new()), App::accepting());
        let maildirq = watch(&maildir, &app).failing("unlinkat", errno, "1+").start();
        let names: Vec<_> = (0..5).map(|_| maildir.deliver(MAIL)).collect();
        app.wait_for_accepted(5);
        maildirq.wait_for_events("settle_failed", 5);
        holds_for("none is posted again", Duration::from_secs(1), || app.count() == 5);
        assert_eq!(maildirq.stop(), Exit::Ok);
        assert_eq!(maildirq.events("not_removed").len(), 5, "what will come again is said");
        assert_eq!(maildir.waiting().len(), names.len());

        let after_repair = drain(&maildir, &app).run();
        assert_eq!(after_repair.exit(), Exit::Ok);
        assert_eq!(maildir.waiting().len(), 0);
        assert_eq!(posts(&app).into_values().collect::<Vec<_>>(), [2; 5], "the same five, once more");
    }
}

/// T11
#[test]
fn what_could_not_be_removed_is_removed_when_it_can_be() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let name = maildir.deliver(MAIL);
    let message = maildir.message(&name);
    if !set_immutable(&message, true) {
        return skipped("chattr +i is not to be had here");
    }
    let maildirq = watch(&maildir, &app).start();
    app.wait_for_accepted(1);
    maildirq.wait_for_event("settle_failed");
    maildir.deliver(MAIL);
    app.wait_for_accepted(2);
    holds_for("it is not posted again", Duration::from_secs(1), || app.count() == 2 && message.exists());

    assert!(set_immutable(&message, false));
    wait_until("it is removed", SOON, || !message.exists());
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), maildir.waiting().len()), (2, 0));
}

/// T11
#[test]
fn where_nothing_can_be_removed_little_is_posted() {
    let (maildir, app) = (served_before(Maildir::in_memory()), App::accepting());
    for _ in 0..100 {
        maildir.deliver(MAIL);
    }
    let maildirq = watch(&maildir, &app).failing("unlinkat", "EPERM", "1+").start();
    maildirq.wait_for_event("queue_fault");
    let so_far = app.count();
    assert!(so_far < 50, "{so_far} were posted that cannot be removed");
    holds_for("nothing more is posted", Duration::from_secs(1), || app.count() <= so_far + 8);
    assert!(posts(&app).into_values().all(|times| times == 1));
    assert_eq!(maildir.waiting().len(), 100);
}

/// T12
#[test]
fn from_a_write_protected_disk_nothing_is_posted() {
    for served in [false, true] {
        let Some(disk) = Disk::tmpfs("size=4m") else { return };
        let maildir = Maildir::under(disk.path());
        let (maildir, app) = (if served { served_before(maildir) } else { maildir }, App::accepting());
        maildir.deliver(MAIL);
        disk.write_protect();
        for launch in [watch(&maildir, &app), drain(&maildir, &app)] {
            let maildirq = launch.log_text().run();
            assert_eq!(maildirq.exit(), Exit::Disk);
            let said = maildirq.lines().join("\n");
            assert!(said.contains("Maildir/new") && said.contains("Read-only file system"), "{said}");
        }
        assert_eq!(app.count(), 0);
    }
}

/// T12
#[test]
fn a_disk_that_gives_up_stops_the_posting_but_not_the_daemon() {
    let Some(disk) = Disk::ext4() else { return };
    let maildir = Maildir::under(disk.path());
    let gate = Gate::closed();
    let app = App::answering({
        let gate = gate.clone();
        move |_| Answer::ok().through(&gate)
    });
    let mut ledger = Ledger::produce(&maildir, 5, 12);
    let maildirq = watch(&maildir, &app).concurrency(1).start();
    app.wait_for_requests(1);
    disk.give_up();
    gate.open();
    let fault = maildirq.wait_for_event("queue_fault");
    assert!(fault["reason"].as_str().unwrap().contains("Read-only file system"), "{fault}");
    holds_for("nothing is posted", Duration::from_secs(2), || app.count() == 1);
    assert!(maildirq.is_running());
    assert_eq!(maildirq.events("queue_fault").len(), 1, "it is said once");
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!(maildir.waiting().len(), 5);

    disk.unmount();
    disk.mount_again();
    assert_eq!(drain(&maildir, &app).run().exit(), Exit::Ok);
    let verdict = ledger.check(&app.deliveries(), Allowed::crashes(1, 1));
    assert_eq!((verdict.accepted, verdict.duplicates), (5, 1), "the one that was taken could not be removed");
}

/// One in eight is refused, and one fails at first.
fn answer_by_number(request: &Request) -> Answer {
    match (number_in(&request.body).map(|number| number % 8), request.attempt()) {
        (Some(3), _) => Answer::status(422),
        (Some(5), Some(1)) => Answer::status(400).header("retry-after", 1),
        _ => Answer::ok(),
    }
}

/// T14. Nothing could be moved there in one step.
#[test]
fn folders_on_another_disk_are_refused() {
    for (folder, done) in [(".maildirq.dead", "remove"), (".maildirq.done", "keep")] {
        let (maildir, app) = (served_before(Maildir::new()), App::accepting());
        let place = maildir.path().join(folder);
        fs::create_dir_all(&place).unwrap();
        let Some(_disk) = Disk::tmpfs_over(&place) else { return };
        maildir.deliver(MAIL);
        let toml = format!("done = '{done}'\n{}", config(&maildir, &app));
        for launch in [Maildirq::watch_config(&toml), Maildirq::drain_config(&toml)] {
            let maildirq = launch.log_text().run();
            assert_eq!(maildirq.exit(), Exit::Config);
            maildirq.wait_for_line(&format!("{folder}/new is not on the file system of"));
        }
        assert_eq!((app.count(), maildir.waiting().len()), (0, 1));
    }
}

/// T17. Whoever holds on to the disk that is gone would take its mail for that of the Maildir.
#[test]
fn a_disk_that_is_unmounted_and_mounted_again_is_served_again() {
    let Some(disk) = Disk::ext4() else { return };
    let maildir = Maildir::under(disk.path());
    let app = App::accepting();
    let maildirq = watch(&maildir, &app).start();
    let mut ledger = Ledger::produce(&maildir, 10, 17);
    wait_until("all is settled", SOON, || maildir.waiting().is_empty());

    disk.unmount();
    maildirq.wait_for_event("hampered");
    holds_for("nothing is made where the disk was", Duration::from_millis(500), || {
        fs::read_dir(disk.path()).unwrap().count() == 0
    });
    assert!(maildirq.is_running());
    disk.mount_again();
    ledger.produce_more(10, 18);
    wait_until("all is settled", SOON, || maildir.waiting().is_empty());
    maildirq.wait_for_event("well");
    assert_eq!(maildirq.stop(), Exit::Ok);
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!(verdict.accepted, 20, "{verdict}");
}
