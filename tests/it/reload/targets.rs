//! Targets that change, come and go.

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
