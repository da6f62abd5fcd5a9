//! How a process ends, and what is to be done where it does not.

use super::super::command::killed_by;
use super::super::job::Job;
use super::lease::Lease;
use super::pool::Patience;
use super::said::Said;
use rustix::process::Pid;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// A process that is given nothing more, and whose answers nobody reads.
pub(super) struct Ending {
    job: Job,
    stderr: Said,
    lease: Lease,
}

/// A process that does not end, though it was killed or as good as that. Whatever it had in its hands it has still.
pub(super) struct Undead {
    /// Which one.
    pub pid: Pid,
    /// Why it lives, as far as that is known.
    pub reason: String,
}

/// How a process ended, and what it said at last.
pub(super) struct Ended {
    pub status: io::Result<ExitStatus>,
    pub said: String,
}

impl Ending {
    pub fn of(job: Job, stderr: Said, lease: Lease) -> Self {
        Ending { job, stderr, lease }
    }

    /// Waits for the end until `limit` is over, and then brings it about by signals. Ends what it has left behind, too.
    ///
    /// # Errors
    /// It does not end.
    pub async fn by(&mut self, limit: Duration, patience: &Patience) -> Result<Ended, Undead> {
        let status = self.job.finish(limit, patience.grace).await.map(|end| end.status);
        if status.is_err() {
            self.is_over()?;
        }
        Ok(self.ended(status).await)
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// It does not end.
    pub fn kill(&mut self) -> Result<(), Undead> {
        self.job.kill();
        self.is_over()?;
        self.let_go();
        Ok(())
    }

    /// Waits for the end of one that could not be ended, however long that takes.
    pub async fn at_last(&mut self, patience: &Patience) -> Ended {
        let status = match self.job.ended().await {
            Ok(()) => self.job.finish(Duration::ZERO, patience.grace).await.map(|end| end.status),
            Err(error) => Err(error),
        };
        self.ended(status).await
    }

    async fn ended(&mut self, status: io::Result<ExitStatus>) -> Ended {
        self.let_go();
        Ended { status, said: self.stderr.shown_at_the_end().await }
    }

    fn is_over(&self) -> Result<(), Undead> {
        // An error is that somebody else has waited for it.
        if self.job.has_ended().unwrap_or(true) {
            return Ok(());
        }
        let pid = self.job.pid();
        let reason = match self.job.may_be_ended() {
            Ok(()) => format!("process {pid} of the worker does not end even when killed"),
            Err(error) => format!("process {pid} of the worker may not be ended by maildirq: {error}"),
        };
        Err(Undead { pid, reason })
    }

    /// Should somebody who hides from us have the box, the message is not to lie in there.
    fn let_go(&self) {
        if let Err(error) = self.lease.let_go() {
            tracing::warn!(event = "lease_kept", reason = %error);
        }
    }
}

/// "exit code 1".
pub(super) fn how(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.code().map_or_else(|| killed_by(*status), |code| format!("exit code {code}")),
        Err(error) => format!("it has ended, but: {error}"),
    }
}
