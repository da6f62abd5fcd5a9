//! A program that runs, with all that it starts: a group of processes that ends as one.

use super::orphans::{self, Orphans};
use crate::engine::Id;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use tokio::process::ChildStderr;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::{Instant, timeout, timeout_at};

/// How long what a program leaves behind may hold up the end of an attempt.
pub(super) const REST: Duration = Duration::from_secs(1);
/// How much of that an orphan has between being asked and being killed.
const ORPHANS_GRACE: Duration = Duration::from_millis(700);
/// How long dropping a job may hold up its thread: what was killed is gone in a few milliseconds.
const DROP_LIMIT: Duration = Duration::from_millis(200);
/// The longest time between two looks for orphans.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A program that was started. Dropping it kills all of it.
pub(super) struct Job {
    /// The main process, until it is over.
    child: Option<Child>,
    main: Pid,
    orphans: Orphans,
    /// Whether any child of ours may have ended. A signal tells that on any kernel; and listening to
    /// it undoes an ignored SIGCHLD that we may have been started with, which would lose exit codes.
    children: unix::Signal,
}

/// How a program ended.
pub(super) struct End {
    pub(super) status: ExitStatus,
    /// Whether it ended before it was told to.
    pub(super) in_time: bool,
    /// When the main process ended.
    pub(super) at: Instant,
}

impl Job {
    /// Starts a program, in a process group of its own.
    pub(super) fn start(command: &mut Command, message: Id) -> io::Result<Job> {
        let children = signal(SignalKind::child())?;
        let (child, orphans) = Orphans::of(command, message)?;
        let main = Pid::from_child(&child);
        Ok(Job { child: Some(child), main, orphans, children })
    }

    /// What the program says on its standard error.
    pub(super) fn stderr(&mut self) -> io::Result<ChildStderr> {
        let stderr = self.child.as_mut().and_then(|child| child.stderr.take());
        ChildStderr::from_std(stderr.ok_or(io::ErrorKind::NotConnected)?)
    }

    /// Waits for the end of the program, and brings it about where it takes longer than `limit`: it is
    /// asked to end, and killed when `grace` is over. Then ends what it has left behind. This takes no
    /// longer than `limit`, `grace` and [`REST`].
    pub(super) async fn finish(mut self, limit: Duration, grace: Duration) -> io::Result<End> {
        let in_time = if let Ok(ended) = timeout(limit, self.ended()).await {
            ended.map(|()| true)
        } else {
            self.orphans.signal_group(Signal::TERM)?;
            self.killed_after(grace).await.map(|()| false)
        }?;
        let at = Instant::now();
        self.end_orphans(at + REST).await;
        let mut child = self.child.take().expect("only this and dropping take it");
        // It has ended, so this does not wait.
        let status = child.wait()?;
        Ok(End { status, in_time, at })
    }

    async fn killed_after(&mut self, grace: Duration) -> io::Result<()> {
        if let Ok(ended) = timeout(grace, self.ended()).await {
            return ended;
        }
        self.orphans.signal_group(Signal::KILL)?;
        let stuck = || io::Error::new(io::ErrorKind::TimedOut, "it does not end even when killed");
        timeout(REST, self.ended()).await.map_err(|_| stuck())?
    }

    async fn ended(&mut self) -> io::Result<()> {
        while !has_ended(self.main)? {
            self.children.recv().await;
        }
        Ok(())
    }

    /// The main process is kept on the process table until this is over, so that its number, which is
    /// the group's, means nobody else.
    async fn end_orphans(&mut self, deadline: Instant) {
        let kill_at = Instant::now() + ORPHANS_GRACE;
        let mut pause = Duration::from_millis(1);
        let asked = self.orphans.signal_group(Signal::TERM);
        let mut look = asked.and_then(|()| self.orphans.ask());
        loop {
            match look {
                Ok(0) => return,
                Ok(_) if Instant::now() < deadline => {}
                Ok(left) => return tracing::warn!(event = "orphans_left", process = %self.main, left),
                Err(error) => return tracing::warn!(event = "orphans_left", process = %self.main, reason = %error),
            }
            // An orphan that ends wakes us by its signal, for it is our child.
            let _ = timeout_at(deadline.min(Instant::now() + pause), self.children.recv()).await;
            pause = LOOK_AGAIN.min(pause * 2);
            look = if Instant::now() < kill_at { self.orphans.ask() } else { self.orphans.kill() };
        }
    }
}

impl Drop for Job {
    /// Kills at once: whoever drops a job is about to end, and nobody would be left to wait.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let deadline = std::time::Instant::now() + DROP_LIMIT;
        let is_over = loop {
            // The end of the main process makes its children ours, so it comes first.
            let has_ended = has_ended(self.main).unwrap_or(true);
            let look = self.orphans.kill();
            if has_ended && !matches!(look, Ok(1..)) {
                break look.map(|_| ());
            }
            if std::time::Instant::now() >= deadline {
                break Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if let Err(error) = is_over {
            tracing::warn!(event = "orphans_left", process = %self.main, reason = %error);
        }
        // An error is that somebody else has waited for it.
        if let Ok(None) = child.try_wait() {
            orphans::leave(child);
        }
    }
}

/// Whether our child has ended. It stays on the process table.
fn has_ended(pid: Pid) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    Ok(waitid(WaitId::Pid(pid), options)?.is_some())
}
