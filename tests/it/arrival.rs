//! Mail is noticed however it arrives, whatever becomes of `new/`, with inotify and without.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::wait::comes_true;
use crate::support::{Allowed, App, Exit, Launch, Ledger, Maildir, Maildirq, SOON, holds_for, skipped, wait_until};

const MAIL: &str = "From: ada@example.org\nSubject: arrival\n\nHello\n";

/// A daemon whose searches are so far apart that only an event can tell it of mail.
fn watch_by_events(maildir: &Maildir, app: &App) -> Launch {
    watch(maildir, app, "1h")
}

fn watch(maildir: &Maildir, app: &App, rescan: &str) -> Launch {
    let (path, url) = (maildir.path().display(), app.url());
    Maildirq::watch_config(&format!("maildir = \"{path}\"\nrescan = \"{rescan}\"\n[target.app]\nurl = \"{url}\"\n"))
}

/// T18
#[test]
fn mail_is_posted_once_however_it_is_put_into_new() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let early = maildir.deliver("From: early@example.org\n\nthere before the start\n");
    let maildirq = watch_by_events(&maildir, &app).start();
    app.wait_for_accepted(1);
    wait_until("it is out of new/", SOON, || !maildir.message(&early).exists());

    maildir.deliver("From: linked@example.org\n\nas Postfix does it\n");
    app.wait_for_accepted(2);
    maildir.deliver_by_rename("From: renamed@example.org\n\nas Dovecot does it\n");
    app.wait_for_accepted(3);
    let mut copy = maildir.deliver_slowly();
    copy.write("From: copied@example.org\n\nas cp does it\n");
    copy.finish();
    app.wait_for_accepted(4);

    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), maildir.waiting().len()), (4, 0));
}

/// T18
#[test]
fn a_mail_that_is_still_being_written_is_posted_when_it_is_whole() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let mut copy = maildir.deliver_slowly();
    copy.write("From: slow@example.org\n\nfirst half, ");
    let maildirq = watch_by_events(&maildir, &app).start();
    holds_for("its writer may be idle for long", Duration::from_millis(2500), || app.count() == 0);
    copy.write("second half\n");
    holds_for("it is open still", Duration::from_millis(1200), || app.count() == 0);
    copy.finish();
    app.wait_for_accepted(1);

    maildirq.stop();
    let bodies: Vec<_> = app.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"From: slow@example.org\n\nfirst half, second half\n"]);
}

/// T18
#[test]
fn a_writer_that_has_stalled_holds_up_nobody_else() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let mut stalled = maildir.deliver_slowly();
    stalled.write("From: stalled@example.org\n\nto be continu");
    let maildirq = watch_by_events(&maildir, &app).start();
    for done in 1..=20 {
        maildir.deliver(MAIL);
        app.wait_for_accepted(done);
    }
    maildirq.stop();
    assert_eq!(app.count(), 20);
    assert_eq!(maildir.waiting(), [stalled.finish()]);
}

/// T17
#[test]
fn a_new_folder_that_takes_the_place_of_new_is_served() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let maildirq = watch_by_events(&maildir, &app).start();
    maildirq.wait_for_event("ready");
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);

    let old = maildir.path().join("new.old");
    fs::rename(maildir.new_folder(), &old).unwrap();
    fs::create_dir(maildir.new_folder()).unwrap();
    maildir.deliver(MAIL);
    app.wait_for_accepted(2);
    maildir.deliver(MAIL);
    app.wait_for_accepted(3);

    fs::write(old.join("1762087331.M1.mx"), MAIL).unwrap();
    maildir.deliver(MAIL);
    app.wait_for_accepted(4);
    maildirq.stop();
    assert_eq!(app.count(), 4, "what lies in the old folder is nobody's business");
}

/// T17
#[test]
fn a_deleted_new_is_complained_of_and_never_made() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let maildirq = watch(&maildir, &app, "100ms").start();
    maildirq.wait_for_event("ready");

    fs::remove_dir_all(maildir.new_folder()).unwrap();
    assert!(maildirq.wait_for_event("hampered")["reason"].as_str().unwrap().contains("new"));
    holds_for("it is not made anew", Duration::from_millis(500), || !maildir.new_folder().exists());
    assert!(maildirq.is_running());
    let said = maildirq.events("hampered");
    assert!(said.len() <= 2, "searching and watching are both hampered, and each is said once: {said:#?}");

    fs::create_dir(maildir.new_folder()).unwrap();
    maildirq.wait_for_event("well");
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);
}

/// T17
#[test]
fn a_maildir_that_was_moved_away_is_complained_of_until_it_is_back() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let maildirq = watch(&maildir, &app, "100ms").start();
    maildirq.wait_for_event("ready");

    let away = maildir.path().with_extension("away");
    fs::rename(maildir.path(), &away).unwrap();
    maildirq.wait_for_event("hampered");
    holds_for("it is not made anew", Duration::from_millis(300), || !maildir.path().exists());

    fs::rename(&away, maildir.path()).unwrap();
    maildirq.wait_for_event("well");
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);
}

/// T16
#[test]
fn without_inotify_new_is_searched_instead() {
    const AT_ONCE: usize = 20;
    for (call, errno) in [("inotify_init1", "EMFILE"), ("inotify_add_watch", "ENOSPC")] {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let maildirq = watch_by_events(&maildir, &app).failing(call, errno, "1+").start();
        let complaint = maildirq.wait_for_event("hampered");
        assert_eq!(complaint["level"], "WARN");
        assert!(complaint["reason"].as_str().unwrap().contains("searching it every 1s"), "{complaint}");
        for delivered in 1..=3 {
            maildir.deliver(MAIL);
            app.wait_for_accepted(delivered);
        }
        assert!(maildirq.injections() > 0);

        // Nothing tells of a pause, either; it takes much mail at once for anybody to have asked.
        for _ in 0..AT_ONCE {
            maildir.deliver(MAIL);
        }
        app.wait_for_accepted(3 + AT_ONCE);
        let marker = maildir.path().join("maildirq/paused/app");
        fs::write(&marker, "").unwrap();
        maildir.deliver(MAIL);
        maildirq.wait_for_event("paused");
        holds_for("it is kept back", Duration::from_millis(1500), || maildir.waiting().len() == 1);
        fs::remove_file(marker).unwrap();
        app.wait_for_accepted(4 + AT_ONCE);
        assert_eq!(maildirq.stop(), Exit::Ok);
        assert_eq!(maildirq.events("hampered").len(), 1, "it is said once");
        assert_eq!((app.count(), maildir.waiting().len()), (4 + AT_ONCE, 0));
    }
}

/// T16. Not one call fails that the kernel would not fail: it has none to give to those in this user namespace.
#[test]
fn where_the_kernel_gives_no_inotify_all_mail_is_delivered() {
    let namespace = ["unshare", "--user", "--map-root-user"];
    if !Command::new(namespace[0]).args(&namespace[1..]).arg("true").status().is_ok_and(|end| end.success()) {
        return skipped("no user namespace can be made");
    }
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let (maildir, app) = (Maildir::in_memory(), App::accepting());
        let without = format!("echo 0 >/proc/sys/user/{limit} && exec \"$@\"");
        let wrapper = [&namespace[..], &["sh", "-c", &without, "sh"]].concat();
        let maildirq = watch_by_events(&maildir, &app).by_way_of(&wrapper).start();
        let complaint = maildirq.wait_for_event("hampered");
        assert!(complaint["reason"].as_str().unwrap().contains("searching it every 1s"), "{complaint}");
        let mut ledger = Ledger::produce(&maildir, 100, 16);
        wait_until("all is found", SOON, || maildir.waiting().is_empty());
        assert_eq!(maildirq.stop(), Exit::Ok);
        assert_eq!(maildirq.events("hampered").len(), 1, "it is said once");
        assert_eq!(ledger.check(&app.deliveries(), Allowed::nothing()).accepted, 100);
    }
}

/// T16
#[test]
fn inotify_is_used_as_soon_as_there_is_one() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let maildirq = watch_by_events(&maildir, &app).failing("inotify_init1", "EMFILE", "1").start();
    maildirq.wait_for_event("hampered");
    maildirq.wait_for_event("well");
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);
}

#[test]
fn where_events_cannot_be_read_for_a_moment_a_search_finds_what_they_were_of() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let failing = ["-P", "anon_inode:inotify", "-e", "trace=read", "-e", "inject=read:error=EIO:when=2"];
    let maildirq = watch_by_events(&maildir, &app).traced(&failing).start();
    maildirq.wait_for_event("ready");
    // The first may have been there when it began to listen.
    (0..4).for_each(|_| drop(deliver_and_wait(&maildir)));
    maildirq.wait_for_event("watch_failed");
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!(app.count(), 4);
}

/// T15. The limit belongs to the whole machine, so the queue of a daemon that sleeps is filled instead.
#[test]
fn mail_that_inotify_could_not_tell_of_is_found() {
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    if limit > 100_000 {
        return skipped(format_args!("this machine queues {limit} events, too many to fill that up"));
    }
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let maildirq = watch_by_events(&maildir, &app).start();
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);

    maildirq.signal(Signal::STOP);
    // More than the limit: the daemon may read some before it is asleep.
    raise_events(&maildir.new_folder(), 2 * limit);
    let mut ledger = Ledger::produce(&maildir, 1000, 15);
    maildirq.signal(Signal::CONT);
    maildirq.wait_for_event("overflow");
    app.wait_for_accepted(1001);
    assert_eq!(maildirq.stop(), Exit::Ok);
    let deliveries: Vec<_> = app.deliveries().into_iter().filter(|delivery| delivery.ledger.is_some()).collect();
    assert_eq!(ledger.check(&deliveries, Allowed::nothing()).accepted, 1000);
    assert_eq!((app.count(), maildir.waiting().len()), (1001, 0));
}

/// A dotfile is no mail; but it is created and closed, and each is an event.
fn raise_events(folder: &Path, count: usize) {
    for number in 0..count.div_ceil(2) {
        let file = folder.join(format!(".{number}"));
        File::create(&file).unwrap();
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_daemon_does_not_wake_for_what_it_does_itself() {
    const MAILS: u64 = 30;
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let maildirq = watch_by_events(&maildir, &app).start();
    maildirq.wait_for_event("ready");
    deliver_and_wait(&maildir);

    let (lanes, watchers) = (maildirq.naps("lane-"), maildirq.naps("notify"));
    assert!(lanes > 0 && watchers > 0, "the threads that read events are called otherwise now");
    for _ in 0..MAILS {
        deliver_and_wait(&maildir);
    }
    let (lanes, watchers) = (maildirq.naps("lane-") - lanes, maildirq.naps("notify") - watchers);
    // By the mail, and by the answer of the application; a few beside these are of timers.
    assert!(lanes < MAILS * 5 / 2, "{MAILS} mails arrived, but a lane woke {lanes} times");
    assert!(
        watchers < MAILS / 2,
        "{MAILS} mails arrived, which nobody else is to hear of, but one woke {watchers} times"
    );
}

/// To wake another thread takes longer than most of what there is to do.
#[test]
fn whoever_hears_of_a_mail_sends_it() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let maildirq =
        watch_by_events(&maildir, &app).traced(&["-s", "300", "-e", "trace=read,writev,futex,write"]).start();
    maildirq.wait_for_event("ready");
    // The first may have been there when it began to listen, and the next needs a connection.
    (0..2).for_each(|_| drop(deliver_and_wait(&maildir)));
    let names: Vec<_> = (0..5).map(|_| deliver_and_wait(&maildir)).collect();
    assert_eq!(maildirq.stop(), Exit::Ok);

    let trace = maildirq.trace();
    let thread_of = |call: &str| call.split_whitespace().next().map(str::to_owned);
    for name in names {
        let mut calls =
            trace.lines().skip_while(|call| !(call.contains(" read") && call.contains(name.to_str().unwrap())));
        let thread = thread_of(calls.next().expect("it is heard of"));
        let next: Vec<_> = calls.filter(|call| thread_of(call) == thread).collect();
        let sent = next.iter().position(|call| call.contains("writev(") && call.contains("POST "));
        let before = &next[..sent.expect("the same thread sends it")];
        let wakes = |call: &&&str| call.contains("FUTEX_WAKE") || call.contains(" write(");
        assert_eq!(before.iter().find(wakes), None, "nobody else is woken before that");
    }
}

/// The one who hears of mail is not the only one to send it.
#[test]
fn mail_that_comes_while_other_mail_is_being_sent_is_sent_beside_it() {
    let maildir = Maildir::new();
    let (app, gate) = App::slow();
    let maildirq = watch_by_events(&maildir, &app).start();
    maildirq.wait_for_event("ready");
    for count in 1..=8 {
        maildir.deliver(MAIL);
        app.wait_for_requests(count);
    }
    gate.open();
    app.wait_for_accepted(8);
    assert_eq!(maildirq.stop(), Exit::Ok);
}

fn deliver_and_wait(maildir: &Maildir) -> OsString {
    let name = maildir.deliver(MAIL);
    wait_until("it is posted and removed", SOON, || !maildir.message(&name).exists());
    name
}

#[test]
fn an_idle_daemon_sleeps() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let config = format!(
        "maildir = \"{}\"\nrescan = \"1h\"\n[target.app]\nurl = \"{}\"\nidle_timeout = \"100ms\"\n",
        maildir.path().display(),
        app.url()
    );
    let maildirq = Maildirq::watch_config(&config).start();
    deliver_and_wait(&maildir);

    let sleeps_on = |period| {
        let naps = maildirq.naps("");
        !comes_true(period, || maildirq.naps("") != naps)
    };
    assert!(comes_true(SOON, || sleeps_on(Duration::from_secs(2))), "it does not come to rest");
}
