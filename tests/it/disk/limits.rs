//! T38. Too few open files, and no more processes.

use super::*;

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
