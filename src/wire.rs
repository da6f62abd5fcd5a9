//! The one file that knows every adapter: configuration → queue, routes, targets, and the threads
//! that run them.

use crate::config::Config;
use crate::engine::{Conditions, Destination, Engine, Routes, Stop, Until};
use crate::maildir::{Layout, MaildirQueue, OpenError, Options};
use crate::target::UrlTarget;
use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;
use tokio::runtime;
use tokio::sync::mpsc;

/// The exit code of a bug: `EX_SOFTWARE` of sysexits(3).
pub const BUG: i32 = 70;

/// What is run, and when it ends.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When the run ends of itself.
    pub until: Until,
    /// Mail that came before this is left alone.
    pub since: Option<SystemTime>,
}

/// Opens the Maildir of this configuration.
///
/// # Errors
/// As [`Layout::open`].
pub fn open(config: &Config) -> Result<Layout, OpenError> {
    Layout::open(&config.maildir, config.done)
}

/// Puts an engine together.
///
/// # Errors
/// The disk, or a target that cannot be set up.
pub fn engine(config: &Config, layout: Layout, plan: Plan, stop: Stop) -> anyhow::Result<Engine> {
    let options = Options {
        keep: config.done,
        max_size: config.max_size,
        rescan: config.rescan,
        since: plan.since,
        hands: config.concurrency,
        removes_aside: config.concurrency > lanes(config.concurrency),
        watch: plan.until == Until::Stopped,
    };
    let target = &config.target;
    let lanes = UrlTarget::lanes(&target.url, lanes(config.concurrency))
        .with_context(|| format!("[target.{}]", target.name))?;
    if target.url.url.is_exposed() {
        tracing::warn!(event = "exposed", url = %target.url.url, "mail leaves this machine without encryption; use https://");
    }
    let destination =
        Destination::new(&*target.name, lanes, target.concurrency, target.retry.clone(), target.breaker.clone());
    let queue = MaildirQueue::new(layout, options)?;
    Ok(Engine::new(Box::new(queue), Routes::all_to(destination), plan.until, stop, Conditions::default()))
}

/// The threads that hands are spread over, one for each core. Each lane has its own connections and
/// does its own work on files, so that nothing is handed from thread to thread on a message's way.
fn lanes(hands: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    hands.clamp(1, cores)
}

/// Runs the engine's hands on threads of their own until the end, and oversees them here.
///
/// # Errors
/// The system has no threads to give.
pub async fn run(engine: &Arc<Engine>, hands: usize) -> anyhow::Result<()> {
    let hands = hands.max(1);
    let lanes = lanes(hands);
    let (working, mut all_ended) = mpsc::channel::<()>(1);
    let mut threads = Vec::new();
    for lane in 0..lanes {
        let (engine, working) = (Arc::clone(engine), working.clone());
        let share = hands / lanes + usize::from(lane < hands % lanes);
        let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(share + 2).build()?;
        let work = move || {
            let worked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(engine.work(lane, share))));
            if worked.is_err() {
                // What this lane held nobody else would take up. A crash is safe, half a process is not.
                tracing::error!(event = "bug", "a bug in maildirq: a worker thread has panicked");
                std::process::exit(BUG);
            }
            // A look-up of a name may still be running; nobody waits for it any more.
            runtime.shutdown_background();
            drop(working);
        };
        threads.push(thread::Builder::new().name(format!("lane-{lane}")).spawn(work)?);
    }
    drop(working);
    tokio::select! {
        _ = all_ended.recv() => {}
        () = engine.oversee() => {}
    }
    for thread in threads {
        thread.join().expect("a lane catches its panics");
    }
    Ok(())
}

/// Asks for as many open files as the system allows. Returns how many messages may be in hand with
/// them, at most `hands`.
pub fn fit_into_open_files(hands: usize) -> usize {
    /// What is open beside: watchers, lanes, folders, and something to spare.
    const BESIDE: u64 = 64;
    /// A message in hand: its file, its connection, and one more while either is made.
    const EACH: u64 = 3;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let allowed = if raised.is_ok() { maximum } else { current };
    let room = allowed.map_or(u64::MAX, |files| files.saturating_sub(BESIDE) / EACH);
    let fitting = hands.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1);
    if fitting < hands {
        tracing::warn!(
            event = "hampered",
            asked = hands,
            concurrency = fitting,
            "the limit on open files allows no more; raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    fitting
}
