//! Workers that behave, and workers that do not: with real processes.

mod hygiene;
mod outcomes;
mod renewal;
mod starting;
mod undead;

use super::pool::Patience;
use super::*;
use crate::engine::{Blame, Id, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLockReadGuard};
use std::time::Instant;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// So long may anything take that takes no time, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);
/// What a test waits for nobody to reach.
const NEVER: Duration = Duration::from_mins(2);

const READY: &str = r#"{"type":"ready","version":1}"#;

/// A worker that does this for each job. `answer KIND MORE` answers; `$id` and `$path` are the job's; `$line` is all
/// of it; it works in a folder of its own, and has noted its number there.
fn sh(work: &str) -> String {
    format!(
        "echo $$ >>pids
         answer() {{ printf '{{\"type\":\"%s\",\"id\":\"%s\"%s}}\\n' \"$1\" \"$id\" \"$2\"; }}
         echo '{READY}'
         while read -r line; do
             case $line in '{{\"type\":\"job\"'*) ;; *) continue ;; esac
             id=${{line#*'\"id\":\"'}}; id=${{id%%'\"'*}}
             path=${{line#*'\"path\":\"'}}; path=${{path%%'\"'*}}
             {work}
         done"
    )
}

/// A pool, and somebody who has messages for it.
struct Bench {
    pool: Option<WorkerPool>,
    target: Option<Box<dyn Target>>,
    folder: TempDir,
    runtime: Runtime,
    _forks: RwLockReadGuard<'static, ()>,
}

/// How a pool is to be.
struct Setting {
    config: WorkerConfig,
    patience: Patience,
    folder: TempDir,
}

impl Setting {
    /// One process of this script of `sh`.
    fn new(script: &str) -> Self {
        Self::of("/bin/sh", ["-c", script])
    }

    fn python(script: &str) -> Self {
        Self::of("/usr/bin/env", ["python3", "-c", script])
    }

    fn of<const N: usize>(program: &str, arguments: [&str; N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut run = ProgramConfig::new(program, arguments);
        run.directory = Some(folder.path().to_owned());
        let config = WorkerConfig {
            run,
            target: "app".into(),
            processes: NonZero::<usize>::MIN,
            timeout: NEVER,
            start_timeout: NEVER,
            max_jobs: None,
            max_rss: None,
            max_age: None,
            parsed: None,
        };
        let (first_pause, longest_pause) = (Duration::from_millis(10), Duration::from_millis(40));
        Setting { config, patience: Patience { first_pause, longest_pause, ..Patience::default() }, folder }
    }

    fn processes(mut self, processes: usize) -> Self {
        self.config.processes = NonZero::new(processes).unwrap();
        self
    }

    fn start(self) -> Bench {
        let forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
        let (pool, mut targets) = WorkerPool::start_with(&self.config, self.patience, false, 1).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Bench { pool: Some(pool), target: targets.pop(), folder: self.folder, runtime, _forks: forks }
    }
}

impl Bench {
    fn new(work: &str) -> Self {
        Setting::new(&sh(work)).start()
    }

    fn give(&self, message: &Message) -> Outcome {
        self.runtime.block_on(self.target.as_ref().unwrap().attempt(message))
    }

    /// Gives it one more message.
    fn one(&self) -> Outcome {
        self.give(&message())
    }

    /// Waits until the first process is ready, or has failed.
    fn ready(&self) -> Result<(), String> {
        self.runtime.block_on(self.pool.as_ref().unwrap().wait_until_ready())
    }

    fn told(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// The numbers of the processes so far, in the order of their starts.
    fn pids(&self) -> Vec<String> {
        self.told("pids").lines().map(str::to_owned).collect()
    }

    /// Ends the pool, and waits until it has.
    fn close(&mut self) {
        self.target = None;
        self.pool.take().unwrap().close();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.target = None;
        if let Some(pool) = self.pool.take() {
            pool.close();
        }
    }
}

/// A message with an id of its own.
fn message() -> Message {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut digest = [0xab; 32];
    digest[..4].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Message { id: Id::from_digest(&digest), ..Message::sample() }
}

fn retry(blame: Blame, reason: &str) -> Outcome {
    Outcome::Retry { blame, status: None, reason: reason.into(), after: None }
}

const DONE: Outcome = Outcome::Done { status: None };

fn signal(pid: &str, signal: Signal) {
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
}

/// Looks again and again.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The same beside attempts, which must go on meanwhile.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether there is such a process, be it a zombie.
fn is_there(pid: &str) -> bool {
    let pid = pid.trim();
    assert!(!pid.is_empty(), "a process did not tell its number");
    PathBuf::from("/proc").join(pid).exists()
}
