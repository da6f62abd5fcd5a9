//! Lying in wait for one thread of a maildirq that runs already.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::process::Maildirq;
use super::wait::{SOON, wait_for, wait_until};

/// An strace that is attached to one thread; it lets go when dropped.
pub struct Ambush {
    strace: Child,
    home: TempDir,
}

impl Maildirq {
    /// From now on it dies at the n-th call of this name that its worker makes, before the call has any effect.
    ///
    /// There must be one worker only (`--concurrency 1`), so that n is the same each time. Unlike
    /// [`Launch::killed_at`](super::Launch::killed_at), this does not count what other threads do, or did before.
    pub fn will_die_at(&self, call: &str, nth: usize) -> Ambush {
        let tampering = format!("{call}:signal=KILL:when={nth}");
        self.trace_thread("lane-0", &["-e", &format!("trace={call}"), "-e", &format!("inject={tampering}")])
    }

    /// From now on strace writes down all calls of this thread, with these options of its own.
    pub fn trace_thread(&self, thread: &str, options: &[impl AsRef<OsStr>]) -> Ambush {
        let task = wait_for(format!("the thread {thread}"), SOON, || self.thread(thread));
        let home = TempDir::new().unwrap();
        let strace = Command::new("strace")
            .args(["-qq", "-o"])
            .arg(home.path().join("trace"))
            .args(["-p", &task])
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/task/{task}/status", self.pid().as_raw_nonzero());
        let tracer = format!("TracerPid:\t{}\n", strace.id());
        let is_there = || fs::read_to_string(&status).is_ok_and(|status| status.contains(&tracer));
        // The very call that the thread waits in may be its last.
        wait_until("strace at the thread", SOON, || is_there() || !self.is_running());
        Ambush { strace, home }
    }

    /// From now on strace writes down all calls of all its threads, with these options of its own.
    pub fn trace_all(&self, options: &[impl AsRef<OsStr>]) -> Ambush {
        let home = TempDir::new().unwrap();
        let strace = Command::new("strace")
            .args(["-qq", "-f", "-o"])
            .arg(home.path().join("trace"))
            .args(["-p", &self.pid().as_raw_nonzero().to_string()])
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tracer = format!("TracerPid:\t{}\n", strace.id());
        let is_traced =
            |task: PathBuf| fs::read_to_string(task.join("status")).is_ok_and(|said| said.contains(&tracer));
        wait_until("strace at all threads", SOON, || self.tasks().into_iter().all(is_traced));
        Ambush { strace, home }
    }

    fn tasks(&self) -> Vec<PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid().as_raw_nonzero())).unwrap();
        tasks.flatten().map(|task| task.path()).collect()
    }

    fn thread(&self, name: &str) -> Option<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid().as_raw_nonzero())).unwrap().flatten();
        let is_it =
            |path: &fs::DirEntry| fs::read_to_string(path.path().join("comm")).is_ok_and(|comm| comm.trim() == name);
        threads.into_iter().find(is_it)?.file_name().into_string().ok()
    }
}

impl Ambush {
    /// What strace has written by now.
    pub fn so_far(&self) -> String {
        fs::read_to_string(self.home.path().join("trace")).unwrap()
    }

    /// What strace wrote, once the thread has ended.
    pub fn trace(mut self) -> String {
        let strace = &mut self.strace;
        wait_until("the end of the thread", SOON, || strace.try_wait().unwrap().is_some());
        fs::read_to_string(self.home.path().join("trace")).unwrap()
    }
}

impl Drop for Ambush {
    fn drop(&mut self) {
        // It goes when maildirq goes, too.
        let _ = kill_process(Pid::from_child(&self.strace), Signal::TERM);
        let _ = self.strace.wait();
    }
}
