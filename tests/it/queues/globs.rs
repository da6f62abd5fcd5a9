//! Maildirs that are found by a pattern.

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
