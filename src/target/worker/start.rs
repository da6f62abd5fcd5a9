//! From a program to a process that is ready.

use super::super::before_exec::{BeforeExec, explained};
use super::super::command::CANNOT_RUN;
use super::super::environment::inherited;
use super::super::job::{Job, REST};
use super::super::open_files::usual;
use super::super::program::Limits;
use super::WorkerConfig;
use super::ending::{Ended, Ending, Undead, how};
use super::lease::Lease;
use super::lines::Lines;
use super::pool::Patience;
use super::protocol::{hello, ready};
use super::said::Said;
use rustix::io::ioctl_fionread;
use rustix::process::Pid;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout};

/// The variable by which the processes of a worker are known, whatever they do.
const MARK: &str = "MAILDIRQ_WORKER";
/// The variable that tells a worker which target it is.
const TARGET: &str = "MAILDIRQ_TARGET";

/// What is wrong with a worker that lives and can answer nothing.
pub(super) const CLOSED_STDOUT: &str = "it closed its standard output";

/// A process that did not become ready.
pub(super) struct NotReady {
    pub reason: String,
    /// The process, where it does not even end.
    pub undead: Option<(Ending, Undead)>,
}

/// A process and the ways to it.
pub(super) struct Started {
    pub pid: Pid,
    pub job: Job,
    pub stdin: ChildStdin,
    pub stdout: Lines<ChildStdout>,
    pub stderr: Said,
    pub lease: Lease,
}

impl Started {
    /// Starts a process, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready. It has ended, unless that could not be brought about.
    pub async fn ready(config: &WorkerConfig, patience: &Patience) -> Result<Self, NotReady> {
        let cannot = |error: io::Error| format!("{CANNOT_RUN} {}: {error}", config.run.program.display());
        let mut process = Self::spawn(config).map_err(|error| NotReady { reason: cannot(error), undead: None })?;
        // One that does not read is not ready either.
        let _ = process.stdin.write_all(&hello(&config.target)).await;
        let trouble = match timeout(config.start_timeout, process.first_line()).await {
            Ok(Some(Ok(()))) => return Ok(process),
            Ok(Some(Err(trouble))) => Some(trouble),
            Ok(None) => None,
            Err(_) => Some(format!("not ready within {}", humantime::format_duration(config.start_timeout))),
        };
        let limit = if trouble.is_none() { patience.ending } else { Duration::ZERO };
        let mut ending = process.hang_up();
        Err(match ending.by(limit, patience).await {
            Ok(Ended { status, said }) => {
                NotReady { reason: with(&trouble.unwrap_or_else(|| how(&status)), &said), undead: None }
            }
            Err(undead) => NotReady { reason: undead.reason.clone(), undead: Some((ending, undead)) },
        })
    }

    /// Whether it says that it is ready. Nothing where it ends.
    async fn first_line(&mut self) -> Option<Result<(), String>> {
        let line = tokio::select! {
            biased;
            line = self.stdout.next() => line,
            _ = self.job.ended() => self.stdout.last(),
        };
        match line {
            Ok(Some(Ok(line))) => Some(ready(&line)),
            Ok(Some(Err(breach))) => Some(Err(breach.reason())),
            // By its end, or else on purpose.
            Ok(None) => match timeout(REST, self.job.ended()).await {
                Ok(_) => None,
                Err(_) => Some(Err(CLOSED_STDOUT.to_owned())),
            },
            Err(error) => Some(Err(format!("its standard output cannot be read: {error}"))),
        }
    }

    /// Starts the program. Where another thread has just closed a file that had the number of the lease, the number
    /// is taken for good by the next try.
    fn spawn(config: &WorkerConfig) -> io::Result<Self> {
        match Self::try_to_spawn(config) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Self::try_to_spawn(config),
            tried => tried,
        }
    }

    fn try_to_spawn(config: &WorkerConfig) -> io::Result<Self> {
        let (lease, theirs) = Lease::new()?;
        let mark = format!("{:032x}", fastrand::u128(..));
        let run = &config.run;
        let mut command = Command::new(&run.program);
        command.args(&run.arguments).env_clear().envs(inherited(run.account.as_ref()));
        command.envs(run.environment.iter().map(|(name, value)| (name, value.reveal())));
        command.env(TARGET, &config.target).env(MARK, &mark);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let before_exec = BeforeExec {
            limits: Limits::default(),
            account: run.account.clone(),
            directory: run.directory.clone(),
            lease: Some(theirs),
            dies_with_us: true,
            open_files: usual(),
        };
        before_exec.apply_to(&mut command)?;
        let mut job = Job::start(&mut command, format!("{MARK}={mark}")).map_err(|error| explained(error, run))?;
        let (stdin, stdout, stderr) = (job.stdin()?, job.stdout()?, job.stderr()?);
        let pid = job.pid();
        let stderr = Said::listen(stderr, &config.target, pid.as_raw_pid());
        Ok(Started { pid, job, stdin, stdout: Lines::new(stdout.ok_or(io::ErrorKind::NotConnected)?), stderr, lease })
    }

    /// How much of what it was told it has not read, in bytes; also when it has ended.
    pub fn unread(&self) -> u64 {
        // Where that cannot be known it counts as read.
        ioctl_fionread(&self.stdin).unwrap_or_default()
    }

    /// It is given nothing more. A process that still writes an answer is not to wait for us: nobody reads it.
    pub fn hang_up(self) -> Ending {
        let Started { job, stderr, lease, .. } = self;
        Ending::of(job, stderr, lease)
    }
}

/// What happened, and what was said last.
pub(super) fn with(what: &str, said: &str) -> String {
    let separator = if said.is_empty() { "" } else { ": " };
    format!("{what}{separator}{said}")
}

/// Starts one process, and ends it when it is ready. Returns how long it took.
///
/// # Errors
/// It does not start: the reason.
pub fn rehearse(config: &WorkerConfig) -> Result<Duration, String> {
    let cannot = |error: io::Error| error.to_string();
    super::orphans::adopt().map_err(cannot)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let patience = Patience::default();
    runtime.block_on(async {
        let began = Instant::now();
        let process = Started::ready(config, &patience).await.map_err(|not_ready| not_ready.reason)?;
        let took = began.elapsed();
        process.hang_up().by(patience.ending, &patience).await.map_err(|undead| undead.reason)?;
        Ok(took)
    })
}
