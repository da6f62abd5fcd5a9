//! A disk that is full, write-protected or failing: nothing is lost, and nothing is sent over and over.

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

type Make = fn() -> Option<Disk>;
type Fill = fn(&Disk);
/// A small disk, and what then fills it.
const WAYS_TO_BE_FULL: [(Make, Fill); 4] = [
    (|| Disk::tmpfs("size=1m"), Disk::fill),
    (|| Disk::tmpfs("nr_inodes=200"), Disk::fill_inodes),
    (Disk::ext4, Disk::fill),
    (Disk::ext4, Disk::fill_inodes),
];

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

fn later(status: u16) -> Answer {
    Answer::status(status).header("retry-after", 3600)
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

/// T13
#[test]
fn on_a_full_disk_mail_is_taken_and_what_fails_waits() {
    for (make, fill) in WAYS_TO_BE_FULL {
        let Some(disk) = make() else { return };
        let (maildir, app) = (served_before(Maildir::under(disk.path())), App::answering(|_| later(400)));
        for _ in 0..5 {
            maildir.deliver(MAIL);
        }
        fill(&disk);
        let maildirq = watch(&maildir, &app).start();
        maildirq.wait_for_event("hampered");
        app.wait_for_requests(5);
        holds_for("each waits for its hour", Duration::from_secs(1), || app.count() == 5);
        assert_eq!(maildir.waiting().len(), 5);
        assert_eq!(maildirq.stop(), Exit::Ok);

        app.answer_with(|_| Answer::ok());
        disk.make_room();
        let late = maildir.deliver(MAIL);
        fill(&disk);
        let maildirq = watch(&maildir, &app).start();
        app.wait_for_accepted(1);
        wait_until("what is taken goes", SOON, || !maildir.message(&late).exists());
        assert_eq!(maildirq.stop(), Exit::Ok);
    }
}

/// T13
#[test]
fn a_disk_that_fills_up_does_not_stop_a_running_daemon() {
    for (make, fill) in WAYS_TO_BE_FULL {
        let Some(disk) = make() else { return };
        let maildir = Maildir::under(disk.path());
        let (failing, succeeding) = (Gate::closed(), Gate::closed());
        let app = App::answering({
            let (failing, succeeding) = (failing.clone(), succeeding.clone());
            move |request| match request.body.last() {
                Some(b'd') => Answer::status(422).through(&failing),
                Some(b'r') => later(400).through(&failing),
                _ => Answer::ok().through(&succeeding),
            }
        });
        let maildirq = watch(&maildir, &app).start();
        let [_, retried, dead] = ["ok", "r", "d"].map(|body| maildir.deliver(format!("Subject: full\n\n{body}")));
        app.wait_for_requests(3);
        fill(&disk);
        failing.open();
        wait_until("the refused one is dead", SOON, || maildir.dead().len() == 1);
        succeeding.open();
        wait_until("the taken one is gone", SOON, || maildir.waiting() == [retried.clone()]);
        holds_for("nothing is posted again", Duration::from_secs(1), || app.count() == 3);
        assert_eq!(maildir.dead()[0].file_name(), Some(&*dead));
        assert_eq!(maildirq.events("death_not_written").len(), 1, "its reason is not in its story");
        assert!(maildirq.is_running());
        assert_eq!(maildirq.stop(), Exit::Ok);
    }
}

/// T13
#[test]
fn the_time_of_a_retry_outlives_a_restart_on_a_full_disk() {
    let Some(disk) = Disk::tmpfs("size=1m") else { return };
    let (maildir, app) = (served_before(Maildir::under(disk.path())), App::answering(|_| later(400)));
    for _ in 0..5 {
        maildir.deliver(MAIL);
    }
    disk.fill();
    for _ in 0..2 {
        let maildirq = drain(&maildir, &app).run();
        assert_eq!(maildirq.exit(), Exit::SomeWait);
        assert_eq!(app.count(), 5);
    }
}

/// T13
#[test]
fn a_first_start_on_a_full_disk_says_so_and_leaves_nothing_half_made() {
    let Some(disk) = Disk::tmpfs("size=1m") else { return };
    let (maildir, app) = (Maildir::under(disk.path()), App::accepting());
    maildir.deliver(MAIL);
    disk.fill();
    for _ in 0..3 {
        let maildirq = watch(&maildir, &app).log_text().run();
        assert_eq!(maildirq.exit(), Exit::Disk);
        maildirq.wait_for_line("No space left on device");
    }
    let left: Vec<_> =
        fs::read_dir(maildir.path().join("maildirq")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.is_dir()), "{left:?}");
    assert_eq!(app.count(), 0);

    disk.make_room();
    assert_eq!(drain(&maildir, &app).run().exit(), Exit::Ok);
    assert_eq!(app.count(), 1);
}

/// T13. What waits on a full disk goes each way there is, and the books balance.
#[test]
fn a_backlog_on_a_full_disk_is_settled() {
    for (make, fill) in WAYS_TO_BE_FULL {
        let Some(disk) = make() else { return };
        let maildir = served_before(Maildir::under(disk.path()));
        let mut ledger = Ledger::produce(&maildir, 32, 13);
        fill(&disk);
        let app = App::plan(answer_by_number).forgetting().start();
        let maildirq = watch(&maildir, &app).start();
        wait_until("all is settled", SOON, || maildir.waiting().is_empty());
        assert_eq!(maildirq.stop(), Exit::Ok);

        let mut verdict = ledger.audit(&app.deliveries(), Allowed::nothing());
        let in_log = maildirq.events("death_not_written").len();
        let without_reason = verdict.faults.iter().filter(|fault| matches!(fault, Fault::NoReason { .. })).count();
        assert!(without_reason <= in_log, "{in_log} reasons are in the log instead: {verdict}");
        verdict.faults.retain(|fault| !matches!(fault, Fault::NoReason { .. }));
        assert!(verdict.faults.is_empty(), "{verdict}");
        assert_eq!((verdict.accepted, verdict.dead), (28, 4), "{verdict}");
    }
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

/// T38
#[test]
fn where_few_files_may_be_open_fewer_mails_are_worked_on_at_a_time() {
    const MAILS: usize = 60;
    let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::ok().after(Duration::from_millis(20))));
    for _ in 0..MAILS {
        maildir.deliver(MAIL);
    }
    let maildirq = watch(&maildir, &app).concurrency(MAILS).by_way_of(&["prlimit", "--nofile=80"]).start();
    assert_eq!(maildirq.wait_for_event("hampered")["asked"], MAILS);
    app.wait_for_accepted(MAILS);
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert!(!maildirq.lines().concat().contains("Too many open files"));
    assert!(app.most_at_once() < MAILS);
    assert_eq!((app.count(), maildir.waiting().len()), (MAILS, 0));
}

/// T38
#[test]
fn with_forty_open_files_all_mail_is_delivered() {
    let (maildir, app) = (Maildir::in_memory(), App::plan(answer_by_number).forgetting().start());
    let mut ledger = Ledger::produce(&maildir, 200, 38);
    let maildirq = watch(&maildir, &app).concurrency(32).by_way_of(&["prlimit", "--nofile=40"]).start();
    ledger.produce_more(200, 39);
    wait_until("all is settled", SOON, || maildir.waiting().is_empty());
    assert!(maildirq.events("hampered")[0]["asked"] == 32, "it says that it does less than it was asked to");
    assert_eq!(maildirq.stop(), Exit::Ok);
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, verdict.dead), (350, 50), "{verdict}");
}

/// T38
#[test]
fn when_no_more_processes_can_be_started_mail_waits_until_they_can() {
    let (maildir, script) = (Maildir::in_memory(), Script::new("cat >/dev/null; echo >>runs"));
    let maildirq = Maildirq::watch_config(&script.config(&maildir, "breaker = { probe = '100ms' }")).start();
    maildirq.wait_for_event("ready");
    let Some(group) = Group::of(&maildirq) else { return };
    group.allow_processes(Some(0));
    for _ in 0..10 {
        maildir.deliver(MAIL);
    }
    maildirq.wait_for_line("Resource temporarily unavailable");
    holds_for("nothing is run", Duration::from_secs(1), || maildirq.is_running() && script.told("runs").is_none());
    assert_eq!((maildir.waiting().len(), maildir.dead().len()), (10, 0));
    group.allow_processes(None);
    wait_until("all is done", SOON, || maildir.waiting().is_empty());
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((script.told("runs").unwrap().len(), maildir.dead().len()), (10, 0));
}

/// T38
#[test]
fn when_no_more_files_can_be_opened_mail_waits_until_they_can() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let maildirq = watch(&maildir, &app).start();
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);

    let enough = limit_open_files(&maildirq, Some(0));
    for _ in 0..10 {
        maildir.deliver(MAIL);
    }
    maildirq.wait_for_line("Too many open files");
    holds_for("nothing can be posted", Duration::from_secs(1), || maildirq.is_running() && app.count() == 1);
    limit_open_files(&maildirq, enough);
    app.wait_for_accepted(11);
    wait_until("all are removed", SOON, || maildir.waiting().is_empty());
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), maildir.dead().len()), (11, 0));
}

/// What is open stays open. Returns the limit that was.
fn limit_open_files(maildirq: &Maildirq, current: Option<u64>) -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    prlimit(Some(maildirq.pid()), Resource::Nofile, Rlimit { current, maximum }).unwrap().current
}
