//! Many Maildirs in one process: each is served as if it were alone, and none pays for another's trouble.

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

mod crowd {
    use super::*;

    /// The first half is one queue, the second half another.
    fn of(count: usize) -> (Maildir, Vec<Maildir>) {
        let home = Maildir::in_memory();
        let maildirs = (0..count).map(|number| home.beside(&format!("{}/{number}/Maildir", half(number, count))));
        let maildirs = maildirs.collect();
        (home, maildirs)
    }

    fn half(number: usize, count: usize) -> &'static str {
        if number < count / 2 { "first" } else { "second" }
    }

    fn config(home: &Maildir, first: &App, second: &App) -> String {
        let home = home.home().display();
        let (first, second) = (first.url(), second.url());
        format!(
            "rescan = '1h'\n\
             [queue.first]\nmaildir = '{home}/first/*/Maildir'\n\
             [queue.second]\nmaildir = '{home}/second/*/Maildir'\n\
             [[route]]\nwhen = {{ queue = 'first' }}\ntarget = 'first'\n\
             [[route]]\nwhen = {{ queue = 'second' }}\ntarget = 'second'\n\
             [target.first]\nurl = '{first}'\n[target.second]\nurl = '{second}'\n"
        )
    }

    /// Some of them, all over the place.
    fn some(count: usize, of: usize) -> impl Iterator<Item = usize> {
        (0..count).map(move |number| (number * 617 + 19) % of)
    }

    /// Delivers, and returns the subjects that each half is to have.
    fn deliver(maildirs: &[Maildir], to: impl Iterator<Item = usize>, what: &str) -> [Vec<String>; 2] {
        let mut expected = [Vec::new(), Vec::new()];
        for number in to {
            let subject = format!("{what} {number}");
            maildirs[number].deliver(mail_of(&subject));
            expected[usize::from(half(number, maildirs.len()) == "second")].push(subject);
        }
        expected
    }

    #[test]
    fn a_thousand_maildirs_are_served_by_one_process() {
        const COUNT: usize = 1000;
        let (home, maildirs) = of(COUNT);
        let (first, second) = (App::accepting(), App::accepting());
        let early = deliver(&maildirs, some(20, COUNT), "early");
        let watch = Maildirq::watch_config(&config(&home, &first, &second)).start();
        assert_eq!(watch.wait_for_event("ready")["maildirs"], COUNT);
        wait_until("what was there before", SOON, || first.count() + second.count() >= 20);
        watch.wait_until_it_rests("");
        let (files, threads) = (watch.open_files(), watch.threads());

        let later = deliver(&maildirs, some(50, COUNT), "later");
        wait_until("what came later", SOON, || first.count() + second.count() >= 70);
        wait_until("all is done", SOON, || maildirs.iter().all(|maildir| maildir.waiting().is_empty()));

        assert_eq!(arrived(&first), once_each(early[0].iter().chain(&later[0])));
        assert_eq!(arrived(&second), once_each(early[1].iter().chain(&later[1])));
        assert_eq!(watch.open_files_with("anon_inode:inotify"), 2);
        assert!(files <= 4 * COUNT + 60, "{files} open files");
        assert!(watch.open_files() <= files + 2 * 16, "{files} before, {} now", watch.open_files());
        // Some come and go: a removal that takes long has one of its own, for as many messages as are in hand.
        assert!(threads.max(watch.threads()) <= 40, "{threads} threads before, {} now", watch.threads());
        assert_eq!(watch.stop(), Exit::Ok);
        assert!(maildirs.iter().all(|maildir| maildir.hands().is_empty() && maildir.stories().is_empty()));
    }

    #[test]
    fn where_there_is_no_inotify_all_of_them_are_searched() {
        const COUNT: usize = 40;
        let (home, maildirs) = of(COUNT);
        let (first, second) = (App::accepting(), App::accepting());
        let config = config(&home, &first, &second);
        let watch = Maildirq::watch_config(&config).failing("inotify_init1", "EMFILE", "1+").start();
        watch.wait_for_event("hampered");

        let expected = deliver(&maildirs, 0..COUNT, "unseen");

        wait_until("all of it is found", SOON, || first.count() + second.count() >= COUNT);
        assert_eq!((arrived(&first), arrived(&second)), (once_each(&expected[0]), once_each(&expected[1])));
        assert_eq!(watch.events("hampered").len(), 1, "one cause, one complaint");
    }
}

mod globs {
    use super::*;

    fn config(pattern: &str, app: &App) -> String {
        format!("rescan = '200ms'\nmaildir = '{pattern}'\n{}", target(app))
    }

    #[test]
    fn a_maildir_that_is_made_while_it_runs_is_served_and_one_that_is_removed_forgotten() {
        let (home, app) = (Maildir::in_memory(), App::accepting());
        home.beside("ada/Maildir").deliver(mail_of("ada"));
        let pattern = format!("{}/*/Maildir", home.home().display());
        let watch = Maildirq::watch_config(&config(&pattern, &app)).start();
        app.wait_for_accepted(1);

        for round in 1..=2 {
            let bob = home.beside("bob/Maildir");
            bob.deliver(mail_of(&format!("bob {round}")));
            app.wait_for_accepted(2 * round);
            bob.deliver(mail_of(&format!("bob again {round}")));
            app.wait_for_accepted(2 * round + 1);

            wait_until("all is done", SOON, || bob.waiting().is_empty());
            fs::remove_dir_all(home.home().join("bob")).unwrap();
            wait_until("bob is forgotten", SOON, || watch.open_files_with("/bob/") == 0);
        }

        home.beside("ada/Maildir").deliver(mail_of("ada again"));
        app.wait_for_accepted(6);
        let subjects = ["ada", "bob 1", "bob again 1", "bob 2", "bob again 2", "ada again"].map(str::to_owned);
        assert_eq!(arrived(&app), once_each(&subjects));
        assert_eq!(watch.stop(), Exit::Ok);
    }

    /// A program that looks at a folder of ours sees a Maildir, too.
    #[test]
    fn folders_of_maildirq_are_no_queues() {
        let (inbox, app) = (Maildir::in_memory(), App::answering(as_the_subject_says));
        for ours in [".maildirq.dead", ".maildirq.done", ".maildirq.trash"] {
            inbox.beside(&format!("Maildir/{ours}")).deliver(mail_of("nobody's"));
        }
        let support = inbox.beside("Maildir/.Support");
        let maildirs = format!("['{0}', '{0}/.*']", inbox.path().display());
        let toml = format!("maildir = {maildirs}\nrescan = '100ms'\ndone = 'keep'\n{}", target(&app));
        let watch = Maildirq::watch_config(&toml).start();

        inbox.deliver(mail_of("rejected"));
        support.deliver(mail_of("rejected"));
        inbox.deliver(mail_of("fine"));
        support.deliver(mail_of("fine"));
        app.wait_for_requests(4);
        // When this is found, the others would have been as well.
        inbox.beside("Maildir/.Later").deliver(mail_of("later"));
        app.wait_for_requests(5);

        wait_until("all is kept", SOON, || (inbox.done().len(), support.done().len()) == (2, 1));
        let expected = [("fine", 2), ("later", 1), ("rejected", 2)].map(|(subject, count)| (subject.into(), count));
        assert_eq!(arrived(&app), expected.into());
        assert_eq!((inbox.dead().len(), support.dead().len()), (2, 1));
        assert_eq!(watch.stop(), Exit::Ok);
    }

    fn as_the_subject_says(request: &Request) -> Answer {
        let is_bad = request.body.windows(8).any(|part| part == b"rejected");
        Answer::status(if is_bad { 422 } else { 200 })
    }

    /// `.*` is for `.Support`; that `.` and `..` match it, too, is for shells.
    #[test]
    fn a_pattern_for_folders_is_not_for_the_maildir_that_they_are_in() {
        let (inbox, app) = (Maildir::in_memory(), App::accepting());
        inbox.deliver(mail_of("inbox"));
        inbox.beside("Maildir/.Support").deliver(mail_of("support"));

        let pattern = format!("{}/.*", inbox.path().display());
        let drain = Maildirq::drain_config(&config(&pattern, &app)).run();

        assert_eq!((drain.exit(), arrived(&app)), (Exit::Ok, once_each(&["support".to_owned()])));
        assert_eq!(inbox.waiting().len(), 1);
    }

    #[test]
    fn a_name_that_is_no_text_is_passed_over() {
        let (home, app) = (Maildir::in_memory(), App::accepting());
        home.beside("ada/Maildir").deliver(MAIL);
        fs::create_dir(home.home().join(OsStr::from_bytes(b"\xff"))).unwrap();

        let pattern = format!("{}/*/Maildir", home.home().display());
        let drain = Maildirq::drain_config(&config(&pattern, &app)).run();

        assert_eq!((drain.exit(), app.count()), (Exit::Ok, 1));
    }

    #[test]
    fn one_that_was_found_and_cannot_be_used_is_left_alone_and_that_is_said_once() {
        let (home, app) = (Maildir::in_memory(), App::accepting());
        let [ada, bob] = ["ada", "bob"].map(|name| home.beside(&format!("{name}/Maildir")));
        for maildir in [&ada, &bob] {
            maildir.deliver(MAIL);
        }
        fs::create_dir(bob.path().join("maildirq")).unwrap();
        let id = bob.path().join("maildirq/id");
        fs::write(&id, "damaged\n").unwrap();
        let pattern = format!("{}/*/Maildir", home.home().display());

        let watch = Maildirq::watch_config(&config(&pattern, &app)).start();
        app.wait_for_accepted(1);
        wait_until("ada's mail is done", SOON, || ada.waiting().is_empty());

        let told = watch.wait_for_event("maildir_unusable");
        assert_eq!(told["path"], bob.path().to_str().unwrap());
        assert!(told["reason"].as_str().unwrap().contains("maildirq/id"), "{told}");
        // The search that finds another one has looked at the unusable one again.
        home.beside("eve/Maildir").deliver(MAIL);
        app.wait_for_accepted(2);
        assert_eq!((watch.events("maildir_unusable").len(), bob.waiting().len()), (1, 1));

        fs::remove_file(id).unwrap();
        app.wait_for_accepted(3);
    }

    #[test]
    fn a_pattern_that_matches_nothing_yet_is_no_mistake() {
        let (home, app) = (Maildir::in_memory(), App::accepting());
        let pattern = format!("{}/*/Maildir", home.home().display());
        let watch = Maildirq::watch_config(&config(&pattern, &app)).start();
        watch.wait_for_event("ready");

        home.beside("ada/Maildir").deliver(MAIL);

        app.wait_for_accepted(1);
    }
}

mod trouble {
    use super::*;

    /// Two queues, `well` and `ill`.
    struct Two {
        well: Maildir,
        ill: Maildir,
        app: App,
    }

    impl Two {
        /// As somebody whom permissions bind.
        fn new() -> Two {
            let well = Maildir::in_memory();
            let ill = well.beside("ill/Maildir");
            if rustix::process::geteuid().is_root() {
                for maildir in [&well, &ill] {
                    maildir.give_to(NOBODY);
                }
            }
            Two { well, ill, app: App::accepting() }
        }

        fn config(&self) -> String {
            let queues = [queue("well", &self.well), queue("ill", &self.ill)].concat();
            format!("rescan = '100ms'\n{queues}{}", target(&self.app))
        }

        fn watch(&self) -> Maildirq {
            let watch = Maildirq::watch_config(&self.config()).start();
            watch.wait_for_event("ready");
            watch
        }

        /// The well one is served, again and again.
        #[track_caller]
        fn goes_on(&self) {
            for _ in 0..5 {
                let before = self.app.count();
                deliver(&self.well, MAIL);
                self.app.wait_for_requests(before + 1);
            }
        }
    }

    fn deliver(maildir: &Maildir, mail: impl AsRef<[u8]>) {
        deliver_as(maildir, unique_name(), mail);
    }

    /// Of another's file nobody could tell at once whether it is still being written.
    fn deliver_as(maildir: &Maildir, name: impl AsRef<OsStr>, mail: impl AsRef<[u8]>) {
        let name = maildir.deliver_as(name, mail);
        if rustix::process::geteuid().is_root() {
            chown(maildir.message(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn set_mode(folder: &Path, mode: u32) {
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_maildir_whose_new_folder_is_gone_stops_no_other() {
        let two = Two::new();
        let watch = two.watch();

        fs::remove_dir(two.ill.new_folder()).unwrap();
        let complaint = watch.wait_for_event("hampered");
        two.goes_on();

        assert!(complaint["reason"].as_str().unwrap().contains("ill/Maildir"), "{complaint}");
        let is_said_once = || watch.events("hampered").len() <= 2;
        holds_for("once for searching, and once for watching", Duration::from_millis(300), is_said_once);
        fs::create_dir(two.ill.new_folder()).unwrap();
        watch.wait_for_event("well");
        deliver(&two.ill, MAIL);
        two.app.wait_for_accepted(6);
    }

    /// Mail in both, of which the first of the ill one is taken and can be removed no more; the rest waits.
    fn fall_ill(two: &Two, run: &dyn Fn() -> Maildirq) -> Maildirq {
        let gate = Gate::closed();
        two.app.answer_with({
            let gate = gate.clone();
            move |_| Answer::ok().through(&gate)
        });
        deliver_as(&two.ill, "1000000000.M1P1.mx", mail_of("ill 1"));
        deliver(&two.ill, mail_of("ill 2"));
        let running = run();
        two.app.wait_for_requests(1);
        set_mode(&two.ill.new_folder(), 0o555);
        two.app.answer_with(|_| Answer::ok());
        gate.open();
        running
    }

    #[test]
    fn a_maildir_that_cannot_be_written_stops_no_other() {
        let two = Two::new();
        let watch = fall_ill(&two, &|| Maildirq::watch_config(&two.config()).concurrency(1).start());

        let fault = watch.wait_for_event("queue_fault");
        assert_eq!(fault["queue"], "ill");
        for number in 1..=5 {
            deliver(&two.well, mail_of("well"));
            two.app.wait_for_requests(1 + number);
        }
        assert_eq!(arrived(&two.app), [("ill 1".to_owned(), 1), ("well".to_owned(), 5)].into());
        assert_eq!(watch.events("queue_fault").len(), 1, "it is said once");

        set_mode(&two.ill.new_folder(), 0o755);
        watch.wait_for_event("queue_well");
        wait_until("all is done", SOON, || two.ill.waiting().is_empty());
        let all = [("ill 1".to_owned(), 1), ("ill 2".to_owned(), 1), ("well".to_owned(), 5)];
        assert_eq!(arrived(&two.app), all.into());
    }

    #[test]
    fn a_drain_does_what_it_can_and_says_that_something_was_wrong() {
        let two = Two::new();
        (0..10).for_each(|_| deliver(&two.well, mail_of("well")));
        let drain = fall_ill(&two, &|| Maildirq::drain_config(&two.config()).concurrency(1).start());

        assert_eq!(drain.exit(), Exit::Disk);

        assert!(two.well.waiting().is_empty());
        assert_eq!(arrived(&two.app), [("ill 1".to_owned(), 1), ("well".to_owned(), 10)].into());
        let said = drain.lines().join("\n");
        assert!(said.contains("ill/Maildir/new"), "{said}");
        set_mode(&two.ill.new_folder(), 0o755);
    }

    #[test]
    fn a_maildir_that_another_one_took_the_place_of_stops_no_other() {
        let two = Two::new();
        let watch = two.watch();
        let other = two.ill.beside("other/Maildir");
        deliver(&other, mail_of("of another"));
        let change_places = || renameat_with(CWD, two.ill.path(), CWD, other.path(), RenameFlags::EXCHANGE).unwrap();

        change_places();
        let complaint = watch.wait_for_event("hampered");
        two.goes_on();

        assert!(complaint["reason"].as_str().unwrap().contains("ill/Maildir"), "{complaint}");
        let is_said_once = || watch.events("hampered").len() <= 2;
        holds_for("once for searching, and once for watching", Duration::from_millis(300), is_said_once);
        change_places();
        watch.wait_for_event("well");
        deliver(&two.ill, mail_of("ill"));
        two.app.wait_for_accepted(6);
        assert!(!arrived(&two.app).contains_key("of another"));
    }

    #[test]
    fn one_that_is_named_and_missing_is_a_mistake() {
        let (maildir, app) = (Maildir::in_memory(), App::accepting());
        maildir.deliver(MAIL);
        let missing = maildir.home().join("nobody/Maildir");
        let toml = [queue("well", &maildir), queue("ill", &missing), target(&app)].concat();
        for launch in [Maildirq::watch_config(&toml), Maildirq::drain_config(&toml)] {
            let refused = launch.log_text().run();
            let said = refused.lines().join("\n");
            assert!(said.contains("no Maildir at") && said.contains(missing.to_str().unwrap()), "{said}");
            assert_eq!((refused.exit(), app.count()), (Exit::Config, 0));
        }
    }

    #[test]
    fn one_maildir_cannot_be_two_queues() {
        let (maildir, app) = (Maildir::in_memory(), App::accepting());
        maildir.deliver(MAIL);
        let link = maildir.home().join("link");
        symlink(maildir.path(), &link).unwrap();
        for other in [maildir.path(), &link] {
            let toml = [queue("one", &maildir), queue("other", other), target(&app)].concat();
            for launch in [Maildirq::watch_config(&toml), Maildirq::drain_config(&toml)] {
                let refused = launch.log_text().run();
                let said = refused.lines().join("\n");
                assert!(["one", "other"].iter().all(|queue| said.contains(queue)), "{said}");
                assert_eq!((refused.exit(), app.count()), (Exit::Config, 0), "{said}");
            }
        }
    }
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
