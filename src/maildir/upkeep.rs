//! The regular work on a queue: watching, recovering, searching, sweeping.

use super::hands::Hands;
use super::queue::Shared;
use super::search::Search;
use super::watch::Watch;
use super::{layout, recover, story, sweep};
use crate::engine::Id;
use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// What the upkeep can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Somebody's hands were closed: look whether by a crash.
    Recover,
    /// Mail may be there that no event told of.
    Search,
}

/// What the upkeep is asked for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    asked: Mutex<Asked>,
    news: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    recover: bool,
    search: bool,
}

impl Wishes {
    /// Asks for something; asking twice is as asking once.
    pub(super) fn ask(&self, wish: Wish) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match wish {
            Wish::Recover => asked.recover = true,
            Wish::Search => asked.search = true,
        }
        drop(asked);
        self.news.notify_one();
    }

    fn take(&self) -> Asked {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps a search from running far ahead of the hands, so that memory stays bounded.
#[derive(Debug, Default)]
pub(super) struct Room {
    is_wanted: AtomicBool,
    made: Notify,
}

impl Room {
    /// At how many ready messages a search pauses, and at how many it goes on.
    const FULL: usize = 16 * 1024;
    const LOW: usize = 8 * 1024;

    /// Whether no more than what is ready should be remembered.
    pub(super) fn is_full(ready: usize) -> bool {
        ready >= Self::FULL
    }

    /// A message was taken, and so many are left.
    pub(super) fn left(&self, ready: usize) {
        if ready < Self::LOW && self.is_wanted.swap(false, Ordering::AcqRel) {
            self.made.notify_one();
        }
    }

    async fn wait(&self, ready: impl Fn() -> usize) {
        while Self::is_full(ready()) {
            self.is_wanted.store(true, Ordering::Release);
            self.made.notified().await;
        }
    }
}

/// The regular work on one queue.
pub(super) struct Upkeep {
    shared: Arc<Shared>,
    watch: Option<Watch>,
    is_watching: bool,
    searched: Option<SystemTime>,
    next_search: Instant,
    next_sweep: Instant,
    asked: Asked,
    complaint: String,
}

impl Upkeep {
    /// How often `new/` is searched where there is no inotify.
    const POLL: Duration = Duration::from_secs(1);
    const SWEEP: Duration = Duration::from_hours(1);
    /// A folder's mtime is too coarse to tell two changes this near.
    const COARSE: Duration = Duration::from_secs(2);

    /// The upkeep of this queue, with everything still to be done.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let asked = Asked { recover: true, search: true };
        Upkeep {
            shared,
            watch: None,
            is_watching: false,
            searched: None,
            next_search: now,
            next_sweep: now,
            asked,
            complaint: String::new(),
        }
    }

    /// Does it, for as long as it is polled.
    pub(super) async fn run(mut self) {
        loop {
            self.round().await;
            self.shared.is_searching.store(false, Ordering::Release);
            self.shared.bell.ring();
            if !self.shared.options.watch {
                return pending().await;
            }
            self.wait().await;
        }
    }

    /// Watch first, then search: nothing falls between.
    async fn round(&mut self) {
        let is_due = Instant::now() >= self.next_search;
        if self.shared.options.watch && (is_due || self.asked.search) {
            self.keep_watching();
        }
        if self.asked.recover || is_due {
            self.shared.recover();
        }
        if is_due || self.asked.search {
            if let Err(error) = self.shared.remove_leftovers() {
                tracing::error!(event = "not_removed", reason = %error);
            }
            self.search().await;
        }
        if Instant::now() >= self.next_sweep {
            self.next_sweep = Instant::now() + Self::SWEEP;
            match sweep::sweep(&self.shared.layout, SystemTime::now()) {
                Ok(0) => {}
                Ok(count) => tracing::info!(event = "swept", stories = count, "removed stories of mail that is gone"),
                Err(error) => tracing::warn!(event = "sweep_failed", reason = %error),
            }
        }
    }

    fn keep_watching(&mut self) {
        let watched = match &mut self.watch {
            Some(watch) => watch.follow_new(&self.shared.layout).map(|is_another| {
                if is_another {
                    self.searched = None;
                }
            }),
            None => Watch::start(&self.shared).map(|watch| self.watch = Some(watch)),
        };
        let is_well = watched.is_ok();
        self.is_watching = is_well;
        if let Err(error) = watched {
            let reason = format!(
                "cannot watch new/ ({error}); searching it every {} instead",
                humantime::format_duration(self.pace())
            );
            self.complain(reason);
        }
    }

    /// Says what is wrong, once as long as it stays the same.
    fn complain(&mut self, reason: String) {
        if self.complaint != reason {
            tracing::warn!(event = "hampered", reason);
            self.complaint = reason;
        }
    }

    fn pace(&self) -> Duration {
        let is_watched = self.is_watching || !self.shared.options.watch;
        if is_watched { self.shared.options.rescan } else { self.shared.options.rescan.min(Self::POLL) }
    }

    async fn search(&mut self) {
        self.next_search = Instant::now() + self.pace();
        let refresh = self.asked.search || !self.is_watching;
        let changed = self.shared.layout.check_in_place().and_then(|()| self.new_changed_at());
        let searched = match changed {
            Ok(changed) if self.searched == Some(changed) && !refresh => return,
            Ok(changed) => self.shared.search(refresh).await.map(|()| changed),
            Err(error) => Err(error),
        };
        match searched {
            Ok(changed) => {
                let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > Self::COARSE);
                self.searched = is_settled.then_some(changed);
                if !self.complaint.is_empty() && self.is_watching {
                    self.complaint.clear();
                    tracing::info!(event = "well", "new/ is watched and searched as it should be");
                }
            }
            Err(error) => self.complain(error.to_string()),
        }
    }

    fn new_changed_at(&self) -> io::Result<SystemTime> {
        let found = layout::stat(self.shared.layout.root(), "new").map_err(|e| self.shared.layout.error("new", e))?;
        Ok(story::system_time(found.st_mtime, found.st_mtime_nsec))
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        tokio::select! {
            () = sleep_until(self.next_search) => {}
            () = self.shared.wishes.news.notified() => {
                // A burst of wishes is one.
                sleep(Duration::from_millis(5)).await;
            }
        }
        self.asked = self.shared.wishes.take();
    }
}

impl Shared {
    /// Reads through `new/`, no faster than messages are taken.
    async fn search(&self, refresh: bool) -> io::Result<()> {
        let mut search = Search::begin(&self.layout)?;
        self.backlog().begin_search();
        loop {
            let found = search.bite(&self.layout)?;
            if found.is_empty() {
                break;
            }
            for file in found {
                let is_known = self.backlog().see(file.key);
                if let (false, Some(kind)) = (is_known, file.odd) {
                    self.set_odd(file.key, &file.name, kind);
                } else if !is_known || refresh {
                    self.add_found(&search, &file.name, file.key, file.came(&self.layout));
                }
            }
            self.bell.ring();
            self.room.wait(|| self.backlog().ready_count()).await;
        }
        self.backlog().end_search();
        Ok(())
    }

    fn add_found(&self, search: &Search, name: &OsStr, key: Id, came: SystemTime) {
        if self.options.since.is_some_and(|since| came < since) {
            return;
        }
        let due = search.due(&self.layout, key);
        let mut backlog = self.backlog();
        if let Some(due) = due {
            backlog.reschedule(key, due);
        }
        match due {
            Some(due) if due > SystemTime::now() => backlog.add_waiting(key, name, due),
            _ => backlog.add_ready(key, name, came),
        }
    }

    fn recover(&self) {
        match recover::recover(&self.layout, self.hands.as_ref().map(Hands::name)) {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(event = "recovered", processes = count, "took over what crashed processes held");
                self.bell.ring();
            }
            Err(error) => tracing::warn!(event = "recovery_failed", reason = %error),
        }
    }
}
