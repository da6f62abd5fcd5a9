//! The one file that knows every adapter: configuration → queue, routes, targets, and the threads
//! that run them.

mod open_files;
mod pulse;
mod telling;

pub use open_files::{Crowd, files_for, fit_into_open_files, hands_within};
pub use pulse::Pulse;

use crate::config::{Config, TargetKind};
use crate::engine::{Conditions, Destination, Engine, Nobody, Observer, Queue, Routes, Stop, Target, Terms, Until};
use crate::maildir::{Census, Graves, Layout, Maildir, MaildirQueue, OpenError, Options, Place, Settings, find_places};
use crate::target::{Account, CommandTarget, UrlTarget, WorkerConfig, WorkerPool};
use anyhow::anyhow;
use rustix::process::geteuid;
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};
use telling::{Onlookers, Outlets};
use tokio::runtime;
use tokio::sync::{Notify, SetOnce, mpsc, watch};
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
    /// What a daemon tells of itself; a run that ends by itself has nobody to tell.
    outlets: Option<Outlets>,
    pulses: SetOnce<Vec<Pulse>>,
}

/// What is there now, to be used again by the next configuration as far as it is the same there.
struct Built {
    config: Config,
    destinations: BTreeMap<String, Arc<Destination>>,
    /// Also those that are no more in use, until their processes have ended.
    pools: Vec<WorkerPool>,
    /// Maildirs that a glob has found and that cannot be opened, with the reason.
    unusable: BTreeMap<PathBuf, String>,
}

/// The targets of a configuration.
#[derive(Default)]
struct Targets {
    destinations: BTreeMap<String, Arc<Destination>>,
    /// Of the workers that were not there already.
    pools: Vec<WorkerPool>,
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
            retention: config.keep.clone(),
        };
        (options, queue.maildirs.as_slice())
    });
    find_places(queues)
}

impl Service {
    /// Puts everything together, inside of a Tokio runtime. Also returns the Maildirs that were never served before.
    ///
    /// # Errors
    /// A Maildir, a target or an address that cannot be used.
    pub fn start(config: Config, plan: Plan, stop: Stop) -> anyhow::Result<(Self, Vec<PathBuf>)> {
        let hands = config.targets.iter().map(|target| target.concurrency).sum();
        let lanes = lanes(hands);
        let settings =
            Settings { since: plan.since, hands, removes_aside: hands > lanes, watch: plan.until == Until::Stopped };
        let onlookers = (plan.until == Until::Stopped).then(Onlookers::default);
        let observer = onlookers.as_ref().map_or_else(|| Arc::new(Nobody) as Arc<dyn Observer>, Onlookers::as_one);
        let queue = Arc::new(MaildirQueue::observed(settings, Arc::clone(&observer))?);
        let Targets { destinations, pools } = build(&config, lanes, None).map_err(|(error, _)| error)?;
        let found = find_maildirs(&config, &queue, None)?;
        let routes = routes(&config, &destinations);
        queue.serve(found.maildirs);
        let served: Arc<dyn Queue> = Arc::<MaildirQueue>::clone(&queue);
        let engine = Engine::new(served, routes, plan.until, stop, Conditions::default()).observed_by(observer);
        let engine = Arc::new(engine);
        let outlets = onlookers.map(|onlookers| Outlets::new(Arc::clone(&engine), Arc::clone(&queue), onlookers));
        if let Some(outlets) = &outlets {
            outlets.open(&config, outlets.prepare(config.web.as_ref()));
        }
        let built = Mutex::new(Built { config, destinations, pools, unusable: found.unusable });
        let pulses = SetOnce::new();
        let service = Service { engine, queue, lanes, plan, built, reloaded: Notify::new(), outlets, pulses };
        Ok((service, found.first_started))
    }

    /// Goes on with another configuration, wholly or not at all. What is the same in both is kept as
    /// it is: Maildirs with what is known of their mail, targets with their connections and breakers.
    /// Workers that are new are ready before any mail goes to them; the old ones work on meanwhile.
    ///
    /// # Errors
    /// Something in it cannot be used, or a worker does not start; then nothing has changed.
    pub async fn reload(&self, config: Config) -> anyhow::Result<()> {
        let result = build(&config, self.lanes, Some(&self.built()));
        let Targets { destinations, mut pools } = result.map_err(|(error, pools)| self.give_up(error, pools))?;
        for pool in &pools {
            if let Err(reason) = pool.wait_until_ready().await {
                return Err(self.give_up(anyhow!(reason), pools));
            }
        }
        let result = find_maildirs(&config, &self.queue, Some(&self.built()));
        let found = match result {
            Ok(found) => found,
            Err(error) => return Err(self.give_up(error, pools)),
        };
        let next = self.outlets.as_ref().map(|outlets| outlets.prepare(config.web.as_ref()));
        let mut built = self.built();
        self.engine.reroute(routes(&config, &destinations), || self.queue.serve(found.maildirs));
        pools.extend(take(&mut built.pools).into_iter().filter(|pool| !pool.has_ended()));
        if let (Some(outlets), Some(next)) = (&self.outlets, next) {
            outlets.open(&config, next);
        }
        *built = Built { config, destinations, pools, unusable: found.unusable };
        self.reloaded.notify_one();
        Ok(())
    }

    /// Ends workers that were started for a configuration that is not to be. Somebody has to wait for them at the end.
    fn give_up(&self, error: anyhow::Error, mut pools: Vec<WorkerPool>) -> anyhow::Error {
        pools.iter().for_each(WorkerPool::end);
        self.built().pools.append(&mut pools);
        error
    }

    /// Tells whoever asks that a reload has failed, and why.
    pub fn reload_failed(&self, reason: &str) {
        if let Some(outlets) = &self.outlets {
            outlets.reload_failed(reason);
        }
    }

    /// Has the processes of all workers replaced, each by one that is ready before it leaves.
    pub fn renew_workers(&self) {
        self.built().pools.iter().for_each(WorkerPool::renew);
    }

    /// Tells all workers to end when they have done what they have in hand: none is started any more.
    pub fn end_workers(&self) {
        self.built().pools.iter().for_each(WorkerPool::end);
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
            if let Some(outlets) = &self.outlets {
                outlets.open_control();
            }
        }
        Ok(())
    }

    /// What there is to do, counted.
    pub fn census(&self, graves: &mut Graves) -> Census {
        self.queue.census(graves)
    }

    /// Those by which the threads that work can be felt, once they work.
    pub async fn pulses(&self) -> &[Pulse] {
        self.pulses.wait().await
    }

    fn built(&self) -> MutexGuard<'_, Built> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the engine's hands on threads of their own until the end, and oversees them here.
    ///
    /// # Errors
    /// The system has no threads or files to give. Then nothing was begun, and nothing is left of it.
    pub async fn run(&self) -> anyhow::Result<()> {
        let mut threads = Vec::new();
        let worked = self.work_on(&mut threads).await;
        for thread in threads {
            thread.join().expect("a lane catches its panics");
        }
        let pools = take(&mut self.built().pools);
        pools.iter().for_each(WorkerPool::end);
        pools.into_iter().for_each(WorkerPool::close);
        Ok(worked?)
    }

    /// Starts the threads, and returns when they have nothing more to do.
    async fn work_on(&self, threads: &mut Vec<JoinHandle<()>>) -> io::Result<()> {
        let (ready, mut lanes_ready) = mpsc::channel(self.lanes);
        // Where this is dropped before it was used, the threads end.
        let (begin, may_begin) = watch::channel(());
        let mut pulses = Vec::new();
        for lane in 0..self.lanes {
            let (thread, pulse) = self.start_lane(lane, ready.clone(), may_begin.clone())?;
            threads.push(thread);
            pulses.push(pulse);
        }
        drop(ready);
        for _ in 0..self.lanes {
            lanes_ready.recv().await.transpose()?;
        }
        // All of them or none: the end of the process would cut short what some have begun.
        begin.send_replace(());
        self.pulses.set(pulses).expect("a service is run once");
        tokio::select! {
            _all_have_ended = lanes_ready.recv() => {}
            () = self.engine.oversee() => {}
            () = self.look_for_maildirs() => {}
        }
        Ok(())
    }

    /// A thread that says whether it is ready, and then works, once it may. It holds `ready` until it ends.
    fn start_lane(
        &self,
        lane: usize,
        ready: mpsc::Sender<io::Result<()>>,
        mut may_begin: watch::Receiver<()>,
    ) -> io::Result<(JoinHandle<()>, Pulse)> {
        let (engine, lanes) = (Arc::clone(&self.engine), self.lanes);
        let name = format!("lane-{lane}");
        let (pulse, heart) = Pulse::of(name.clone());
        let work = move || {
            // It is built on its own thread: where there is no thread to be had, all that was meant for it is
            // dropped by whoever asked, and a runtime must not be dropped inside another one.
            let built = runtime::Builder::new_current_thread().enable_all().build();
            let (runtime, is_ready) = match built {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Where another lane has failed already, nobody listens any more.
            let _ = ready.try_send(is_ready);
            let Some(runtime) = runtime else { return };
            if runtime.block_on(may_begin.changed()).is_err() {
                return;
            }
            runtime.spawn(heart.beat());
            let worked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(engine.work(lane, lanes))));
            if worked.is_err() {
                // What this lane held nobody else would take up. A crash is safe, half a process is not.
                tracing::error!(event = "bug", "a bug in maildirq: a worker thread has panicked");
                std::process::exit(BUG);
            }
            // A look-up of a name may still be running; nobody waits for it any more.
            runtime.shutdown_background();
            drop(ready);
        };
        Ok((thread::Builder::new().name(name).spawn(work)?, pulse))
    }
}

/// Builds the targets that a configuration names, as far as they are not there already.
///
/// # Errors
/// One cannot be used; and the workers that were started by then.
fn build(config: &Config, lanes: usize, built: Option<&Built>) -> Result<Targets, (anyhow::Error, Vec<WorkerPool>)> {
    let mut targets = Targets::default();
    for target in &config.targets {
        let same = built.filter(|built| built.config.targets.contains(target));
        let destination = match same.and_then(|built| built.destinations.get(&target.name)) {
            Some(same) => Arc::clone(same),
            None => match destination(target, lanes, built, &mut targets.pools) {
                Ok(destination) => destination,
                Err(error) => return Err((error.context(format!("[target.{}]", target.name)), targets.pools)),
            },
        };
        targets.destinations.insert(target.name.clone(), destination);
    }
    Ok(targets)
}

fn routes(config: &Config, destinations: &BTreeMap<String, Arc<Destination>>) -> Routes {
    Routes::new(destinations.values().cloned().collect(), config.routes.clone())
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

fn destination(
    target: &crate::config::Target,
    lanes: usize,
    built: Option<&Built>,
    pools: &mut Vec<WorkerPool>,
) -> anyhow::Result<Arc<Destination>> {
    if let Some(account) = target.program().and_then(|program| program.account.as_ref())
        && !account.can_be_had()
    {
        return Err(Unattainable(account.clone()).into());
    }
    let tries: Vec<Box<dyn Target>> = match &target.kind {
        TargetKind::Url(url) => {
            if url.url.is_exposed() {
                tracing::warn!(event = "exposed", url = %url.url, "mail leaves this machine without encryption; use https://");
            }
            UrlTarget::lanes(url, lanes)?
        }
        TargetKind::Command(command) => CommandTarget::lanes(command, lanes),
        TargetKind::Worker(worker) => workers(worker, lanes, built, pools)?,
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

/// The targets of a worker: of the processes that are there already, where they are as they should be.
fn workers(
    worker: &WorkerConfig,
    lanes: usize,
    built: Option<&Built>,
    pools: &mut Vec<WorkerPool>,
) -> io::Result<Vec<Box<dyn Target>>> {
    let present = built.and_then(|built| built.pools.iter().find_map(|pool| pool.targets(worker, lanes)));
    if let Some(targets) = present {
        return Ok(targets);
    }
    let (pool, targets) =
        if built.is_some() { WorkerPool::try_out(worker, lanes)? } else { WorkerPool::start(worker, lanes)? };
    pools.push(pool);
    Ok(targets)
}

/// A user as whom this process can start nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "only root can run a program as user {} (uid {}, gid {}), and this process, uid {}, is not root or has given it up\n  \
     = try: start maildirq as root (no User= in its unit), or leave `user` and `group` out; \
     where it was started as root, restart it: it gives root up for good unless a target needs it",
    .0.name, .0.uid, .0.gid, geteuid().as_raw()
)]
struct Unattainable(Account);

/// How many lanes there are for each core: while one waits for the disk another one works.
const LANES_EACH_CORE: usize = 2;

/// The threads that so many hands are spread over. Each lane has its own connections and
/// does its own work on files, so that nothing is handed from thread to thread on a message's way.
fn lanes(hands: usize) -> usize {
    hands.clamp(1, most_lanes())
}

fn most_lanes() -> usize {
    LANES_EACH_CORE * thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
