//! An app that is down is left in peace: it is probed, and its mail waits without being charged (T27).

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Answer, App, Exit, Gate, Maildir, Maildirq, Request, SOON, holds_for, wait_until};

const MAILS: usize = 200;
const CONCURRENCY: usize = 4;

/// Failures in a row that open the breaker, and how many attempts may be under way when it opens.
const AFTER: usize = 3;
const BEFORE_IT_OPENS: usize = AFTER - 1 + CONCURRENCY;

const SETTINGS: &str = r#"breaker = { after = 3, probe = "200ms" }
retry = { max_delay = "10ms", for = "1s" }"#;

/// How many probes are looked at.
const PROBES: usize = 5;

/// The time between probes is `probe`, give or take a quarter.
const LEAST_BETWEEN_PROBES: Duration = Duration::from_millis(150);

#[test]
fn an_app_that_says_503_is_only_probed() {
    let app = App::answering(|_| Answer::status(503));
    is_only_probed_while_down(&app);
}

#[test]
fn an_app_that_hangs_is_only_probed() {
    let never = Gate::closed();
    let app = App::answering(move |_| Answer::ok().through(&never));
    is_only_probed_while_down(&app);
}

#[test]
fn an_app_with_wrong_credentials_is_only_probed() {
    let app = App::answering(|_| Answer::status(401));
    is_only_probed_while_down(&app);
}

fn is_only_probed_while_down(app: &App) {
    let maildir = with_mail(MAILS);
    let settings = format!("{SETTINGS}\ntimeout = \"200ms\"");
    let watch = Maildirq::watch_with(&maildir, &app.url(), &settings).concurrency(CONCURRENCY).start();

    app.wait_for_requests(BEFORE_IT_OPENS + PROBES);

    let gaps = gaps(app.deliveries().iter().skip(BEFORE_IT_OPENS).map(|probe| probe.at));
    assert!(gaps.iter().all(|&gap| gap >= LEAST_BETWEEN_PROBES), "{gaps:?}");
    assert_nothing_was_held_against(&maildir, 1);
    assert_eq!(watch.events("target_down").len(), 1);

    let before = app.count();
    app.answer_with(|_| Answer::ok());

    assert_all_come_through_once(app, &maildir, before);
    let [recovering, up] = ["target_recovering", "target_up"].map(|event| watch.wait_for_event(event));
    assert!(recovering["timestamp"].as_str() < up["timestamp"].as_str(), "{recovering} {up}");
}

#[test]
fn an_app_that_is_not_there_is_only_looked_for_now_and_then() {
    let (home, maildir) = (TempDir::new().unwrap(), with_mail(MAILS));
    let mut app = App::plan(|_| Answer::ok()).on_socket(home.path().join("app.sock")).start();
    app.stop();
    let watch = Maildirq::watch_with(&maildir, &app.url(), SETTINGS).concurrency(CONCURRENCY).start();

    let attempts = watch.wait_for_events("attempt", BEFORE_IT_OPENS + PROBES);

    let gaps = gaps(attempts.iter().skip(BEFORE_IT_OPENS).map(time_of));
    // A probe that is refused takes no time; what the log says of when is a little late, now and then.
    let tolerance = Duration::from_millis(50);
    assert!(gaps.iter().all(|&gap| gap + tolerance >= LEAST_BETWEEN_PROBES), "{gaps:?}");
    assert_nothing_was_held_against(&maildir, 1);

    app.restart();

    assert_all_come_through_once(&app, &maildir, 0);
}

/// What has only just got up is not knocked over again.
#[test]
fn an_app_that_comes_back_is_given_more_step_by_step() {
    let (app, maildir) = (App::answering(|_| Answer::status(503)), with_mail(50));
    let watch = Maildirq::watch_with(&maildir, &app.url(), SETTINGS).concurrency(CONCURRENCY).start();
    wait_until_only_probes_come(&app, &watch);

    let (mut answered, mut so_far) = (hold_all(&app), 0);
    for at_once in [1, 1, 2, 4] {
        so_far += at_once;
        let is_so = || (app.accepted().len(), app.in_hand()) == (so_far, at_once);
        wait_until(format!("{at_once} at once, {so_far} in all"), SOON, is_so);
        holds_for(format!("{at_once} at once"), Duration::from_millis(50), is_so);
        let next = hold_all(&app);
        answered.open();
        answered = next;
    }
    answered.open();

    app.wait_for_accepted(50);
    let rungs = ["target_down", "target_recovering", "target_up"].map(|event| watch.events(event).len());
    assert_eq!(rungs, [1, 1, 1]);
}

#[test]
fn an_app_that_falls_again_while_it_recovers_is_left_in_peace_again() {
    let (app, maildir) = (App::answering(|_| Answer::status(503)), with_mail(50));
    let watch = Maildirq::watch_with(&maildir, &app.url(), SETTINGS).concurrency(CONCURRENCY).start();
    wait_until_only_probes_come(&app, &watch);

    let answered = hold_all(&app);
    wait_until("the probe", SOON, || app.accepted().len() == 1);
    app.answer_with(|_| Answer::status(503));
    answered.open();

    watch.wait_for_events("target_down", 2);
    assert_eq!((app.accepted().len(), maildir.waiting().len()), (1, 49));
    assert_nothing_was_held_against(&maildir, 1);
}

/// The poison came first, so it is the first to be sent.
#[test]
fn a_poison_mail_does_not_keep_good_mail_from_being_the_probe() {
    let maildir = Maildir::in_memory();
    maildir.deliver_as("1000000000.1.mx", "Subject: poison\n\ndrink me\n");
    (0..3).for_each(|number| drop(maildir.deliver(format!("Subject: good {number}\n\nhi\n"))));
    let app = App::answering(|_| Answer::status(503));
    let watch = Maildirq::watch_with(&maildir, &app.url(), SETTINGS).concurrency(1).start();
    watch.wait_for_event("target_down");

    app.answer_with(|request| if is_poison(request) { Answer::status(500) } else { Answer::ok() });

    app.wait_for_accepted(3);
    wait_until("only the poison is left", SOON, || maildir.waiting() == ["1000000000.1.mx"]);
    assert_eq!(maildir.dead().len(), 0);
}

/// Nobody can tell one poison mail in a quiet queue from an outage. But what comes later is probed, too.
#[test]
fn a_poison_mail_that_brings_the_target_down_does_not_stay_the_only_probe() {
    let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(500)));
    maildir.deliver("Subject: poison\n\ndrink me\n");
    let watch = Maildirq::watch_with(&maildir, &app.url(), SETTINGS).concurrency(1).start();
    watch.wait_for_event("target_down");
    app.answer_with(|request| if is_poison(request) { Answer::status(500) } else { Answer::ok() });

    maildir.deliver("Subject: good\n\nhi\n");

    app.wait_for_accepted(1);
    assert_eq!(maildir.dead().len(), 0);
}

#[test]
fn a_poison_mail_does_not_bring_down_an_app_that_recovers() {
    const GOOD: usize = 60;
    // With so many at a time it recovers for longer than there is mail: 1 + 2 + … + 32 have to come through.
    const STEPS_BEYOND: usize = 64;
    // One alone brings it down: of many that are on their way then, some would have the old answer and some the new.
    let (app, maildir) = (App::answering(|_| Answer::status(503)), with_mail(1));
    let watch = Maildirq::watch_with(&maildir, &app.url(), SETTINGS).concurrency(STEPS_BEYOND).start();
    watch.wait_for_event("target_down");
    (1..GOOD).for_each(|number| drop(maildir.deliver(format!("Subject: good {number}\n\nhi\n"))));
    maildir.deliver("Subject: poison\n\ndrink me\n");

    app.answer_with(|request| if is_poison(request) { Answer::status(500) } else { Answer::ok() });

    app.wait_for_accepted(GOOD);
    // Then the poison is all there is, and is taken for an outage.
    watch.wait_for_events("target_down", 2);
    let lines = watch.lines();
    let up_to_the_second = lines.iter().scan(0, |downs, line| {
        *downs += usize::from(line.contains("\"target_down\""));
        (*downs < 2).then_some(line)
    });
    let done = up_to_the_second.filter(|line| line.contains("\"outcome\":\"done\"")).count();
    // Each lane may just be claiming one, which does not wait any more, while the poison fails twice in a row.
    let just_claimed = 2 * thread::available_parallelism().unwrap().get();
    assert!(done + just_claimed >= GOOD, "it was down again while good mail waited: {done} of {GOOD} were done");
    wait_until("only the poison is left", SOON, || maildir.waiting().len() == 1);
    assert_eq!((maildir.waiting().len(), maildir.dead().len()), (1, 0));
}

#[test]
fn a_drain_ends_when_it_finds_the_app_down() {
    let never = Gate::closed();
    let (home, maildir) = (TempDir::new().unwrap(), with_mail(MAILS));
    let refusing = format!("unix:{}/none.sock", home.path().display());
    let hanging = App::answering(move |_| Answer::ok().through(&never));
    let sick = App::answering(|_| Answer::status(503));
    for (run, url) in (1..).zip([refusing, hanging.url(), sick.url()]) {
        let settings = "breaker = { after = 3, probe = \"1h\" }\ntimeout = \"200ms\"";
        let drain = Maildirq::drain_with(&maildir, &url, settings).concurrency(CONCURRENCY).run();

        assert_eq!(drain.exit(), Exit::SomeWait, "{url}");
        assert!(drain.events("attempt").len() <= BEFORE_IT_OPENS, "{url}");
        assert_nothing_was_held_against(&maildir, run);
    }
}

#[test]
fn a_paused_target_gets_nothing_until_it_goes_on() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let watch = Maildirq::watch(&maildir, &app.url()).start();
    watch.wait_for_event("ready");
    let marker = maildir.path().join("maildirq/paused/app");
    File::create(&marker).unwrap();

    (0..10).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));
    holds_for("nothing comes", Duration::from_millis(300), || app.connections() == 0);
    assert_nothing_was_held_against(&maildir, 1);
    assert_eq!(watch.wait_for_event("paused")["target"], "app");
    fs::remove_file(&marker).unwrap();

    app.wait_for_accepted(10);
    watch.wait_for_event("resumed");
    assert_eq!((watch.events("paused").len(), watch.events("resumed").len()), (1, 1));
    wait_until("all is done", SOON, || maildir.waiting().is_empty());
    assert_eq!(maildir.stories(), [""; 0]);
}

#[test]
fn a_drain_leaves_the_mail_of_a_paused_target_alone() {
    let (maildir, app) = (with_mail(10), App::accepting());
    fs::create_dir_all(maildir.path().join("maildirq/paused")).unwrap();
    File::create(maildir.path().join("maildirq/paused/app")).unwrap();

    let drain = Maildirq::drain(&maildir, &app.url()).run();

    assert_eq!((drain.exit(), app.connections(), maildir.waiting().len()), (Exit::SomeWait, 0, 10));
    assert_eq!(drain.events("paused").len(), 1, "it says why");
    assert_nothing_was_held_against(&maildir, 1);
}

/// Nobody may be there to let it go on.
#[test]
fn not_even_a_drain_that_waits_for_retries_waits_for_a_paused_target() {
    let (maildir, app) = (with_mail(3), App::accepting());
    fs::create_dir_all(maildir.path().join("maildirq/paused")).unwrap();
    File::create(maildir.path().join("maildirq/paused/app")).unwrap();

    let drain = Maildirq::drain(&maildir, &app.url()).arg("--wait-retries").run();

    assert_eq!((drain.exit(), app.connections(), maildir.waiting().len()), (Exit::SomeWait, 0, 3));
}

fn with_mail(count: usize) -> Maildir {
    let maildir = Maildir::in_memory();
    (0..count).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));
    maildir
}

fn wait_until_only_probes_come(app: &App, watch: &Maildirq) {
    watch.wait_for_event("target_down");
    app.wait_for_requests(BEFORE_IT_OPENS + 1);
}

/// Lets all requests from now on wait until the gate is opened.
fn hold_all(app: &App) -> Gate {
    let gate = Gate::closed();
    let held = gate.clone();
    app.answer_with(move |_| Answer::ok().through(&held));
    gate
}

fn is_poison(request: &Request) -> bool {
    request.body.starts_with(b"Subject: poison")
}

/// Only what was under way before the breaker opened has left a trace.
#[track_caller]
fn assert_nothing_was_held_against(maildir: &Maildir, runs: usize) {
    let told: Vec<_> = maildir.stories().iter().flat_map(|id| maildir.story(id)).collect();
    assert!(told.len() <= runs * BEFORE_IT_OPENS, "{} lines", told.len());
    assert!(told.iter().all(|line| line["event"] == "retry" && line["charged"] == false), "{told:?}");
    assert_eq!(maildir.dead().len(), 0);
}

#[track_caller]
fn assert_all_come_through_once(app: &App, maildir: &Maildir, before: usize) {
    app.wait_for_accepted(MAILS);
    wait_until("all is done and no story left", SOON, || maildir.waiting().is_empty() && maildir.stories().is_empty());
    let accepted = app.deliveries().iter().skip(before).filter(|delivery| delivery.is_accepted()).count();
    assert_eq!((accepted, app.accepted().len()), (MAILS, MAILS));
    assert_eq!(maildir.dead().len(), 0);
}

fn gaps(times: impl Iterator<Item = SystemTime>) -> Vec<Duration> {
    let times: Vec<_> = times.collect();
    times.windows(2).map(|pair| pair[1].duration_since(pair[0]).unwrap_or_default()).collect()
}

fn time_of(line: &Value) -> SystemTime {
    humantime::parse_rfc3339(line["timestamp"].as_str().unwrap()).unwrap()
}
