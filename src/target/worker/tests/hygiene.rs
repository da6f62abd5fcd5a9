//! Nothing gets in that should not, and nothing is left behind.

use super::*;
use crate::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn an_attempt_that_is_dropped_is_over() {
    let bench = Bench::new(
        "if test -e once; then answer done; else >once; trap '' TERM; sleep 1000 & echo $! >child
         setsid sh -c 'echo $$ >daemon; exec sleep 1000' & until test -s daemon; do sleep 0.01; done
         >begun; while :; do sleep 1; done; fi",
    );
    let target = bench.target.as_ref().unwrap();
    bench.runtime.block_on(async {
        let begun = until("it has begun", || bench.path("begun").exists());
        let message = message();
        tokio::select! {
            outcome = target.attempt(&message) => panic!("{outcome:?}"),
            () = begun => {}
        }
    });
    let left = [bench.pids()[0].clone(), bench.told("child"), bench.told("daemon")];
    assert_eq!(left.map(|pid| is_there(&pid)), [false; 3]);
    assert_eq!(bench.one(), DONE);
}

#[test]
fn an_attempt_that_is_dropped_while_it_waits_is_nobodys() {
    let bench =
        Setting::new(&format!("until test -e go; do sleep 0.01; done; {}", sh("echo $id >>ids; answer done"))).start();
    let target = bench.target.as_ref().unwrap();
    let (dropped, kept) = (message(), message());
    bench.runtime.block_on(async {
        let polled = tokio::time::timeout(Duration::from_millis(20), target.attempt(&dropped)).await;
        assert!(polled.is_err());
    });
    bench.make("go");
    assert_eq!(bench.give(&kept), DONE);
    assert_eq!(bench.told("ids"), format!("{}\n", kept.id));
}

#[test]
fn an_end_leaves_no_process() {
    for (what, script) in [
        ("it ends with its input", sh("answer done")),
        ("it has children", format!("sleep 1000 & echo $! >>pids; {}", sh("answer done"))),
        (
            "it has a daemon",
            format!(
                "setsid sh -c 'echo $$ >>pids; exec sleep 1000' & until test -s pids; do sleep 0.01; done; {}",
                sh("")
            ),
        ),
        ("it does not mind its input", format!("{}\nsleep 1000", sh("answer done"))),
        ("it minds nothing", format!("trap '' TERM; {}\nwhile :; do sleep 1; done", sh("answer done"))),
    ] {
        let mut setting = Setting::new(&script).processes(3);
        (setting.patience.ending, setting.patience.grace) = (Duration::from_millis(100), Duration::from_millis(100));
        let mut bench = setting.start();
        wait_until("they are there", || bench.pids().len() >= 3);
        bench.ready().unwrap();
        bench.close();
        assert!(bench.pids().iter().all(|pid| !is_there(pid)), "{what}");
    }
}

#[test]
fn an_end_lets_a_worker_finish_by_itself() {
    let script = format!("{}\necho bye >last", sh("answer done"));
    let mut bench = Setting::new(&script).start();
    assert_eq!(bench.one(), DONE);
    bench.close();
    assert_eq!(bench.told("last"), "bye\n");
}

#[test]
fn a_pool_ends_by_itself_when_its_targets_are_gone() {
    let mut bench = Bench::new("answer done");
    assert_eq!(bench.one(), DONE);
    assert!(!bench.pool.as_ref().unwrap().has_ended());
    bench.target = None;
    wait_until("it has ended", || bench.pool.as_ref().unwrap().has_ended());
    assert!(!is_there(&bench.pids()[0]));
}

#[test]
fn a_pool_ends_while_it_starts() {
    let mut bench = Setting::new("trap '' TERM; echo $$ >>pids; sleep 1000").start();
    wait_until("it starts", || bench.pids().len() == 1);
    bench.close();
    assert!(!is_there(&bench.pids()[0]));
}

#[test]
fn what_a_worker_leaves_behind_does_not_stay_a_zombie() {
    let bench = Bench::new(
        "(setsid sh -c 'echo $$ >>left' &)
         (sh -c 'echo $$ >>left' &)
         answer done",
    );
    for _ in 0..5 {
        assert_eq!(bench.one(), DONE);
    }
    wait_until("all have told", || bench.told("left").lines().count() == 10);
    wait_until("all are gone", || !bench.told("left").lines().any(is_there));
    assert_eq!(bench.pids().len(), 1);
}

#[test]
fn a_worker_may_say_as_much_as_it_likes() {
    let bench = Bench::new("head -c 1000000000 /dev/zero >&2; echo >&2; echo enough >&2; answer done");
    assert_eq!(bench.one(), DONE);
    // Also when nobody has asked.
    let idle = Setting::new(&format!(
        "echo $$ >>pids; echo '{READY}'; head -c 1000000000 /dev/zero >&2; >said; cat >/dev/null"
    ));
    let bench = idle.start();
    wait_until("it has said all", || bench.path("said").exists());
    assert_eq!(bench.pids().len(), 1);
}

#[test]
fn whoever_says_something_unasked_is_replaced() {
    for unasked in ["echo hello", "head -c 1000000000 /dev/zero", "exec >&-"] {
        let script = format!(
            "test -e once || {{ >once; echo $$ >>pids; echo '{READY}'; {unasked}; sleep 1000; }}; {}",
            sh("answer done")
        );
        let bench = Setting::new(&script).start();
        wait_until("there is another", || bench.pids().len() == 2);
        assert_eq!(bench.one(), DONE, "{unasked}");
        wait_until("it is gone", || !is_there(&bench.pids()[0]));
    }
}

#[test]
fn a_death_is_seen_though_somebody_holds_the_pipes() {
    // It has no environment that would tell whose it is.
    let bench = Bench::new(
        "if test -e once; then answer done; else >once
         (setsid env -i sh -c 'echo $$ >hidden; exec sleep 1000' &) ; until test -s hidden; do sleep 0.01; done
         echo ouch >&2; exit 3; fi",
    );
    assert_eq!(bench.one(), retry(Blame::Unclear, "the worker exited with code 3: ouch"));
    assert_eq!(bench.one(), DONE);
    signal(&bench.told("hidden"), Signal::KILL);
}

#[test]
fn a_worker_has_its_own_environment_and_nothing_of_ours() {
    let mut setting = Setting::new(&sh("env >env; answer done"));
    setting.config.run.environment =
        vec![("RAILS_ENV".into(), Secret::new("production")), ("KEY".into(), Secret::new("a b"))];
    let bench = setting.start();
    assert_eq!(bench.one(), DONE);
    let told = bench.told("env");
    let found: BTreeMap<_, _> = told.lines().filter_map(|line| line.split_once('=')).collect();
    // The last three are the shell's own.
    let known = [
        "PATH",
        "LANG",
        "HOME",
        "USER",
        "MAILDIRQ_TARGET",
        "MAILDIRQ_WORKER",
        "RAILS_ENV",
        "KEY",
        "PWD",
        "OLDPWD",
        "_",
        "SHLVL",
    ];
    assert!(found.keys().all(|name| known.contains(name)), "{told}");
    assert_eq!([found["MAILDIRQ_TARGET"], found["RAILS_ENV"], found["KEY"]], ["app", "production", "a b"]);
    assert_eq!(found["MAILDIRQ_WORKER"].len(), 32);
    assert_eq!(found.get("PATH").map(|path| (*path).to_owned()), std::env::var("PATH").ok());
}

#[test]
fn a_worker_has_four_open_files_usual_signals_and_a_group_of_its_own() {
    // What we were started with ourselves goes on to the program, as it does everywhere.
    let inherited = fs::read_dir("/proc/self/fdinfo").unwrap().flatten().filter(|entry| {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        flags.is_some_and(|flags| u32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC.unsigned_abs() == 0)
    });
    let mut expected: BTreeSet<_> = inherited.map(|entry| entry.file_name().into_string().unwrap()).collect();
    // The last one is that of the folder that is being listed.
    expected.extend(["0", "1", "2", "3", "4"].map(str::to_owned));
    let bench = Bench::new(
        "ls /proc/self/fd >fds; readlink /proc/$$/fd/3 >lease;
         grep ^Sig /proc/self/status >signals
         cut -d' ' -f5 /proc/$$/stat >group; answer done",
    );
    assert_eq!(bench.one(), DONE);
    let found: BTreeSet<_> = bench.told("fds").lines().map(str::to_owned).collect();
    assert_eq!(found, expected);
    assert!(bench.told("lease").starts_with("socket:"), "{}", bench.told("lease"));
    let signals = bench.told("signals");
    let mask = |name: &str| {
        let line = signals.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & (1 << (libc::SIGPIPE - 1))), (0, 0));
    assert_eq!(bench.told("group").trim(), bench.pids()[0]);
}

#[test]
fn many_messages_at_once_and_one_by_one_are_each_done_once() {
    let bench = Setting::new(&sh("echo $id >>ids.$$; answer done")).processes(4).start();
    let target = bench.target.as_ref().unwrap();
    let messages: Vec<_> = (0..400).map(|_| message()).collect();
    for some in messages.chunks(7) {
        let all = futures_util::future::join_all(some.iter().map(|message| target.attempt(message)));
        assert_eq!(bench.runtime.block_on(all), vec![DONE; some.len()]);
    }
    let told: String = bench.pids().iter().map(|pid| bench.told(&format!("ids.{pid}"))).collect();
    let mut ids: Vec<_> = told.lines().collect();
    let mut expected: Vec<_> = messages.iter().map(|message| message.id.to_string()).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}
