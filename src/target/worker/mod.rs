//! The `worker` target: resident processes, each of which works on one message at a time.
//!
//! A pool has a thread of its own, which owns its processes. Attempts are made on the threads of the engine's
//! lanes; they leave their jobs at the pool's *desk*, from where whichever process is idle takes them.
//!
//! | file | one idea |
//! |---|---|
//! | `protocol` | what a worker says, and what that means |
//! | `job`, `path` | what a worker is told of a message, and where it lies |
//! | `lease` | a worker holds the message's lock, though it does not know |
//! | `lines`, `said` | its standard output and its standard error, line by line |
//! | `start` | from a program to a process that is ready |
//! | `ending` | how a process ends, and what is to be done where it does not |
//! | `process` | one process: job after job, until it leaves or fails |
//! | `renewal` | when a process has worked enough |
//! | `desk` | where jobs wait for a process, and processes for jobs |
//! | `pause` | how long is waited after starts that failed |
//! | `pool` | so many processes as there should be |
//! | `try_once` | one attempt |

mod desk;
mod ending;
#[cfg(fuzzing)]
pub mod fuzzing;
mod job;
mod lease;
mod lines;
mod path;
mod pause;
mod pool;
mod process;
mod protocol;
mod renewal;
mod said;
mod start;
mod try_once;

#[cfg(test)]
mod tests;

use super::orphans;
use super::program::ProgramConfig;
use crate::engine::{Message, Target};
use crate::payload::{Attachments, Payload, PayloadError};
use desk::{Desk, Door};
use pool::{Patience, run};
use std::io;
use std::num::NonZero;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use try_once::WorkerTarget;

pub use start::rehearse;

/// The settings of a `worker` target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// What each process runs.
    pub run: ProgramConfig,
    /// The name of the target, which a worker is told.
    pub target: String,
    /// How many processes there are.
    pub processes: NonZero<usize>,
    /// The bound on one message.
    pub timeout: Duration,
    /// The bound on a start, until the worker says that it is ready.
    pub start_timeout: Duration,
    /// A process is replaced when it has worked on so many messages, or a little less.
    pub max_jobs: Option<NonZero<u32>>,
    /// A process is replaced when its resident memory is above this, in bytes.
    pub max_rss: Option<u64>,
    /// A process is replaced when it is so old, or a little younger.
    pub max_age: Option<Duration>,
    /// Whether a job holds the parsed message, and how.
    pub parsed: Option<Parsed>,
}

/// How a parsed message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Whether the bytes of attachments are in it.
    pub attachments: Attachments,
    /// Attachments larger than this, in bytes, are only described.
    pub describe_above: Option<u64>,
}

/// The processes of a worker target. They are started at once, on a thread of their own, and told to end when
/// the last of the pool's targets is dropped, or it is [told to](WorkerPool::end).
#[derive(Debug)]
pub struct WorkerPool {
    config: WorkerConfig,
    patience: Patience,
    desk: Arc<Desk>,
    /// Held by the targets only, which end the pool by dropping it.
    door: Weak<Door>,
    thread: JoinHandle<()>,
}

impl WorkerPool {
    /// Starts the processes. Returns as many targets as there are lanes, too; all of them give their messages
    /// to any process that is idle.
    ///
    /// From now on this process is the *subreaper* of all that it starts: see `prctl(2)`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(config: &WorkerConfig, lanes: usize) -> io::Result<(WorkerPool, Vec<Box<dyn Target>>)> {
        Self::start_with(config, Patience::default(), false, lanes)
    }

    /// The same, and should the first start fail that is the end of it. The log says nothing of that: whoever waits
    /// until it is ready is told.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn try_out(config: &WorkerConfig, lanes: usize) -> io::Result<(WorkerPool, Vec<Box<dyn Target>>)> {
        Self::start_with(config, Patience::default(), true, lanes)
    }

    fn start_with(
        config: &WorkerConfig,
        patience: Patience,
        is_on_trial: bool,
        lanes: usize,
    ) -> io::Result<(WorkerPool, Vec<Box<dyn Target>>)> {
        if let Err(error) = orphans::adopt() {
            tracing::warn!(event = "orphans_lost", reason = %error, "what a worker leaves running in the background is not ended");
        }
        let desk = Arc::new(Desk::default());
        let door = Arc::new(Door::of(&desk));
        let targets = targets(config, patience, &door, lanes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (pool_config, pool_desk) = (config.clone(), Arc::clone(&desk));
        // Its processes are killed when this thread ends: so it ends last.
        let thread = thread::Builder::new()
            .name(format!("workers-{}", config.target))
            .spawn(move || run(pool_config, patience, pool_desk, is_on_trial, &runtime))?;
        let door = Arc::downgrade(&door);
        Ok((WorkerPool { config: config.clone(), patience, desk, door, thread }, targets))
    }

    /// More targets of the same processes, where they are as these settings want them and have not been told to end.
    pub fn targets(&self, config: &WorkerConfig, lanes: usize) -> Option<Vec<Box<dyn Target>>> {
        let door = self.door.upgrade().filter(|_| self.config == *config && !self.desk.is_closed())?;
        Some(targets(config, self.patience, &door, lanes))
    }

    /// Waits until the first process is ready.
    ///
    /// # Errors
    /// It does not start: the reason.
    pub async fn wait_until_ready(&self) -> Result<(), String> {
        self.desk.wait_until_ready().await.map_err(|reason| format!("[target.{}]: {reason}", self.config.target))
    }

    /// Whether all of its processes have ended, and it has been told to end.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Has all processes replaced, each by one that is ready before it leaves.
    pub fn renew(&self) {
        self.desk.outdate();
    }

    /// Tells all processes to end.
    pub fn end(&self) {
        self.desk.close();
    }

    /// Tells all processes to end, and waits until they have.
    pub fn close(self) {
        self.end();
        self.thread.join().expect("the thread of a pool catches its panics");
    }
}

fn targets(config: &WorkerConfig, patience: Patience, door: &Arc<Door>, lanes: usize) -> Vec<Box<dyn Target>> {
    let target = || -> Box<dyn Target> { Box::new(WorkerTarget::new(config, patience, door)) };
    (0..lanes).map(|_| target()).collect()
}

/// The line that a worker is given for this message.
///
/// # Errors
/// The message cannot be read.
pub fn job(config: &WorkerConfig, message: &Message) -> Result<Payload, PayloadError> {
    job::job(config.parsed, message).map(|job| Payload { content_type: "application/json".into(), pieces: job.line })
}
