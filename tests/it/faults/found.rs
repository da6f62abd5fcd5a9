//! What the loops have found, each by its name.

use std::thread::available_parallelism;
use std::time::SystemTime;

use crate::support::{Answer, App, Exit, Maildir, Maildirq, skipped};

const MAIL: &str = "Subject: found\n\n.\n";

#[test]
fn where_there_is_no_thread_to_be_had_it_says_so() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    maildir.deliver(MAIL);
    let cores = available_parallelism().unwrap().get();
    if cores < 2 {
        skipped("a second lane needs a second core");
    }
    // A thread that syncs, and one for each lane; strace counts in the thread that starts them.
    let calls = |lanes: usize| (1..=1 + lanes).map(move |nth| (lanes, nth));
    for (lanes, nth) in (1..=cores.min(2)).flat_map(calls) {
        let failing = Maildirq::drain(&maildir, &app.url()).failing("clone3", "EAGAIN", &nth.to_string());
        let drain = failing.concurrency(lanes).run();
        assert_eq!((drain.exit(), drain.injections()), (Exit::Disk, 1), "{:?}", drain.lines());
        drain.wait_for_line("Resource temporarily unavailable");
        // Whoever leaves one behind has crashed.
        assert!(maildir.hands().is_empty(), "{lanes} lanes, call {nth}: {:?}", maildir.hands());
    }
    assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok);
    assert_eq!(app.count(), 1);
}

#[test]
fn an_id_that_cannot_be_read_is_not_taken_for_a_damaged_one() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok);
    let drain = Maildirq::drain(&maildir, &app.url()).traced(&failing_at(&maildir, "maildirq/id", "read")).run();
    assert_eq!((drain.exit(), drain.injections()), (Exit::Disk, 1), "{:?}", drain.lines());
    drain.wait_for_line("maildirq/id: Input/output error");
}

#[test]
fn a_folder_that_fails_to_close_is_no_bug() {
    for part in ["new", "maildirq/paused"] {
        let (maildir, app) = (Maildir::in_memory(), App::accepting());
        assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok);
        maildir.deliver(MAIL);
        let drain = Maildirq::drain(&maildir, &app.url()).traced(&failing_at(&maildir, part, "close")).run();
        assert!(drain.injections() > 0, "{part}");
        assert_eq!((drain.exit(), app.count()), (Exit::Ok, 1), "{part}: {:?}", drain.lines());
    }
}

#[test]
fn a_death_that_can_be_neither_told_nor_synced_is_logged_once() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    maildir.deliver(MAIL);
    app.answer_with(|_| Answer::status(400));
    assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::SomeWait);
    let id = &maildir.stories()[0];
    maildir.set_due(id, SystemTime::UNIX_EPOCH);
    app.answer_with(|_| Answer::status(422));
    let failing = failing_at(&maildir, &format!("maildirq/story/{id}"), "write,fdatasync");
    let drain = Maildirq::drain(&maildir, &app.url()).traced(&failing).run();
    assert!(drain.injections() > 0);
    assert_eq!((drain.exit(), maildir.dead().len()), (Exit::SomeDead, 1), "{:?}", drain.lines());
    assert_eq!(drain.events("death_not_written").len(), 1, "{:?}", drain.lines());
}

/// EIO at each call of these names that is about this part of the Maildir.
fn failing_at(maildir: &Maildir, part: &str, call: &str) -> [String; 4] {
    let path = maildir.path().join(part).display().to_string();
    ["-P".to_owned(), path, "-e".to_owned(), format!("inject={call}:error=EIO")]
}
