//! Many Maildirs in one process: each is served as if it were alone, and none pays for another's trouble.

mod crowd;
mod globs;
mod trouble;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::maildir::unique_name;
use crate::support::{Answer, App, Exit, Gate, Maildir, Maildirq, Request, SOON, holds_for, wait_until};

const MAIL: &str = "From: ada@example.org\nSubject: one of many\n\nHello\n";
const NOBODY: u32 = 65534;

fn queue(name: &str, maildir: impl AsRef<Path>) -> String {
    format!("[queue.{name}]\nmaildir = '{}'\n", maildir.as_ref().display())
}

fn target(app: &App) -> String {
    format!("[target.app]\nurl = '{}'\n", app.url())
}

fn mail_of(whose: &str) -> String {
    format!("From: ada@example.org\nSubject: {whose}\n\nHello\n")
}

/// The subjects that have arrived, and how often each.
fn arrived(app: &App) -> BTreeMap<String, usize> {
    let mut arrived = BTreeMap::new();
    for request in app.requests() {
        let text = String::from_utf8(request.body).unwrap();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
        *arrived.entry(subject.to_owned()).or_default() += 1;
    }
    arrived
}

fn once_each<'a>(subjects: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, usize> {
    subjects.into_iter().map(|subject| (subject.clone(), 1)).collect()
}

mod two {
    use super::*;

    fn ada_and_bob() -> [Maildir; 2] {
        let ada = Maildir::in_memory();
        let bob = ada.beside("bob/Maildir");
        [ada, bob]
    }

    #[test]
    fn a_drain_counts_what_is_in_both() {
        let ([ada, bob], app) = (ada_and_bob(), App::answering(by_size));
        for maildir in [&ada, &bob] {
            maildir.deliver_as("1700000000.M1P1.mx", mail_of("fine"));
            maildir.deliver(mail_of("bad").repeat(10));
            maildir.deliver(mail_of("not now").repeat(100));
        }
        bob.deliver(mail_of("fine, too"));
        let toml = [queue("ada", &ada), queue("bob", &bob), target(&app)].concat();

        let look = Maildirq::drain_config(&toml).arg("--dry-run").run();
        assert_eq!(look.stdout(), "7 messages wait, the oldest since 2023-11-14T22:13:20Z");
        assert_eq!((look.exit(), app.count()), (Exit::Ok, 0));

        let drain = Maildirq::drain_config(&toml).log_text().run();
        drain.wait_for_line("3 done, 2 waiting, 2 dead, in ");
        assert_eq!(drain.exit(), Exit::SomeDead);

        let look = Maildirq::drain_config(&toml).arg("--dry-run").run();
        assert!(look.stdout().starts_with("2 messages wait (2 of them for a retry)"), "{}", look.stdout());
    }

    fn by_size(request: &Request) -> Answer {
        match request.body.len() {
            0..100 => Answer::ok(),
            100..1000 => Answer::status(422),
            _ => Answer::status(400).header("retry-after", 1000),
        }
    }

    #[test]
    fn a_target_can_be_paused_for_one_queue() {
        let ([ada, bob], app) = (ada_and_bob(), App::accepting());
        let toml = ["rescan = '1h'\n".to_owned(), queue("ada", &ada), queue("bob", &bob), target(&app)].concat();
        let watch = Maildirq::watch_config(&toml).start();
        watch.wait_for_event("ready");
        let marker = ada.path().join("maildirq/paused/app");
        File::create(&marker).unwrap();

        for number in 0..20 {
            ada.deliver(mail_of("ada"));
            bob.deliver(mail_of("bob"));
            app.wait_for_requests(1 + number);
        }
        wait_until("bob's mail is done", SOON, || bob.waiting().is_empty());
        holds_for("ada's waits", Duration::from_millis(200), || app.count() == 20);
        assert_eq!((arrived(&app), ada.waiting().len()), ([("bob".to_owned(), 20)].into(), 20));
        assert_eq!(ada.stories(), [""; 0], "nothing is held against it");

        fs::remove_file(marker).unwrap();
        app.wait_for_accepted(40);
        assert_eq!(arrived(&app), [("ada".to_owned(), 20), ("bob".to_owned(), 20)].into());
        assert_eq!(watch.stop(), Exit::Ok);
        assert!(ada.waiting().is_empty());
    }

    #[test]
    fn a_drain_leaves_alone_what_is_paused_for_one_queue() {
        let ([ada, bob], app) = (ada_and_bob(), App::accepting());
        for maildir in [&ada, &bob] {
            (0..10).for_each(|_| drop(maildir.deliver(MAIL)));
        }
        fs::create_dir_all(ada.path().join("maildirq/paused")).unwrap();
        File::create(ada.path().join("maildirq/paused/app")).unwrap();

        let toml = [queue("ada", &ada), queue("bob", &bob), target(&app)].concat();
        let drain = Maildirq::drain_config(&toml).run();

        assert_eq!((drain.exit(), app.count()), (Exit::SomeWait, 10));
        assert_eq!((ada.waiting().len(), bob.waiting().len()), (10, 0));
    }

    #[test]
    fn each_has_settings_of_its_own() {
        let ([ada, bob], app) = (ada_and_bob(), App::accepting());
        let settings = ["max_size = '1KB'\ndone = 'keep'\n", ""];
        let queues = [("ada", &ada), ("bob", &bob)].map(|(name, maildir)| queue(name, maildir));
        let toml = [&*queues[0], settings[0], &queues[1], settings[1], &target(&app)].concat();
        for maildir in [&ada, &bob] {
            maildir.deliver(MAIL);
            maildir.deliver(MAIL.repeat(100));
        }

        let drain = Maildirq::drain_config(&toml).run();

        assert_eq!((drain.exit(), app.count()), (Exit::SomeDead, 3));
        assert_eq!((ada.done().len(), ada.dead().len(), ada.waiting().len()), (1, 1, 0));
        assert_eq!((bob.done().len(), bob.dead().len(), bob.waiting().len()), (0, 0, 0));
    }
}
