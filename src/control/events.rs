//! Telling what happens to those who listen. While nobody does, it costs one look at a number.

use super::event::Event;
use crate::engine::{Attempt, Burial, Health, Message, Observer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// So many lines are kept for a listener that is slow. What does not fit is not told to it; that some is missing is.
const KEPT: usize = 1024;

/// What happens, for all who listen.
#[derive(Debug)]
pub struct Events {
    lines: broadcast::Sender<Arc<str>>,
    listeners: AtomicUsize,
}

impl Default for Events {
    fn default() -> Self {
        Events { lines: broadcast::Sender::new(KEPT), listeners: AtomicUsize::new(0) }
    }
}

impl Events {
    fn tell(&self, event: impl FnOnce() -> Option<Event>) {
        if self.listeners.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(event) = event() {
            // That the last listener has just gone is nobody's loss.
            let _ = self.lines.send(event.line().into());
        }
    }

    /// Listens from now on.
    pub(super) fn listen(self: &Arc<Self>) -> Listener {
        let lines = self.lines.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener { lines, events: Arc::clone(self) }
    }
}

/// Somebody who listens.
pub(super) struct Listener {
    lines: broadcast::Receiver<Arc<str>>,
    events: Arc<Events>,
}

impl Listener {
    /// The next line. None at the end.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        match self.lines.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(count)) => Some(Event::missed(count).line().into()),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.events.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Observer for Events {
    fn began(&self, message: &Message, target: &str) {
        if message.history.tries == 0 {
            self.tell(|| Some(Event::received(message, target, SystemTime::now())));
        }
    }

    fn ended(&self, attempt: &Attempt<'_>) {
        self.tell(|| Event::ended(attempt));
    }

    fn ignored(&self, message: &Message, at: SystemTime) {
        self.tell(|| Some(Event::astray("done", message, None, at)));
    }

    fn unrouted(&self, message: &Message, at: SystemTime) {
        self.tell(|| Some(Event::astray("dead", message, Some("no route"), at)));
    }

    fn buried(&self, burial: &Burial<'_>) {
        self.tell(|| Some(Event::buried(burial)));
    }

    fn health(&self, target: &str, health: Health, reason: &str, at: SystemTime) {
        self.tell(|| Some(Event::health(target, health, reason, at)));
    }

    fn paused(&self, queue: &str, target: &str, is_paused: bool, at: SystemTime) {
        self.tell(|| Some(Event::paused(queue, target, is_paused, at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn who_is_slow_is_told_how_much_was_missed() {
        let events = Arc::new(Events::default());
        let message = Message::sample();
        let begin = || events.began(&message, "app");
        begin();
        let mut listener = events.listen();
        assert!(listener.next().now_or_never().is_none(), "nobody listened before");
        for _ in 0..KEPT + 10 {
            begin();
        }
        let parsed = |line: Option<Arc<str>>| serde_json::from_str::<Event>(&line.unwrap()).unwrap();
        let first = parsed(listener.next().await);
        assert_eq!((first.event.as_str(), first.count), ("missed", Some(10)));
        for _ in 0..KEPT {
            let event = parsed(listener.next().await);
            assert_eq!((event.event.as_str(), event.subject.as_deref()), ("received", Some("sample")));
        }
        assert!(listener.next().now_or_never().is_none(), "that was all");
        drop(listener);
        assert_eq!(events.listeners.load(Ordering::Relaxed), 0);
    }
}
