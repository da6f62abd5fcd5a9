//! What the service manager is told while a run goes on: that it serves, how things are, and that it gets on.
//!
//! That it gets on is told by the main thread, which does the upkeep of the Maildirs, and only when each thread that
//! works on mail has turned over since it was told last. So a call that hangs anywhere stops it, and an application
//! that takes its time does not.

use super::notify::{Manager, Word, watchdog};
use crate::maildir::{Census, Graves};
use crate::wire::{Pulse, Service};
use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

/// What the run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Reloading,
    Stopping,
}

/// The line to the service manager. Without one, nothing is told, and nothing wakes up for it.
pub struct Lifeline {
    manager: Option<Manager>,
    /// How often to tell something.
    pace: Duration,
    phase: Cell<Phase>,
    /// Whether the configuration that was read last is not the one in force.
    is_refused: Cell<bool>,
    is_unheard: Cell<bool>,
    phase_changed: Notify,
}

impl Lifeline {
    /// How often things are told at least.
    const PACE: Duration = Duration::from_secs(5);
    /// The same, for as long as the manager's patience depends on it.
    const HASTY: Duration = Duration::from_secs(1);
    /// How long the manager is asked to wait while it is told nothing. At its end a run waits for its workers, in
    /// silence and for 11 s at most.
    const SILENCE: Duration = Duration::from_secs(20);
    /// Counting takes no more than one part in this many of the time.
    const SHARE_OF_COUNTING: u32 = 100;

    /// The line to whoever the environment names.
    pub fn new() -> Lifeline {
        let manager = Manager::of_environment().unwrap_or_else(|error| {
            warn!(event = "not_notified", reason = %error, "the service manager is told nothing");
            None
        });
        Lifeline {
            manager,
            // Two may be lost.
            pace: watchdog().map_or(Self::PACE, |within| Self::PACE.min(within / 3)),
            phase: Cell::new(Phase::Serving),
            is_refused: Cell::new(false),
            is_unheard: Cell::new(false),
            phase_changed: Notify::new(),
        }
    }

    /// Tells how things are, for as long as it is polled.
    pub async fn keep(&self, service: &Service) {
        if self.manager.is_none() {
            return pending().await;
        }
        let pulses = service.pulses().await;
        let mut graves = Graves::default();
        let mut next_count = Instant::now();
        let mut status = String::new();
        let mut first = Some(Word::Ready);
        loop {
            if Instant::now() >= next_count {
                let began = Instant::now();
                status = sentence(&service.census(&mut graves), SystemTime::now());
                next_count = began + began.elapsed() * Self::SHARE_OF_COUNTING;
            }
            let status = self.status(&status);
            let extension = (self.phase.get() != Phase::Serving).then_some(Word::Extend(Self::SILENCE));
            let words = [Word::Watchdog, Word::Status(&status)];
            self.tell(&first.take().into_iter().chain(words).chain(extension).collect::<Vec<_>>());
            let pace = if self.phase.get() == Phase::Serving { self.pace } else { self.pace.min(Self::HASTY) };
            tokio::select! {
                () = sleep(pace) => {}
                () = self.phase_changed.notified() => {}
            }
            for pulse in pulses {
                self.feel(pulse).await;
            }
        }
    }

    /// Returns once the thread has turned over; tells of one that does not.
    async fn feel(&self, pulse: &Pulse) {
        let mut felt = pin!(pulse.felt());
        if timeout(self.pace, &mut felt).await.is_ok() {
            return;
        }
        let thread = pulse.thread();
        error!(event = "thread_hangs", thread, "the service manager is not told any more that all is well");
        self.tell(&[Word::Status(&format!("{thread} hangs"))]);
        felt.await;
        info!(event = "thread_goes_on", thread);
    }

    /// The configuration is read again.
    pub fn reloading(&self) {
        self.enter(Phase::Reloading, &[Word::Reloading]);
    }

    /// It was read, and is in force or was refused.
    pub fn reloaded(&self, is_in_force: bool) {
        self.is_refused.set(!is_in_force);
        self.enter(Phase::Serving, &[Word::Ready]);
    }

    /// The run is about to end.
    pub fn stopping(&self) {
        self.enter(Phase::Stopping, &[Word::Stopping, Word::Extend(Self::SILENCE)]);
    }

    fn enter(&self, phase: Phase, words: &[Word<'_>]) {
        // A reload that was under way at a stop is of no interest any more.
        if self.phase.get() != Phase::Stopping {
            self.tell(words);
            self.phase.set(phase);
            self.phase_changed.notify_one();
        }
    }

    fn status(&self, sentence: &str) -> String {
        let refused = if self.is_refused.get() { "the new configuration was refused, see the log · " } else { "" };
        match self.phase.get() {
            Phase::Serving => format!("{refused}{sentence}"),
            Phase::Reloading => format!("reading the configuration · {sentence}"),
            Phase::Stopping => format!("finishing what is running · {sentence}"),
        }
    }

    fn tell(&self, words: &[Word<'_>]) {
        let Some(manager) = &self.manager else { return };
        let told = manager.tell(words);
        if let Err(error) = &told
            && !self.is_unheard.get()
        {
            warn!(event = "not_notified", reason = %error, "the service manager has not heard how things are");
        }
        self.is_unheard.set(told.is_err());
    }
}

/// "4 new · 2 running · 41 retry · 3 dead · oldest 2s".
fn sentence(census: &Census, now: SystemTime) -> String {
    let more = if census.is_partial { "+" } else { "" };
    let counts = [
        (census.new, more, "new"),
        (census.running, "", "running"),
        (census.retry, "", "retry"),
        (census.dead, "", "dead"),
    ];
    let counts = counts.into_iter().filter(|(count, more, _)| *count > 0 || !more.is_empty());
    let counts = counts.map(|(count, more, what)| format!("{count}{more} {what}"));
    let oldest = census.oldest.map(|came| format!("oldest {}", age(now.duration_since(came).unwrap_or_default())));
    let parts: Vec<_> = counts.chain(oldest).collect();
    if parts.is_empty() { "no mail waits".to_owned() } else { parts.join(" · ") }
}

/// In its largest unit, rounded down.
fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_tells_what_there_is_and_nothing_else() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        for (census, expected) in [
            (Census::default(), "no mail waits"),
            (Census { is_partial: true, ..Census::default() }, "0+ new"),
            (Census { dead: 2, ..Census::default() }, "2 dead"),
            (Census { new: 1, oldest: ago(2), ..Census::default() }, "1 new · oldest 2s"),
            (
                Census { new: 4, running: 2, retry: 41, dead: 3, oldest: ago(60 * 59), is_partial: true },
                "4+ new · 2 running · 41 retry · 3 dead · oldest 59m",
            ),
            (Census { retry: 1, oldest: ago(2 * 86_400), ..Census::default() }, "1 retry · oldest 2d"),
            (
                Census { retry: 1, oldest: Some(now + Duration::from_mins(1)), ..Census::default() },
                "1 retry · oldest 0s",
            ),
        ] {
            assert_eq!(sentence(&census, now), expected);
        }
    }
}
