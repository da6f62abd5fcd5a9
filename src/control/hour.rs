//! The last hour of each target and each queue.

use super::window::Window;
use crate::engine::{Attempt, Burial, Health, Message, Observer, Settlement};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

/// The last hour, kept while mail is delivered.
#[derive(Debug, Default)]
pub struct Hour {
    targets: Book<OfTarget>,
    queues: Book<OfQueue>,
}

/// Something for each name. A name is met rarely for the first time, and often again.
type Book<T> = RwLock<HashMap<Arc<str>, Arc<Mutex<T>>>>;

#[derive(Debug)]
struct OfTarget {
    window: Window,
    /// Its last change: when, and why.
    changed: Option<(SystemTime, String)>,
}

#[derive(Debug)]
struct OfQueue {
    window: Window,
    found_late: u64,
}

/// The last hour of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetHour {
    /// Messages that it has taken.
    pub done: u64,
    /// Attempts that have failed.
    pub failed: u64,
    /// Messages that it has taken a minute, over the last five.
    pub per_minute: f64,
    /// How long half of the attempts took at most, in seconds.
    pub p50: Option<f64>,
    /// The same of 95 of 100.
    pub p95: Option<f64>,
    /// When its health has changed last, and why.
    pub changed: Option<(SystemTime, String)>,
}

/// The last hour of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueHour {
    /// Messages that were done.
    pub done: u64,
    /// Attempts that have failed.
    pub failed: u64,
    /// How long after their arrival 95 of 100 of those were done at most, in seconds.
    pub p95: Option<f64>,
    /// Messages that no event has told of, since the start.
    pub found_late: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the book has under this name, after one look where it is known.
fn with<T, R>(book: &Book<T>, name: &str, new: impl FnOnce() -> T, act: impl FnOnce(&mut T) -> R) -> R {
    let known = book.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    let entry = known.unwrap_or_else(|| {
        let mut book = book.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(book.entry(name.into()).or_insert_with(|| Arc::new(Mutex::new(new()))))
    });
    act(&mut lock(&entry))
}

impl Hour {
    fn of_target(&self, name: &str, now: Instant, act: impl FnOnce(&mut OfTarget)) {
        with(&self.targets, name, || OfTarget { window: Window::new(now), changed: None }, act);
    }

    fn of_queue(&self, name: &str, now: Instant, act: impl FnOnce(&mut OfQueue)) {
        with(&self.queues, name, || OfQueue { window: Window::new(now), found_late: 0 }, act);
    }

    /// The last hour of this target.
    pub fn target(&self, name: &str, now: Instant) -> TargetHour {
        let known = self.targets.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let Some(known) = known else { return TargetHour::default() };
        let OfTarget { window, changed } = &*lock(&known);
        let (done, failed) = window.counts(now);
        TargetHour {
            done,
            failed,
            per_minute: window.per_minute(now),
            p50: window.quantile(0.5, now),
            p95: window.quantile(0.95, now),
            changed: changed.clone(),
        }
    }

    /// The last hour of this queue.
    pub fn queue(&self, name: &str, now: Instant) -> QueueHour {
        let known = self.queues.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let Some(known) = known else { return QueueHour::default() };
        let OfQueue { window, found_late } = &*lock(&known);
        let (done, failed) = window.counts(now);
        QueueHour { done, failed, p95: window.quantile(0.95, now), found_late: *found_late }
    }

    fn done(&self, message: &Message, at: SystemTime, now: Instant) {
        self.of_queue(&message.queue, now, |queue| {
            queue.window.count(true, now);
            queue.window.took(message.waited(at), now);
        });
    }
}

impl Observer for Hour {
    fn ended(&self, attempt: &Attempt<'_>) {
        let (message, now) = (attempt.message, Instant::now());
        if !attempt.was_made() {
            return;
        }
        let is_done = *attempt.settlement == Settlement::Done;
        self.of_target(attempt.target, now, |target| {
            target.window.count(is_done, now);
            target.window.took(attempt.took, now);
        });
        if is_done {
            self.done(message, attempt.at, now);
        } else {
            self.of_queue(&message.queue, now, |queue| queue.window.count(false, now));
        }
    }

    fn ignored(&self, message: &Message, at: SystemTime) {
        self.done(message, at, Instant::now());
    }

    fn unrouted(&self, message: &Message, _at: SystemTime) {
        let now = Instant::now();
        self.of_queue(&message.queue, now, |queue| queue.window.count(false, now));
    }

    fn buried(&self, burial: &Burial<'_>) {
        let now = Instant::now();
        self.of_queue(burial.queue, now, |queue| queue.window.count(false, now));
    }

    fn health(&self, target: &str, _health: Health, reason: &str, at: SystemTime) {
        self.of_target(target, Instant::now(), |target| target.changed = Some((at, reason.to_owned())));
    }

    fn found_late(&self, queue: &str) {
        self.of_queue(queue, Instant::now(), |queue| queue.found_late += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use std::time::Duration;

    #[test]
    fn what_is_observed_is_counted_under_its_names() {
        let hour = Hour::default();
        let message = Message::sample();
        let (at, took) = (message.arrived + Duration::from_secs(3), Duration::from_millis(100));
        let outcome = Outcome::Done { status: Some(204) };
        let away = Outcome::Unavailable { reason: "away".into() };
        let parked = || Settlement::Park { target: "app".into() };
        let cases = [(&outcome, Settlement::Done), (&outcome, Settlement::Release), (&away, parked())];
        for (outcome, settlement) in cases {
            hour.ended(&Attempt { message: &message, target: "app", outcome, settlement: &settlement, took, at });
        }
        hour.unrouted(&message, at);
        hour.found_late("main");
        hour.health("app", Health::Down, "refused", at);
        let now = Instant::now();
        let target = hour.target("app", now);
        assert_eq!((target.done, target.failed, target.changed), (1, 0, Some((at, "refused".into()))));
        assert!(target.p50.is_some_and(|time| time < 0.2));
        let queue = hour.queue("main", now);
        assert_eq!((queue.done, queue.failed, queue.found_late), (1, 1, 1));
        assert!(queue.p95.is_some_and(|time| (2.0..5.0).contains(&time)), "{queue:?}");
        assert_eq!(hour.queue("other", now), QueueHour::default());
    }
}
