//! What a glance sees, and that it keeps nobody waiting: with real processes.

use super::*;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{RwLockWriteGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// So long may anything take that takes no time, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// Nobody else starts a program, and nothing is left of those that others have started.
fn alone() -> RwLockWriteGuard<'static, ()> {
    let alone = crate::FORKS.write().unwrap_or_else(PoisonError::into_inner);
    adopt().unwrap();
    let until = Instant::now() + SOON;
    while children::has_first_thread_any().unwrap() && Instant::now() < until {
        take_off_ended().unwrap();
        thread::yield_now();
    }
    alone
}

/// A main process that has ended. What it said are the numbers of those that it has left behind.
struct Ended {
    child: Child,
    orphans: Orphans,
    left: Vec<Pid>,
}

impl Ended {
    fn new(script: &str) -> Ended {
        const MARK: &str = "MAILDIRQ_ID=glance";
        let (name, id) = MARK.split_once('=').unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).env(name, id).env("SYS_CLONE", libc::SYS_clone.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let (mut child, orphans) = Orphans::of(&mut command, MARK.to_owned()).unwrap();
        let mut told = String::new();
        child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        waitid(WaitId::Pid(orphans.main), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let left = told.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect();
        Ended { child, orphans, left }
    }

    /// Ends what is left behind. Returns whether nothing is left of it, not even a zombie.
    fn is_cleared_up(&mut self) -> bool {
        let until = Instant::now() + SOON;
        while self.orphans.kill().unwrap() > 0 && Instant::now() < until {
            thread::yield_now();
        }
        let is_there = |pid: &Pid| fs::exists(format!("/proc/{pid}")).unwrap();
        !self.left.iter().any(is_there) && self.orphans.are_none()
    }

    fn take_off(mut self) -> Orphans {
        self.orphans.take_off_main(&mut self.child).unwrap();
        self.orphans
    }
}

/// The ways in which something is left behind. All tell their numbers.
const WAYS: [(&str, &str); 6] = [
    ("in the group", "sleep 600 >/dev/null & echo $!"),
    ("in a session of its own", "setsid sh -c 'echo $$; exec sleep 600 >/dev/null' &"),
    ("a double fork", "(setsid sh -c 'echo $$; exec sleep 600 >/dev/null' &)"),
    (
        "a daemon of a daemon",
        "setsid sh -c 'echo $$; setsid sh -c \"echo \\$\\$; exec sleep 600 >/dev/null\" & exec sleep 600 >/dev/null' &",
    ),
    ("a daemon that has ended", "(setsid sh -c 'echo $$' &)"),
    (
        "no child but a sibling",
        "exec python3 -c '
import ctypes, os, signal
CLONE_PARENT = 0x8000
pid = ctypes.CDLL(None).syscall(int(os.environ[\"SYS_CLONE\"]), CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    os.dup2(os.open(\"/dev/null\", os.O_WRONLY), 1)
    os.execvp(\"sleep\", [\"sleep\", \"600\"])
print(pid)'",
    ),
];

/// This proves of the kernel that runs here where it puts those whom nobody else has any more.
#[test]
fn whatever_is_left_behind_is_seen() {
    let _alone = alone();
    for (what, script) in WAYS {
        let mut ended = Ended::new(script);
        let is_seen = !ended.orphans.are_none();
        let is_cleared_up = ended.is_cleared_up();
        let count = ended.left.len();
        ended.take_off();
        assert!(is_seen && count > 0, "{what}: {count} are not seen");
        assert!(is_cleared_up, "{what}: it is still there, or seen when it is gone");
    }
}

#[test]
fn a_look_that_finds_nothing_waits_for_nobody() {
    let _alone = alone();
    let somebody_starts = COMING_AND_GOING.read().unwrap_or_else(PoisonError::into_inner);
    let (told, heard) = mpsc::channel();
    let look = thread::spawn(move || {
        let mut ended = Ended::new("exit 0");
        told.send(ended.orphans.ask().unwrap()).unwrap();
        ended.take_off();
    });
    let found = heard.recv_timeout(SOON);
    drop(somebody_starts);
    look.join().unwrap();
    assert_eq!(found, Ok(0));
}

#[test]
fn only_a_list_that_tells_the_main_process_tells_that_there_is_nobody_else() {
    let _alone = alone();
    let ended = Ended::new("exit 0");
    let seen_here = ended.orphans.are_none();
    let seen_elsewhere = thread::scope(|threads| threads.spawn(|| ended.orphans.are_none()).join().unwrap());
    let mut orphans = ended.take_off();
    assert_eq!((seen_here, seen_elsewhere, orphans.are_none()), (true, false, false));
    assert_eq!(orphans.ask().unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Where one process is taken off while the list is read, another may be left out of it.
#[test]
fn another_thread_takes_a_main_process_off_while_nobody_has_a_glance() {
    let _alone = alone();
    let ended = Ended::new("exit 0");
    let glance = COMING_AND_GOING.read().unwrap_or_else(PoisonError::into_inner);
    let elsewhere = thread::spawn(move || drop(ended.take_off()));
    let until = Instant::now() + SOON;
    let waits = || COMING_AND_GOING.try_read().is_err();
    while !waits() && !elsewhere.is_finished() && Instant::now() < until {
        thread::yield_now();
    }
    let has_waited = waits();
    drop(glance);
    elsewhere.join().unwrap();
    assert!(has_waited);
}
