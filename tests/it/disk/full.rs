//! T13. A disk without room: of bytes, or of inodes.

use super::*;

type Make = fn() -> Option<Disk>;
type Fill = fn(&Disk);

/// A small disk, and what then fills it.
const WAYS_TO_BE_FULL: [(Make, Fill); 4] = [
    (|| Disk::tmpfs("size=1m"), Disk::fill),
    (|| Disk::tmpfs("nr_inodes=200"), Disk::fill_inodes),
    (Disk::ext4, Disk::fill),
    (Disk::ext4, Disk::fill_inodes),
];

fn later(status: u16) -> Answer {
    Answer::status(status).header("retry-after", 3600)
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
