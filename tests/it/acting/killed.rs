//! A person's command, killed at each of its calls and at any moment: each message is in one place, and none is lost.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use super::{act, config, done};
use crate::support::{Allowed, Answer, App, Exit, Ledger, Maildir, Maildirq, from_environment};

const MAILS: usize = 3;
/// More calls of one name than so few mails can explain.
const ENOUGH: usize = 300;

/// Those that change something, or come before one that does.
const CALLS: [&str; 9] =
    ["openat", "flock", "write", "utimensat", "fdatasync", "renameat2", "unlinkat", "fsync", "mkdirat"];

#[test]
fn killed_at_each_call_of_a_retry_nothing_is_lost() {
    assert!(kill_at_each("retry state:dead --yes") > CALLS.len());
}

#[test]
fn killed_at_each_call_of_a_drop_nothing_is_lost() {
    assert!(kill_at_each("drop state:dead --yes") > CALLS.len());
}

#[test]
fn killed_at_each_call_of_a_burial_nothing_is_lost() {
    assert!(kill_at_each("bury state:new,retry --yes") > CALLS.len());
}

/// How often it was killed.
fn kill_at_each(words: &str) -> usize {
    let is_killed = |call: &str, nth: usize| is_killed_at(words, call, nth);
    let kills = CALLS.iter().map(|call| (1..ENOUGH).take_while(|&nth| is_killed(call, nth)).count());
    kills.inspect(|&kills| assert!(kills < ENOUGH - 1)).sum()
}

fn is_killed_at(words: &str, call: &str, nth: usize) -> bool {
    let Scene { maildir, app, toml, mut ledger } = Scene::set(words, nth);
    let before = names(&maildir);

    let killed = act(&toml, words).killed_at(call, nth).run();

    assert!(matches!(killed.exit(), Exit::Signal(9) | Exit::Ok), "{words}, {call} {nth}: {:?}", killed.exit());
    assert_eq!(names(&maildir), before, "{words}, killed at {call} {nth}");
    bring_home(&maildir, &app, &toml);
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, verdict.waiting, verdict.dead), (MAILS, 0, 0), "{words}, {call} {nth}: {verdict}");
    killed.exit() == Exit::Signal(9)
}

/// The names of all messages, wherever they are: each of them once.
#[track_caller]
fn names(maildir: &Maildir) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["new", "cur", ".maildirq.dead/new", ".maildirq.trash/new"] {
        for entry in fs::read_dir(maildir.path().join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            assert!(names.insert(name.clone()), "{name} is in two places");
        }
    }
    names
}

/// Everything is tried again, wherever it is, by an app that takes it.
fn bring_home(maildir: &Maildir, app: &App, toml: &str) {
    app.answer_with(|_| Answer::ok());
    // What was told to be dead and not moved is moved by whoever claims it next.
    assert!(matches!(Maildirq::drain_config(toml).run().exit(), Exit::Ok | Exit::SomeDead));
    for state in ["trash", "dead"] {
        assert!(matches!(done(toml, &format!("retry state:{state} --yes")).0, Exit::Ok | Exit::NoInput));
    }
    assert_eq!(Maildirq::drain_config(toml).run().exit(), Exit::Ok);
    assert!(names(maildir).is_empty());
}

/// `MAILDIRQ_ACTS` is how many commands are killed.
#[test]
fn killed_at_any_moment_beside_a_daemon_nothing_is_lost() {
    let acts = from_environment("MAILDIRQ_ACTS", 60);
    let (maildir, app) = (Maildir::in_memory(), App::plan(|_| Answer::status(422)).forgetting().start());
    let toml = config(&maildir, &app.url());
    let mut ledger = Ledger::produce(&maildir, 200, 77);
    let watch = Maildirq::watch_config(&toml).start();
    watch.wait_for_event("ready");
    let mut dice = fastrand::Rng::with_seed(77);
    let verbs = [
        "retry state:dead --yes",
        "bury state:new,retry --yes",
        "drop state:dead,new --yes",
        "retry state:trash --yes",
    ];
    let mut killed = 0;
    for _ in 0..acts {
        let running = act(&toml, verbs[dice.usize(..verbs.len())]).start();
        // Not for anything to happen: the kill comes whenever it comes.
        thread::sleep(Duration::from_millis(dice.u64(0..60)));
        running.kill9();
        killed += usize::from(running.exit() == Exit::Signal(9));
    }
    assert!(killed > 0, "some were killed in the midst of it");
    assert_eq!(watch.stop(), Exit::Ok);
    assert_eq!(names(&maildir).len(), 200);
    bring_home(&maildir, &app, &toml);
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, verdict.dead), (200, 0), "{verdict}");
}

/// What fails says so; what is told of as done is done, and nothing is lost.
#[test]
fn failing_at_each_call_nothing_is_lost() {
    let mut failures = 0;
    for words in ["retry state:dead --yes", "drop state:dead --yes", "bury state:new,retry --yes"] {
        for (call, errno) in [
            ("flock", "EIO"),
            ("utimensat", "EIO"),
            ("fdatasync", "EIO"),
            ("renameat2", "EIO"),
            ("renameat2", "ENOSPC"),
            ("fsync", "EIO"),
        ] {
            failures += (1..ENOUGH).take_while(|&nth| has_failed_at(words, call, errno, nth)).count();
        }
    }
    assert!(failures > 20, "{failures}");
}

fn has_failed_at(words: &str, call: &str, errno: &str, nth: usize) -> bool {
    let Scene { maildir, app, toml, mut ledger } = Scene::set(words, nth);
    let before = names(&maildir);

    let failed = act(&toml, words).failing(call, errno, &nth.to_string()).run();

    let what = format!("{words}, {call} {errno} {nth}: {:?}", failed.exit());
    assert!(matches!(failed.exit(), Exit::Ok | Exit::Disk), "{what}");
    assert_eq!(names(&maildir), before, "{what}");
    bring_home(&maildir, &app, &toml);
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, verdict.waiting, verdict.dead), (MAILS, 0, 0), "{what}: {verdict}");
    failed.injections() > 0
}

/// Mail to be acted on.
struct Scene {
    maildir: Maildir,
    app: App,
    toml: String,
    ledger: Ledger,
}

impl Scene {
    fn set(words: &str, seed: usize) -> Scene {
        let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(422)));
        let toml = config(&maildir, &app.url());
        let ledger = Ledger::produce(&maildir, MAILS as u64, seed as u64);
        assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeDead);
        if words.starts_with("bury") {
            assert_eq!(done(&toml, "retry state:dead --yes").0, Exit::Ok);
        }
        Scene { maildir, app, toml, ledger }
    }
}
