//! Commands that behave, and commands that do not: with real processes.

use super::*;
use crate::engine::{Body, Envelope, Id};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::time::Instant;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// So long may anything take that takes no time, on a machine that is busy.
const SOON: Duration = Duration::from_secs(5);
/// What a test waits for nobody to reach.
const NEVER: Duration = Duration::from_mins(1);

/// A target that runs this script of `sh`, and one message with an id of its own.
struct Case {
    target: CommandTarget,
    message: Message,
    folder: TempDir,
    runtime: Runtime,
    _forks: RwLockReadGuard<'static, ()>,
}

impl Case {
    fn new(script: &str) -> Self {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut digest = [0xc0; 32];
        digest[..2].copy_from_slice(&number);
        digest[2..6].copy_from_slice(&std::process::id().to_be_bytes());
        let folder = tempfile::tempdir().unwrap();
        let config = CommandConfig {
            run: ProgramConfig::new("/bin/sh", ["-c", script, "sh", folder.path().to_str().unwrap()]),
            timeout: NEVER,
            answers: Overrides::default(),
            limits: Limits::default(),
            default_prefix: None,
        };
        assert_eq!(CommandTarget::lanes(&config, 3).len(), 3);
        let target = CommandTarget { config, grace: GRACE };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
        let message = Message { id: Id::from_digest(&digest), ..Message::sample() };
        Case { target, message, folder, runtime, _forks: forks }
    }

    fn timeout(mut self, timeout: Duration, grace: Duration) -> Self {
        (self.target.config.timeout, self.target.grace) = (timeout, grace);
        self
    }

    fn run(&self) -> Outcome {
        self.runtime.block_on(self.target.attempt(&self.message))
    }

    /// What the script has written into a file of its folder, which is its first argument.
    fn told(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The processes that know this message, zombies of ours included.
    fn survivors(&self) -> Vec<String> {
        let mark = format!("{}={}", super::super::environment::ID, self.message.id);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()) {
                found.push(fs::read_to_string(entry.path().join("stat")).unwrap_or_default());
            }
        }
        found
    }

    /// Whether a process that the script named in a file is still on the process table.
    fn is_there(&self, name: &str) -> bool {
        let pid = self.told(name);
        let pid = pid.trim();
        assert!(!pid.is_empty(), "the script did not write {name}");
        Path::new("/proc").join(pid).exists()
    }
}

fn reason(outcome: &Outcome) -> &str {
    outcome.reason()
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done { .. })
}

#[test]
fn every_exit_code_has_its_outcome() {
    let retry =
        |blame, code, reason: &str| Outcome::Retry { blame, status: Some(code), reason: reason.into(), after: None };
    for code in [0u16, 1, 2, 64, 65, 66, 70, 74, 75, 76, 77, 78, 99, 100, 101, 111, 112, 126, 127, 128, 137, 255] {
        let status = Some(code);
        let expected = match code {
            0 | 99 => Outcome::Done { status },
            64 | 65 | 70 | 76..=78 | 100 | 112 => {
                Outcome::Reject { status, reason: format!("exit code {code}: no | because") }
            }
            126 | 127 => {
                retry(Blame::Endpoint, code, &format!("exit code {code} (looks like configuration): no | because"))
            }
            _ => retry(Blame::Message, code, &format!("exit code {code}: no | because")),
        };
        let case = Case::new(&format!("echo hello; echo no >&2; echo because >&2; exit {code}"));
        assert_eq!(case.run(), expected, "{code}");
    }
}

#[test]
fn a_target_has_its_own_meanings_of_an_exit_code() {
    let mut case = Case::new("exit 3");
    case.target.config.answers.done = vec![3..=3];
    assert_eq!(case.run(), Outcome::Done { status: Some(3) });
}

#[test]
fn a_signal_is_nobodys_failure_yet() {
    for (signal, expected) in [("KILL", "killed by SIGKILL: ouch"), ("SEGV", "killed by SIGSEGV: ouch")] {
        let outcome = Case::new(&format!("echo ouch >&2; ulimit -c 0; kill -{signal} $$")).run();
        let expected = Outcome::Retry { blame: Blame::Unclear, status: None, reason: expected.into(), after: None };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn a_program_that_cannot_be_run_is_the_configurations_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    for program in [
        folder.path().join("none"),
        folder.path().to_owned(),
        file("not-executable", "#!/bin/sh\n", 0o644),
        file("no-interpreter", "#!/nonexistent/sh\n", 0o755),
        file("file", "", 0o644).join("below"),
        "/bin/\0sh".into(),
    ] {
        let mut case = Case::new("");
        case.target.config.run.program = program.clone();
        let outcome = case.run();
        let Outcome::Retry { blame: Blame::Endpoint, status: None, reason, after: None } = &outcome else {
            panic!("{}: {outcome:?}", program.display())
        };
        assert!(
            reason.contains(&program.display().to_string()) && reason.contains("looks like configuration"),
            "{reason}"
        );
    }
}

#[test]
fn what_this_machine_lacks_is_ours() {
    for errno in [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE] {
        let outcome = Case::new("").target.not_started(&io::Error::from_raw_os_error(errno));
        assert!(matches!(outcome, Outcome::Retry { blame: Blame::Ourselves, .. }), "{outcome:?}");
    }
}

#[test]
fn a_program_reads_the_claimed_file_from_its_beginning() {
    let mut claimed = tempfile::tempfile().unwrap();
    let mail: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).collect();
    claimed.write_all(&mail).unwrap();
    let mut case = Case::new("sha256sum >$1/sum");
    case.message.file = Some(Arc::new(claimed));
    let expected = data_encoding::HEXLOWER.encode(&Sha256::digest(&mail));
    // Another attempt begins where the last one began, however far that one read.
    for script in ["sha256sum >$1/sum", "head -c 1000 >/dev/null", "sha256sum >$1/sum"] {
        script.clone_into(&mut case.target.config.run.arguments[1]);
        assert!(is_done(&case.run()));
        assert!(case.told("sum").starts_with(&expected), "{}", case.told("sum"));
    }
}

#[test]
fn a_program_reads_a_message_in_memory() {
    let case = Case::new("cat >$1/mail; printf x 2>/dev/null >&0 && exit 1; exit 0");
    assert!(is_done(&case.run()));
    assert_eq!(case.told("mail"), "Subject: sample\n\nbody\n");
}

#[test]
fn a_program_need_not_read() {
    for script in ["exit 0", "exec <&-; exit 0", "exec <&- 2>&- >&-; exit 0"] {
        let mut case = Case::new(script);
        case.message.body = Body::Whole(vec![b'x'; 1 << 20].into());
        assert!(is_done(&case.run()), "{script}");
    }
}

#[test]
fn a_program_gets_none_of_our_open_files() {
    // What we were started with ourselves goes on to the program, as it does everywhere.
    let inherited = fs::read_dir("/proc/self/fdinfo").unwrap().flatten().filter(|entry| {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        flags.is_some_and(|flags| u32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC.unsigned_abs() == 0)
    });
    let mut expected: BTreeSet<_> = inherited.map(|entry| entry.file_name().into_string().unwrap()).collect();
    // The last one is that of the folder that is being listed.
    expected.extend(["0", "1", "2", "3"].map(str::to_owned));
    let case = Case::new("ls /proc/self/fd >&2; exit 75");

    let outcome = case.run();

    let fds = reason(&outcome).strip_prefix("exit code 75: ").unwrap();
    assert_eq!(fds.split(" | ").map(str::to_owned).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_program_starts_with_usual_signals_and_a_group_of_its_own() {
    let mut case = Case::new(
        "grep -E '^Sig(Ign|Blk)' /proc/self/status >$1/signals
         cut -d' ' -f5 /proc/$$/stat >$1/group; echo $$ >$1/pid",
    );
    let mask = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // The system starts it in another way where something is to be done in between.
    for limits in [Limits::default(), Limits { cpu: Some(60), ..Limits::default() }] {
        case.target.config.limits = limits;
        assert!(is_done(&case.run()));
        let (ours, theirs) = (fs::read_to_string("/proc/self/status").unwrap(), case.told("signals"));
        let pipe = 1 << (libc::SIGPIPE - 1);
        assert_eq!(mask(&theirs, "SigBlk:"), 0);
        assert_eq!((mask(&ours, "SigIgn:") & pipe, mask(&theirs, "SigIgn:") & pipe), (pipe, 0));
        assert_eq!(case.told("group"), case.told("pid"));
    }
}

#[test]
fn an_environment_is_never_too_much_and_runs_nothing() {
    let long = "x".repeat(200_000);
    for hostile in ["() { :;}; touch $1/shocked", "a\0b", &long, "$(touch shocked)\n`touch shocked`"] {
        let mut case = Case::new("env >$1/env");
        let text = || Some(hostile.to_owned());
        case.message.envelope = Envelope { from: text(), to: text(), detail: text() };
        case.message.history.last_reason = hostile.into();
        assert!(is_done(&case.run()), "{hostile}");
        let told = case.told("env");
        let names: Vec<_> = told.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(told.contains(&format!("MAILDIRQ_ID={}\n", case.message.id)), "{told}");
        assert!(!names.contains(&"SENDER") && !names.contains(&"RECIPIENT") && !names.contains(&"CARGO"), "{told}");
        assert!(told.lines().all(|line| line.len() < 5000), "{told}");
    }
}

#[test]
fn a_program_may_say_as_much_as_it_likes() {
    for script in [
        "head -c 300000000 /dev/zero; echo enough >&2; exit 75",
        "head -c 100000000 /dev/zero >&2; echo >&2; echo enough >&2; exit 75",
    ] {
        let outcome = Case::new(script).run();
        assert_eq!((outcome.status(), reason(&outcome)), (Some(75), "exit code 75: enough"));
    }
}

#[test]
fn a_program_that_takes_too_long_is_asked_to_end() {
    let case = Case::new("trap 'echo asked >&2; exit 0' TERM; echo $$ >$1/pid; while :; do sleep 0.01; done");
    let case = case.timeout(Duration::from_millis(300), NEVER);
    let begun = Instant::now();

    let outcome = case.run();

    assert!(matches!(&outcome, Outcome::Retry { blame: Blame::Unclear, status: None, .. }), "{outcome:?}");
    assert!(reason(&outcome).starts_with("not finished within 300ms: "), "{outcome:?}");
    assert!(reason(&outcome).ends_with("asked"), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_millis(300) + REST + SOON);
    assert!(!case.is_there("pid"));
}

#[test]
fn a_program_that_does_not_obey_is_killed() {
    let (limit, grace) = (Duration::from_millis(200), Duration::from_millis(300));
    let case = Case::new("trap '' TERM; sleep 100 & echo $! >$1/child; echo $$ >$1/pid; while :; do sleep 1; done");
    let case = case.timeout(limit, grace);
    let begun = Instant::now();

    let outcome = case.run();

    assert_eq!(reason(&outcome), "not finished within 200ms");
    assert!((limit + grace..limit + grace + REST + SOON).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert!(!case.is_there("pid") && !case.is_there("child"));
    assert_eq!(case.survivors(), [""; 0]);
}

#[test]
fn nothing_of_a_program_outlives_it() {
    let ways = [
        ("in the group, with the message open", "sleep 100 <&0 & echo $! >$1/pid"),
        ("a double fork", "(sleep 100 & echo $! >$1/pid) &\nwait"),
        ("a session", "setsid sh -c 'echo $$ >$0/pid; exec sleep 100' $1 & until test -s $1/pid; do sleep 0.01; done"),
        (
            "a daemon that does not obey",
            "(setsid sh -c 'trap \"\" TERM; echo $$ >$0/pid; while :; do sleep 1; done' $1 &)\nuntil test -s $1/pid; do sleep 0.01; done",
        ),
        (
            "a daemon in a daemon",
            "(setsid sh -c '(setsid sh -c \"echo \\$\\$ >$0/pid; exec sleep 100\" &) ; sleep 100' $1 &)
             until test -s $1/pid; do sleep 0.01; done",
        ),
    ];
    for (what, script) in ways {
        let case = Case::new(&format!("{script}\necho failed >&2; exit 100"));
        let begun = Instant::now();

        let outcome = case.run();

        assert_eq!((outcome.status(), reason(&outcome)), (Some(100), "exit code 100: failed"), "{what}");
        assert!(begun.elapsed() < REST + SOON, "{what}: {:?}", begun.elapsed());
        assert!(!case.is_there("pid"), "{what}");
        assert_eq!(case.survivors(), [""; 0], "{what}");
    }
}

#[test]
fn a_daemon_that_ends_by_itself_leaves_no_zombie() {
    let case = Case::new(
        "(setsid sh -c 'echo $$ >$0/pid; exit 0' $1 &)
         until test -s $1/pid; do sleep 0.01; done
         while grep -q '^State:.*[^Z] ' /proc/$(cat $1/pid)/status; do sleep 0.01; done; exit 0",
    );
    assert!(is_done(&case.run()));
    assert!(!case.is_there("pid"));
}

#[test]
fn whoever_hides_is_not_waited_for() {
    // It has no environment that would tell whose it is, and holds a pipe open.
    for (closed, output) in [("", None), ("", Some(1 << 20)), ("2>&-", Some(1 << 20))] {
        let mut case = Case::new(&format!(
            "(setsid env -i sh -c 'echo $$ >$0/pid; exec sleep 100' $1 {closed} &)
             until test -s $1/pid; do sleep 0.01; done; echo said >&2; exit 100"
        ));
        case.target.config.limits.output = output;
        let begun = Instant::now();

        let outcome = case.run();

        assert_eq!(reason(&outcome), "exit code 100: said");
        assert!((REST..REST + SOON).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let hidden = rustix::process::Pid::from_raw(case.told("pid").trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(hidden, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn an_attempt_that_is_dropped_leaves_nothing() {
    let case = Case::new(
        "trap '' TERM; echo $$ >$1/main; sleep 100 & echo $! >$1/child
         setsid sh -c 'echo $$ >$0/daemon; exec sleep 100' $1 & until test -s $1/daemon; do sleep 0.01; done
         >$1/ready; while :; do sleep 1; done",
    );
    case.runtime.block_on(async {
        let is_ready = async {
            while !case.folder.path().join("ready").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            outcome = case.target.attempt(&case.message) => panic!("{outcome:?}"),
            () = is_ready => {}
        }
    });
    assert_eq!([case.is_there("main"), case.is_there("child"), case.is_there("daemon")], [false; 3]);
    assert_eq!(case.survivors(), [""; 0]);
}

#[test]
fn fifty_at_once_do_not_touch_one_another() {
    let script = "sleep 100 & (setsid sleep 100 &) ; sleep 0.$((RANDOM % 10)) ; cat >$1/mail; kill $!; exit 0";
    let case = Case::new(script);
    let cases: Vec<_> = (0..50).map(|_| Case::new(script)).collect();
    let attempts = cases.iter().map(|case| case.target.attempt(&case.message));
    let outcomes = case.runtime.block_on(futures_util::future::join_all(attempts));
    for (case, outcome) in cases.iter().zip(outcomes) {
        assert!(is_done(&outcome), "{outcome:?}");
        assert_eq!(case.told("mail"), "Subject: sample\n\nbody\n");
        assert_eq!(case.survivors(), [""; 0]);
    }
}

#[test]
fn what_a_program_uses_has_bounds() {
    let no_limits = Limits::default();
    for (limits, script, expected) in [
        (
            Limits { cpu: Some(1), ..no_limits },
            "echo busy >&2; while :; do :; done",
            "used more CPU time than max_cpu allows (1s): busy",
        ),
        // It is the program's own affair what it says of the memory that it does not get.
        (
            Limits { memory: Some(64 << 20), ..no_limits },
            "head -c 500000000 /dev/zero | tail -n 1 2>/dev/null >/dev/null && exit 0; echo full >&2; exit 75",
            "exit code 75: full",
        ),
        (
            Limits { output: Some(1000), ..no_limits },
            "echo why >&2; yes",
            "said more than max_output allows (1000 bytes): why",
        ),
        (
            Limits { output: Some(2 << 20), ..no_limits },
            "yes ' ' >&2",
            "said more than max_output allows (2097152 bytes)",
        ),
        (Limits { output: Some(1000), ..no_limits }, "exec 2>&-; yes", "said more than max_output allows (1000 bytes)"),
    ] {
        let mut case = Case::new(script);
        case.target.config.limits = limits;
        let outcome = case.run();
        // All three are about this message: no number of them says that the program is down.
        assert!(matches!(outcome, Outcome::Retry { blame: Blame::Message, .. }), "{script}: {outcome:?}");
        assert_eq!(reason(&outcome), expected, "{script}");
        assert_eq!(case.survivors(), [""; 0], "{script}");
    }
}

#[test]
fn who_stays_within_bounds_does_not_feel_them() {
    let script = "head -c 500000 /dev/zero; head -c 500000 /dev/zero >&2; cat >$1/mail; exit 0";
    let mut case = Case::new(script);
    case.target.config.limits = Limits { memory: Some(1 << 30), cpu: Some(100), output: Some(1_000_000) };
    assert!(is_done(&case.run()));
    assert_eq!(case.told("mail"), "Subject: sample\n\nbody\n");
}

#[test]
fn a_program_that_says_too_much_and_does_not_obey_is_killed() {
    let case =
        Case::new("trap '' TERM PIPE; echo $$ >$1/pid; (yes & echo $! >$1/child; wait); while :; do sleep 1; done");
    let mut case = case.timeout(NEVER, Duration::from_millis(300));
    case.target.config.limits.output = Some(1000);
    let begun = Instant::now();

    let outcome = case.run();

    assert_eq!(reason(&outcome), "said more than max_output allows (1000 bytes)");
    assert!(begun.elapsed() < Duration::from_millis(300) + REST + SOON, "{:?}", begun.elapsed());
    assert!(!case.is_there("pid") && !case.is_there("child"));
}

#[test]
fn a_program_works_in_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut case = Case::new("pwd -P >$1/pwd");
    case.target.config.run.directory = Some(folder.path().to_owned());
    assert!(is_done(&case.run()));
    assert_eq!(case.told("pwd").trim(), folder.path().canonicalize().unwrap().to_str().unwrap());

    drop(folder);
    for limits in [Limits::default(), Limits { cpu: Some(9), ..Limits::default() }] {
        case.target.config.limits = limits;
        let outcome = case.run();
        assert!(matches!(outcome, Outcome::Retry { blame: Blame::Endpoint, .. }), "{outcome:?}");
        assert!(
            reason(&outcome).starts_with("cannot run /bin/sh: cannot enter its working directory /"),
            "{outcome:?}"
        );
    }
}
