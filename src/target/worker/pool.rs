//! So many processes as there should be.

use super::super::orphans::take_off_ended;
use super::WorkerConfig;
use super::desk::Desk;
use super::ending::Undead;
use super::pause::Pause;
use super::process::{Manner, News, Process, Worth, outlast};
use super::start::{NotReady, Started};
use rustix::process::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;

/// How many processes are started at a time: they all boot on the same cores.
const STARTS_AT_A_TIME: usize = 4;
/// The least time between two looks for zombies.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Why a process is replaced of which nothing is known but that somebody wants it.
const RENEWED: &str = "told to (USR1)";
/// The exit code of a bug: `EX_SOFTWARE` of sysexits(3).
const BUG: i32 = 70;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the end of a process when its standard input has ended.
    pub ending: Duration,
    /// For the end of a process that was asked to end by a signal.
    pub grace: Duration,
    /// Between a start that failed and the next.
    pub first_pause: Duration,
    /// The same when many have failed.
    pub longest_pause: Duration,
    /// A process that ends so soon after it was ready, and before it has answered anything, is no good.
    pub soon: Duration,
    /// For a process that is ready, beyond the time that one may take to start.
    pub slack: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            ending: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            soon: Duration::from_mins(1),
            slack: Duration::from_secs(5),
        }
    }
}

/// What the thread of a pool does.
pub(super) fn run(config: WorkerConfig, patience: Patience, desk: Arc<Desk>, is_on_trial: bool, runtime: &Runtime) {
    let work = || runtime.block_on(Pool::new(config, patience, desk, is_on_trial).keep());
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        // What waits here nobody else would take up. A crash is safe, half a process is not.
        tracing::error!(event = "bug", "a bug in maildirq: a thread of workers has panicked");
        std::process::exit(BUG);
    }
}

/// A process of the pool.
struct Member {
    stage: Stage,
    /// Dropped when it is to leave. Nothing where it cannot be told.
    _leave: Option<oneshot::Sender<()>>,
    /// Whether it was still starting when all were to be renewed.
    is_outdated: bool,
}

/// How far a process is.
#[derive(Clone, Copy)]
enum Stage {
    /// It is not ready yet.
    Starting,
    /// It works.
    Serving(Pid),
    /// It works until another one is ready to take its place, for this reason.
    Due(Pid, &'static str),
    /// It works no more, and does not end. It keeps its place: else there would be more and more of them.
    Undead,
}

/// What the pool hears of a process.
enum Report {
    /// It is ready, after this time.
    Ready(Pid, Duration),
    /// It has not become ready: the reason.
    NotReady(String),
    /// It is ready, and has something to tell.
    News(Pid, News),
}

struct Pool {
    config: Arc<WorkerConfig>,
    patience: Patience,
    desk: Arc<Desk>,
    /// Whether it ends should its first start fail.
    is_on_trial: bool,
    members: BTreeMap<u64, Member>,
    next: u64,
    pause: Pause,
    tasks: JoinSet<()>,
    reports: mpsc::UnboundedSender<(u64, Report)>,
    heard: mpsc::UnboundedReceiver<(u64, Report)>,
}

impl Pool {
    fn new(config: WorkerConfig, patience: Patience, desk: Arc<Desk>, is_on_trial: bool) -> Self {
        let (reports, heard) = mpsc::unbounded_channel();
        let pause = Pause::new(patience.first_pause, patience.longest_pause);
        let (config, members) = (Arc::new(config), BTreeMap::new());
        Pool { config, patience, desk, is_on_trial, members, next: 0, pause, tasks: JoinSet::new(), reports, heard }
    }

    /// Keeps as many processes as there should be, until the desk is closed; then ends them all.
    async fn keep(mut self) {
        let desk = Arc::clone(&self.desk);
        // Whatever a worker has left behind becomes our child when its parent ends, and a zombie when it ends itself.
        let mut children = signal(SignalKind::child()).expect("a thread of ours has a runtime with signals");
        let mut sweep_at = None;
        loop {
            self.start_what_is_missing();
            let until = self.pause.until();
            let until = until.filter(|until| *until > Instant::now());
            tokio::select! {
                biased;
                () = desk.closed() => break,
                Some((number, report)) = self.heard.recv() => self.hear(number, report),
                () = desk.outdated() => self.renew(),
                () = until_then(until) => {}
                _ = children.recv(), if sweep_at.is_none() => sweep_at = Some(Instant::now() + SWEEP_EVERY),
                () = until_then(sweep_at) => {
                    sweep_at = None;
                    sweep();
                }
                Some(ended) = self.tasks.join_next() => pass_on_panic(ended),
            }
        }
        self.wait_for_all().await;
    }

    /// Waits until all have ended that can be ended.
    async fn wait_for_all(&mut self) {
        let members = take(&mut self.members);
        let is_undead = |member: &Member| matches!(member.stage, Stage::Undead);
        let mut undead: BTreeSet<_> =
            members.iter().filter(|(_, it)| is_undead(it)).map(|(&number, _)| number).collect();
        drop(members);
        while self.tasks.len() > undead.len() {
            tokio::select! {
                biased;
                Some((number, report)) = self.heard.recv() => match report {
                    Report::News(_, News::Undead(Undead { pid, reason })) => {
                        undead.insert(number);
                        tell_of_undead(&self.config.target, pid, &reason);
                    }
                    Report::News(_, News::Buried) => drop(undead.remove(&number)),
                    _ => {}
                },
                Some(ended) = self.tasks.join_next() => pass_on_panic(ended),
            }
        }
    }

    fn count(&self, is_it: impl Fn(Stage) -> bool) -> usize {
        self.members.values().filter(|member| is_it(member.stage)).count()
    }

    fn starting(&self) -> usize {
        self.count(|stage| matches!(stage, Stage::Starting))
    }

    /// One more than usual where a process is to be replaced. While starts fail only one is tried at a time.
    fn start_what_is_missing(&mut self) {
        let is_trial = self.pause.until().is_some();
        if self.pause.until().is_some_and(|until| until > Instant::now()) {
            return;
        }
        let spare = usize::from(self.count(|stage| matches!(stage, Stage::Due(..))) > 0);
        let most = if is_trial { 1 } else { STARTS_AT_A_TIME };
        while self.members.len() < self.config.processes.get() + spare && self.starting() < most {
            self.start_one();
        }
    }

    fn start_one(&mut self) {
        let number = self.next;
        self.next += 1;
        let (leave, told_to_leave) = oneshot::channel();
        self.members.insert(number, Member { stage: Stage::Starting, _leave: Some(leave), is_outdated: false });
        let (config, patience, desk) = (Arc::clone(&self.config), self.patience, Arc::clone(&self.desk));
        let reports = self.reports.clone();
        self.tasks.spawn(live(config, patience, desk, told_to_leave, move |report| {
            // Nobody listens any more when the pool ends.
            let _ = reports.send((number, report));
        }));
    }

    fn hear(&mut self, number: u64, report: Report) {
        let target = &*self.config.target;
        match report {
            Report::Ready(pid, took) => {
                let dur_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(event = "worker_started", target, process = pid.as_raw_pid(), dur_ms);
                self.pause.after_ready();
                self.is_on_trial = false;
                if let Some(member) = self.members.get_mut(&number) {
                    // One that was begun before the order is as old as all others.
                    member.stage = if member.is_outdated { Stage::Due(pid, RENEWED) } else { Stage::Serving(pid) };
                }
                self.relieve();
            }
            Report::NotReady(reason) => {
                self.members.remove(&number);
                if self.is_on_trial {
                    // Whoever tries it tells the reason.
                    self.desk.fail(format!("the worker does not start: {reason}"));
                    return self.desk.close();
                }
                let wait = self.pause.after_failure(Instant::now(), fastrand::f64());
                let next = humantime::format_duration(rounded(wait)).to_string();
                tracing::warn!(event = "worker_failed", target, reason, next, "it does not start; it is tried again");
                self.desk.fail(format!("the worker does not start: {reason}"));
            }
            Report::News(_, News::Useful) => self.pause.after_use(),
            Report::News(pid, News::Due(why)) => {
                if let Some(member) = self.members.get_mut(&number) {
                    member.stage = Stage::Due(pid, why);
                }
                self.relieve();
            }
            Report::News(_, News::Undead(Undead { pid, reason })) => {
                self.members.insert(number, Member { stage: Stage::Undead, _leave: None, is_outdated: false });
                tell_of_undead(target, pid, &reason);
                if self.members.values().all(|member| matches!(member.stage, Stage::Undead)) {
                    self.desk.fail(reason);
                }
            }
            Report::News(_, News::Buried) => drop(self.members.remove(&number)),
            Report::News(pid, News::Gone { trouble, manner, worth }) => {
                self.members.remove(&number);
                if let Some(reason) = trouble {
                    self.replace(pid, &reason, manner, worth);
                }
            }
        }
    }

    /// Has all processes replaced, one after the other.
    fn renew(&mut self) {
        for member in self.members.values_mut() {
            match member.stage {
                Stage::Serving(pid) => member.stage = Stage::Due(pid, RENEWED),
                Stage::Starting => member.is_outdated = true,
                Stage::Due(..) | Stage::Undead => {}
            }
        }
    }

    /// Where there is one process more than there should be, one that is due may leave.
    fn relieve(&mut self) {
        let target = &*self.config.target;
        let serving = self.count(|stage| matches!(stage, Stage::Serving(_) | Stage::Due(..)));
        let due = self.members.iter().find_map(|(number, member)| match member.stage {
            Stage::Due(pid, why) => Some((*number, pid, why)),
            Stage::Starting | Stage::Serving(_) | Stage::Undead => None,
        });
        if let Some((number, pid, reason)) = due.filter(|_| serving > self.config.processes.get()) {
            self.members.remove(&number);
            tracing::info!(event = "worker_replaced", target, process = pid.as_raw_pid(), reason);
        }
    }

    /// A process has ended without having been told to.
    fn replace(&mut self, pid: Pid, reason: &str, manner: Manner, worth: Worth) {
        let (target, process) = (&*self.config.target, pid.as_raw_pid());
        match manner {
            Manner::Died => tracing::warn!(event = "worker_died", target, process, reason),
            Manner::Left => tracing::info!(event = "worker_replaced", target, process, reason),
            Manner::Ended => tracing::warn!(event = "worker_replaced", target, process, reason),
        }
        if worth == Worth::Some {
            return self.pause.after_use();
        }
        let had_job = worth == Worth::NoneWithJob;
        if let Some(wait) = self.pause.after_barren(had_job, Instant::now(), fastrand::f64()) {
            let next = humantime::format_duration(rounded(wait)).to_string();
            // Where it had a job, that attempt has failed, and the target's breaker counts it.
            if had_job {
                tracing::warn!(event = "worker_failed", target, reason, next, "none has answered a job lately");
            } else {
                tracing::warn!(event = "worker_failed", target, reason, next, "it does not last; it is started again");
                self.desk.fail(format!("the worker does not last: {reason}"));
            }
        }
    }
}

/// The life of a process.
async fn live(
    config: Arc<WorkerConfig>,
    patience: Patience,
    desk: Arc<Desk>,
    mut told_to_leave: oneshot::Receiver<()>,
    report: impl Fn(Report),
) {
    let began = Instant::now();
    let started = tokio::select! {
        started = Started::ready(&config, &patience) => started,
        // There is nothing in its hands: it is killed.
        _ = &mut told_to_leave => return,
    };
    let started = match started {
        Ok(started) => started,
        Err(NotReady { reason, undead }) => {
            report(Report::NotReady(reason));
            if let Some((ending, undead)) = undead {
                let pid = undead.pid;
                outlast(ending, undead, &patience, &|news| report(Report::News(pid, news))).await;
            }
            return;
        }
    };
    let pid = started.pid;
    let process = Process::new(started, config, patience, desk);
    report(Report::Ready(pid, began.elapsed()));
    process.serve(told_to_leave, |news| report(Report::News(pid, news))).await;
}

/// Waits for this moment, if there is one.
async fn until_then(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

fn tell_of_undead(target: &str, pid: Pid, reason: &str) {
    let process = pid.as_raw_pid();
    tracing::error!(
        event = "worker_undead",
        target,
        process,
        reason,
        "what it has in hand stays claimed until it ends"
    );
}

fn sweep() {
    if let Err(error) = take_off_ended() {
        tracing::warn!(event = "orphans_left", reason = %error);
    }
}

/// To be read by people.
fn rounded(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}
