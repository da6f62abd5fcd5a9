//! The `command` target: runs a program for a message.
//!
//! | | |
//! |---|---|
//! | arguments | as they are written, with the macros of pipe(8); there is no shell |
//! | standard input | the claimed file itself, from its beginning |
//! | standard output | nowhere |
//! | standard error | read without end; its last lines are the reason of a failure |
//! | user, directory, limits | ours, unless it is given others: see `before_exec` |
//! | environment | `PATH`, `LANG`, `HOME` and `USER` of ours, `MAILDIRQ_…`, and the envelope as qmail-command(8) has it |
//! | processes | a group of its own; what of it is still there when the program ends is ended too |

use super::answer::{Overrides, exit_meaning};
use super::before_exec::{BeforeExec, explained};
use super::environment::{ID, environment};
use super::job::{End, Job, REST};
use super::last_lines::LastLines;
use super::macros;
use super::open_files::usual;
use super::orphans;
use super::output::Output;
use super::program::{Limits, ProgramConfig};
use super::stdin::stdin_of;
use crate::engine::{Blame, BoxFuture, Leaving, Message, Outcome, Target, is_shortage};
use futures_util::future::{Either, select};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// How long a program has between being asked to end and being killed.
const GRACE: Duration = Duration::from_secs(5);

/// How the reason begins where a program cannot be started.
pub(super) const CANNOT_RUN: &str = "cannot run";

/// The settings of a `command` target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandConfig {
    /// What is run.
    pub run: ProgramConfig,
    /// The bound on one attempt.
    pub timeout: Duration,
    /// Exit codes that mean something else than usual.
    pub answers: Overrides,
    /// What it may use.
    pub limits: Limits,
    /// Of an extension that begins with this, `DEFAULT` is the rest: what `.qmail-support-default` is for
    /// has `support-`.
    pub default_prefix: Option<String>,
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
        let arguments = match macros::expand(&self.config.run.arguments, message) {
            Ok(arguments) => arguments,
            Err(reason) => return Outcome::Unfit { reason },
        };
        let job = stdin_of(message).map_err(|error| ours(&format!("the message cannot be read: {error}")));
        let job =
            job.and_then(|stdin| self.start(&arguments, message, stdin).map_err(|error| self.not_started(&error)));
        let (job, mut output) = match job {
            Ok(started) => started,
            Err(outcome) => return outcome,
        };
        let mut said = LastLines::default();
        let too_much = Notify::new();
        let mut said_too_much = false;
        let end = {
            let finish = pin!(job.finish_unless(too_much.notified(), self.config.timeout, self.grace));
            let reading = pin!(output.read(&mut said, self.config.limits.output));
            match select(finish, reading).await {
                Either::Left((end, reading)) => {
                    if let Ok(End { at, .. }) = end {
                        // Whoever still holds it may say what he likes.
                        let _ = timeout_at(at + REST, reading).await;
                    }
                    end
                }
                Either::Right((more_than_allowed, finish)) => {
                    said_too_much = more_than_allowed;
                    if said_too_much {
                        too_much.notify_one();
                    }
                    finish.await
                }
            }
        };
        match end {
            Ok(end) => self.judge(&end, said_too_much, &said.shown()),
            Err(error) => ours(&format!("{} was started, but: {error}", self.config.run.program.display())),
        }
    }

    fn start(&self, arguments: &[OsString], message: &Message, stdin: std::fs::File) -> io::Result<(Job, Output)> {
        let limits = self.config.limits;
        let mut command = Command::new(&self.config.run.program);
        command.args(arguments).env_clear().envs(environment(&self.config, message));
        let stdout = if limits.output.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let ProgramConfig { directory, account, .. } = self.config.run.clone();
        let before_exec = BeforeExec { limits, account, directory, open_files: usual(), ..BeforeExec::default() };
        before_exec.apply_to(&mut command)?;
        let mut job = Job::start(&mut command, format!("{ID}={}", message.id))
            .map_err(|error| explained(error, &self.config.run))?;
        let output = Output { stderr: Some(job.stderr()?), stdout: job.stdout()? };
        Ok((job, output))
    }

    fn not_started(&self, error: &io::Error) -> Outcome {
        let reason = format!("{CANNOT_RUN} {}: {error}", self.config.run.program.display());
        // Where there are too many processes already it is EAGAIN.
        if is_shortage(error) || error.raw_os_error() == Some(libc::EAGAIN) {
            return ours(&reason);
        }
        let reason = format!("{reason} (looks like configuration)");
        Outcome::Retry { blame: Blame::Endpoint, status: None, reason, after: None }
    }

    fn judge(&self, end: &End, said_too_much: bool, said: &str) -> Outcome {
        let failed = |blame: Blame, what: &str| {
            let separator = if said.is_empty() { "" } else { ": " };
            let reason = format!("{what}{separator}{said}");
            Outcome::Retry { blame, status: None, reason, after: None }
        };
        let Limits { cpu, output, .. } = self.config.limits;
        if let (true, false, Some(limit)) = (said_too_much, end.in_time, output) {
            // One mail of many: were it unclear, a few in a row would keep all the others waiting.
            return failed(Blame::Message, &format!("said more than max_output allows ({limit} bytes)"));
        }
        if !end.in_time {
            let timeout = humantime::format_duration(self.config.timeout);
            return failed(Blame::Unclear, &format!("not finished within {timeout}"));
        }
        match end.status.code().and_then(|code| u16::try_from(code).ok()) {
            Some(code) => {
                let meaning = self.config.answers.over(code, exit_meaning(code));
                meaning.outcome(code, format_args!("exit code {code}"), || said.to_owned(), None)
            }
            None => match cpu.filter(|_| end.status.signal() == Some(libc::SIGXCPU)) {
                Some(seconds) => {
                    let allowed = shown_seconds(seconds);
                    failed(Blame::Message, &format!("used more CPU time than max_cpu allows ({allowed})"))
                }
                None => failed(Blame::Unclear, &killed_by(end.status)),
            },
        }
    }
}

impl Target for CommandTarget {
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        Box::pin(async move { if leaving() { Some(self.run(message).await) } else { None } })
    }
}

fn ours(reason: &str) -> Outcome {
    Outcome::Retry { blame: Blame::Ourselves, status: None, reason: reason.to_owned(), after: None }
}

fn shown_seconds(seconds: u32) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(seconds.into()))
}

/// "killed by SIGKILL".
pub(super) fn killed_by(status: ExitStatus) -> String {
    let signal = status.signal().unwrap_or_default();
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("killed by signal {signal}"), |name| format!("killed by {name}"))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
