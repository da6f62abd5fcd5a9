//! How the loop is told to pause, to finish, or to end at once.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Quiet,
    Finish,
    Now,
}

/// The end that gives the orders.
#[derive(Debug)]
pub struct StopHandle(Arc<Shared>);

/// The end that hears them.
#[derive(Clone, Debug)]
pub struct Stop {
    shared: Arc<Shared>,
    /// The number of the order that was heard last.
    heard: u64,
}

/// As a `watch` channel has it, but whoever has waited longest hears first, as with the queue's bell: a
/// channel calls its listeners in a random order, and then no run of a simulation would be the same twice.
#[derive(Debug)]
struct Shared {
    /// With its number.
    order: Mutex<(Order, u64)>,
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (Order, u64)> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self) -> Order {
        self.state().0
    }

    fn change(&self, to: Order, is_change: impl FnOnce(Order) -> bool) {
        let mut state = self.state();
        if is_change(state.0) {
            *state = (to, state.1 + 1);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    async fn wait_until(&self, mut holds: impl FnMut(Order, u64) -> bool) {
        loop {
            // Listening begins before looking, so that no order is missed in between.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let (order, number) = *self.state();
            if holds(order, number) {
                return;
            }
            changed.await;
        }
    }
}

impl Stop {
    /// A pair of ends; the order is to run.
    pub fn new() -> (StopHandle, Stop) {
        let shared = Arc::new(Shared { order: Mutex::new((Order::Run, 0)), changed: Notify::new() });
        (StopHandle(Arc::clone(&shared)), Stop { shared, heard: 0 })
    }

    pub(super) fn may_claim(&self) -> bool {
        self.shared.order() == Order::Run
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.shared.order() >= Order::Finish
    }

    /// Waits until there is another order than the one heard last.
    pub(super) async fn changed(&mut self) {
        let Stop { shared, heard } = self;
        shared.wait_until(|_, number| std::mem::replace(heard, number) != number).await;
    }

    /// Waits until attempts are to be cut off.
    pub(super) async fn now(&self) {
        self.shared.wait_until(|order, _| order == Order::Now).await;
    }
}

impl StopHandle {
    /// Claim nothing, finish what runs; [`resume`](StopHandle::resume) goes on.
    pub fn quiet(&self) {
        self.raise(Order::Quiet);
    }

    /// Goes on after [`quiet`](StopHandle::quiet).
    pub fn resume(&self) {
        self.0.change(Order::Run, |order| order == Order::Quiet);
    }

    /// Claim nothing more, finish what runs, end.
    pub fn finish(&self) {
        self.raise(Order::Finish);
    }

    /// Cut off what runs, give it back, end.
    pub fn now(&self) {
        self.raise(Order::Now);
    }

    fn raise(&self, to: Order) {
        self.0.change(to, |order| order < to);
    }
}
