//! What is refused, and changes nothing.

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
