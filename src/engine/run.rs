//! The loop. `watch` and `drain` are both this, with another end.
//!
//! As many hands as all targets take together share the queue. Each does the same thing over and over: take a message
//! whose target has room, try it, settle it. Hands with nothing to do listen to the queue's bell.

use super::gate::Pass;
use super::log::log_ignored;
use super::message::Message;
use super::observer::{Nobody, Observer};
use super::outcome::Settlement;
use super::queue::{BoxFuture, Claim, Lease, Queue, Taken};
use super::route::{Destination, Found, Routes, Way};
use super::stop::Stop;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::task::yield_now;
use tracing::error;

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

/// Where time and chance come from: all of them, so that a simulation of the loop is the same each
/// time.
pub struct Conditions {
    /// The wall clock, which may be set.
    pub now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// The clock that only goes forward.
    pub instant: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Waits for so long, by that clock.
    pub sleep: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
    /// Chance, in `0.0..1.0`.
    pub dice: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            now: Box::new(SystemTime::now),
            instant: Box::new(Instant::now),
            sleep: Box::new(|time| Box::pin(tokio::time::sleep(time))),
            dice: Box::new(fastrand::f64),
        }
    }
}

/// The lane that listens to the queue: it has hands whenever any has.
const LISTENING: usize = 0;

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

/// A queue, the routes from it, and the hands that work on it.
pub struct Engine {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) routes: RwLock<Arc<Routes>>,
    /// How many hands there are to be: as many as all targets take at a time, so that no target can
    /// keep another one's waiting.
    pub(super) hands: watch::Sender<usize>,
    /// How many hands are still at targets that are no more.
    pub(super) strays: AtomicUsize,
    pub(super) until: Until,
    pub(super) stop: Stop,
    pub(super) conditions: Conditions,
    pub(super) began: SystemTime,
    pub(super) in_hand: AtomicUsize,
    pub(super) listening: AtomicUsize,
    /// How often a hand that listened has got up.
    pub(super) risings: AtomicUsize,
    pub(super) over: AtomicBool,
    pub(super) tally: Tally,
    pub(super) observer: Arc<dyn Observer>,
}

#[derive(Default)]
pub(super) struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

/// A message whose target has room for it.
pub(super) struct Job {
    /// The routes by which it came to its target.
    pub routes: Arc<Routes>,
    pub message: Message,
    pub lease: Box<dyn Lease>,
    pub destination: Arc<Destination>,
    pub pass: Pass,
}

/// A message that was claimed, and what its route says.
enum Claimed {
    /// It can be tried.
    Job(Job),
    /// Its target has no room for it, by these routes.
    Full(Message, Box<dyn Lease>, Arc<str>, Arc<Routes>),
    /// It is to be removed.
    Ignored(Message, Box<dyn Lease>),
    /// There is no route for it.
    Unrouted(Message, Box<dyn Lease>),
    /// It cannot be read, so nobody knows its route.
    Unreadable(Message, Box<dyn Lease>, io::Error),
}

impl Engine {
    /// An engine that is ready to be run.
    pub fn new(queue: Arc<dyn Queue>, routes: Routes, until: Until, stop: Stop, conditions: Conditions) -> Self {
        Engine {
            queue,
            hands: watch::Sender::new(routes.limit()),
            strays: AtomicUsize::new(0),
            routes: RwLock::new(Arc::new(routes)),
            until,
            stop,
            began: (conditions.now)(),
            conditions,
            in_hand: AtomicUsize::new(0),
            listening: AtomicUsize::new(0),
            risings: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            tally: Tally::default(),
            observer: Arc::new(Nobody),
        }
    }

    /// The same, with somebody who looks on.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Engine { observer, ..self }
    }

    /// Runs here until the end.
    ///
    /// # Errors
    /// As [`Engine::report`].
    pub async fn run(&self) -> io::Result<Report> {
        tokio::select! {
            biased;
            () = self.work(0, 1) => {}
            () = self.oversee() => {}
        }
        self.report()
    }

    /// Works until the end, as one of several lanes that share the hands. Somebody must
    /// [`oversee`](Engine::oversee) meanwhile.
    pub async fn work(&self, lane: usize, lanes: usize) {
        let mut wanted = self.hands.subscribe();
        let crew = Crew { working: Cell::new(0), wanted: Cell::new(0) };
        let mut stop = self.stop.clone();
        let mut hands = FuturesUnordered::new();
        let mut listening = if lane == LISTENING { self.queue.listen() } else { Box::pin(pending()) };
        while !self.is_over() {
            let all = *wanted.borrow_and_update();
            crew.wanted.set(all / lanes + usize::from(lane < all % lanes));
            while crew.working.get() < crew.wanted.get() {
                crew.working.set(crew.working.get() + 1);
                hands.push(self.hand(lane, &crew));
            }
            tokio::select! {
                biased;
                // First, for the hands then find at once what it has heard.
                () = &mut listening => {}
                Some(()) = hands.next() => {}
                _ = wanted.changed() => {}
                // A lane without hands has nobody who listens to this.
                () = stop.changed() => {}
            }
        }
        while hands.next().await.is_some() {}
    }

    /// Goes on with other routes and other targets. What is being tried is tried to its end where it
    /// was going; what waits for a target to take mail again is routed anew. `change` is called at a
    /// moment at which no message is between its claim and its route.
    pub fn reroute(&self, routes: Routes, change: impl FnOnce()) {
        let mut current = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let is_kept = |target: &Arc<Destination>| routes.destinations().any(|kept| Arc::ptr_eq(kept, target));
        let strays =
            current.destinations().filter(|target| !is_kept(target)).map(|target| target.gate().retire()).sum();
        self.strays.fetch_add(strays, Ordering::AcqRel);
        *current = Arc::new(routes);
        change();
        drop(current);
        self.queue.release_parked();
        self.count_hands();
        self.queue.bell().ring_all();
        self.queue.bell().set_timer();
    }

    pub(super) fn count_hands(&self) {
        // Counted under the lock of the channel, so that the last to count is right.
        self.hands.send_modify(|hands| *hands = self.routes().limit() + self.strays.load(Ordering::Acquire));
    }

    /// Exchanges what the queue serves, at a moment at which no message is between its claim and its
    /// route. The routes stay.
    pub fn exchange(&self, change: impl FnOnce()) {
        let routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        change();
        drop(routes);
        self.queue.bell().ring();
    }

    /// What was parked by routes that are in force no more might wait for a target that is gone.
    pub(super) fn call_back_from(&self, routes: &Arc<Routes>) {
        if !Arc::ptr_eq(&self.routes(), routes) {
            self.queue.release_parked();
            self.queue.bell().ring();
        }
    }

    /// The routes as they are now.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
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
        match (self.until, self.queue.fault()) {
            (Until::Drained | Until::Settled, Some(fault)) => Err(io::Error::other(fault)),
            _ => Ok(self.counts()),
        }
    }

    /// Why nothing is claimed now, if that is so.
    pub fn not_claiming(&self) -> Option<String> {
        if self.is_over() {
            Some("it is about to end".into())
        } else if self.stop.may_claim() {
            self.queue.fault()
        } else {
            Some("it is quiet until SIGCONT".into())
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

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.stop.is_finishing()
    }

    async fn hand(&self, lane: usize, crew: &Crew) {
        let mut stop = self.stop.clone();
        self.in_hand.fetch_add(1, Ordering::AcqRel);
        while let Some(job) = self.next_job(lane, &mut stop, crew).await {
            if self.call_another_hand() {
                // The other hands of this lane claim before this one sends, so that the endpoint is woken once for all.
                yield_now().await;
            }
            if job.destination.gate().has_gone_down_since(&job.pass) {
                self.hold_back(job).await;
            } else {
                self.attempt_and_settle(lane, job, &stop).await;
            }
        }
        self.in_hand.fetch_sub(1, Ordering::AcqRel);
        crew.working.set(crew.working.get() - 1);
        // Where there are fewer hands now than before, this one may have been called to some work.
        self.queue.bell().ring();
    }

    /// Waits for something to do. None at the end. A hand counts as busy but while it listens.
    async fn next_job(&self, lane: usize, stop: &mut Stop, crew: &Crew) -> Option<Job> {
        let bell = self.queue.bell();
        let is_near = lane == LISTENING;
        loop {
            // Listening begins before looking, so that no ring is lost in between.
            let (mut heard, mut heard_near) = (pin!(bell.hands().notified()), pin!(bell.near().notified()));
            heard.as_mut().enable();
            if is_near {
                heard_near.as_mut().enable();
            }
            if self.is_over() || crew.working.get() > crew.wanted.get() {
                return None;
            }
            if stop.may_claim()
                && let Some(job) = self.take(stop).await
            {
                return Some(job);
            }
            self.in_hand.fetch_sub(1, Ordering::AcqRel);
            self.listening.fetch_add(1, Ordering::AcqRel);
            if stop.may_claim() && self.nobody_is_busy(|| self.is_finished()) {
                self.over.store(true, Ordering::Release);
                self.queue.bell().ring_all();
                // A lane without hands hears no bell.
                self.hands.send_modify(|_| {});
            } else {
                // While all hands were busy there was no alarm.
                if self.next_alarm().is_some() {
                    self.queue.bell().set_timer();
                }
                let _near = is_near.then(|| bell.listens_near());
                tokio::select! {
                    biased;
                    () = heard => {}
                    () = heard_near, if is_near => {}
                    () = stop.changed() => {}
                }
            }
            self.listening.fetch_sub(1, Ordering::AcqRel);
            self.risings.fetch_add(1, Ordering::AcqRel);
            self.in_hand.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether this holds, and no hand was busy while that was found out: what a hand of another thread has just
    /// taken is neither ready nor waiting, and may come back.
    fn nobody_is_busy(&self, holds: impl FnOnce() -> bool) -> bool {
        let risings = self.risings.load(Ordering::Acquire);
        let is_idle = || self.in_hand.load(Ordering::Acquire) == 0;
        is_idle() && holds() && is_idle() && self.risings.load(Ordering::Acquire) == risings
    }

    /// Returns whether there is more to claim.
    fn call_another_hand(&self) -> bool {
        let outlook = self.queue.outlook(self.horizon());
        let now = (self.conditions.instant)();
        let routes = self.routes();
        let is_more = outlook.ready || outlook.parked > 0;
        let may_go = is_more && routes.destinations().any(|target| target.gate().admits(now));
        if may_go {
            self.queue.bell().ring();
        }
        may_go
    }

    /// Takes a message that its target has room for. Whatever else is met on the way is settled.
    async fn take(&self, stop: &Stop) -> Option<Job> {
        while stop.may_claim() {
            let (message, lease, settlement) = match self.claim()? {
                Claimed::Job(job) => return Some(job),
                Claimed::Full(message, lease, target, routes) => {
                    self.park(&message, lease, target, &routes).await;
                    yield_now().await;
                    continue;
                }
                Claimed::Ignored(message, lease) => {
                    log_ignored(&message);
                    let at = (self.conditions.now)();
                    self.observer.ignored(&message, at);
                    let (target, took) = (Way::IGNORE, Duration::ZERO);
                    lease.taken(&Taken { message: &message, target, status: None, took, at });
                    (message, lease, Settlement::Done)
                }
                Claimed::Unrouted(message, lease) => {
                    let settlement = self.unrouted(&message);
                    (message, lease, settlement)
                }
                Claimed::Unreadable(message, lease, error) => {
                    let settlement = self.unreadable(&message, &error);
                    (message, lease, settlement)
                }
            };
            self.tally.count(&settlement);
            self.settle(&message, lease, settlement).await;
            // However many there are of these: the other hands of this lane go on, too.
            yield_now().await;
        }
        None
    }

    /// Capacity before work: nothing is claimed while no target has room, and what is claimed for a
    /// target without room is parked, so that it holds nothing up.
    fn claim(&self) -> Option<Claimed> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let now = (self.conditions.instant)();
        let open: Vec<_> = routes.destinations().filter(|target| target.gate().admits(now)).collect();
        if open.is_empty() {
            return None;
        }
        let is_open = |name: &str| open.iter().any(|target| &*target.name == name);
        let Claim { mut message, lease } = self.queue.claim(self.horizon(), &is_open)?;
        let (route, destination) = match routes.find(&message) {
            Found::To(route, destination) => (Arc::clone(&route.name), destination),
            Found::Chosen(destination) => ("".into(), destination),
            Found::Ignore(route) => {
                message.route = Arc::clone(&route.name);
                return Some(Claimed::Ignored(message, lease));
            }
            Found::Nothing => return Some(Claimed::Unrouted(message, lease)),
            Found::Unreadable(error) => return Some(Claimed::Unreadable(message, lease, error)),
        };
        message.route = route;
        let may_go = is_open(&destination.name) && !lease.is_paused(&destination.name);
        let pass = if may_go { destination.gate().admit(now) } else { None };
        Some(match pass {
            Some(pass) => {
                let (destination, routes) = (Arc::clone(destination), Arc::clone(&routes));
                Claimed::Job(Job { routes, message, lease, destination, pass })
            }
            None => Claimed::Full(message, lease, Arc::clone(&destination.name), Arc::clone(&routes)),
        })
    }

    /// Lets a message wait that was meant for a target which has gone down meanwhile.
    async fn hold_back(&self, job: Job) {
        let Job { routes, mut message, lease, destination, pass } = job;
        message.let_go();
        self.park(&message, lease, Arc::clone(&destination.name), &routes).await;
        self.leave(&destination, pass);
    }

    async fn park(&self, message: &Message, lease: Box<dyn Lease>, target: Arc<str>, routes: &Arc<Routes>) {
        self.settle(message, lease, Settlement::Park { target }).await;
        self.call_back_from(routes);
    }

    /// Gives a pass back.
    pub(super) fn leave(&self, destination: &Destination, pass: Pass) {
        let is_retired = destination.gate().leave(pass);
        if is_retired {
            self.strays.fetch_sub(1, Ordering::AcqRel);
            self.count_hands();
        }
    }

    pub(super) async fn settle(&self, message: &Message, lease: Box<dyn Lease>, how: Settlement) {
        if let Err(error) = lease.settle(how).await {
            error!(event = "settle_failed", id = %message.id, file = message.name, reason = %error);
        }
    }
}

/// The hands of one lane.
struct Crew {
    working: Cell<usize>,
    wanted: Cell<usize>,
}

impl Tally {
    pub(super) fn count(&self, settlement: &Settlement) {
        let counter = match settlement {
            Settlement::Done => &self.done,
            Settlement::Retry { .. } | Settlement::Park { .. } => &self.failed,
            Settlement::Dead { .. } => &self.dead,
            Settlement::Release => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
