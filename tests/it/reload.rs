//! SIGHUP: another configuration, wholly or not at all, and no mail notices.

mod refused;
mod targets;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Allowed, Answer, App, Delivery, Exit, Ledger, Maildir, Maildirq, Request, SOON, holds_for, wait_for, wait_until,
};

const MAIL: &str = "From: ada@example.org\nSubject: reload\n\nHello\n";

fn queue(name: &str, maildir: impl AsRef<Path>) -> String {
    format!("[queue.{name}]\nmaildir = '{}'\n", maildir.as_ref().display())
}

fn target(name: &str, url: &str, settings: &str) -> String {
    format!("[target.{name}]\nurl = '{url}'\n{settings}\n")
}

/// One queue and one target.
fn simple(maildir: &Maildir, url: &str, settings: &str) -> String {
    queue("main", maildir) + &target("app", url, settings)
}

/// Runs on this, and is ready.
#[track_caller]
fn watch(toml: &str) -> Maildirq {
    let watch = Maildirq::watch_config(toml).start();
    watch.wait_for_event("ready");
    watch
}

#[track_caller]
fn assert_one_more_comes(app: &App, maildir: &Maildir) {
    let before = app.count();
    maildir.deliver(MAIL);
    app.wait_for_requests(before + 1);
}

mod under_load {
    use super::*;

    const MAILS: u64 = 600;

    #[test]
    fn no_mail_is_lost_or_doubled_however_often_the_configuration_changes() {
        let maildir = Maildir::in_memory();
        let beside = maildir.beside("beside/Maildir");
        let slowly = |_: &Request| Answer::ok().after(Duration::from_millis(3));
        let [app, other] = [(); 2].map(|()| App::plan(slowly).forgetting().start());
        let configs = [one(&maildir, &app), another(&maildir, &beside, &app, &other)];
        let watch = watch(&configs[0]);
        let mut ledger = Ledger::producing(&maildir, MAILS, 7);
        let mut ledger_beside = Ledger::producing(&beside, MAILS, 8);

        // Often, but not so often that a queue is gone before its mail has been found.
        let mut hang_ups = 0;
        let mut next = Instant::now();
        wait_until("all has arrived, or is dead", 3 * SOON, || {
            if Instant::now() >= next {
                hang_ups += 1;
                watch.hang_up_with(&configs[hang_ups % 2]);
                next = Instant::now() + Duration::from_millis(15);
            }
            let dead = maildir.dead().len() + beside.dead().len();
            app.count() + other.count() + dead >= 2 * usize::try_from(MAILS).unwrap()
        });
        ledger.finish();
        ledger_beside.finish();
        watch.hang_up_with(&configs[1]);
        wait_until("all is done", SOON, || maildir.waiting().is_empty() && beside.waiting().is_empty());

        assert_eq!(watch.stop(), Exit::Ok);
        assert_eq!(watch.events("reload_failed"), [""; 0]);
        assert!(watch.events("reloaded").len() > 20, "{} of {hang_ups}", watch.events("reloaded").len());
        let (here, there): (Vec<_>, Vec<_>) = deliveries(&watch, [&app, &other]);
        ledger.check(&here, Allowed::nothing());
        ledger_beside.check(&there, Allowed::nothing());
        assert_eq!((maildir.dead().len(), beside.dead().len()), (0, 0));
        assert!(app.count() > 0 && other.count() > 0, "{} {}", app.count(), other.count());
    }

    fn one(maildir: &Maildir, app: &App) -> String {
        let route = "[[route]]\nwhen = { queue = 'main' }\ntarget = 'app'\n";
        [&queue("main", maildir), route, &target("app", &app.url(), "concurrency = 4")].concat()
    }

    /// Another queue, another target, other routes, another concurrency. Mail of one configuration's queue would meet
    /// no route among those of the other, and be dead.
    fn another(maildir: &Maildir, beside: &Maildir, app: &App, other: &App) -> String {
        let routes = "[[route]]\nwhen = { queue = 'main', header = { subject = '/[02468]$/' } }\ntarget = 'other'\n\
                      [[route]]\nwhen = { queue = 'main' }\ntarget = 'app'\n\
                      [[route]]\nwhen = { queue = 'beside' }\ntarget = 'other'\n";
        let queues = queue("main", maildir) + &queue("beside", beside) + "max_size = '10MB'\n";
        let targets = target("app", &app.url(), "concurrency = 1") + &target("other", &other.url(), "concurrency = 4");
        [&queues, routes, &targets].concat()
    }

    /// What arrived from each of the two Maildirs, at whichever app: their ledgers count alike.
    fn deliveries(watch: &Maildirq, apps: [&App; 2]) -> (Vec<Delivery>, Vec<Delivery>) {
        let of_beside: BTreeSet<_> = watch
            .events("attempt")
            .into_iter()
            .filter(|attempt| attempt["queue"] == "beside")
            .map(|attempt| attempt["id"].as_str().unwrap().to_owned())
            .collect();
        let all = apps.into_iter().flat_map(App::deliveries);
        all.partition(|delivery| !of_beside.contains(&delivery.id))
    }
}

mod queues {
    use super::*;

    #[test]
    fn a_queue_that_is_gone_is_left_alone_and_one_that_is_new_is_served() {
        let (ada, app) = (Maildir::new(), App::accepting());
        let bob = ada.beside("bob/Maildir");
        bob.deliver(MAIL);
        let to_app = target("app", &app.url(), "");
        let (only_ada, only_bob) = (queue("ada", &ada) + &to_app, queue("bob", &bob) + &to_app);
        let watch = watch(&only_ada);
        assert_one_more_comes(&app, &ada);
        wait_until("ada's mail is done", SOON, || ada.waiting().is_empty());

        watch.reload(&only_bob);
        app.wait_for_requests(2);
        ada.deliver(MAIL);
        assert_one_more_comes(&app, &bob);
        holds_for("ada's mail waits", Duration::from_millis(200), || app.count() == 3);
        assert_eq!(watch.open_files_with(ada.path().to_str().unwrap()), 0);
        assert!(ada.hands().is_empty(), "whoever has let go of it holds nothing there");

        watch.reload(&(queue("ada", &ada) + &only_bob));
        app.wait_for_requests(4);
        assert_eq!(watch.stop(), Exit::Ok);
        assert_eq!((app.count(), ada.waiting().len(), bob.waiting().len()), (4, 0, 0));
    }

    /// It ends where it was going, and then its queue is gone.
    #[test]
    fn what_is_in_hand_of_a_queue_that_is_gone_is_settled() {
        let (ada, (app, gate)) = (Maildir::new(), App::slow());
        let bob = ada.beside("bob/Maildir");
        (0..3).for_each(|_| drop(ada.deliver(MAIL)));
        let to_app = target("app", &app.url(), "concurrency = 1");
        let watch = watch(&(queue("ada", &ada) + &to_app));
        app.wait_for_requests(1);

        watch.reload(&(queue("bob", &bob) + &to_app));
        gate.open();
        wait_until("it is settled", SOON, || ada.waiting().len() == 2 && ada.hands().is_empty());
        assert_one_more_comes(&app, &bob);

        assert_eq!((app.count(), ada.waiting().len(), ada.stories().len()), (2, 2, 0));
        watch.reload(&(queue("ada", &ada) + &to_app));
        app.wait_for_requests(4);
    }

    #[test]
    fn a_setting_that_changes_is_in_force_for_mail_that_waits() {
        let (maildir, (app, gate)) = (Maildir::new(), App::slow());
        (0..10).for_each(|_| drop(maildir.deliver(MAIL)));
        let of_app = target("app", &app.url(), "concurrency = 2");
        let watch = watch(&(queue("main", &maildir) + &of_app));
        app.wait_for_requests(2);

        watch.reload(&(queue("main", &maildir) + "done = 'keep'\n" + &of_app));
        gate.open();

        wait_until("all is done", SOON, || maildir.waiting().is_empty());
        assert_eq!((app.count(), app.overlaps().len()), (10, 0));
        assert_eq!(maildir.done().len(), 8, "of the ten two were in hand before");
    }

    /// A pattern looks for Maildirs from the moment that it is in force.
    #[test]
    fn a_pattern_that_is_new_finds_what_is_made_later() {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let to_app = target("app", &app.url(), "");
        let watch = watch(&(queue("main", &maildir) + &to_app));

        let users = queue("users", maildir.home().join("*/Maildir")) + "rescan = '100ms'\n";
        watch.reload(&(queue("main", &maildir) + &users + &to_app));
        maildir.beside("ada/Maildir").deliver(MAIL);

        app.wait_for_accepted(1);
    }
}
