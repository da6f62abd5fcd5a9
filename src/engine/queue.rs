//! The role of a queue: it knows which messages wait, and gives each to one taker at a time.

use super::message::Message;
use super::outcome::Settlement;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::SystemTime;
use tokio::sync::Notify;

/// A future on the heap, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where mail waits.
pub trait Queue: Send + Sync {
    /// The next of the messages that are due `by` this time, claimed: nobody else gets it until its
    /// lease is settled or dropped. None where nothing can be claimed. `open` says whether a target
    /// would take one more, and so which of the parked messages may come.
    ///
    /// # Errors
    /// The queue itself is at fault (not one message); try again later.
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> io::Result<Option<Claim>>;

    /// Whether an operator has paused this target.
    fn is_paused(&self, target: &str) -> bool;

    /// What is to be expected of the next calls of [`claim`](Queue::claim).
    fn outlook(&self, by: SystemTime) -> Outlook;

    /// Rings whenever there may be more to claim.
    fn bell(&self) -> &Bell;

    /// Keeps the queue in order (finds new mail, recovers what crashed processes held, writes back)
    /// for as long as it is polled.
    fn tend(&self) -> BoxFuture<'_, ()>;
}

/// What a queue has in store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Messages are due and may be claimed.
    pub ready: bool,
    /// It is still looking for the messages that were there at the start.
    pub searching: bool,
    /// How many messages wait until their target takes mail again.
    pub parked: usize,
    /// When the first of the messages that wait for a time is, or was, due.
    pub next_due: Option<SystemTime>,
    /// How many messages the queue itself has set aside as dead, since it was opened.
    pub buried: u64,
}

/// A message, and the right to work on it.
pub struct Claim {
    /// The message.
    pub message: Message,
    /// The right. Dropped unsettled, it gives the message back.
    pub lease: Box<dyn Lease>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("message", &self.message).finish_non_exhaustive()
    }
}

/// The one right to work on a message.
pub trait Lease: Send {
    /// From now on only the target is waited for: a death of this process is no longer the
    /// message's fault.
    ///
    /// # Errors
    /// The queue cannot write; the message must not be sent.
    fn sending(&mut self) -> io::Result<()>;

    /// Ends the claim, once and for all.
    ///
    /// # Errors
    /// The queue could not do or record it; it stays responsible for the message.
    fn settle(self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>>;
}

/// What idle hands listen to.
#[derive(Debug, Default)]
pub struct Bell {
    hands: Notify,
    timer: Notify,
}

impl Bell {
    /// There is work for one more hand.
    pub fn ring(&self) {
        self.hands.notify_one();
    }

    /// Everyone look up: the run may be over.
    pub fn ring_all(&self) {
        self.hands.notify_waiters();
    }

    /// The next point in time at which something is due has changed.
    pub fn set_timer(&self) {
        self.timer.notify_one();
    }

    pub(super) fn hands(&self) -> &Notify {
        &self.hands
    }

    pub(super) async fn timer_set(&self) {
        self.timer.notified().await;
    }
}
