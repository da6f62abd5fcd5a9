//! Workers: processes that stay, and what becomes of them and of their mail.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::worker::Worker;
use crate::support::{Exit, Fate, Maildir, Maildirq, SOON, holds_for, wait_until};

const NOTING: &str = "def work(job): note('done', f'{os.getpid()} {subject(job)} {job[\"id\"]}')";
/// Works until it is let go.
const WAITING: &str = "def work(job):\n    note('begun', f'{os.getpid()} {job[\"id\"]}')\n    await_file('go')\n    note('done', job['id'])";
const QUICK: &str =
    "breaker = { after = 3, probe = '200ms' }\nretry = { min_delay = '1ms', max_delay = '10ms', for = '1s' }";

fn deliver(maildir: &Maildir, count: usize) {
    for number in 0..count {
        maildir.deliver(format!("Subject: {number}\n\n.\n"));
    }
}

/// Those of these processes that are on the process table still, zombies too, as their status files begin.
fn left_of(pids: &[String]) -> Vec<String> {
    pids.iter().filter_map(|pid| fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()).collect()
}

fn kill(pid: &str) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

mod mail {
    use super::*;

    #[test]
    fn each_mail_is_done_once_by_processes_that_stay() {
        const MAILS: usize = 200;
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        deliver(&maildir, MAILS);

        let drain = Maildirq::drain_config(&worker.config(&maildir, "processes = 3")).run();

        assert_eq!((drain.exit(), maildir.waiting().len(), maildir.stories()), (Exit::Ok, 0, vec![]));
        let done = worker.notes("done");
        let subjects: BTreeSet<_> = done.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!((done.len(), subjects.len()), (MAILS, MAILS));
        assert!(worker.pids().len() <= 3, "{:?}", worker.pids());
        assert_eq!(left_of(&worker.pids()), [""; 0]);
    }

    #[test]
    fn mail_is_taken_as_it_comes() {
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        let watch = Maildirq::watch_config(&worker.config(&maildir, "")).start();
        watch.wait_for_events("worker_started", 2);
        assert_eq!(worker.pids().len(), 2, "before there is mail");
        for round in 1..=20 {
            deliver(&maildir, 1);
            worker.wait_for_notes("done", round);
        }
        wait_until("all are done", SOON, || maildir.waiting().is_empty());
        assert_eq!((worker.pids().len(), watch.stop()), (2, Exit::Ok));
        assert_eq!(left_of(&worker.pids()), [""; 0]);
    }

    #[test]
    fn every_answer_has_its_fate() {
        let answers = "def work(job): return json.loads(subject(job))";
        let (maildir, worker) = (Maildir::new(), Worker::new(answers));
        let (charged, not_charged) = (Fate::Waits { charged: true }, Fate::Waits { charged: false });
        let fates = [
            (r#"{"type":"done"}"#, Fate::Done, ""),
            (r#"{"type":"retry","after":60,"reason":"busy"}"#, charged, "retry: busy"),
            (r#"{"type":"retry","outage":true,"reason":"no database"}"#, not_charged, "outage: no database"),
            (r#"{"type":"reject","reason":"spam\u0007"}"#, Fate::Dead, r"reject: spam\u{7}"),
        ];
        for (answer, fate, reason) in fates {
            let name = maildir.deliver(format!("Subject: {answer}\n\n.\n"));
            let drain = Maildirq::drain_config(&worker.config(&maildir, "")).run();
            let line = drain.log_lines().into_iter().find(|line| line["outcome"].is_string()).unwrap();
            let story = maildir.story(line["id"].as_str().unwrap());
            assert_eq!(Fate::of(&maildir, &name, &story), fate, "{answer}");
            assert_eq!(line["reason"], reason, "{answer}");
        }
    }

    #[test]
    fn a_mail_that_kills_its_worker_harms_no_other() {
        let poison = "def work(job):\n    if subject(job) == 'poison': os.kill(os.getpid(), signal.SIGKILL)\n    note('done', subject(job))";
        let (maildir, worker) = (Maildir::new(), Worker::new(poison));
        let settings = "processes = 1\nbreaker = { after = 1000 }\nretry = { max_delay = '1ms', attempts = 3 }";
        let watch = Maildirq::watch_config(&worker.config(&maildir, settings)).start();
        maildir.deliver("Subject: poison\n\n.\n");
        watch.wait_for_event("worker_died");

        let mut good = 0;
        wait_until("the poison is set aside", 3 * SOON, || {
            deliver(&maildir, 1);
            good += 1;
            worker.wait_for_notes("done", good);
            maildir.dead().len() == 1
        });

        let dead = watch.wait_for_event("dead");
        assert!(dead["reason"].as_str().unwrap().contains("the worker was killed by SIGKILL"), "{dead}");
        wait_until("all others are done", SOON, || maildir.waiting().is_empty());
        assert_eq!((worker.notes("done").len(), watch.stop()), (good, Exit::Ok));
    }

    #[test]
    fn what_a_worker_says_is_in_the_log() {
        let talk = "def work(job): sys.stderr.write('caf\\u00e9 \\x1b[1m\\n' + 'x' * 5000 + '\\n'); print('to stdout', flush=True)";
        let (maildir, worker) = (Maildir::new(), Worker::new(talk));
        deliver(&maildir, 1);
        let watch = Maildirq::watch_config(&worker.config(&maildir, "processes = 1")).start();
        let said = watch.wait_for_events("worker_said", 4);
        let lines: Vec<_> = said.iter().map(|line| line["line"].as_str().unwrap()).collect();
        assert_eq!((lines[0], lines[1].len(), lines[2].len(), lines[3]), (r"café \u{1b}[1m", 4096, 904, "to stdout"));
        let pid: u64 = worker.pids()[0].parse().unwrap();
        assert!(said.iter().all(|line| line["target"] == "app" && line["process"] == pid), "{said:?}");
        assert_eq!(watch.stop(), Exit::Ok);
    }
}

mod starts {
    use super::*;

    #[test]
    fn a_worker_that_does_not_start_costs_no_mail_anything() {
        let boot = "def boot():\n    if not there('database'): sys.exit('no database')\n";
        let (maildir, worker) = (Maildir::new(), Worker::new(&format!("{boot}{NOTING}")));
        deliver(&maildir, 20);
        // Nobody waits for the time of a probe.
        let watch = Maildirq::watch_config(&worker.config(&maildir, &QUICK.replace("200ms", "1h"))).start();

        let down = watch.wait_for_event("target_down");
        assert_eq!(down["reason"], "the worker does not start: exit code 1: no database");
        let failed = watch.wait_for_events("worker_failed", 2);
        assert_eq!(failed[0]["reason"], "exit code 1: no database");
        assert_eq!((maildir.waiting().len(), maildir.stories()), (20, vec![]));
        assert_eq!(watch.events("attempt"), [""; 0]);

        worker.give("database");
        worker.wait_for_notes("done", 20);
        wait_until("all are done", SOON, || maildir.waiting().is_empty());
        assert_eq!((watch.events("target_down").len(), maildir.stories()), (1, vec![]));
        assert!(watch.events("attempt").iter().all(|attempt| attempt["try"] == 1));
        assert_eq!(watch.stop(), Exit::Ok);
    }

    #[test]
    fn a_drain_ends_when_the_worker_does_not_start() {
        let (maildir, worker) = (Maildir::new(), Worker::new("def boot(): sys.exit('no database')"));
        deliver(&maildir, 5);
        let drain = Maildirq::drain_config(&worker.config(&maildir, "")).run();
        assert_eq!(drain.events("target_down").len(), 1);
        assert_eq!((maildir.waiting().len(), maildir.stories()), (5, vec![]));
    }

    #[test]
    fn a_process_that_dies_is_replaced_before_there_is_mail() {
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        let watch = Maildirq::watch_config(&worker.config(&maildir, "processes = 1")).start();
        let pid = worker.wait_for_notes("pids", 1).remove(0);
        watch.wait_for_event("worker_started");
        kill(&pid);
        let died = watch.wait_for_event("worker_died");
        assert_eq!(died["reason"], "the worker was killed by SIGKILL");
        watch.wait_for_events("worker_started", 2);
        deliver(&maildir, 1);
        worker.wait_for_notes("done", 1);
        assert_eq!(watch.stop(), Exit::Ok);
    }
}

mod reloads {
    use super::*;

    #[test]
    fn what_does_not_change_keeps_its_processes() {
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        let toml = worker.config(&maildir, "");
        let watch = Maildirq::watch_config(&toml).start();
        watch.wait_for_events("worker_started", 2);
        for _ in 0..3 {
            watch.reload(&format!("shutdown_timeout = '7s'\n{toml}"));
            // The target is another one, and its processes are not.
            watch.reload(&format!("{toml}\nrate = '1000/s'"));
            watch.reload(&toml);
        }
        deliver(&maildir, 10);
        worker.wait_for_notes("done", 10);
        assert_eq!((worker.pids().len(), watch.stop()), (2, Exit::Ok));
    }

    #[test]
    fn what_changes_is_replaced_without_a_gap() {
        let (maildir, worker) = (Maildir::new(), Worker::new(WAITING));
        let config = |settings: &str| worker.config(&maildir, &format!("processes = 1\n{settings}"));
        let watch = Maildirq::watch_config(&config("")).start();
        deliver(&maildir, 1);
        let begun = worker.wait_for_notes("begun", 1).remove(0);
        let old = worker.pids();
        assert!(begun.starts_with(&old[0]));

        watch.reload(&config("timeout = '4m'"));
        let pids = worker.pids();
        assert_eq!(pids.len(), 2, "the new one is ready when the reload is done");
        deliver(&maildir, 1);
        let begun = worker.wait_for_notes("begun", 2).remove(1);
        assert!(begun.starts_with(&pids[1]), "{begun} {pids:?}");
        assert_eq!(left_of(&old).len(), 1, "it works on the first one still");
        worker.give("go");
        wait_until("both are done", SOON, || maildir.waiting().is_empty());
        wait_until("the old one is gone", SOON, || left_of(&old).is_empty());
        assert_eq!((worker.notes("done").len(), worker.notes("begun").len(), maildir.stories()), (2, 2, vec![]));
        assert_eq!(watch.stop(), Exit::Ok);
    }

    #[test]
    fn a_new_worker_that_does_not_start_is_refused_and_the_old_one_works_on() {
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        let broken = Worker::new("def boot(): sys.exit('no such table')");
        let toml = worker.config(&maildir, "");
        let watch = Maildirq::watch_config(&toml).start();
        watch.wait_for_events("worker_started", 2);

        let reason = watch.refuse_to_reload(&broken.config(&maildir, ""));

        assert_eq!(reason, "[target.app]: the worker does not start: exit code 1: no such table");
        assert_eq!(watch.events("worker_failed"), [""; 0], "it is not tried again");
        deliver(&maildir, 10);
        worker.wait_for_notes("done", 10);
        assert_eq!(worker.pids().len(), 2);
        watch.reload(&toml);
        assert_eq!((worker.pids().len(), watch.stop()), (2, Exit::Ok));
    }

    #[test]
    fn new_code_is_there_when_it_is_told_to_take_it() {
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        let watch = Maildirq::watch_config(&worker.config(&maildir, "")).start();
        watch.wait_for_events("worker_started", 2);
        let old = worker.pids();
        watch.signal(Signal::USR1);
        for count in 1..=20 {
            deliver(&maildir, 1);
            worker.wait_for_notes("done", count);
        }
        let replaced = watch.wait_for_events("worker_replaced", 2);
        assert!(replaced.iter().all(|line| line["reason"] == "told to (USR1)"), "{replaced:?}");
        wait_until("the old ones are gone", SOON, || left_of(&old).is_empty());
        assert_eq!((worker.pids().len(), maildir.stories(), watch.stop()), (4, vec![], Exit::Ok));
    }

    #[test]
    fn mail_is_done_once_however_often_workers_are_exchanged() {
        const MAILS: usize = 300;
        let (maildir, worker) = (Maildir::new(), Worker::new(NOTING));
        let configs = ["processes = 2", "processes = 3"].map(|settings| worker.config(&maildir, settings));
        let watch = Maildirq::watch_config(&configs[0]).start();
        watch.wait_for_event("ready");
        for round in 0..6 {
            deliver(&maildir, MAILS / 6);
            watch.reload(&configs[(round + 1) % 2]);
        }
        wait_until("all are done", 3 * SOON, || maildir.waiting().is_empty());
        let done = worker.notes("done");
        let ids: BTreeSet<_> = done.iter().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!((done.len(), ids.len(), maildir.stories()), (MAILS, MAILS, vec![]));
        assert_eq!(watch.stop(), Exit::Ok);
        assert_eq!(left_of(&worker.pids()), [""; 0]);
    }
}

mod ends {
    use super::*;

    #[test]
    fn a_stop_lets_the_running_job_finish_and_leaves_no_process() {
        let (maildir, worker) = (Maildir::new(), Worker::new(WAITING));
        deliver(&maildir, 3);
        let watch = Maildirq::watch_config(&worker.config(&maildir, "processes = 2")).start();
        worker.wait_for_notes("begun", 2);

        watch.signal(Signal::TERM);
        watch.wait_for_event("stopping");
        holds_for("it waits", Duration::from_millis(300), || watch.is_running());
        worker.give("go");

        assert_eq!((watch.exit(), maildir.waiting().len()), (Exit::Ok, 1));
        assert_eq!((worker.notes("done").len(), maildir.stories(), maildir.hands().len()), (2, vec![], 0));
        assert_eq!(left_of(&worker.pids()), [""; 0]);
    }

    #[test]
    fn when_the_grace_is_over_the_mail_is_given_back_and_nobody_works_on_it() {
        let stubborn = format!(
            "{WAITING}\ndef boot():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    \
             if os.fork() == 0:\n        os.setsid(); note('pids', os.getpid()); time.sleep(1000)\n"
        );
        let (maildir, worker) = (Maildir::new(), Worker::new(&stubborn));
        deliver(&maildir, 1);
        let toml = format!("shutdown_timeout = '300ms'\n{}", worker.config(&maildir, "processes = 1"));
        let watch = Maildirq::watch_config(&toml).start();
        worker.wait_for_notes("begun", 1);
        worker.wait_for_notes("pids", 2);

        assert_eq!(watch.stop(), Exit::Ok);

        watch.wait_for_event("grace_over");
        assert_eq!(left_of(&worker.pids()), [""; 0]);
        assert_eq!((maildir.waiting().len(), maildir.stories(), maildir.hands().len()), (1, vec![], 0));
    }

    /// The kernel ends a worker with maildirq, so its mail is free at once.
    #[test]
    fn a_kill_of_maildirq_ends_its_workers() {
        let (maildir, worker) = (Maildir::new(), Worker::new(WAITING));
        deliver(&maildir, 1);
        let toml = worker.config(&maildir, "processes = 2");
        let first = Maildirq::watch_config(&toml).start();
        worker.wait_for_notes("begun", 1);
        first.wait_for_events("worker_started", 2);
        let pids = worker.pids();

        first.kill9();

        wait_until("they are gone", SOON, || !pids.iter().any(|pid| is_running(pid)));
        let second = Maildirq::watch_config(&toml).start();
        worker.wait_for_notes("begun", 2);
        worker.give("go");
        wait_until("it is done", SOON, || maildir.waiting().is_empty());
        assert_eq!((worker.notes("done").len(), second.stop()), (1, Exit::Ok));
    }

    /// Whoever outlives maildirq keeps the message that he works on, and no other.
    #[test]
    fn a_worker_that_outlives_maildirq_keeps_its_message() {
        let survivors = [
            // PR_SET_PDEATHSIG of prctl(2).
            "def boot():\n    if not there('first'): ctypes.CDLL(None).prctl(1, 0)\n",
            // A child has its file descriptors, and is not told of the death.
            "def begin():\n    if os.fork() == 0:\n        note('child', os.getpid()); await_file('go'); os._exit(0)\n",
        ];
        for (number, survivor) in survivors.into_iter().enumerate() {
            let work = "def work(job):
    if not there('first'):
        note('first', '')
        if 'begin' in globals(): begin()
        note('begun', subject(job)); await_file('go'); os._exit(0)
    note('begun', subject(job))
";
            let (maildir, worker) = (Maildir::new(), Worker::new(&format!("{survivor}{work}")));
            maildir.deliver("Subject: kept\n\n.\n");
            let toml = worker.config(&maildir, "processes = 1");
            let first = Maildirq::watch_config(&toml).start();
            worker.wait_for_notes("begun", 1);
            if number == 1 {
                worker.wait_for_notes("child", 1);
            }

            first.kill9();
            let second = Maildirq::watch_config(&toml).start();
            maildir.deliver("Subject: free\n\n.\n");
            assert_eq!(worker.wait_for_notes("begun", 2), ["kept", "free"]);
            holds_for("the message is kept", Duration::from_secs(1), || worker.notes("begun").len() == 2);
            worker.give("go");

            assert_eq!(worker.wait_for_notes("begun", 3), ["kept", "free", "kept"]);
            wait_until("all are done", SOON, || maildir.waiting().is_empty());
            assert_eq!((maildir.stories(), second.stop()), (vec![], Exit::Ok));
        }
    }

    /// Not a zombie: whoever adopts it may take his time.
    fn is_running(pid: &str) -> bool {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
    }
}
