//! A Maildir that is ill, beside one that is well.

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
