//! The role of a queue: it knows which messages wait, and gives each to one taker at a time.

use super::message::Message;
use super::outcome::Settlement;
use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// A future on the heap, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where mail waits.
pub trait Queue: Send + Sync {
    /// The next of the messages that are due `by` this time, claimed: nobody else gets it until its
    /// lease is settled or dropped. None where nothing can be claimed. `open` says whether a target
    /// would take one more, and so which of the parked messages may come. Messages that come for the
    /// first time and those that come again take turns.
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> Option<Claim>;

    /// How many messages wait until this target takes mail again, and could go then.
    fn parked(&self, target: &str) -> usize;

    /// Makes all messages ready that wait for a target: it may not be theirs any more.
    fn release_parked(&self);

    /// What keeps the queue, or a part of it, from being worked on: not one message's fault. The
    /// queue tries again by itself, and has said so.
    fn fault(&self) -> Option<String>;

    /// Whether all that waits for a time waits for a part of the queue that is at fault.
    fn is_stuck(&self) -> bool;

    /// What is to be expected of the next calls of [`claim`](Queue::claim).
    fn outlook(&self, by: SystemTime) -> Outlook;

    /// Rings whenever there may be more to claim.
    fn bell(&self) -> &Bell;

    /// Hears of new mail for as long as it is polled, by one of the lanes: what wakes that is worked on by itself, and no
    /// other thread need be woken for it.
    fn listen(&self) -> BoxFuture<'_, ()> {
        Box::pin(pending())
    }

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
    /// How many messages wait until their target takes mail again; those that a person holds back are
    /// not among them.
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
    /// message's fault. False where the queue could not write that down, which it says itself; the
    /// message must not be sent then.
    #[must_use]
    fn sending(&mut self) -> bool;

    /// Whether an operator has paused this target for this message.
    fn is_paused(&self, target: &str) -> bool;

    /// Tells what has taken the message, before it is settled as done: for a queue that remembers such things.
    fn taken(&self, _taken: &Taken<'_>) {}

    /// Ends the claim, once and for all.
    ///
    /// # Errors
    /// The queue could not do or record it; it stays responsible for the message.
    fn settle(self: Box<Self>, how: Settlement) -> BoxFuture<'static, io::Result<()>>;
}

/// What has taken a message.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// The message, as it was before the attempt.
    pub message: &'a Message,
    /// The name of the target.
    pub target: &'a str,
    /// How it answered, where it did by a number.
    pub status: Option<u16>,
    /// How long the attempt took.
    pub took: Duration,
    /// When it ended.
    pub at: SystemTime,
}

/// What idle hands listen to.
#[derive(Debug, Default)]
pub struct Bell {
    hands: Notify,
    near: Notify,
    listening_near: AtomicUsize,
    timer: Notify,
}

impl Bell {
    /// There is work for one more hand.
    pub fn ring(&self) {
        self.hands.notify_one();
    }

    /// The same, from within [`Queue::listen`]: where a hand of the lane that polls it has nothing to do, it is for that
    /// one, for the lane is awake.
    pub fn ring_near(&self) {
        if self.listening_near.load(Ordering::Acquire) > 0 { self.near.notify_one() } else { self.ring() }
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

    /// What hands of the lane that polls [`Queue::listen`] hear, too.
    pub(super) fn near(&self) -> &Notify {
        &self.near
    }

    /// One of them has nothing to do, until this is dropped.
    pub(super) fn listens_near(&self) -> ListensNear<'_> {
        self.listening_near.fetch_add(1, Ordering::AcqRel);
        ListensNear(self)
    }

    pub(super) async fn timer_set(&self) {
        self.timer.notified().await;
    }
}

/// A hand that listens near the queue.
pub(super) struct ListensNear<'a>(&'a Bell);

impl Drop for ListensNear<'_> {
    fn drop(&mut self) {
        self.0.listening_near.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn the_near_bell_is_for_a_hand_near_by_or_else_for_any() {
        let bell = Bell::default();
        let rung = |bell: &Bell| [&bell.hands, &bell.near].map(|bell| bell.notified().now_or_never().is_some());
        bell.ring_near();
        assert_eq!(rung(&bell), [true, false]);
        let (one, other) = (bell.listens_near(), bell.listens_near());
        bell.ring_near();
        assert_eq!(rung(&bell), [false, true]);
        drop(one);
        bell.ring_near();
        assert_eq!(rung(&bell), [false, true]);
        drop(other);
        bell.ring_near();
        assert_eq!(rung(&bell), [true, false]);
    }
}
