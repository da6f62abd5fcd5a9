//! A program that runs, with all that it starts: a group of processes that ends as one.

use super::exit_watch::{ExitWatch, ended_as, has_ended};
use super::orphans::Orphans;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use std::fmt::Display;
use std::future::{Future, pending};
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long what a program leaves behind may hold up the end of an attempt.
pub(super) const REST: Duration = Duration::from_secs(1);
/// How much of that an orphan has between being asked and being killed.
const ORPHANS_GRACE: Duration = Duration::from_millis(700);
/// How long dropping a job may hold up its thread: what was killed is gone in a few milliseconds.
const DROP_LIMIT: Duration = Duration::from_millis(200);
/// The longest time between two looks for orphans.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long what is still there by then is seen to, while nobody waits.
const FOLLOWED: Duration = Duration::from_mins(1);

/// A program that was started. Dropping it kills all of it.
pub(super) struct Job {
    /// Until it is over.
    family: Option<Family>,
    main: Pid,
    group: Arc<Group>,
    exit: ExitWatch,
}

/// The process group of a program, as long as its number means nobody else.
#[derive(Debug)]
pub(super) struct Group(Mutex<Option<Pid>>);

impl Group {
    fn number(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills it, if it is still there. What cannot be killed its own thread finds out.
    pub(super) fn kill(&self) {
        if let Some(group) = *self.number() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// The main process is about to be taken off the process table.
    fn forget(&self) {
        *self.number() = None;
    }
}

/// The main process of a program, and what that has started. Dropping it kills all of it.
struct Family {
    /// Until it is taken off the process table.
    child: Option<Child>,
    main: Pid,
    group: Arc<Group>,
    orphans: Orphans,
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
    /// Starts a program, in a process group of its own. `mark` is a variable of its environment, with its
    /// value, that no other program has.
    pub(super) fn start(command: &mut Command, mark: String) -> io::Result<Job> {
        let (child, orphans) = Orphans::of(command, mark)?;
        let main = Pid::from_child(&child);
        let group = Arc::new(Group(Mutex::new(Some(main))));
        let family = Family { child: Some(child), main, group: Arc::clone(&group), orphans };
        let exit = ExitWatch::of(main)?;
        Ok(Job { family: Some(family), main, group, exit })
    }

    fn child(&mut self) -> Option<&mut Child> {
        self.family.as_mut()?.child.as_mut()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        self.family.as_ref().ok_or(io::ErrorKind::NotFound)?.orphans.signal_group(signal)
    }

    /// What the program says on its standard error.
    pub(super) fn stderr(&mut self) -> io::Result<ChildStderr> {
        let stderr = self.child().and_then(|child| child.stderr.take());
        ChildStderr::from_std(stderr.ok_or(io::ErrorKind::NotConnected)?)
    }

    /// What the program says on its standard output, where that is a pipe.
    pub(super) fn stdout(&mut self) -> io::Result<Option<ChildStdout>> {
        let stdout = self.child().and_then(|child| child.stdout.take());
        stdout.map(ChildStdout::from_std).transpose()
    }

    /// What the program reads.
    pub(super) fn stdin(&mut self) -> io::Result<ChildStdin> {
        let stdin = self.child().and_then(|child| child.stdin.take());
        ChildStdin::from_std(stdin.ok_or(io::ErrorKind::NotConnected)?)
    }

    /// The number of the main process.
    pub(super) fn pid(&self) -> Pid {
        self.main
    }

    /// Its process group, for whoever may have to kill it from another thread.
    pub(super) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Whether we may end the main process. A program that makes itself another user, as `sudo` does, belongs to
    /// him.
    ///
    /// # Errors
    /// The system says why not.
    pub(super) fn may_be_ended(&self) -> io::Result<()> {
        Ok(test_kill_process(self.main)?)
    }

    /// Waits for the end of the program, and brings it about where it takes longer than `limit`: it is
    /// asked to end, and killed when `grace` is over. Then ends what it has left behind. This takes no
    /// longer than `limit`, `grace` and [`REST`].
    pub(super) async fn finish(&mut self, limit: Duration, grace: Duration) -> io::Result<End> {
        self.end(pending(), limit, grace, REST).await
    }

    /// As [`Job::finish`], and brings the end about when it has done too much, too.
    pub(super) async fn finish_unless(
        mut self,
        too_much: impl Future<Output = ()>,
        limit: Duration,
        grace: Duration,
    ) -> io::Result<End> {
        self.end(too_much, limit, grace, REST).await
    }

    /// What is left when `rest` is over is seen to while nobody waits.
    async fn end(
        &mut self,
        too_much: impl Future<Output = ()>,
        limit: Duration,
        grace: Duration,
        rest: Duration,
    ) -> io::Result<End> {
        let ended = async {
            tokio::select! {
                ended = self.ended() => Some(ended),
                () = too_much => None,
            }
        };
        let in_time = match timeout(limit, ended).await {
            Ok(Some(ended)) => ended.map(|()| true),
            // Whoever was stopped finds the time up, though the program has long ended.
            Err(_) if self.has_ended()? => Ok(true),
            Ok(None) | Err(_) => {
                self.signal(Signal::TERM)?;
                self.killed_after(grace).await.map(|()| false)
            }
        }?;
        let at = Instant::now();
        let family = self.family.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let is_over = family.end_orphans(at + rest).await;
        let family = self.family.take().ok_or(io::ErrorKind::NotFound)?;
        let status = if is_over {
            family.take_off()?
        } else {
            let status = ended_as(self.main)?.ok_or(io::ErrorKind::NotFound)?;
            tokio::spawn(family.follow());
            status
        };
        Ok(End { status, in_time, at })
    }

    async fn killed_after(&mut self, grace: Duration) -> io::Result<()> {
        if let Ok(ended) = timeout(grace, self.ended()).await {
            return ended;
        }
        self.signal(Signal::KILL)?;
        let stuck = || io::Error::new(io::ErrorKind::TimedOut, "it does not end even when killed");
        timeout(REST, self.ended()).await.map_err(|_| stuck())?
    }

    /// Whether the main process has ended.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        has_ended(self.main)
    }

    /// Waits for the end of the main process.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        self.exit.ended().await
    }

    /// Kills all of it at once, and waits a moment until it is gone.
    pub(super) fn kill(&mut self) {
        if let Some(family) = &mut self.family {
            family.kill();
        }
    }
}

impl Family {
    /// The main process is kept on the process table until this is over, so that its number, which is
    /// the group's, means nobody else. Returns whether it is; else something is still there.
    async fn end_orphans(&mut self, deadline: Instant) -> bool {
        let kill_at = Instant::now() + ORPHANS_GRACE;
        let mut pause = Duration::from_millis(1);
        let asked = self.orphans.signal_group(Signal::TERM);
        let mut look = asked.and_then(|()| self.orphans.ask());
        loop {
            match look {
                Ok(0) => return true,
                Ok(_) if Instant::now() < deadline => {}
                Ok(_) => return false,
                Err(error) => {
                    self.tell_of_left(&error);
                    return true;
                }
            }
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = LOOK_AGAIN.min(pause * 2);
            look = if Instant::now() < kill_at { self.orphans.ask() } else { self.orphans.kill() };
        }
    }

    /// Ends what took longer than anybody could wait. Where the machine is starved, who was killed takes a while to end,
    /// and who was about to become another program is known only now.
    async fn follow(mut self) {
        let given_up = Instant::now() + FOLLOWED;
        let mut pause = LOOK_AGAIN;
        loop {
            match self.orphans.kill() {
                Ok(0) => break,
                Ok(_) if Instant::now() < given_up => {}
                Ok(left) => {
                    break self.tell_of_left(&format_args!("{left} processes do not end, or are not ours to end"));
                }
                Err(error) => break self.tell_of_left(&error),
            }
            sleep(pause).await;
            pause *= 2;
        }
        if let Err(error) = self.take_off() {
            tracing::warn!(event = "orphans_left", reason = %error);
        }
    }

    fn kill(&mut self) {
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
            self.tell_of_left(&error);
        }
    }

    /// The main process has ended, so this does not wait.
    fn take_off(mut self) -> io::Result<ExitStatus> {
        self.group.forget();
        let mut child = self.child.take().ok_or(io::ErrorKind::NotFound)?;
        self.orphans.take_off_main(&mut child)
    }

    fn tell_of_left(&self, reason: &dyn Display) {
        tracing::warn!(event = "orphans_left", process = %self.main, %reason);
    }
}

impl Drop for Family {
    /// Kills at once: whoever drops it is about to end, and nobody would be left to wait.
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.kill();
        self.group.forget();
        if let Some(child) = self.child.take() {
            self.orphans.leave_main(child);
        }
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
