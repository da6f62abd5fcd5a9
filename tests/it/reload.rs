//! SIGHUP: another configuration, wholly or not at all, and no mail notices.

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

mod refused {
    use super::*;

    #[test]
    fn a_file_with_a_mistake_changes_nothing_and_is_said_where() {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let good = simple(&maildir, &app.url(), "");
        let watch = watch(&good);
        for (bad, words) in [
            (good.replace("maildir =", "maildire ="), &["maildirq.toml:2:1", "maildire"][..]),
            (simple(&maildir, "ftp://app/", ""), &["maildirq.toml:4:7", "ftp:"]),
            (good.clone() + "concurrency = 0\n", &["maildirq.toml:6:15", "concurrency"]),
            (good.clone() + "[target", &["maildirq.toml:6:"]),
            (String::new(), &["maildirq.toml", "maildir"]),
        ] {
            let reason = watch.refuse_to_reload(&bad);
            assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
            assert_one_more_comes(&app, &maildir);
        }
        watch.reload(&good);
        assert_one_more_comes(&app, &maildir);
        assert_eq!(watch.stop(), Exit::Ok);
    }

    #[test]
    fn a_file_that_cannot_be_read_changes_nothing() {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let watch = watch(&simple(&maildir, &app.url(), ""));
        let file = watch.config_file();
        let away = file.with_extension("away");

        fs::rename(&file, &away).unwrap();
        let missing = watch.refuse_to_hang_up();
        assert!(missing.contains("maildirq.toml") && missing.contains("No such file"), "{missing}");
        assert_one_more_comes(&app, &maildir);

        fs::create_dir(&file).unwrap();
        let folder = watch.refuse_to_hang_up();
        assert!(folder.contains("maildirq.toml") && folder.contains("directory"), "{folder}");
        assert_one_more_comes(&app, &maildir);

        fs::remove_dir(&file).unwrap();
        fs::rename(&away, &file).unwrap();
        watch.signal(Signal::HUP);
        watch.wait_for_event("reloaded");
        assert_one_more_comes(&app, &maildir);
    }

    /// A command, a Maildir and a secret that are not there: none of the rest is taken either.
    #[test]
    fn a_configuration_that_cannot_be_used_is_refused_as_a_whole() {
        let (maildir, app, new_app) = (Maildir::new(), App::accepting(), App::accepting());
        let new_maildir = maildir.beside("new/Maildir");
        new_maildir.deliver(MAIL);
        let good = simple(&maildir, &app.url(), "");
        let watch = watch(&good);

        let queues = queue("main", &maildir) + &queue("new", &new_maildir);
        let routes = "[[route]]\nwhen = { queue = 'other' }\ntarget = 'other'\n[[route]]\ntarget = 'app'\n";
        let targets = target("app", &new_app.url(), "") + "[target.other]\n";
        let missing = queue("other", maildir.home().join("nobody/Maildir"));
        let other = queue("other", maildir.beside("other/Maildir"));
        for (parts, word) in [
            ([&other, routes, &targets, "command = ['/nowhere/handler']\n"], "/nowhere/handler"),
            ([&other, routes, &targets, "command = ['no-such-program-anywhere']\n"], "no-such-program-anywhere"),
            ([&missing, routes, &targets, "command = ['/bin/true']\n"], "nobody/Maildir"),
            ([&other, routes, &targets, "url = { file = '/nowhere/secret' }\n"], "/nowhere/secret"),
        ] {
            let reason = watch.refuse_to_reload(&(queues.clone() + &parts.concat()));
            assert!(reason.contains(word), "{reason}");
            assert_one_more_comes(&app, &maildir);
        }
        assert_eq!((new_app.connections(), new_maildir.waiting().len()), (0, 1));

        watch.reload(&(queues + &target("app", &new_app.url(), "")));
        new_app.wait_for_accepted(1);
    }

    #[test]
    fn flags_have_no_file_to_read_again() {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let watch = Maildirq::watch(&maildir, &app.url()).start();
        watch.wait_for_event("ready");

        let reason = watch.refuse_to_hang_up();

        assert!(reason.contains("no configuration file"), "{reason}");
        assert_one_more_comes(&app, &maildir);
        assert_eq!(watch.stop(), Exit::Ok);
    }

    #[test]
    fn whoever_is_about_to_end_does_not_begin_anew() {
        let (maildir, (app, gate), new_app) = (Maildir::new(), App::slow(), App::accepting());
        (0..2).for_each(|_| drop(maildir.deliver(MAIL)));
        let watch = watch(&simple(&maildir, &app.url(), "concurrency = 1"));
        app.wait_for_requests(1);

        watch.signal(Signal::TERM);
        watch.wait_for_event("stopping");
        watch.hang_up_with(&simple(&maildir, &new_app.url(), ""));
        watch.wait_for_event("not_reloaded");
        gate.open();

        assert_eq!(watch.exit(), Exit::Ok);
        assert_eq!((app.count(), new_app.count(), maildir.waiting().len()), (1, 0, 1));
        assert!(watch.events("reloaded").is_empty());
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

mod targets {
    use super::*;

    #[test]
    fn what_was_under_way_ends_at_the_old_url_and_all_else_goes_to_the_new_one() {
        let (maildir, (old, gate), new) = (Maildir::new(), App::slow(), App::accepting());
        (0..10).for_each(|_| drop(maildir.deliver(MAIL)));
        let watch = watch(&simple(&maildir, &old.url(), "concurrency = 3"));
        old.wait_for_requests(3);

        watch.reload(&simple(&maildir, &new.url(), "concurrency = 3"));
        new.wait_for_accepted(7);
        assert_one_more_comes(&new, &maildir);
        wait_until("three are still in hand", SOON, || maildir.waiting().len() == 3);
        gate.open();

        wait_until("all is done", SOON, || maildir.waiting().is_empty());
        assert_eq!(watch.stop(), Exit::Ok);
        assert_eq!((old.count(), new.count(), maildir.stories().len()), (3, 8, 0));
    }

    /// What waits for a retry has no target; it has the routes of the day.
    #[test]
    fn a_retry_goes_where_the_routes_lead_then() {
        let (maildir, new) = (Maildir::new(), App::accepting());
        let old = App::answering(|_| Answer::status(400));
        maildir.deliver(MAIL);
        let watch = watch(&simple(&maildir, &old.url(), "retry = { min_delay = '10m' }"));
        let failed = watch.wait_for_event("attempt");

        watch.reload(&simple(&maildir, &new.url(), ""));
        let id = failed["id"].as_str().unwrap();
        wait_until("it waits", SOON, || !maildir.story(id).is_empty());
        maildir.set_due(id, std::time::SystemTime::now());

        new.wait_for_accepted(1);
        let deliveries = new.deliveries();
        assert_eq!((deliveries[0].id.as_str(), deliveries[0].attempt, old.count()), (id, Some(2), 1));
    }

    #[test]
    fn a_target_that_is_down_stays_down() {
        let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(503)));
        let other = maildir.beside("other/Maildir");
        (0..100).for_each(|_| drop(maildir.deliver(MAIL)));
        let settings = "concurrency = 4\nbreaker = { after = 3, probe = '1h' }";
        let configs =
            [simple(&maildir, &app.url(), settings), queue("other", &other) + &simple(&maildir, &app.url(), settings)];
        let watch = watch(&configs[0]);
        watch.wait_for_event("target_down");
        // What had begun before the target was down ends first.
        watch.wait_until_it_rests("");
        let before = app.count();

        for round in 1..=20 {
            watch.reload(&configs[round % 2]);
        }

        holds_for("it is left in peace", Duration::from_millis(300), || app.count() == before);
        assert!(before <= 3 - 1 + 4, "{before} requests");
        assert_eq!((watch.events("target_down").len(), maildir.waiting().len()), (1, 100));
    }

    #[test]
    fn a_target_that_was_changed_is_tried_anew() {
        let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(503)));
        (0..20).for_each(|_| drop(maildir.deliver(MAIL)));
        let settings = "breaker = { after = 3, probe = '1h' }\nconcurrency = 2";
        let watch = watch(&simple(&maildir, &app.url(), settings));
        watch.wait_for_event("target_down");

        app.answer_with(|_| Answer::ok());
        watch.reload(&simple(&maildir, &app.url(), "breaker = { after = 4, probe = '1h' }\nconcurrency = 2"));

        // Those that failed before the breaker opened have seconds to wait.
        app.wait_for_accepted(16);
    }

    #[test]
    fn more_and_less_may_be_under_way_at_once() {
        let (maildir, (app, gate)) = (Maildir::in_memory(), App::slow());
        (0..40).for_each(|_| drop(maildir.deliver(MAIL)));
        let watch = watch(&simple(&maildir, &app.url(), "concurrency = 2"));
        app.wait_for_requests(2);
        assert_eq!(app.in_hand(), 2);

        watch.reload(&simple(&maildir, &app.url(), "concurrency = 10"));
        wait_until("ten", SOON, || app.in_hand() >= 10);
        // The two that were under way belong to the target as it was.
        holds_for("not much more", Duration::from_millis(100), || app.in_hand() <= 12);

        app.answer_with(|_| Answer::ok().after(Duration::from_millis(5)));
        watch.reload(&simple(&maildir, &app.url(), "concurrency = 1"));
        gate.open();
        app.wait_for_requests(20);
        let crowded = wait_for("one at a time", SOON, || (app.in_hand() <= 1).then(|| app.count()));
        holds_for("and no more than one", Duration::from_millis(50), || app.in_hand() <= 1);
        assert!(crowded < 40);
        wait_until("all is done", SOON, || maildir.waiting().is_empty());
        assert_eq!((app.count(), app.overlaps().len()), (40, 0));
    }

    #[test]
    fn a_secret_that_has_changed_is_used_and_never_shown() {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let secret = maildir.home().join("token");
        let write = |token: &str| {
            fs::write(&secret, format!("{token}\n")).unwrap();
            fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
        };
        write("first-hunter2-token");
        let auth = format!("auth = {{ bearer = {{ file = '{}' }} }}", secret.display());
        let toml = simple(&maildir, &app.url(), &auth);
        let watch = Maildirq::watch_config(&toml).arg("--verbose").start();
        watch.wait_for_event("ready");
        assert_one_more_comes(&app, &maildir);

        write("second-hunter2-token");
        assert_one_more_comes(&app, &maildir);
        watch.reload(&toml);
        assert_one_more_comes(&app, &maildir);

        write("third-hunter2\ntoken-hunter2");
        watch.refuse_to_hang_up();
        fs::remove_file(&secret).unwrap();
        watch.refuse_to_hang_up();
        assert_one_more_comes(&app, &maildir);

        let requests = app.requests();
        let tokens: Vec<_> = requests.iter().filter_map(|request| request.header("authorization")).collect();
        let [first, second] = ["first", "second"].map(|which| format!("Bearer {which}-hunter2-token"));
        assert_eq!(tokens, [&first, &first, &second, &second]);
        assert_eq!(watch.stop(), Exit::Ok);
        assert!(!watch.lines().iter().any(|line| line.contains("-hunter2") || line.contains("-token")));
    }
}
