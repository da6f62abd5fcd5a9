//! One attempt: a job for whichever process is idle.

use super::super::request::Recipe;
use super::super::url::unsent;
use super::WorkerConfig;
use super::desk::{Door, Hands, Receipt};
use super::job::{Job, prepare, recipe};
use super::path::Paths;
use super::pool::Patience;
use crate::engine::{Blame, BoxFuture, Leaving, Message, Outcome, Target};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a process that is killed may hold up whoever wants it.
const KILL_LIMIT: Duration = Duration::from_millis(500);

/// A worker as an engine's lane sees it.
///
/// Dropping an attempt kills the process that works on it, with all that it has started, before the drop returns.
pub(super) struct WorkerTarget {
    recipe: Option<Arc<Recipe>>,
    paths: Paths,
    /// How long an attempt waits for a process that is ready.
    limit: Duration,
    door: Arc<Door>,
}

impl WorkerTarget {
    pub fn new(config: &WorkerConfig, patience: Patience, door: &Arc<Door>) -> Self {
        let recipe = config.parsed.map(|parsed| Arc::new(recipe(parsed)));
        let limit = config.start_timeout + patience.slack;
        WorkerTarget { recipe, paths: Paths::default(), limit, door: Arc::clone(door) }
    }

    async fn hand_over(&self, job: Job) -> Outcome {
        let receipt = match self.door.desk().leave(job) {
            Ok(receipt) => receipt,
            Err(reason) => return Outcome::Unavailable { reason },
        };
        let Receipt { number, hands, answer, over } = receipt;
        let mut pending = Pending { number, hands, answer: Some(answer), over, door: &self.door };
        loop {
            match timeout(self.limit, pending.answer()).await {
                Ok(outcome) => return outcome,
                Err(_) if self.door.desk().take_back(number) => {
                    let limit = humantime::format_duration(self.limit);
                    return Outcome::Unavailable { reason: format!("no worker was ready within {limit}") };
                }
                // It is being worked on.
                Err(_) => {}
            }
        }
    }
}

impl Target for WorkerTarget {
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        Box::pin(async move {
            match prepare(self.recipe.as_ref(), message, &self.paths).await {
                Ok(job) if leaving() => Some(self.hand_over(job).await),
                Ok(_) => None,
                Err(error) => Some(unsent(&error)),
            }
        })
    }

    fn returns(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.door.desk().returns())
    }
}

/// A job that somebody may be working on.
struct Pending<'a> {
    number: u64,
    hands: Arc<Hands>,
    answer: Option<oneshot::Receiver<Outcome>>,
    over: mpsc::Receiver<()>,
    door: &'a Door,
}

impl Pending<'_> {
    async fn answer(&mut self) -> Outcome {
        let answer = self.answer.as_mut().expect("it is asked until there is an answer");
        let outcome = answer.await;
        self.answer = None;
        let reason = "the workers have ended; the log says why".to_owned();
        outcome.unwrap_or(Outcome::Retry { blame: Blame::Ourselves, status: None, reason, after: None })
    }
}

impl Drop for Pending<'_> {
    /// Whoever drops it gives the message to others right away: so nobody may work on it any more.
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        drop(answer);
        if self.door.desk().take_back(self.number) {
            return;
        }
        self.hands.cut_off();
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.over.recv_timeout(KILL_LIMIT) {
            tracing::warn!(event = "worker_undead", "a worker does not end even when killed");
        }
    }
}
