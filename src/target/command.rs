//! The `command` target: runs a program for a message.
//!
//! | | |
//! |---|---|
//! | arguments | as they are written; there is no shell |
//! | standard input | the claimed file itself, from its beginning |
//! | standard output | nowhere |
//! | standard error | read without end; its last lines are the reason of a failure |
//! | environment | `PATH`, `LANG`, `HOME` and `USER` of ours, `MAILDIRQ_…`, and the envelope as qmail-command(8) has it |
//! | processes | a group of its own; what of it is still there when the program ends is ended too |

use super::answer::{Overrides, exit_meaning};
use super::environment::environment;
use super::job::{End, Job, REST};
use super::last_lines::LastLines;
use super::orphans;
use super::stdin::stdin_of;
use crate::engine::{Blame, BoxFuture, Message, Outcome, Target, is_shortage};
use futures_util::future::{Either, select};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::timeout_at;

/// How long a program has between being asked to end and being killed.
const GRACE: Duration = Duration::from_secs(5);

/// The settings of a `command` target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandConfig {
    /// The program, by its whole path.
    pub program: PathBuf,
    /// What it is given as arguments, as it is written: there is no shell.
    pub arguments: Vec<String>,
    /// The bound on one attempt.
    pub timeout: Duration,
    /// Exit codes that mean something else than usual.
    pub answers: Overrides,
}

/// A program that is run for each message.
///
/// An attempt needs a runtime of tokio's with its I/O and its time. It is over at most 6 s after its
/// time-out. Dropping it kills the program and all that it has started.
pub struct CommandTarget {
    config: CommandConfig,
    grace: Duration,
}

impl CommandTarget {
    /// As many targets as there are lanes.
    ///
    /// From now on this process is the *subreaper* of all that it starts: see `prctl(2)`.
    pub fn lanes(config: &CommandConfig, lanes: usize) -> Vec<Box<dyn Target>> {
        if let Err(error) = orphans::adopt() {
            tracing::warn!(event = "orphans_lost", reason = %error, "what a command leaves running in the background is not ended");
        }
        let lane = || -> Box<dyn Target> { Box::new(CommandTarget { config: config.clone(), grace: GRACE }) };
        (0..lanes).map(|_| lane()).collect()
    }

    async fn run(&self, message: &Message) -> Outcome {
        let job = stdin_of(message).map_err(|error| ours(&format!("the message cannot be read: {error}")));
        let job = job.and_then(|stdin| self.start(message, stdin).map_err(|error| self.not_started(&error)));
        let (job, stderr) = match job {
            Ok(started) => started,
            Err(outcome) => return outcome,
        };
        let mut said = LastLines::default();
        let end = {
            let finish = pin!(job.finish(self.config.timeout, self.grace));
            let reading = pin!(said.read_from(stderr));
            match select(finish, reading).await {
                Either::Left((end, reading)) => {
                    if let Ok(End { at, .. }) = end {
                        // Whoever still holds it may say what he likes.
                        let _ = timeout_at(at + REST, reading).await;
                    }
                    end
                }
                Either::Right(((), finish)) => finish.await,
            }
        };
        match end {
            Ok(end) => self.judge(&end, &said.shown()),
            Err(error) => ours(&format!("{} was started, but: {error}", self.config.program.display())),
        }
    }

    fn start(&self, message: &Message, stdin: std::fs::File) -> io::Result<(Job, tokio::process::ChildStderr)> {
        let mut command = Command::new(&self.config.program);
        command.args(&self.config.arguments).env_clear().envs(environment(message));
        command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut job = Job::start(&mut command, message.id)?;
        let stderr = job.stderr()?;
        Ok((job, stderr))
    }

    fn not_started(&self, error: &io::Error) -> Outcome {
        let reason = format!("cannot run {}: {error}", self.config.program.display());
        // Where there are too many processes already it is EAGAIN.
        if is_shortage(error) || error.raw_os_error() == Some(libc::EAGAIN) {
            return ours(&reason);
        }
        let reason = format!("{reason} (looks like configuration)");
        Outcome::Retry { blame: Blame::Endpoint, status: None, reason, after: None }
    }

    fn judge(&self, end: &End, said: &str) -> Outcome {
        let unclear = |what: &str| {
            let separator = if said.is_empty() { "" } else { ": " };
            let reason = format!("{what}{separator}{said}");
            Outcome::Retry { blame: Blame::Unclear, status: None, reason, after: None }
        };
        if !end.in_time {
            return unclear(&format!("not finished within {}", humantime::format_duration(self.config.timeout)));
        }
        match end.status.code().and_then(|code| u16::try_from(code).ok()) {
            Some(code) => {
                let meaning = self.config.answers.over(code, exit_meaning(code));
                meaning.outcome(code, &format!("exit code {code}"), said, None)
            }
            None => unclear(&killed_by(end.status)),
        }
    }
}

impl Target for CommandTarget {
    fn attempt<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Outcome> {
        Box::pin(self.run(message))
    }
}

fn ours(reason: &str) -> Outcome {
    Outcome::Retry { blame: Blame::Ourselves, status: None, reason: reason.to_owned(), after: None }
}

fn killed_by(status: ExitStatus) -> String {
    let signal = status.signal().unwrap_or_default();
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("killed by signal {signal}"), |name| format!("killed by {name}"))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
