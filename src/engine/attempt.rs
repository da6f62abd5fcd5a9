//! One attempt at a target, and what becomes of the message after it.

use super::gate::{Health, Pass, Sign};
use super::log::{log_attempt, log_health};
use super::message::Message;
use super::observer::Attempt;
use super::outcome::{Blame, Note, Outcome, Settlement};
use super::queue::Taken;
use super::retry::{Facts, decide};
use super::route::Destination;
use super::run::{Engine, Job};
use super::stop::Stop;
use super::target::{Leaving, Target};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tracing::error;

impl Engine {
    pub(super) async fn attempt_and_settle(&self, lane: usize, job: Job, stop: &Stop) {
        let Job { routes, mut message, mut lease, destination, pass } = job;
        let began = (self.conditions.instant)();
        self.observer.began(&message, &destination.name);
        let mut leaving = || lease.sending();
        let outcome = tokio::select! {
            biased;
            outcome = guarded(destination.target(lane), &message, &mut leaving) => outcome,
            () = stop.now() => None,
        };
        if let Some(outcome) = outcome {
            let took = (self.conditions.instant)().saturating_duration_since(began);
            let settlement = self.judge(&message, &destination, &pass, &outcome, took);
            if settlement == Settlement::Done {
                let (target, at) = (&*destination.name, (self.conditions.now)());
                lease.taken(&Taken { message: &message, target, status: outcome.status(), took, at });
            }
            let death = match &settlement {
                Settlement::Dead { note } => destination.on_dead.as_deref().map(|on_dead| (on_dead, note.clone())),
                _ => None,
            };
            if death.is_none() {
                // The last close of a removed file may take long: that is the queue's to do.
                message.let_go();
            }
            self.tally.count(&settlement);
            let is_parked = matches!(settlement, Settlement::Park { .. });
            self.settle(&message, lease, settlement).await;
            if is_parked {
                self.call_back_from(&routes);
            }
            if let Some((on_dead, note)) = death {
                tell_of_death(on_dead, message, note, stop).await;
            }
        } else {
            self.learn(&destination, &pass, Sign::Nothing, "");
            message.let_go();
            self.settle(&message, lease, Settlement::Release).await;
        }
        self.leave(&destination, pass);
    }

    /// What becomes of a message after an attempt.
    fn judge(
        &self,
        message: &Message,
        destination: &Destination,
        pass: &Pass,
        outcome: &Outcome,
        took: Duration,
    ) -> Settlement {
        let last_try = message.history.last_try;
        let took_another_since = last_try.is_some_and(|time| destination.gate().took_since(time));
        let health = self.learn(destination, pass, Sign::from(outcome), outcome.reason());
        let now = (self.conditions.now)();
        let facts = Facts {
            target: destination.name.clone(),
            took,
            tries: message.history.tries,
            charged: message.history.charged,
            first_charged: message.history.first_charged,
            took_another_since,
            target_unwell: health != Health::Up,
            now,
            dice: (self.conditions.dice)(),
        };
        let settlement = decide(outcome.clone(), &destination.retry, facts);
        log_attempt(message, destination, outcome, &settlement, took);
        let target = &*destination.name;
        self.observer.ended(&Attempt { message, target, outcome, settlement: &settlement, took, at: now });
        settlement
    }

    fn learn(&self, destination: &Destination, pass: &Pass, sign: Sign, reason: &str) -> Health {
        let (now, wall) = ((self.conditions.instant)(), (self.conditions.now)());
        let mut gate = destination.gate();
        let changed = gate.learn(pass, sign, now, wall, (self.conditions.dice)());
        let health = gate.health();
        drop(gate);
        if health == Health::Down {
            // The next probe has its time now.
            self.queue.bell().set_timer();
        }
        if changed {
            log_health(destination, health, reason);
            self.observer.health(&destination.name, health, reason, wall);
        }
        health
    }
}

/// Tells whom it concerns that a message has died. It is told once; should that fail, the log has it.
async fn tell_of_death(on_dead: &dyn Target, mut message: Message, note: Note, stop: &Stop) {
    message.history.last_reason = note.reason;
    let mut leaving = || true;
    let told = tokio::select! {
        biased;
        told = guarded(on_dead, &message, &mut leaving) => told,
        () = stop.now() => {
            return error!(event = "on_dead_failed", id = %message.id, file = message.name, reason = "cut off by the end");
        }
    };
    if let Some(told) = told.filter(|told| !matches!(told, Outcome::Done { .. })) {
        error!(event = "on_dead_failed", id = %message.id, file = message.name, reason = told.reason());
    }
}

/// An attempt that cannot take the loop down with it.
async fn guarded(target: &dyn Target, message: &Message, leaving: Leaving<'_>) -> Option<Outcome> {
    // What the panic says may quote the mail.
    let bug = "a bug in maildirq; the log says where";
    let attempt = AssertUnwindSafe(async { target.attempt_leaving(message, leaving).await }).catch_unwind().await;
    attempt.unwrap_or_else(|_| {
        Some(Outcome::Retry { blame: Blame::Ourselves, status: None, reason: bug.into(), after: None })
    })
}
