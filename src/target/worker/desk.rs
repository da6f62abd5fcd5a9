//! Where jobs wait for a process, and processes for jobs.
//!
//! A job is only ever in one place: here, or with the process that took it. So none is lost between an attempt and a
//! process that is just about to leave.

use super::super::job::Group;
use super::job::Job;
use crate::engine::Outcome;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use tokio::sync::{Notify, oneshot};

/// A job, and who waits for its answer.
pub(super) struct Errand {
    /// By which it can be taken back.
    number: u64,
    /// What is to be done.
    pub job: Job,
    /// Where the answer goes. It is closed where the attempt was cut off.
    pub answer: oneshot::Sender<Outcome>,
    hands: Arc<Hands>,
    /// Dropped when nobody works on the job any more.
    over: mpsc::Sender<()>,
}

impl Errand {
    /// Somebody works on it from now on. Returns whether he may: else the attempt was cut off already.
    pub fn begin(&self, group: Arc<Group>) -> bool {
        self.hands.take(group)
    }

    /// Gives the answer, now that nobody works on it any more. Returns whether it was wanted: else the attempt was
    /// cut off, and whoever has worked on it is killed.
    pub fn settle(self, outcome: Outcome) -> bool {
        let is_wanted = self.hands.lay_down();
        let _ = self.answer.send(outcome);
        drop(self.over);
        is_wanted
    }
}

/// In whose hands a job is.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<Holder>);

#[derive(Debug, Default)]
enum Holder {
    #[default]
    Nobody,
    Group(Arc<Group>),
    /// The attempt was cut off.
    NobodyEver,
}

impl Hands {
    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, group: Arc<Group>) -> bool {
        let mut holder = self.holder();
        if matches!(*holder, Holder::NobodyEver) {
            return false;
        }
        *holder = Holder::Group(group);
        true
    }

    fn lay_down(&self) -> bool {
        let mut holder = self.holder();
        if matches!(*holder, Holder::NobodyEver) {
            return false;
        }
        *holder = Holder::Nobody;
        true
    }

    /// Kills whoever works on it, from whatever thread: the pool's own may be busy. Nobody will begin it any more.
    pub fn cut_off(&self) {
        let mut holder = self.holder();
        if let Holder::Group(group) = &*holder {
            group.kill();
        }
        *holder = Holder::NobodyEver;
    }
}

/// The other end of an errand.
pub(super) struct Receipt {
    pub number: u64,
    pub hands: Arc<Hands>,
    pub answer: oneshot::Receiver<Outcome>,
    /// Disconnected when nobody works on the job any more.
    pub over: mpsc::Receiver<()>,
}

/// The desk of a pool.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Whether something has changed for those who wait for the first process.
    changed: Notify,
    closed: Notify,
    outdated: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Errand>,
    /// The last to fall idle is the first to be woken: what it needs is still in the caches.
    idle: Vec<Arc<Notify>>,
    /// How many processes are ready, whether they work or not.
    ready: usize,
    /// Why the last start failed, unless one was good since.
    failure: Option<String>,
    is_closed: bool,
    next: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let State { ready, failure, is_closed, .. } = self;
        write!(f, "idle: {}, ready: {ready}, failure: {failure:?}, closed: {is_closed}", self.idle.len())
    }
}

impl State {
    /// Why no job can be done now.
    fn why_not(&self) -> Option<&str> {
        self.failure.as_deref().filter(|_| self.ready == 0)
    }

    /// Whether a process is ready, or why none is. Nothing where that is not known yet.
    fn is_ready(&self) -> Option<Result<(), String>> {
        let is_known = self.ready > 0 || self.failure.is_some() || self.is_closed;
        is_known.then(|| self.why_not().map_or(Ok(()), |reason| Err(reason.to_owned())))
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a job here, and wakes a process for it.
    ///
    /// # Errors
    /// None can be started: the reason.
    pub fn leave(&self, job: Job) -> Result<Receipt, String> {
        let (answer, answered) = oneshot::channel();
        let (over, is_over) = mpsc::channel();
        let mut state = self.state();
        if let Some(reason) = state.why_not() {
            return Err(reason.to_owned());
        }
        let number = state.next;
        state.next += 1;
        let hands = Arc::<Hands>::default();
        state.waiting.push_back(Errand { number, job, answer, hands: Arc::clone(&hands), over });
        let idle = state.idle.pop();
        drop(state);
        if let Some(idle) = idle {
            idle.notify_one();
        }
        Ok(Receipt { number, hands, answer: answered, over: is_over })
    }

    /// Takes a job back. Returns whether nobody has it.
    pub fn take_back(&self, number: u64) -> bool {
        let mut state = self.state();
        let place = state.waiting.iter().position(|errand| errand.number == number);
        let taken = place.and_then(|place| state.waiting.remove(place));
        drop(state);
        taken.is_some()
    }

    /// Puts a job back that was taken and not begun. It is the next, unless nobody wants it any more.
    pub fn put_back(&self, errand: Errand) {
        let mut state = self.state();
        if !errand.hands.lay_down() || errand.answer.is_closed() {
            return;
        }
        state.waiting.push_front(errand);
        let idle = state.idle.pop();
        turn_away(state);
        if let Some(idle) = idle {
            idle.notify_one();
        }
    }

    /// A process is ready.
    pub fn arrive(&self) {
        let mut state = self.state();
        state.ready += 1;
        state.failure = None;
        self.changed.notify_waiters();
    }

    /// The next job for a process. Where there is none the process is idle from now on, and is woken for the next.
    pub fn next(&self, process: &Arc<Notify>) -> Option<Errand> {
        let mut state = self.state();
        while let Some(errand) = state.waiting.pop_front() {
            if !errand.answer.is_closed() {
                // It may have been woken by something else, and not for this one.
                state.idle.retain(|idle| !Arc::ptr_eq(idle, process));
                return Some(errand);
            }
        }
        if !state.idle.iter().any(|idle| Arc::ptr_eq(idle, process)) {
            state.idle.push(Arc::clone(process));
        }
        None
    }

    /// A process that was ready takes no more jobs.
    pub fn part(&self, process: &Arc<Notify>) {
        let mut state = self.state();
        state.ready -= 1;
        state.idle.retain(|idle| !Arc::ptr_eq(idle, process));
        // It may have been woken for one of these.
        let heir = if state.waiting.is_empty() { None } else { state.idle.pop() };
        turn_away(state);
        if let Some(heir) = heir {
            heir.notify_one();
        }
    }

    /// No process can be started, for this reason.
    pub fn fail(&self, reason: String) {
        let mut state = self.state();
        state.failure = Some(reason);
        self.changed.notify_waiters();
        turn_away(state);
    }

    /// Waits until a process is ready.
    ///
    /// # Errors
    /// None can be started: the reason.
    pub async fn wait_until_ready(&self) -> Result<(), String> {
        self.wait_for(State::is_ready).await
    }

    /// Waits until a process is ready, however often none can be started.
    pub async fn returns(&self) {
        self.wait_for(|state| (state.ready > 0).then_some(())).await;
    }

    async fn wait_for<T>(&self, what: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = what(&self.state()) {
                return found;
            }
            changed.await;
        }
    }

    /// Nobody will leave jobs here any more.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_waiters();
        self.closed.notify_one();
    }

    /// All processes are to be replaced.
    pub fn outdate(&self) {
        self.outdated.notify_one();
    }

    /// Waits until all processes are to be replaced. There is one who does.
    pub async fn outdated(&self) {
        self.outdated.notified().await;
    }

    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Waits until it is closed. There is one who does.
    pub async fn closed(&self) {
        while !self.is_closed() {
            self.closed.notified().await;
        }
    }
}

/// Gives back all jobs that wait, where no process will take them.
fn turn_away(mut state: MutexGuard<'_, State>) {
    let Some(reason) = state.why_not().map(str::to_owned) else { return };
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    for errand in waiting {
        errand.settle(Outcome::Unavailable { reason: reason.clone() });
    }
}

/// What keeps a pool going: when the last who has it drops it, the desk is closed.
#[derive(Debug)]
pub(super) struct Door {
    desk: Arc<Desk>,
}

impl Door {
    pub fn of(desk: &Arc<Desk>) -> Self {
        Door { desk: Arc::clone(desk) }
    }

    pub fn desk(&self) -> &Desk {
        &self.desk
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.desk.close();
    }
}
