//! When idle hands look again, and when a run is over.

use super::queue::Outlook;
use super::route::Destination;
use super::run::{Engine, Until};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

impl Engine {
    /// With no message in hand and none to take: is that the end?
    pub(super) fn is_finished(&self) -> bool {
        let Outlook { ready, searching, parked, next_due, .. } = self.queue.outlook(self.horizon());
        match self.until {
            Until::Stopped => false,
            Until::Drained => {
                let now = (self.conditions.instant)();
                let waits = ready || searching;
                let may_come = |target: &Arc<Destination>| {
                    let is_only_paced = target.gate().is_only_paced(now);
                    let is_open = target.gate().admits(now);
                    (is_open && waits) || (is_only_paced && (waits || self.queue.parked(&target.name) > 0))
                };
                !self.routes().destinations().any(may_come)
            }
            Until::Settled => {
                let is_all_stuck = || self.queue.is_stuck() && self.queue.outlook(self.horizon()).next_due == next_due;
                !ready && !searching && parked == 0 && (next_due.is_none() || is_all_stuck())
            }
        }
    }

    /// Up to when messages may be due to be claimed. A one-shot run takes what was due when it
    /// began, so that it takes no message twice.
    pub(super) fn horizon(&self) -> SystemTime {
        let now = (self.conditions.now)();
        // The clock may be set back meanwhile.
        if self.until == Until::Drained { self.began.min(now) } else { now }
    }

    /// Rings when a retry or a probe falls due, or a target is back.
    pub(super) async fn keep_time(&self) {
        let bell = self.queue.bell();
        loop {
            let alarm = async {
                match self.next_alarm() {
                    Some(wait) => (self.conditions.sleep)(wait).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = alarm => {
                    bell.ring();
                    // What rings in vain (a message held elsewhere, say) must not ring without end.
                    (self.conditions.sleep)(Duration::from_millis(20)).await;
                }
                () = bell.timer_set() => {}
                () = self.somebody_returns() => bell.ring(),
            }
        }
    }

    /// Waits until a target that said that it can take nothing says that it can, and lets its next probe go.
    async fn somebody_returns(&self) {
        let routes = self.routes();
        let returns = |target: &Arc<Destination>| {
            let target = Arc::clone(target);
            async move {
                target.target(0).returns().await;
                target
            }
        };
        let away = routes.destinations().filter(|target| target.gate().awaits_return());
        let mut returning: FuturesUnordered<_> = away.map(returns).collect();
        match returning.next().await {
            Some(target) => target.gate().expect_return((self.conditions.instant)()),
            None => pending().await,
        }
    }

    /// How long until a hand that has nothing to do should look again, if there is one.
    pub(super) fn next_alarm(&self) -> Option<Duration> {
        if self.listening.load(Ordering::Acquire) == 0 || !self.stop.may_claim() {
            return None;
        }
        let outlook = self.queue.outlook(self.horizon());
        let wall = (self.conditions.now)();
        let next_due = if self.until == Until::Drained { None } else { outlook.next_due };
        let to_retry = next_due.map(|due| due.duration_since(wall).unwrap_or_default());
        let something_waits = outlook.ready || outlook.parked > 0 || to_retry == Some(Duration::ZERO);
        let now = (self.conditions.instant)();
        let routes = self.routes();
        let (open, closed): (Vec<_>, Vec<_>) = routes.destinations().partition(|target| target.gate().admits(now));
        if open.iter().any(|target| outlook.ready || self.queue.parked(&target.name) > 0) {
            // It has opened since this hand looked.
            return Some(Duration::ZERO);
        }
        let is_awaited = |target: &Destination| {
            if open.is_empty() { something_waits } else { self.queue.parked(&target.name) > 0 }
        };
        let opens_at = closed.iter().filter(|target| is_awaited(target)).filter_map(|target| target.gate().opens_at());
        let to_open = opens_at.min().map(|at| at.saturating_duration_since(now));
        if open.is_empty() && something_waits { to_open } else { to_retry.into_iter().chain(to_open).min() }
    }
}
