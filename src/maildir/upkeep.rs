//! The regular work on all Maildirs: watching, recovering, searching, sweeping.
//!
//! One task and one timer for all of them; each has a [`Care`] of its own.

use super::care::Care;
use super::common::Common;
use super::complaints::Complaints;
use super::watch::Watch;
use super::wishes::Room;
use std::collections::BTreeMap;
use std::future::pending;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep_until};

/// The regular work on all Maildirs.
pub(super) struct Upkeep {
    common: Arc<Common>,
    watch: Option<Watch>,
    cares: BTreeMap<u32, Care>,
    complaints: Complaints,
    last_searched: u32,
    next_sweep: Instant,
    /// The same moment by both clocks.
    clocks: (Instant, SystemTime),
}

impl Upkeep {
    const SWEEP: Duration = Duration::from_hours(1);
    /// How far the wall clock must go back against the steady one to have been set.
    const CLOCK_SET: Duration = Duration::from_secs(10);

    /// The upkeep of these Maildirs, with everything still to be done.
    pub(super) fn new(common: Arc<Common>) -> Self {
        let now = Instant::now();
        Upkeep {
            common,
            watch: None,
            cares: BTreeMap::new(),
            complaints: Complaints::default(),
            last_searched: 0,
            next_sweep: now,
            clocks: (now, SystemTime::now()),
        }
    }

    /// Does it, for as long as it is polled.
    pub(super) async fn run(mut self) {
        loop {
            self.attend();
            self.compare_clocks();
            for care in self.cares.values_mut() {
                care.round(&mut self.watch, &mut self.complaints);
            }
            self.search().await;
            self.sweep();
            if !self.is_searching() {
                self.common.is_searching.store(false, Ordering::Release);
            }
            self.common.bell.ring();
            self.wait().await;
        }
    }

    /// Takes care of the Maildirs that are served now, and of no others.
    fn attend(&mut self) {
        let served: BTreeMap<_, _> =
            self.common.served().all().map(|maildir| (maildir.number, Arc::clone(maildir))).collect();
        let gone: Vec<_> = self.cares.keys().copied().filter(|number| !served.contains_key(number)).collect();
        for number in gone {
            self.complaints.forget(number);
            if let (Some(care), Some(watch)) = (self.cares.remove(&number), &mut self.watch) {
                watch.forget(care.maildir());
            }
        }
        for (number, maildir) in served {
            self.cares.entry(number).or_insert_with(|| Care::new(maildir));
        }
    }

    /// Times in the backlog are of the wall clock. When that is set, they are read anew.
    fn compare_clocks(&mut self) {
        let (then, wall_then) = self.clocks;
        self.clocks = (Instant::now(), SystemTime::now());
        let expected = wall_then + (self.clocks.0 - then);
        let is_set = expected.duration_since(self.clocks.1).is_ok_and(|back| back > Self::CLOCK_SET);
        if is_set {
            tracing::info!(event = "clock_set_back", "looking again at all that waits");
            self.common.backlog().clock_was_set(self.clocks.1);
            self.common.bell.ring();
        }
    }

    /// Goes on with all searches in turn, for as long as there is room for what they find.
    async fn search(&mut self) {
        while self.is_searching() {
            // Whoever was last is last again, so that nobody's turn is lost to a pause.
            let (before, after) = (..=self.last_searched, (Excluded(self.last_searched), Unbounded));
            let turns = self.cares.range(after).chain(self.cares.range(before));
            let turns: Vec<_> = turns.filter(|(_, care)| care.is_searching()).map(|(number, _)| *number).collect();
            for number in turns {
                if Room::is_full(self.common.backlog().ready_count()) {
                    return;
                }
                self.last_searched = number;
                if let Some(care) = self.cares.get_mut(&number) {
                    care.bite(&mut self.complaints);
                }
                self.common.bell.ring();
                tokio::task::yield_now().await;
            }
        }
    }

    fn is_searching(&self) -> bool {
        self.cares.values().any(Care::is_searching)
    }

    /// Removes what is long orphaned; on a thread of its own, for it may look at every message.
    fn sweep(&mut self) {
        if !self.common.settings.watch || self.is_searching() || Instant::now() < self.next_sweep {
            return;
        }
        self.next_sweep = Instant::now() + Self::SWEEP;
        let maildirs: Vec<_> = self.cares.values().map(|care| Arc::clone(care.maildir())).collect();
        let sweep = move || maildirs.iter().for_each(|maildir| maildir.sweep());
        if let Err(error) = thread::Builder::new().name("sweep".into()).spawn(sweep) {
            tracing::warn!(event = "sweep_failed", reason = %error);
        }
    }

    /// Waits for something to do, and learns what.
    async fn wait(&mut self) {
        let common = &self.common;
        let is_searching = self.is_searching();
        let room = async {
            if is_searching { common.room.wait(|| common.backlog().ready_count()).await } else { pending().await }
        };
        let next = self.cares.values().map(Care::next_round).min();
        let time = async {
            match next {
                Some(next) if common.settings.watch => sleep_until(next).await,
                _ => pending().await,
            }
        };
        tokio::select! {
            () = room => {}
            () = time => {}
            () = common.wishes.news() => {}
        }
        for (number, asked) in self.common.wishes.take() {
            if let Some(care) = self.cares.get_mut(&number) {
                care.ask(asked);
            }
        }
    }
}
