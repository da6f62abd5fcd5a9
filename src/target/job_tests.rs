//! What outlives an attempt: with real processes.

use super::super::orphans::adopt;
use super::*;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::RwLockReadGuard;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(20);

/// A program that has ended, and what it has left behind: deaf to whoever asks, in a session of its own.
struct Case {
    runtime: Runtime,
    main: Pid,
    orphan: String,
    _folder: TempDir,
    _forks: RwLockReadGuard<'static, ()>,
}

impl Case {
    /// Nobody waits for the end of what is left behind.
    fn new(id: &str) -> Case {
        let forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
        adopt().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.current_dir(&folder).stdin(Stdio::null()).env("MAILDIRQ_ID", id).arg("-c").arg(
            "trap '' TERM; setsid sh -c 'echo $$ >new; mv new orphan; exec sleep 600' & \
             until test -e orphan; do sleep 0.01; done; exit 7",
        );
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (main, end) = runtime.block_on(async {
            let mut job = Job::start(&mut command, format!("MAILDIRQ_ID={id}")).unwrap();
            (job.pid(), job.end(pending(), SOON, SOON, Duration::ZERO).await.unwrap())
        });
        assert_eq!((end.status.code(), end.in_time), (Some(7), true));
        let orphan = fs::read_to_string(folder.path().join("orphan")).unwrap().trim().to_owned();
        assert!(is_alive(&orphan), "it was to be left");
        Case { runtime, main, orphan, _folder: folder, _forks: forks }
    }
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn comes_true(what: impl Fn() -> bool) -> bool {
    let until = std::time::Instant::now() + SOON;
    while !what() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    what()
}

#[test]
fn what_takes_longer_than_an_attempt_may_is_ended_all_the_same() {
    let case = Case::new("followed");
    let main = case.main.as_raw_pid().to_string();
    let is_there = |pid: &str| fs::exists(format!("/proc/{pid}")).unwrap();
    let gone = async {
        while is_there(&case.orphan) || is_there(&main) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(case.runtime.block_on(async { timeout(SOON, gone).await }).is_ok(), "it is still there");
}

#[test]
fn where_nobody_is_left_to_see_to_it_it_is_killed() {
    let Case { runtime, orphan, _forks, .. } = Case::new("dropped");
    drop(runtime);
    assert!(comes_true(|| !is_alive(&orphan)), "it lives on");
}

/// Most look while others start programs, leave something behind, or end and take off what they have left.
#[test]
fn of_many_at_once_on_several_threads_nothing_is_left() {
    const LEAVES: &str =
        "(setsid sh -c '(echo $$ >$0/$1; exec sleep 600) &' $0 $1 &) ; until test -s $0/$1; do :; done";
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    adopt().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lane = |lane: usize| {
        let job = async |number: usize| {
            let name = format!("{lane}.{number}");
            let mut command = Command::new("sh");
            let script = if number.is_multiple_of(3) { LEAVES } else { "exit 0" };
            command.args(["-c", script]).arg(folder.path()).arg(&name).stdin(Stdio::null()).env("MAILDIRQ_ID", &name);
            let mut job = Job::start(&mut command, format!("MAILDIRQ_ID={name}")).unwrap();
            let end = job.finish(SOON, SOON).await.unwrap();
            assert_eq!((end.status.code(), end.in_time), (Some(0), true), "{name}");
            let orphan = fs::read_to_string(folder.path().join(&name));
            assert_eq!(orphan.is_ok(), script == LEAVES, "{name}");
            let is_left = orphan.is_ok_and(|pid| fs::exists(format!("/proc/{}", pid.trim())).unwrap());
            assert!(!is_left, "{name} has left something");
        };
        let hand = async |hand: usize| {
            for number in hand * 20..(hand + 1) * 20 {
                job(number).await;
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::join!(hand(0), hand(1), hand(2)) });
    };
    std::thread::scope(|threads| {
        for number in 0..4 {
            threads.spawn(move || lane(number));
        }
    });
}

#[test]
fn how_a_program_has_ended_is_known_before_it_is_taken_off() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    for (script, code, signal) in
        [("exit 0", Some(0), None), ("exit 75", Some(75), None), ("kill -9 $$", None, Some(9))]
    {
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(comes_true(|| has_ended(pid).unwrap()), "{script}");
        let status = ended_as(pid).unwrap().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
        assert_eq!(child.wait().unwrap(), status, "{script}");
    }
}
