//! The one file that knows every adapter: configuration → queue, routes, targets, and the threads
//! that run them.

use crate::config::{Config, TargetKind};
use crate::engine::{Conditions, Destination, Engine, Queue, Routes, Stop, Target, Terms, Until};
use crate::maildir::{Layout, Maildir, MaildirQueue, OpenError, Options, Place, Settings, find_places};
use crate::target::{CommandTarget, UrlTarget};
use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};
use tokio::runtime;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

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

/// Everything that runs, and what it was put together from.
pub struct Service {
    /// The loop.
    pub engine: Arc<Engine>,
    queue: Arc<MaildirQueue>,
    lanes: usize,
    plan: Plan,
    built: Mutex<Built>,
    reloaded: Notify,
}

/// What is there now, to be used again by the next configuration as far as it is the same there.
struct Built {
    config: Config,
    destinations: BTreeMap<String, Arc<Destination>>,
    /// Maildirs that a glob has found and that cannot be opened, with the reason.
    unusable: BTreeMap<PathBuf, String>,
}

/// What a configuration stands for, all of it ready to be used.
struct Prepared {
    routes: Routes,
    destinations: BTreeMap<String, Arc<Destination>>,
    found: Found,
}

/// The Maildirs of a configuration.
#[derive(Default)]
struct Found {
    maildirs: Vec<Arc<Maildir>>,
    /// How many of them were not served before.
    opened: usize,
    first_started: Vec<PathBuf>,
    unusable: BTreeMap<PathBuf, String>,
}

/// All Maildirs that a configuration names, and those that its globs find.
///
/// # Errors
/// Two queues name the same one.
pub fn places(config: &Config) -> Result<Vec<(Place, Options)>, OpenError> {
    let queues = config.queues.iter().map(|queue| {
        let options = Options {
            queue: queue.name.as_str().into(),
            place: None,
            keep: queue.done,
            max_size: queue.max_size,
            rescan: queue.rescan,
            envelope: queue.envelope.clone(),
        };
        (options, queue.maildirs.as_slice())
    });
    find_places(queues)
}

impl Service {
    /// Puts everything together. Also returns the Maildirs that were never served before.
    ///
    /// # Errors
    /// A Maildir or a target that cannot be used.
    pub fn start(config: Config, plan: Plan, stop: Stop) -> anyhow::Result<(Self, Vec<PathBuf>)> {
        let hands = config.targets.iter().map(|target| target.concurrency).sum();
        let lanes = lanes(hands);
        let settings =
            Settings { since: plan.since, hands, removes_aside: hands > lanes, watch: plan.until == Until::Stopped };
        let queue = Arc::new(MaildirQueue::new(settings)?);
        let Prepared { routes, destinations, found } = prepare(&config, &queue, lanes, None)?;
        queue.serve(found.maildirs);
        let served: Arc<dyn Queue> = Arc::<MaildirQueue>::clone(&queue);
        let engine = Arc::new(Engine::new(served, routes, plan.until, stop, Conditions::default()));
        let built = Mutex::new(Built { config, destinations, unusable: found.unusable });
        Ok((Service { engine, queue, lanes, plan, built, reloaded: Notify::new() }, found.first_started))
    }

    /// Goes on with another configuration, wholly or not at all. What is the same in both is kept as
    /// it is: Maildirs with what is known of their mail, targets with their connections and breakers.
    ///
    /// # Errors
    /// Something in it cannot be used; then nothing has changed.
    pub fn reload(&self, config: Config) -> anyhow::Result<()> {
        let mut built = self.built();
        let Prepared { routes, destinations, found } = prepare(&config, &self.queue, self.lanes, Some(&built))?;
        self.engine.reroute(routes, || self.queue.serve(found.maildirs));
        *built = Built { config, destinations, unusable: found.unusable };
        self.reloaded.notify_one();
        Ok(())
    }

    /// How long running attempts may go on after a signal to stop.
    pub fn shutdown_timeout(&self) -> Duration {
        self.built().config.shutdown_timeout
    }

    /// Looks, now and then, whether globs find other Maildirs than before.
    async fn look_for_maildirs(&self) {
        let mut complaint = String::new();
        loop {
            let pace = self.pace_of_globs().filter(|_| self.plan.until == Until::Stopped);
            let is_time = async {
                match pace {
                    Some(pace) => sleep(pace).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = is_time => {
                    let reason = self.look_again().map_or_else(|error| format!("{error:#}"), |()| String::new());
                    if !reason.is_empty() && reason != complaint {
                        tracing::warn!(event = "maildirs_not_found", reason);
                    }
                    complaint = reason;
                }
                // The pace may be another one now.
                () = self.reloaded.notified() => {}
            }
        }
    }

    /// How often to look for what globs find, where there are any.
    fn pace_of_globs(&self) -> Option<Duration> {
        let built = self.built();
        built.config.queues.iter().filter(|queue| queue.has_globs()).map(|queue| queue.rescan).min()
    }

    /// Serves the Maildirs that are there now, by the configuration that is in force. Nothing else
    /// changes: what waits for a target goes on waiting for it.
    fn look_again(&self) -> anyhow::Result<()> {
        let mut built = self.built();
        let found = find_maildirs(&built.config, &self.queue, Some(&built))?;
        let is_same = found.maildirs.len() == self.queue.len() && found.opened == 0;
        built.unusable = found.unusable;
        if !is_same {
            self.engine.exchange(|| self.queue.serve(found.maildirs));
        }
        Ok(())
    }

    fn built(&self) -> MutexGuard<'_, Built> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the engine's hands on threads of their own until the end, and oversees them here.
    ///
    /// # Errors
    /// The system has no threads to give.
    pub async fn run(&self) -> anyhow::Result<()> {
        let lanes = self.lanes;
        let (working, mut all_ended) = mpsc::channel::<()>(1);
        let mut threads = Vec::new();
        for lane in 0..lanes {
            let (engine, working) = (Arc::clone(&self.engine), working.clone());
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let work = move || {
                let worked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(engine.work(lane, lanes))));
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
            () = self.engine.oversee() => {}
            () = self.look_for_maildirs() => {}
        }
        for thread in threads {
            thread.join().expect("a lane catches its panics");
        }
        Ok(())
    }
}

/// Opens and builds all that a configuration names, as far as it is not there already.
fn prepare(config: &Config, queue: &MaildirQueue, lanes: usize, built: Option<&Built>) -> anyhow::Result<Prepared> {
    let mut destinations = BTreeMap::new();
    for target in &config.targets {
        let same = built.filter(|built| built.config.targets.contains(target));
        let destination = match same.and_then(|built| built.destinations.get(&target.name)) {
            Some(same) => Arc::clone(same),
            None => destination(target, lanes).with_context(|| format!("[target.{}]", target.name))?,
        };
        destinations.insert(target.name.clone(), destination);
    }
    let routes = Routes::new(destinations.values().cloned().collect(), config.routes.clone());
    Ok(Prepared { routes, destinations, found: find_maildirs(config, queue, built)? })
}

/// Finds the Maildirs that a configuration names, and opens those that are not served yet.
fn find_maildirs(config: &Config, queue: &MaildirQueue, built: Option<&Built>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for (place, options) in places(config)? {
        if let Some(maildir) = queue.find(&place.path, &options) {
            found.maildirs.push(maildir);
            continue;
        }
        match open(queue, &place, options) {
            Ok((maildir, is_first_start)) => {
                if is_first_start && built.is_some() {
                    tracing::info!(event = "first_start", maildir = %place.path.display(), "never served before");
                }
                if is_first_start {
                    found.first_started.push(place.path);
                }
                found.maildirs.push(maildir);
                found.opened += 1;
            }
            Err(error) if place.was_found => {
                let reason = format!("{error:#}");
                if built.and_then(|built| built.unusable.get(&place.path)) != Some(&reason) {
                    tracing::error!(event = "maildir_unusable", path = %place.path.display(), reason, "it is left alone");
                }
                found.unusable.insert(place.path, reason);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn open(queue: &MaildirQueue, place: &Place, options: Options) -> anyhow::Result<(Arc<Maildir>, bool)> {
    let layout = Layout::open(&place.path, options.keep)?;
    let is_first_start = layout.is_first_start();
    Ok((queue.prepare(layout, options)?, is_first_start))
}

fn destination(target: &crate::config::Target, lanes: usize) -> anyhow::Result<Arc<Destination>> {
    let tries: Vec<Box<dyn Target>> = match &target.kind {
        TargetKind::Url(url) => {
            if url.url.is_exposed() {
                tracing::warn!(event = "exposed", url = %url.url, "mail leaves this machine without encryption; use https://");
            }
            UrlTarget::lanes(url, lanes)?
        }
        TargetKind::Command(command) => CommandTarget::lanes(command, lanes),
    };
    let on_dead = target.on_dead.as_ref().and_then(|command| CommandTarget::lanes(command, 1).pop());
    let terms = Terms {
        limit: target.concurrency,
        rate: target.rate,
        retry: target.retry.clone(),
        breaker: target.breaker.clone(),
        on_dead,
    };
    Ok(Arc::new(Destination::new(target.name.as_str(), tries, terms)))
}

/// The threads that hands are spread over, one for each core. Each lane has its own connections and
/// does its own work on files, so that nothing is handed from thread to thread on a message's way.
fn lanes(hands: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    hands.clamp(1, cores)
}

/// What is open beside: watchers, lanes, and something to spare.
const FILES_BESIDE: u64 = 60;
/// A Maildir: its folders, and what it has in hand.
const FILES_EACH_MAILDIR: u64 = 4;
/// A message in hand: its file, its connection or its pipes, and one more while either is made.
const FILES_EACH_HAND: u64 = 3;

/// How many messages can be in hand at a time where so many files may be open; None is no limit.
pub fn hands_within(files: Option<u64>, maildirs: usize) -> usize {
    let taken = FILES_BESIDE + FILES_EACH_MAILDIR * maildirs as u64;
    let room = files.map_or(u64::MAX, |files| files.saturating_sub(taken) / FILES_EACH_HAND);
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// How many files must be allowed to be open for so many messages in hand.
pub fn files_for(hands: usize, maildirs: usize) -> u64 {
    FILES_BESIDE + FILES_EACH_MAILDIR * maildirs as u64 + FILES_EACH_HAND * hands as u64
}

/// Asks for as many open files as the system allows, and gives targets no more at a time than fit.
pub fn fit_into_open_files(config: &mut Config, maildirs: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let allowed = if raised.is_ok() { maximum } else { current };
    let room = hands_within(allowed, maildirs);
    let asked: usize = config.targets.iter().map(|target| target.concurrency).sum();
    if asked <= room {
        return;
    }
    for target in &mut config.targets {
        target.concurrency = (target.concurrency * room / asked).max(1);
    }
    let concurrency: usize = config.targets.iter().map(|target| target.concurrency).sum();
    tracing::warn!(
        event = "hampered",
        asked,
        concurrency,
        "the limit on open files allows no more at a time; raise it (ulimit -n, LimitNOFILE=)"
    );
}
