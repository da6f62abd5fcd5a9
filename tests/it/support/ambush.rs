//! Lying in wait for one thread of a maildirq that runs already.

use std::fs;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::process::Maildirq;
use super::wait::{SOON, wait_for, wait_until};

/// An strace that is attached to a worker; it lets go when dropped.
pub struct Ambush {
    strace: Child,
}

impl Maildirq {
    /// From now on it dies at the n-th call of this name that its worker makes, before the call has any effect.
    ///
    /// There must be one worker only (`--concurrency 1`), so that n is the same each time. Unlike
    /// [`Launch::killed_at`](super::Launch::killed_at), this does not count what other threads do, or did before.
    pub fn will_die_at(&self, call: &str, nth: usize) -> Ambush {
        let worker = wait_for("the worker thread", SOON, || self.thread("lane-0"));
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-p", &worker])
            .args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=KILL:when={nth}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/task/{worker}/status", self.pid().as_raw_nonzero());
        let tracer = format!("TracerPid:\t{}\n", strace.id());
        wait_until("strace at the worker", SOON, || fs::read_to_string(&status).unwrap().contains(&tracer));
        Ambush { strace }
    }

    fn thread(&self, name: &str) -> Option<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid().as_raw_nonzero())).unwrap().flatten();
        let is_it =
            |path: &fs::DirEntry| fs::read_to_string(path.path().join("comm")).is_ok_and(|comm| comm.trim() == name);
        threads.into_iter().find(is_it)?.file_name().into_string().ok()
    }
}

impl Drop for Ambush {
    fn drop(&mut self) {
        // It goes when maildirq goes, too.
        let _ = kill_process(Pid::from_child(&self.strace), Signal::TERM);
        let _ = self.strace.wait();
    }
}
