//! The wall clock jumps, and time since the machine was started is another one (T37). What the engine makes of any jump
//! at any moment is drawn in `tests/simulation`; here it happens to the real program.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::support::{Allowed, Answer, App, Exit, Ledger, Maildir, Maildirq, SOON, skipped, wait_until};

const MAILS: u64 = 20;

/// The library that tells a program another time, if it is installed.
fn another_time() -> Option<PathBuf> {
    let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let library = PathBuf::from(machine).join("faketime/libfaketime.so.1");
    if !library.exists() {
        skipped(format_args!("{} is not there (Debian's libfaketime)", library.display()));
        return None;
    }
    Some(library)
}

/// Only what a program asks for is another time, not the times of files: those a jump leaves behind, too.
#[test]
fn a_jump_of_the_clock_stalls_nothing_and_kills_nothing() {
    let Some(library) = another_time() else { return };
    let (home, maildir) = (TempDir::new().unwrap(), Maildir::in_memory());
    let clock = home.path().join("clock");
    let set = |offset: &str| {
        fs::write(clock.with_extension("next"), offset).unwrap();
        fs::rename(clock.with_extension("next"), &clock).unwrap();
    };
    set("+0\n");
    let app = App::plan(|_| Answer::status(400)).forgetting().start();
    let mut ledger = Ledger::produce(&maildir, MAILS, 37);
    // A time that lies in the future since a jump is seen by the next search.
    let toml = format!(
        "maildir = '{}'\nrescan = '200ms'\n[target.app]\nurl = '{}'\nconcurrency = 4\nbreaker = {{ probe = '200ms' }}\n\
         retry = {{ min_delay = '500ms', max_delay = '500ms' }}\n",
        maildir.path().display(),
        app.url()
    );
    let watch = Maildirq::watch_config(&toml)
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .start();
    let time_of = |line: &serde_json::Value| line["timestamp"].as_str().unwrap().to_owned();
    let times = |what: &str, of: usize| {
        wait_until(what, SOON, || {
            let mut tries = std::collections::BTreeMap::<_, usize>::new();
            app.deliveries().iter().for_each(|delivery| *tries.entry(delivery.id.clone()).or_default() += 1);
            tries.len() as u64 == MAILS && tries.values().all(|tries| *tries >= of)
        });
    };
    times("all are tried", 1);

    let before = app.deliveries().len() / usize::try_from(MAILS).unwrap();
    set("-1d\n");
    times("all are tried again a day earlier", before + 2);
    let earlier = time_of(watch.events("attempt").last().unwrap());
    app.answer_with(|_| Answer::status(503));
    watch.wait_for_event("target_down");
    set("+1y\n");
    app.answer_with(|_| Answer::ok());

    wait_until("all are done a year later", 2 * SOON, || maildir.is_empty());
    let later = time_of(watch.events("attempt").last().unwrap());
    let year = |time: &str| time[..4].parse::<u32>().unwrap();
    assert!(year(&later) > year(&earlier), "the clock has jumped: {earlier} {later}");
    assert_eq!(watch.stop(), Exit::Ok);
    let verdict = ledger.check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted as u64, verdict.dead, maildir.stories().len()), (MAILS, 0, 0), "{verdict}");
    assert!(app.most_at_once() <= 4, "{} at once", app.most_at_once());
}

/// What is on the disk is not in time since the start of the machine: another machine, or the same one after another
/// start, reads it as it was meant.
#[test]
fn after_another_start_of_the_machine_what_waits_is_due_when_it_was() {
    let is_possible = Command::new("unshare").args(["--time", "--boottime", "1", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        return skipped("no time namespaces here");
    }
    let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(400)));
    let mut ledger = Ledger::produce(&maildir, 3, 37);
    let settings = "retry = { min_delay = '24h', max_delay = '24h' }";
    let drain = || Maildirq::drain_with(&maildir, &app.url(), settings);
    assert_eq!(drain().run().exit(), Exit::SomeWait);
    app.answer_with(|_| Answer::ok());
    let soonest = SystemTime::now() + std::time::Duration::from_hours(1);
    maildir.stories().iter().for_each(|id| maildir.set_due(id, soonest));

    for up_for in ["1", "100000000"] {
        let started = ["unshare", "--time", "--boottime", up_for, "--monotonic", up_for, "--fork"];
        assert_eq!(drain().by_way_of(&started).run().exit(), Exit::SomeWait, "nothing is due after {up_for} s");
        assert_eq!(app.count(), 3);
    }
    maildir.stories().iter().for_each(|id| maildir.set_due(id, SystemTime::now()));
    let started = ["unshare", "--time", "--boottime", "100000000", "--monotonic", "100000000", "--fork"];
    assert_eq!(drain().by_way_of(&started).run().exit(), Exit::Ok);
    assert_eq!(ledger.check(&app.deliveries(), Allowed::nothing()).accepted, 3);
}
