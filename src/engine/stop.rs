//! How the loop is told to pause, to finish, or to end at once.

use std::future::pending;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Quiet,
    Finish,
    Now,
}

/// The end that gives the orders.
#[derive(Debug)]
pub struct StopHandle(watch::Sender<Order>);

/// The end that hears them.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Order>);

impl Stop {
    /// A pair of ends; the order is to run.
    pub fn new() -> (StopHandle, Stop) {
        let (sender, receiver) = watch::channel(Order::Run);
        (StopHandle(sender), Stop(receiver))
    }

    pub(super) fn may_claim(&self) -> bool {
        *self.0.borrow() == Order::Run
    }

    pub(super) fn is_finishing(&self) -> bool {
        *self.0.borrow() >= Order::Finish
    }

    /// Waits until the order is another than now.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }

    /// Waits until attempts are to be cut off.
    pub(super) async fn now(&mut self) {
        if self.0.wait_for(|&order| order == Order::Now).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Waits until no more work is to be begun.
    pub async fn finishing(&mut self) {
        if self.0.wait_for(|&order| order >= Order::Finish).await.is_err() {
            pending::<()>().await;
        }
    }
}

impl StopHandle {
    /// Claim nothing, finish what runs; [`resume`](StopHandle::resume) goes on.
    pub fn quiet(&self) {
        self.raise(Order::Quiet);
    }

    /// Goes on after [`quiet`](StopHandle::quiet).
    pub fn resume(&self) {
        self.0.send_if_modified(|order| *order == Order::Quiet && replace(order, Order::Run));
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
        self.0.send_if_modified(|order| *order < to && replace(order, to));
    }
}

fn replace(order: &mut Order, by: Order) -> bool {
    *order = by;
    true
}
