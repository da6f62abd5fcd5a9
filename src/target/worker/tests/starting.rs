//! Processes that start, and processes that do not.

use super::*;

#[test]
fn all_processes_are_there_before_the_first_message() {
    let bench = Setting::new(&sh("answer done")).processes(9).start();
    wait_until("nine processes", || bench.pids().len() == 9);
    assert_eq!(bench.one(), DONE);
    assert_eq!(bench.pids().len(), 9);
}

#[test]
fn a_start_that_fails_says_why_and_costs_nothing() {
    for (script, expected) in [
        ("echo no database >&2; exit 1", "exit code 1: no database"),
        ("exit 0", "exit code 0"),
        ("ulimit -c 0; kill -ABRT $$", "killed by SIGABRT"),
        ("exec >&-; echo why >&2; sleep 1000", "it closed its standard output: why"),
        ("echo Booting", "before it was ready it said on standard output: Booting"),
        ("echo Booting; sleep 1000", "before it was ready it said on standard output: Booting"),
        (
            r#"echo oops >&2; echo '{"type":"ready","version":2}'; sleep 1000"#,
            "it speaks version 2 of the protocol, maildirq 1: oops",
        ),
        ("sleep 1000", "not ready within 300ms"),
        ("echo slow >&2; sleep 1000", "not ready within 300ms: slow"),
        (
            "head -c 1000000 /dev/zero; sleep 1000",
            r"the worker broke the protocol: a line of more than 64 KiB; it said: \u{0}",
        ),
    ] {
        let mut setting = Setting::new(&format!("echo $$ >>pids; {script}"));
        setting.config.start_timeout =
            if expected.starts_with("not ready") { Duration::from_millis(300) } else { NEVER };
        let bench = setting.start();
        let expected = format!("the worker does not start: {expected}");
        // One that waits already, and one that comes later.
        for _ in 0..2 {
            let outcome = bench.one();
            let Outcome::Unavailable { reason } = &outcome else { panic!("{script}: {outcome:?}") };
            assert!(reason.starts_with(&expected), "{script}: {reason}");
        }
        let reason = bench.ready().unwrap_err();
        assert!(reason.starts_with(&format!("[target.app]: {expected}")), "{reason}");
    }
}

#[test]
fn a_program_that_cannot_be_run_is_named() {
    for program in ["/nonexistent/worker", "/etc/passwd"] {
        let outcome = Setting::of(program, []).start().one();
        let Outcome::Unavailable { reason } = &outcome else { panic!("{outcome:?}") };
        assert!(reason.starts_with(&format!("the worker does not start: cannot run {program}: ")), "{reason}");
    }
    let mut setting = Setting::new("exit 0");
    setting.config.run.directory = Some("/nonexistent".into());
    let outcome = setting.start().one();
    assert!(outcome.reason().contains("/nonexistent"), "{outcome:?}");
}

#[test]
fn starts_are_tried_again_until_one_is_good() {
    let script = format!("test -e good || {{ echo $$ >>failed; exit 1; }}; {}", sh("answer done"));
    let bench = Setting::new(&script).processes(3).start();
    wait_until("it has failed a few times", || bench.told("failed").lines().count() > 4);
    assert!(matches!(bench.one(), Outcome::Unavailable { .. }));
    bench.make("good");
    wait_until("all are there", || bench.pids().len() == 3);
    assert_eq!(bench.one(), DONE);
    bench.ready().unwrap();
}

#[test]
fn while_starts_fail_one_at_a_time_is_tried() {
    // Until one has failed several may be tried.
    let script = "exec 9>lock; if flock -n 9; then test -e go && sleep 0.05; else test -e go && echo >>together; fi
                  echo >>failed; test -e go || sleep 0.3; exit 1";
    let bench = Setting::new(script).processes(4).start();
    wait_until("the first ones have failed", || bench.told("failed").len() >= 4 && bench.ready().is_err());
    wait_until("one is tried after them", || bench.told("failed").len() > 5);
    bench.make("go");
    let before = bench.told("failed").len();
    wait_until("it has failed a few times more", || bench.told("failed").len() > before + 6);
    assert_eq!(bench.told("together"), "");
}

#[test]
fn a_pause_is_made_after_a_failed_start() {
    let mut setting = Setting::new("echo >>failed; exit 1");
    setting.patience.first_pause = NEVER;
    setting.patience.longest_pause = NEVER;
    let bench = setting.start();
    for _ in 0..20 {
        assert!(matches!(bench.one(), Outcome::Unavailable { .. }));
    }
    assert_eq!(bench.told("failed").len(), 1);
}

#[test]
fn processes_that_do_not_last_do_not_burn_the_machine() {
    // They are ready, and die before they have answered anything.
    let mut setting = Setting::new(&format!("echo $$ >>pids; echo '{READY}'; echo why >&2; exit 7")).processes(2);
    setting.patience.first_pause = NEVER;
    setting.patience.longest_pause = NEVER;
    let bench = setting.start();
    let expected = "the worker does not last: the worker exited with code 7: why";
    // While one is just ready a message may wait for it.
    assert_eq!(bench.one(), Outcome::Unavailable { reason: expected.into() });
    wait_until("both have died", || bench.pids().iter().all(|pid| !is_there(pid)));
    assert!((2..=4).contains(&bench.pids().len()), "{:?}", bench.pids());
}

#[test]
fn an_attempt_does_not_wait_for_ever() {
    let mut setting = Setting::new(&sh("echo >>begun; sleep 1000"));
    setting.config.start_timeout = Duration::from_secs(2);
    setting.patience.slack = Duration::ZERO;
    let bench = setting.start();
    bench.ready().unwrap();
    let target = bench.target.as_ref().unwrap();
    let messages = [message(), message()];
    let outcome = bench.runtime.block_on(async {
        let mut first = target.attempt(&messages[0]);
        let second = async {
            until("it has begun", || !bench.told("begun").is_empty()).await;
            target.attempt(&messages[1]).await
        };
        tokio::select! {
            outcome = &mut first => panic!("{outcome:?}"),
            outcome = second => outcome,
        }
    });
    assert_eq!(outcome, Outcome::Unavailable { reason: "no worker was ready within 2s".into() });
}

#[test]
fn a_rehearsal_starts_one_and_leaves_none() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let setting = Setting::new(&sh("answer done")).processes(5);
    assert!(rehearse(&setting.config).unwrap() < SOON);
    let pids = fs::read_to_string(setting.folder.path().join("pids")).unwrap();
    assert_eq!((pids.lines().count(), is_there(&pids)), (1, false));

    let setting = Setting::new("echo no database >&2; exit 1");
    assert_eq!(rehearse(&setting.config), Err("exit code 1: no database".into()));
}
