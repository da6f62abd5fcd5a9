//! The queue in memory, watched by the ledger, and with the troubles that a disk has.

use crate::clock::Clock;
use crate::ledger::{Book, Goes, Place};
use maildirq::engine::{Bell, BoxFuture, Claim, Id, Lease, MemoryQueue, Outlook, Queue, Settlement};
use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// How often what goes wrong, of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Troubles {
    /// A claim cannot be settled.
    pub settle: u32,
    /// It cannot be written down that a message is sent.
    pub sending: u32,
    /// A removal takes its time.
    pub slow: u32,
}

#[derive(Clone)]
pub struct Watched(Arc<Inner>);

struct Inner {
    queue: MemoryQueue,
    book: Book,
    clock: Clock,
    changed: Notify,
    state: Mutex<State>,
}

struct State {
    dice: fastrand::Rng,
    troubles: Troubles,
    /// Until when nothing can be claimed.
    suffers: Duration,
    /// What could not be settled, and until when.
    detained: Vec<Detained>,
}

struct Detained {
    until: Duration,
    lease: Box<dyn Lease>,
    id: Id,
    /// Its target has it: only its removal is tried again.
    is_done: bool,
}

impl Watched {
    pub fn new(queue: MemoryQueue, book: Book, clock: Clock, dice: fastrand::Rng) -> Self {
        let state = State { dice, troubles: Troubles::default(), suffers: Duration::ZERO, detained: Vec::new() };
        Watched(Arc::new(Inner { queue, book, clock, changed: Notify::new(), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_troubles(&self, troubles: Troubles) {
        self.state().troubles = troubles;
    }

    pub fn suffers(&self) -> bool {
        self.state().suffers > self.0.clock.elapsed()
    }

    /// The process is no more, and what it held is free.
    pub fn end_of_life(&self) {
        let detained = {
            let mut state = self.state();
            state.suffers = Duration::ZERO;
            std::mem::take(&mut state.detained)
        };
        for Detained { id, lease, .. } in detained {
            drop(lease);
            self.0.book.open().back(id);
        }
        self.0.queue.release_parked();
    }

    /// When the queue will try again.
    fn next_trial(&self) -> Option<Duration> {
        let (now, state) = (self.0.clock.elapsed(), self.state());
        let suffers = Some(state.suffers).filter(|until| *until > now);
        let next = state.detained.iter().map(|detained| detained.until).chain(suffers).min();
        next.map(|next| next.saturating_sub(now))
    }

    fn try_again(&self) {
        let now = self.0.clock.elapsed();
        let due: Vec<_> = self.state().detained.extract_if(.., |detained| detained.until <= now).collect();
        for Detained { lease, id, is_done, .. } in due {
            if is_done {
                at_once(lease.settle(Settlement::Done)).expect("the queue in memory does as it is told");
                self.0.book.open().settled(id, &Settlement::Done);
            } else {
                // In memory first: its lease rings the bell.
                self.0.book.open().back(id);
                drop(lease);
            }
        }
        self.bell().ring();
        self.bell().set_timer();
    }
}

/// The futures of the queue in memory are ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the queue in memory waits for nothing"),
    }
}

impl Queue for Watched {
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> Option<Claim> {
        if self.suffers() {
            return None;
        }
        let Claim { message, lease } = self.0.queue.claim(by, open)?;
        self.0.book.open().claimed(&message, by);
        let lease = Box::new(WatchedLease { queue: self.clone(), id: message.id, lease: Some(lease) });
        Some(Claim { message, lease })
    }

    fn parked(&self, target: &str) -> usize {
        if self.suffers() { 0 } else { self.0.queue.parked(target) }
    }

    fn release_parked(&self) {
        self.0.queue.release_parked();
    }

    fn fault(&self) -> Option<String> {
        self.suffers().then(|| "trouble".to_owned())
    }

    fn is_stuck(&self) -> bool {
        self.suffers()
    }

    fn outlook(&self, by: SystemTime) -> Outlook {
        let mut outlook = self.0.queue.outlook(by);
        let is_tried_again = self.suffers() || self.state().detained.iter().any(|detained| !detained.is_done);
        let next_trial = self.next_trial().filter(|_| is_tried_again).map(|wait| self.0.clock.wall() + wait);
        outlook.next_due = outlook.next_due.into_iter().chain(next_trial).min();
        if self.suffers() {
            (outlook.ready, outlook.parked, outlook.next_due) = (false, 0, next_trial);
        }
        outlook
    }

    fn bell(&self) -> &Bell {
        self.0.queue.bell()
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let next_trial = self.next_trial();
                let trial = async {
                    match next_trial {
                        Some(wait) => self.0.clock.sleep(wait).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = trial => self.try_again(),
                    () = self.0.changed.notified() => {}
                }
            }
        })
    }
}

struct WatchedLease {
    queue: Watched,
    id: Id,
    /// None once it is settled.
    lease: Option<Box<dyn Lease>>,
}

impl WatchedLease {
    async fn end(mut self: Box<Self>, how: Settlement) -> io::Result<()> {
        let inner = Arc::clone(&self.queue.0);
        let (wait, fails) = {
            let mut state = self.queue.state();
            let Troubles { slow, settle, .. } = state.troubles;
            // A hand that removes what no target was to have is missed elsewhere for as long.
            let is_slow =
                how == Settlement::Done && inner.book.open().is_tried(self.id) && state.dice.u32(..1000) < slow;
            let wait = is_slow.then(|| Duration::from_millis(state.dice.u64(1..2000)));
            (wait, state.dice.u32(..1000) < settle)
        };
        inner.book.open().settling(self.id, &how);
        if let Some(wait) = wait {
            inner.clock.sleep(wait).await;
        }
        let lease = self.lease.take().expect("it is settled once");
        if fails {
            let mut state = self.queue.state();
            let until = inner.clock.elapsed() + Duration::from_millis(state.dice.u64(1..30_000));
            state.detained.push(Detained { until, lease, id: self.id, is_done: how == Settlement::Done });
            drop(state);
            inner.book.open().detained(self.id);
            inner.changed.notify_one();
            inner.queue.bell().set_timer();
            return Err(io::Error::other("trouble"));
        }
        // Another hand may be given it as soon as it is settled.
        inner.book.open().settled(self.id, &how);
        lease.settle(how).await
    }
}

impl Lease for WatchedLease {
    fn sending(&mut self) -> bool {
        let mut state = self.queue.state();
        let fails = state.dice.u32(..1000) < state.troubles.sending;
        if fails {
            let now = self.queue.0.clock.elapsed();
            state.suffers = now + Duration::from_millis(state.dice.u64(1000..30_000));
            drop(state);
            self.queue.0.changed.notify_one();
            let mut ledger = self.queue.0.book.open();
            ledger.count("not sent");
            if let Goes::To(target) = ledger.routes[ledger.messages[&self.id].kind] {
                ledger.targets[target].bounds.touched = Some(now);
            }
        }
        !fails
    }

    fn is_paused(&self, target: &str) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_paused(target))
    }

    fn settle(self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(self.end(how))
    }
}

impl Drop for WatchedLease {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            let mut ledger = self.queue.0.book.open();
            if !ledger.is_crashing {
                ledger.must_not_be(format_args!("{} is dropped without a word", self.id));
            }
            debug_assert!(!matches!(ledger.messages[&self.id].place, Place::Gone));
            ledger.back(self.id);
            drop(ledger);
            drop(lease);
        }
    }
}
