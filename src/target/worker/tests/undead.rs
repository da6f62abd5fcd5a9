//! Processes and files over which we have no power: what was given to them stays claimed, and no other is troubled.

use super::super::desk::{Desk, Door};
use super::super::job::Job;
use super::super::try_once::WorkerTarget;
use super::*;
use crate::payload::Piece;
use crate::target::job::Job as Program;
use bytes::Bytes;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Here it takes no long to know that a process does not end.
fn hasty(mut setting: Setting) -> Setting {
    setting.config.timeout = Duration::from_millis(200);
    setting.patience.grace = Duration::from_millis(50);
    setting
}

/// What `sudo` does, without its settings.
fn setuid_setpriv(folder: &TempDir) -> PathBuf {
    let program = folder.path().join("setpriv");
    // Were it open for writing here, a process that is just being started would have it, and it could not be run.
    assert!(Command::new("cp").arg("/usr/bin/setpriv").arg(&program).status().unwrap().success());
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    program
}

#[test]
fn a_process_that_may_not_be_ended_keeps_its_message_and_its_place() {
    if !geteuid().is_root() {
        return;
    }
    let mut setting = hasty(Setting::new(""));
    let script = sh("touch begun; while :; do sleep 1; done");
    setting.config.run.program = setuid_setpriv(&setting.folder);
    setting.config.run.arguments = ["--reuid=1", "/bin/sh", "-c", &script].map(Into::into).to_vec();
    let folder = setting.folder.path().to_owned();
    thread::scope(|scope| {
        let unprivileged = scope.spawn(|| {
            // Linux keeps credentials per thread, and the pool's is made by this one.
            set_thread_res_gid(Gid::from_raw(65_534), Gid::from_raw(65_534), Gid::from_raw(65_534)).unwrap();
            set_thread_res_uid(Uid::from_raw(65_534), Uid::from_raw(65_534), Uid::from_raw(65_534)).unwrap();
            let bench = setting.start();
            bench.ready().unwrap();
            let target = bench.target.as_ref().unwrap();
            let messages = [message(), message()];
            bench.runtime.block_on(async {
                let mut first = target.attempt(&messages[0]);
                // It waits for a process until it is known that there will be none.
                let mut second = target.attempt(&messages[1]);
                let turned_away = tokio::select! {
                    biased;
                    outcome = &mut first => panic!("it was given back while it is worked on: {outcome:?}"),
                    outcome = &mut second => outcome,
                };
                assert!(matches!(&turned_away, Outcome::Unavailable { .. }), "{turned_away:?}");
                assert!(turned_away.reason().contains("may not be ended by maildirq: "), "{turned_away:?}");
                assert_eq!(bench.pids().len(), 1, "no other takes its place");
                bench.make("seen");
                let first = first.await;
                assert_eq!(first, retry(Blame::Unclear, "not finished within 200ms"));
            });
            wait_until("another one takes its place", || bench.pids().len() == 2);
        });
        let pids = || fs::read_to_string(folder.join("pids")).unwrap_or_default();
        wait_until("it is known", || folder.join("seen").exists() || unprivileged.is_finished());
        // The next one has nothing to do, and ends with its standard input.
        if let Some(pid) = pids().lines().next() {
            signal(pid, Signal::KILL);
        }
        unprivileged.join().unwrap();
    });
}

#[test]
fn whoever_drops_an_attempt_kills_its_process_himself() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    // There is no thread that keeps these processes: as when it is busy.
    let desk = Arc::new(Desk::default());
    let target = WorkerTarget::new(&Setting::new("").config, Patience::default(), &Arc::new(Door::of(&desk)));
    let program = Program::start(Command::new("sleep").arg("1000"), "MARK=none".into()).unwrap();
    let attempt = |is_answered: bool| {
        let message = message();
        let mut attempt = target.attempt(&message);
        runtime.block_on(async {
            assert!(tokio::time::timeout(Duration::ZERO, &mut attempt).await.is_err());
            let errand = desk.next(&Arc::default()).unwrap();
            assert!(errand.begin(program.group()));
            if is_answered {
                assert!(errand.settle(DONE));
                assert_eq!(attempt.await, DONE);
                return None;
            }
            drop(attempt);
            Some(errand)
        })
    };
    assert!(attempt(true).is_none());
    assert!(!program.has_ended().unwrap(), "it may have another job by now");

    let errand = attempt(false).unwrap();
    wait_until("it is killed", || program.has_ended().unwrap());
    assert!(!errand.begin(program.group()), "nobody begins it any more");
    desk.put_back(errand);
    assert!(desk.next(&Arc::default()).is_none(), "it is nobody's");
}

#[test]
fn a_worker_whose_lease_is_of_no_use_costs_no_message_anything() {
    // It may be another one that shuts it down.
    let script = format!(
        "
import json, os, socket, sys
open('pids', 'a').write(f'{{os.getpid()}}\\n')
if not os.path.exists('once'):
    open('once', 'w')
    socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)
print('{READY}', flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if job['type'] == 'job':
        print(json.dumps(dict(type='done', id=job['id'])), flush=True)
"
    );
    let bench = Setting::python(&script).start();
    bench.ready().unwrap();
    assert_eq!([bench.one(), bench.one()], [DONE, DONE]);
    assert_eq!(bench.pids().len(), 2);
}

#[test]
fn a_message_that_cannot_be_read_is_not_its_workers_fault() {
    let bench = Bench::new("answer done");
    bench.ready().unwrap();
    let write_only = || Arc::new(File::options().write(true).open("/dev/null").unwrap());
    let unreadable = || Piece::File { head: Bytes::new(), file: write_only(), length: 10 };
    let said = Piece::Bytes("{\"type\":\"job\",".into());
    for (line, processes) in [(vec![unreadable()], 1), (vec![said, unreadable()], 2)] {
        let job = Job { id: message().id.to_string(), line, file: write_only() };
        let receipt = bench.pool.as_ref().unwrap().desk.leave(job).unwrap();
        let Outcome::Retry { blame: Blame::Ourselves, reason, .. } = receipt.answer.blocking_recv().unwrap() else {
            panic!()
        };
        assert!(reason.starts_with("the message cannot be read: "), "{reason}");
        assert_eq!((bench.one(), bench.pids().len()), (DONE, processes));
    }
}

#[test]
fn a_process_that_works_is_not_woken_for_another_job() {
    let desk = Desk::default();
    let process = Arc::default();
    let job = || Job { id: String::new(), line: vec![], file: Arc::new(File::open("/dev/null").unwrap()) };
    desk.arrive();
    assert!(desk.next(&process).is_none());
    let other = Arc::default();
    assert!(desk.next(&other).is_none());
    let _one = desk.leave(job()).unwrap();
    // It was woken by its age, and comes first.
    assert!(desk.next(&process).is_some());
    // Else the next job would wake it instead of one that is idle.
    let shown = format!("{desk:?}");
    assert!(shown.contains("idle: 0"), "{shown}");
}
