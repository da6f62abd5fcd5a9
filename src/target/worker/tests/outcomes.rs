//! What becomes of a job.

use super::*;
use crate::engine::Body;
use std::sync::Arc;

#[test]
fn each_answer_has_its_outcome() {
    let after = |seconds| Some(Duration::from_secs(seconds));
    for (answer, expected) in [
        ("answer done", DONE),
        ("answer reject ',\"reason\":\"spam\"'", Outcome::Reject { status: None, reason: "reject: spam".into() }),
        ("answer retry", retry(Blame::Message, "retry")),
        (
            "answer retry ',\"after\":60,\"reason\":\"busy\"'",
            Outcome::Retry { blame: Blame::Message, status: None, reason: "retry: busy".into(), after: after(60) },
        ),
        ("answer retry ',\"outage\":true,\"reason\":\"db\"'", retry(Blame::Endpoint, "outage: db")),
    ] {
        assert_eq!(Bench::new(answer).one(), expected, "{answer}");
    }
}

#[test]
fn one_process_works_on_message_after_message() {
    let bench = Bench::new("cat \"$path\" >>mails; echo \"$line\" >>lines; echo $$ >>by; answer done");
    for _ in 0..20 {
        assert_eq!(bench.one(), DONE);
    }
    assert_eq!(bench.told("mails").matches("Subject: sample\n\nbody\n").count(), 20);
    assert_eq!((bench.pids().len(), bench.told("by")), (1, format!("{}\n", bench.pids()[0]).repeat(20)));
    let lines = bench.told("lines");
    assert!(lines.lines().all(|line| line.starts_with("{\"type\":\"job\",\"id\":\"")), "{lines}");
}

#[test]
fn several_processes_work_at_once() {
    let bench =
        Setting::new(&sh("echo >>begun; until test -e go; do sleep 0.01; done; answer done")).processes(3).start();
    let target = bench.target.as_ref().unwrap();
    let messages = [message(), message(), message()];
    let all = futures_util::future::join_all(messages.iter().map(|message| target.attempt(message)));
    let all_begun = async {
        until("all have begun", || bench.told("begun").len() == 3).await;
        bench.make("go");
    };
    let (outcomes, ()) = bench.runtime.block_on(async { tokio::join!(all, all_begun) });
    assert_eq!((outcomes, bench.pids().len()), (vec![DONE; 3], 3));
}

#[test]
fn a_death_says_how_and_what_was_said_last() {
    for (death, expected) in [
        ("ulimit -c 0; kill -SEGV $$", "the worker was killed by SIGSEGV: before | ouch"),
        ("kill -KILL $$", "the worker was killed by SIGKILL: before | ouch"),
        ("exit 1", "the worker exited with code 1: before | ouch"),
        ("exit 0", "the worker exited with code 0: before | ouch"),
        ("printf '{\"type\":'; exit 3", "the worker exited with code 3: before | ouch"),
    ] {
        // What was said of the message before is no reason for this one.
        let work = format!(
            "echo before >&2; if test -e first; then echo ouch >&2; {death}; fi
             >first; echo not this one >&2; answer done"
        );
        let bench = Bench::new(&work);
        let first = bench.one();
        let begun = Instant::now();
        let second = bench.one();
        assert_eq!(first, DONE);
        let Outcome::Retry { blame: Blame::Unclear, reason, .. } = &second else { panic!("{second:?}") };
        assert!(reason.starts_with(expected.split(": ").next().unwrap()), "{reason}");
        assert!(reason.ends_with("before | ouch"), "{reason}");
        assert!(begun.elapsed() < SOON);
        // Another one is there at once.
        fs::remove_file(bench.path("first")).unwrap();
        assert_eq!(bench.one(), DONE, "{death}");
        assert_eq!(bench.pids().len(), 2);
    }
}

#[test]
fn an_answer_counts_though_its_worker_dies_right_after_it() {
    for work in ["answer done; exit 0", "answer done; kill -9 $$", "sleep 1000 & answer done; exit 1"] {
        let bench = Bench::new(work);
        for _ in 0..3 {
            assert_eq!(bench.one(), DONE, "{work}");
        }
        assert!(bench.pids().len() >= 3, "{work}");
    }
}

#[test]
fn a_breach_costs_a_try_and_a_process_and_nothing_else() {
    for (breach, said) in [
        ("echo hello", "it said: hello"),
        ("echo", "it said: "),
        ("printf '\\033[1m\\n'", r"it said: \u{1b}[1m"),
        (r#"echo '{"type":"done"}'"#, r#"it said: {"type":"done"}"#),
        (r#"echo '{"type":"ready","version":1}'"#, r#"it said: {"type":"ready","version":1}"#),
        ("answer finished", "it said: {"),
        ("head -c 70000 /dev/zero | tr '\\0' x", "a line of more than 64 KiB; it said: xxx"),
        ("head -c 1000000000 /dev/zero", r"a line of more than 64 KiB; it said: \u{0}"),
        ("exec >&-; sleep 1000", "it closed its standard output"),
    ] {
        let bench = Bench::new(&format!("if test -e broken; then answer done; else >broken; {breach}; fi"));
        let outcome = bench.one();
        let Outcome::Retry { blame: Blame::Unclear, reason, .. } = &outcome else { panic!("{breach}: {outcome:?}") };
        let expected = format!("the worker broke the protocol: {said}");
        assert!(reason.starts_with(&expected) && reason.len() < 1500, "{breach}: {reason}");
        assert_eq!((bench.one(), bench.pids().len()), (DONE, 2), "{breach}");
        assert!(!is_there(&bench.pids()[0]), "{breach}");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_hurts_no_other_message() {
    // The second answer comes together with the first, or when the process is idle.
    for twice in ["answer done; answer done", "printf '%s' \"$(answer done; answer reject)\"; echo"] {
        let bench = Bench::new(&format!("if test -e broken; then answer done; else >broken; {twice}; fi"));
        assert_eq!(bench.one(), DONE, "{twice}");
        // Where the second one takes its time it must not come when there is another job already.
        wait_until("it is replaced", || bench.pids().len() == 2);
        assert_eq!([bench.one(), bench.one()], [DONE, DONE], "{twice}");
    }
}

#[test]
fn an_answer_to_another_job_is_not_charged() {
    let bench = Bench::new("if test -e broken; then answer done; else >broken; id=zzz; answer reject; fi");
    let outcome = bench.one();
    assert!(matches!(&outcome, Outcome::Retry { blame: Blame::Endpoint, .. }), "{outcome:?}");
    assert_eq!(bench.one(), DONE);
}

#[test]
fn a_late_answer_never_reaches_another_message() {
    let late = "if test -e late; then answer done; else >late; trap 'answer reject; exit' TERM
                while :; do sleep 0.01; done; fi";
    let mut setting = Setting::new(&sh(late));
    setting.config.timeout = Duration::from_millis(300);
    let bench = setting.start();
    bench.ready().unwrap();
    let outcome = bench.one();
    assert!(matches!(&outcome, Outcome::Retry { blame: Blame::Unclear, .. }), "{outcome:?}");
    assert!(outcome.reason().starts_with("not finished within 300ms"), "{outcome:?}");
    assert!(!is_there(&bench.pids()[0]), "the message is given back only when nobody works on it any more");
    assert_eq!([bench.one(), bench.one()], [DONE, DONE]);
}

#[test]
fn who_does_not_end_when_asked_is_killed() {
    let mut setting = Setting::new(&sh("trap '' TERM; echo stuck >&2; while :; do sleep 0.01; done"));
    setting.config.timeout = Duration::from_millis(200);
    setting.patience.grace = Duration::from_millis(200);
    let bench = setting.start();
    assert_eq!(bench.one(), retry(Blame::Unclear, "not finished within 200ms: stuck"));
    assert!(!is_there(&bench.pids()[0]));
}

#[test]
fn a_job_that_its_worker_never_began_is_anothers() {
    let bench = Bench::new("echo >>done; answer done");
    bench.ready().unwrap();
    for round in 1..5 {
        // It sleeps while the job comes, and never wakes.
        let pid = bench.pids().pop().unwrap();
        signal(&pid, Signal::STOP);
        wait_until("it sleeps", || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T "));
        let stdin = fs::File::open(format!("/proc/{pid}/fd/0")).unwrap();
        let outcome = thread::scope(|scope| {
            let attempt = scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(bench.target.as_ref().unwrap().attempt(&message()))
            });
            wait_until("it has the job", || rustix::io::ioctl_fionread(&stdin).unwrap() > 100);
            drop(stdin);
            signal(&pid, Signal::KILL);
            attempt.join().unwrap()
        });
        assert_eq!((outcome, bench.told("done").len()), (DONE, round));
    }
}

#[test]
fn a_worker_that_does_not_read_a_large_job_meets_its_deadline() {
    let script = format!("echo $$ >>pids; echo '{READY}'; read -r hello; sleep 1000");
    let mut setting = Setting::new(&script);
    setting.config.timeout = Duration::from_millis(300);
    setting.config.parsed = Some(Parsed { attachments: Attachments::Omit, describe_above: None });
    let bench = setting.start();
    let large = [b"Subject: x\n\n".to_vec(), b"text\n".repeat(100_000)].concat();
    let outcome = bench.give(&Message { body: Body::Whole(large.into()), ..message() });
    assert_eq!(outcome, retry(Blame::Unclear, "not finished within 300ms"));
}

#[test]
fn a_worker_that_closes_its_standard_input_is_of_no_use() {
    let script = format!("echo $$ >>pids; echo '{READY}'; read -r hello; exec <&-; >closed; sleep 1000");
    let bench = Setting::new(&script).start();
    wait_until("it is closed", || bench.path("closed").exists());
    let outcome = bench.one();
    assert_eq!(outcome, retry(Blame::Unclear, "the worker broke the protocol: it closed its standard input"));
}

#[test]
fn the_parsed_message_comes_with_the_job() {
    let script = "
import json, os, sys
def say(**line): print(json.dumps(line), flush=True)
say(type='ready', version=1)
for line in sys.stdin:
    job = json.loads(line)
    if job['type'] == 'job':
        say(type='reject', id=job['id'], reason=f\"{job['mail']['subject']} {len(job['mail']['text'])} {list(job)}\")
";
    let mut setting = Setting::python(script);
    setting.config.parsed = Some(Parsed { attachments: Attachments::Inline, describe_above: None });
    let bench = setting.start();
    for lines in [1, 1000, 300_000] {
        let mail = [b"Subject: large\n\n".to_vec(), b"text\n".repeat(lines)].concat();
        let keys = "['type', 'id', 'attempt', 'path', 'size', 'queue', 'route', 'envelope', 'detail', 'mail']";
        let Outcome::Reject { reason, .. } = bench.give(&Message { body: Body::Whole(mail.into()), ..message() })
        else {
            panic!("{lines}")
        };
        let length = (5 * lines).min(1 << 20);
        assert!(reason.starts_with(&format!("reject: large {length} {keys}")), "{lines}: {reason}");
    }
}

#[test]
fn a_large_message_is_not_copied() {
    let bench = Bench::new("test ${#line} -lt 1000 && stat -c '%s %d:%i' \"$path\" >stat; answer done");
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(50_000_000).unwrap();
    let open = Arc::new(fs::File::open(file.path()).unwrap());
    let body = Body::File { head: "Subject: x\n\n".into(), file: Arc::clone(&open), length: 50_000_000 };
    assert_eq!(bench.give(&Message { body, file: Some(open), ..message() }), DONE);
    let found = std::os::unix::fs::MetadataExt::ino(&file.as_file().metadata().unwrap());
    assert!(bench.told("stat").starts_with("50000000 ") && bench.told("stat").trim().ends_with(&format!(":{found}")));
}
