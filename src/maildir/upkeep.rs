//! The regular work on a queue: watching, recovering, searching, sweeping.

use super::hands::Hands;
use super::queue::Shared;
use super::search::{Found, Search, came};
use super::watch::Watch;
use super::{layout, recover, story, sweep};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
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

    /// Waits until a search may go on.
    async fn wait(&self, ready: impl Fn() -> usize) {
        while Self::is_full(ready()) {
            self.is_wanted.store(true, Ordering::Release);
            self.made.notified().await;
        }
    }
}

/// What is wrong, said once for as long as it stays the same.
#[derive(Debug, Default)]
struct Complaint(String);

impl Complaint {
    fn say(&mut self, reason: String) {
        if self.0 != reason {
            tracing::warn!(event = "hampered", reason);
            self.0 = reason;
        }
    }

    fn withdraw(&mut self, well: &str) {
        if !std::mem::take(&mut self.0).is_empty() {
            tracing::info!(event = "well", "{well}");
        }
    }
}

/// A search through `new/` under way.
struct UnderWay {
    search: Search,
    /// When the folder was last changed before it began.
    changed: SystemTime,
    /// Whether what is known is looked at again, too.
    is_thorough: bool,
}

/// The regular work on one queue.
pub(super) struct Upkeep {
    shared: Arc<Shared>,
    watch: Option<Watch>,
    is_watching: bool,
    under_way: Option<UnderWay>,
    /// When the folder was last changed before the last search that saw all of it.
    searched: Option<SystemTime>,
    next_search: Instant,
    next_sweep: Instant,
    asked: Asked,
    /// The same moment by both clocks.
    clocks: (Instant, SystemTime),
    about_watching: Complaint,
    about_searching: Complaint,
}

impl Upkeep {
    /// How often `new/` is searched where there is no inotify.
    const POLL: Duration = Duration::from_secs(1);
    const SWEEP: Duration = Duration::from_hours(1);
    /// How far the wall clock must go back against the steady one to have been set.
    const CLOCK_SET: Duration = Duration::from_secs(10);
    /// A folder's mtime is too coarse to tell two changes this near.
    const COARSE: Duration = Duration::from_secs(2);

    /// The upkeep of this queue, with everything still to be done.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Upkeep {
            shared,
            watch: None,
            is_watching: false,
            under_way: None,
            searched: None,
            next_search: now,
            next_sweep: now,
            asked: Asked { recover: true, search: true },
            clocks: (now, SystemTime::now()),
            about_watching: Complaint::default(),
            about_searching: Complaint::default(),
        }
    }

    /// Does it, for as long as it is polled.
    pub(super) async fn run(mut self) {
        loop {
            self.round();
            self.search().await;
            self.sweep();
            if self.under_way.is_none() {
                self.shared.is_searching.store(false, Ordering::Release);
            }
            self.shared.bell.ring();
            self.wait().await;
        }
    }

    /// Watch first, then search: nothing falls between.
    fn round(&mut self) {
        let is_due = Instant::now() >= self.next_search;
        if self.shared.options.watch && (is_due || self.asked.search) {
            self.keep_watching();
        }
        if self.asked.recover || is_due {
            self.shared.recover();
        }
        if self.asked.recover {
            // Whoever closed its hands has given back what it held.
            self.shared.backlog().holders_ended(SystemTime::now());
        }
        if is_due {
            self.compare_clocks();
        }
        if is_due && let Err(error) = self.shared.remove_leftovers() {
            tracing::error!(event = "not_removed", reason = %error);
        }
        if self.asked.search || (is_due && self.under_way.is_none()) {
            self.begin_search();
        }
        if is_due {
            self.next_search = Instant::now() + self.pace();
        }
    }

    /// Removes what is long orphaned; on a thread of its own, for it may look at every message.
    fn sweep(&mut self) {
        if self.shared.options.watch && self.under_way.is_none() && Instant::now() >= self.next_sweep {
            self.next_sweep = Instant::now() + Self::SWEEP;
            let shared = Arc::clone(&self.shared);
            if let Err(error) = thread::Builder::new().name("sweep".into()).spawn(move || shared.sweep()) {
                tracing::warn!(event = "sweep_failed", reason = %error);
            }
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
            self.shared.backlog().clock_was_set(self.clocks.1);
            self.shared.bell.ring();
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
        self.is_watching = watched.is_ok();
        match watched {
            Ok(()) => self.about_watching.withdraw("new/ is watched again"),
            // Of a folder that is not there the search tells.
            Err(_) if layout::stat(self.shared.layout.root(), "new").is_err() => {}
            Err(error) => {
                let pace = humantime::format_duration(self.pace());
                self.about_watching.say(format!("cannot watch new/ ({error}); searching it every {pace} instead"));
            }
        }
    }

    fn pace(&self) -> Duration {
        let is_watched = self.is_watching || !self.shared.options.watch;
        if is_watched { self.shared.options.rescan } else { self.shared.options.rescan.min(Self::POLL) }
    }

    /// Begins a search, unless the folder is as the last one left it.
    fn begin_search(&mut self) {
        let layout = &self.shared.layout;
        let is_thorough = self.asked.search || !self.is_watching;
        let changed = layout.check_in_place().and_then(|()| {
            let found = layout::stat(layout.root(), "new").map_err(|error| layout.error("new", error))?;
            Ok(story::system_time(found.st_mtime, found.st_mtime_nsec))
        });
        let begun = match changed {
            Ok(changed) if self.searched == Some(changed) && !is_thorough => return,
            Ok(changed) => Search::begin(layout).map(|search| UnderWay { search, changed, is_thorough }),
            Err(error) => Err(error),
        };
        match begun {
            Ok(begun) => {
                self.shared.backlog().begin_search();
                self.under_way = Some(begun);
            }
            Err(error) => self.about_searching.say(error.to_string()),
        }
    }

    /// Goes on with the search for as long as there is room for what it finds.
    async fn search(&mut self) {
        while let Some(under_way) = &mut self.under_way {
            if Room::is_full(self.shared.backlog().ready_count()) {
                return;
            }
            match under_way.search.bite(&self.shared.layout) {
                Ok(None) => self.end_search(),
                Ok(Some(found)) => self.shared.add_found(&under_way.search, found, under_way.is_thorough),
                Err(error) => {
                    self.under_way = None;
                    self.about_searching.say(error.to_string());
                }
            }
            self.shared.bell.ring();
            tokio::task::yield_now().await;
        }
    }

    fn end_search(&mut self) {
        self.shared.backlog().end_search();
        self.about_searching.withdraw("new/ can be searched again");
        if let Some(UnderWay { changed, .. }) = self.under_way.take() {
            let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > Self::COARSE);
            self.searched = is_settled.then_some(changed);
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        let shared = &self.shared;
        let room = async {
            match &self.under_way {
                Some(_) => shared.room.wait(|| shared.backlog().ready_count()).await,
                None => pending().await,
            }
        };
        let time = async { if shared.options.watch { sleep_until(self.next_search).await } else { pending().await } };
        tokio::select! {
            () = room => {}
            () = time => {}
            () = shared.wishes.news.notified() => {
                // A burst of wishes is one.
                sleep(Duration::from_millis(5)).await;
            }
        }
        self.asked = self.shared.wishes.take();
    }
}

impl Shared {
    /// Adds what a search has found.
    fn add_found(&self, search: &Search, found: Vec<Found>, is_thorough: bool) {
        for file in found {
            let is_known = self.backlog().see(file.key);
            if let (false, Some(kind)) = (is_known, file.odd) {
                self.set_odd(file.key, &file.name, kind);
            } else if file.odd.is_none() && (!is_known || is_thorough) {
                self.add(search, &file);
            }
        }
    }

    fn add(&self, search: &Search, file: &Found) {
        let came = came(&self.layout, &file.name);
        if self.options.since.is_some_and(|since| came < since) {
            return;
        }
        let due = search.due(&self.layout, file.key).map(Self::by_mtime);
        let mut backlog = self.backlog();
        if let Some(due) = due {
            backlog.reschedule(file.key, due);
        }
        match due {
            Some(due) if due > SystemTime::now() => backlog.add_waiting(file.key, &file.name, due),
            _ => backlog.add_ready(file.key, &file.name, came),
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

    fn sweep(&self) {
        match sweep::sweep(&self.layout, SystemTime::now()) {
            Ok(0) => {}
            Ok(count) => tracing::info!(event = "swept", stories = count, "removed stories of mail that is gone"),
            Err(error) => tracing::warn!(event = "sweep_failed", reason = %error),
        }
    }
}
