//! The loop. `watch` and `drain` are both this, with another end.
//!
//! A fixed number of hands share the queue. Each does the same thing over and over: take a message
//! whose target has room, try it, settle it. Hands with nothing to do listen to the queue's bell.

use super::gate::{Health, Pass, Sign};
use super::log::{log_attempt, log_health};
use super::message::Message;
use super::outcome::{Blame, Outcome, Settlement};
use super::queue::{Claim, Lease, Outlook, Queue};
use super::retry::{Facts, decide};
use super::route::{Destination, Routes};
use super::stop::Stop;
use super::target::Target;
use super::text::printable;
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};
use tracing::{error, info};

/// When a run ends of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never: it is a daemon.
    Stopped,
    /// When all that was due has been tried once. It waits for no retry, no target that is down,
    /// no other holder.
    Drained,
    /// When nothing waits any more, not even for a retry.
    Settled,
}

/// Where time and chance come from.
pub struct Conditions {
    /// The wall clock.
    pub now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Chance, in `0.0..1.0`.
    pub dice: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions { now: Box::new(SystemTime::now), dice: Box::new(fastrand::f64) }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that their target has taken.
    pub done: u64,
    /// Attempts that failed and will be made again.
    pub failed: u64,
    /// Messages set aside for a person.
    pub dead: u64,
}

/// One queue, its routes, and the hands that work on it.
pub struct Engine {
    queue: Box<dyn Queue>,
    routes: Routes,
    until: Until,
    stop: Stop,
    conditions: Conditions,
    began: SystemTime,
    in_hand: AtomicUsize,
    listening: AtomicUsize,
    over: AtomicBool,
    tally: Tally,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

/// What the queue itself suffers from.
#[derive(Default)]
struct Trouble {
    error: Option<io::Error>,
    wait: Duration,
    until: Option<Instant>,
}

/// A message whose target has room for it.
struct Job<'a> {
    message: Message,
    lease: Box<dyn Lease>,
    destination: &'a Destination,
    pass: Pass,
}

impl Engine {
    /// The least and the most time before a queue that is at fault is asked again.
    const TROUBLE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

    /// An engine that is ready to be run.
    pub fn new(queue: Box<dyn Queue>, routes: Routes, until: Until, stop: Stop, conditions: Conditions) -> Self {
        Engine {
            queue,
            routes,
            until,
            stop,
            began: (conditions.now)(),
            conditions,
            in_hand: AtomicUsize::new(0),
            listening: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            tally: Tally::default(),
            trouble: Mutex::default(),
        }
    }

    /// Runs `hands` hands here until the end.
    ///
    /// # Errors
    /// As [`Engine::report`].
    pub async fn run(&self, hands: usize) -> io::Result<Report> {
        tokio::select! {
            () = self.work(0, hands) => {}
            () = self.oversee() => {}
        }
        self.report()
    }

    /// Runs `hands` hands until the end, as one of several lanes. Somebody must
    /// [`oversee`](Engine::oversee) meanwhile.
    pub async fn work(&self, lane: usize, hands: usize) {
        join_all((0..hands).map(|_| self.hand(lane))).await;
    }

    /// Tends the queue and wakes hands when something falls due. Ends with none of its own accord.
    pub async fn oversee(&self) {
        tokio::join!(self.queue.tend(), self.keep_time());
    }

    /// What was done, at the end.
    ///
    /// # Errors
    /// A run that should end of itself has ended because the queue cannot be worked on.
    pub fn report(&self) -> io::Result<Report> {
        match (self.until, self.trouble().error.take()) {
            (Until::Drained | Until::Settled, Some(error)) => Err(error),
            _ => Ok(self.counts()),
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> Report {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            done: count(&self.tally.done),
            failed: count(&self.tally.failed),
            dead: count(&self.tally.dead) + self.queue.outlook(self.horizon()).buried,
        }
    }

    async fn hand(&self, lane: usize) {
        let mut stop = self.stop.clone();
        self.in_hand.fetch_add(1, Ordering::AcqRel);
        while let Some(job) = self.next_job(&mut stop).await {
            self.call_another_hand();
            self.attempt_and_settle(lane, job, &mut stop).await;
        }
        self.in_hand.fetch_sub(1, Ordering::AcqRel);
    }

    /// Waits for something to do. None at the end. A hand counts as busy but while it listens.
    async fn next_job(&self, stop: &mut Stop) -> Option<Job<'_>> {
        loop {
            // Listening begins before looking, so that no ring is lost in between.
            let mut heard = pin!(self.queue.bell().hands().notified());
            heard.as_mut().enable();
            if self.over.load(Ordering::Acquire) || stop.is_finishing() {
                return None;
            }
            if stop.may_claim()
                && let Some(job) = self.take().await
            {
                return Some(job);
            }
            let others_busy = self.in_hand.fetch_sub(1, Ordering::AcqRel) > 1;
            self.listening.fetch_add(1, Ordering::AcqRel);
            if stop.may_claim() && !others_busy && self.is_finished() {
                self.over.store(true, Ordering::Release);
                self.queue.bell().ring_all();
            } else {
                // While all hands were busy there was no alarm.
                if self.next_alarm().is_some() {
                    self.queue.bell().set_timer();
                }
                tokio::select! {
                    () = heard => {}
                    () = stop.changed() => {}
                }
            }
            self.listening.fetch_sub(1, Ordering::AcqRel);
            self.in_hand.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn call_another_hand(&self) {
        let outlook = self.queue.outlook(self.horizon());
        let now = Instant::now().into_std();
        let has_room = |destination: &Destination| destination.gate().admits(now);
        if (outlook.ready || outlook.parked > 0) && self.routes.destinations().iter().any(has_room) {
            self.queue.bell().ring();
        }
    }

    /// With no message in hand and none to take: is that the end?
    fn is_finished(&self) -> bool {
        let Outlook { ready, searching, parked, next_due, .. } = self.queue.outlook(self.horizon());
        match self.until {
            Until::Stopped => false,
            _ if self.trouble().error.is_some() => true,
            Until::Drained => !self.some_target_is_open() || !(ready || searching),
            Until::Settled => !ready && !searching && parked == 0 && next_due.is_none(),
        }
    }

    /// Up to when messages may be due to be claimed. A one-shot run takes what was due when it
    /// began, so that it takes no message twice.
    fn horizon(&self) -> SystemTime {
        let now = (self.conditions.now)();
        // The clock may be set back meanwhile.
        if self.until == Until::Drained { self.began.min(now) } else { now }
    }

    fn is_open(&self, destination: &Destination) -> bool {
        destination.gate().admits(Instant::now().into_std()) && !self.queue.is_paused(&destination.name)
    }

    fn some_target_is_open(&self) -> bool {
        self.routes.destinations().iter().any(|destination| self.is_open(destination))
    }

    /// Capacity before work: nothing is claimed that no target has room for, and what is claimed
    /// for a target without room is parked, so that it holds nothing up.
    async fn take(&self) -> Option<Job<'_>> {
        while !self.is_in_trouble() {
            let open: Vec<_> = self.routes.destinations().iter().filter(|target| self.is_open(target)).collect();
            if open.is_empty() {
                return None;
            }
            let is_open = |name: &str| open.iter().any(|target| &*target.name == name);
            let Claim { message, lease } = match self.queue.claim(self.horizon(), &is_open) {
                Ok(claim) => {
                    self.trouble_is_over();
                    claim?
                }
                Err(error) => {
                    self.suffer(error);
                    return None;
                }
            };
            let destination = self.routes.route(&message);
            let pass =
                if is_open(&destination.name) { destination.gate().admit(Instant::now().into_std()) } else { None };
            match pass {
                Some(pass) => return Some(Job { message, lease, destination, pass }),
                None => self.settle(&message, lease, Settlement::Park { target: destination.name.clone() }).await,
            }
        }
        None
    }

    async fn attempt_and_settle(&self, lane: usize, job: Job<'_>, stop: &mut Stop) {
        let Job { message, mut lease, destination, pass } = job;
        let began = Instant::now();
        let outcome = match lease.sending() {
            Ok(()) => tokio::select! {
                biased;
                outcome = guarded(destination.target(lane), &message) => Some(outcome),
                () = stop.now() => None,
            },
            Err(error) => {
                self.suffer(error);
                None
            }
        };
        let Some(outcome) = outcome else {
            self.leave(destination, pass, Sign::Nothing);
            return self.settle(&message, lease, Settlement::Release).await;
        };
        let last_try = message.history.last_try;
        let took_another_since = last_try.is_some_and(|time| destination.gate().took_since(time));
        let health = self.leave(destination, pass, Sign::from(&outcome));
        let facts = Facts {
            target: destination.name.clone(),
            took: began.elapsed(),
            tries: message.history.tries,
            charged: message.history.charged,
            first_charged: message.history.first_charged,
            took_another_since,
            target_down: health == Health::Down,
            now: (self.conditions.now)(),
            dice: (self.conditions.dice)(),
        };
        let took = facts.took;
        let settlement = decide(outcome.clone(), &destination.retry, facts);
        self.tally.count(&settlement);
        log_attempt(&message, destination, &outcome, &settlement, took);
        self.settle(&message, lease, settlement).await;
    }

    fn leave(&self, destination: &Destination, pass: Pass, sign: Sign) -> Health {
        let now = Instant::now().into_std();
        let mut gate = destination.gate();
        let changed = gate.leave(pass, sign, now, (self.conditions.now)(), (self.conditions.dice)());
        let health = gate.health();
        drop(gate);
        if health == Health::Down {
            // The next probe has its time now.
            self.queue.bell().set_timer();
        }
        if changed {
            log_health(destination, health);
        }
        health
    }

    async fn settle(&self, message: &Message, lease: Box<dyn Lease>, how: Settlement) {
        if let Err(error) = lease.settle(how).await {
            error!(event = "settle_failed", id = %message.id, file = message.name, reason = %error);
        }
    }

    /// Rings when a retry or a probe falls due.
    async fn keep_time(&self) {
        let bell = self.queue.bell();
        loop {
            let Some(wait) = self.next_alarm() else {
                bell.timer_set().await;
                continue;
            };
            tokio::select! {
                () = sleep(wait) => {
                    bell.ring();
                    // What rings in vain (a message held elsewhere, say) must not ring without end.
                    sleep(Duration::from_millis(20)).await;
                }
                () = bell.timer_set() => {}
            }
        }
    }

    /// How long until a hand that has nothing to do should look again, if there is one.
    fn next_alarm(&self) -> Option<Duration> {
        if self.listening.load(Ordering::Acquire) == 0 || !self.stop.may_claim() {
            return None;
        }
        let now = Instant::now();
        let is_open = self.some_target_is_open();
        if let (true, Some(until)) = (is_open, self.trouble().until) {
            return Some(until.saturating_duration_since(now));
        }
        let outlook = self.queue.outlook(self.horizon());
        let wall = (self.conditions.now)();
        let next_due = if self.until == Until::Drained { None } else { outlook.next_due };
        let to_retry = next_due.map(|due| due.duration_since(wall).unwrap_or_default());
        if is_open {
            return to_retry;
        }
        let something_waits = outlook.ready || outlook.parked > 0 || to_retry == Some(Duration::ZERO);
        let probes = self.routes.destinations().iter().filter_map(|destination| destination.gate().probe_at());
        let to_probe = probes.min().map(|at| at.saturating_duration_since(now.into_std()));
        if something_waits { to_probe } else { to_retry }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble().until.is_some_and(|until| until > Instant::now())
    }

    /// The queue is at fault: it is left alone for a while, and that is said once.
    fn suffer(&self, fault: io::Error) {
        let mut trouble = self.trouble();
        let (least, most) = Self::TROUBLE_WAIT;
        let news = trouble.error.as_ref().is_none_or(|known| known.to_string() != fault.to_string());
        trouble.wait = (trouble.wait * 2).clamp(least, most);
        trouble.until = Some(Instant::now() + trouble.wait);
        if news {
            error!(event = "queue_fault", reason = %fault, "the queue cannot be worked on; nothing is delivered until it can");
        }
        trouble.error = Some(fault);
        drop(trouble);
        self.queue.bell().set_timer();
    }

    fn trouble_is_over(&self) {
        let mut trouble = self.trouble();
        if trouble.error.is_some() {
            *trouble = Trouble::default();
            info!(event = "queue_well", "the queue can be worked on again");
        }
    }
}

impl Tally {
    fn count(&self, settlement: &Settlement) {
        let counter = match settlement {
            Settlement::Done => &self.done,
            Settlement::Retry { .. } | Settlement::Park { .. } => &self.failed,
            Settlement::Dead { .. } => &self.dead,
            Settlement::Release => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// An attempt that cannot take the loop down with it.
async fn guarded(target: &dyn Target, message: &Message) -> Outcome {
    AssertUnwindSafe(target.attempt(message)).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Outcome::Retry {
            blame: Blame::Ourselves,
            status: None,
            reason: format!("a bug in maildirq: {}", printable(text.as_bytes())),
            after: None,
        }
    })
}
