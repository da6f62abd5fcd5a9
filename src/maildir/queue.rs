//! A Maildir in the role of a [`Queue`].

use super::backlog::{Backlog, Candidate};
use super::claim::{self, Locked, Refused};
use super::hands::Hands;
use super::layout::{Keep, Layout, OpenError};
use super::lease::{self, MaildirLease};
use super::names::{delivered_at, id_of_name};
use super::search::{Search, came};
use super::sync::Sync;
use super::watch::Watch;
use super::{crash, recover, story, sweep, writer};
use crate::engine::text::printable;
use crate::engine::{Bell, BoxFuture, Claim, Id, Message, Outlook, Queue};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// How a Maildir is worked on.
#[derive(Clone, Debug)]
pub struct Options {
    /// What becomes of done mail.
    pub keep: Keep,
    /// The largest message that is delivered, in bytes; larger ones are set aside.
    pub max_size: u64,
    /// The time between searches for mail that no event told of.
    pub rescan: Duration,
    /// Mail that came before this is left alone.
    pub since: Option<SystemTime>,
    /// How many messages may be in hand at a time.
    pub hands: usize,
    /// Whether to look out for new mail; else only what is there now is taken.
    pub watch: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep: Keep::Remove,
            max_size: 256 << 20,
            rescan: Duration::from_secs(30),
            since: None,
            hands: 8,
            watch: true,
        }
    }
}

/// What waits in a Maildir.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that may be taken now.
    pub due: u64,
    /// Messages that wait for a retry.
    pub later: u64,
    /// When the oldest of both came.
    pub oldest: Option<SystemTime>,
}

/// Counts what waits in the Maildir at `path`, without changing anything.
///
/// # Errors
/// It is no Maildir, or cannot be read.
pub fn survey(path: &Path, since: Option<SystemTime>) -> Result<Waiting, OpenError> {
    let (root, queue) = Layout::look(path)?;
    let io_error = |error: io::Error| OpenError::Io { path: path.join("new"), error, advice: "its owner".into() };
    let now = SystemTime::now();
    let mut waiting = Waiting::default();
    for entry in std::fs::read_dir(path.join("new")).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let came = delivered_at(&name).or_else(|| super::search::modified(&root, &name));
        if since.is_some_and(|since| came.is_some_and(|came| came < since)) {
            continue;
        }
        let due = queue.and_then(|queue| story::due_by_mtime(&root, id_of_name(&queue, &name)));
        match due {
            Some(due) if due > now => waiting.later += 1,
            _ => waiting.due += 1,
        }
        waiting.oldest = waiting.oldest.into_iter().chain(came).min();
    }
    Ok(waiting)
}

/// A Maildir as a queue.
pub struct MaildirQueue(Arc<Shared>);

/// All that the hands, the watchers and the tending share.
pub(super) struct Shared {
    pub(super) layout: Arc<Layout>,
    pub(super) hands: Option<Hands>,
    pub(super) options: Options,
    pub(super) bell: Bell,
    pub(super) sync: Sync,
    backlog: Mutex<Backlog>,
    is_searching: AtomicBool,
    wants_more: AtomicBool,
    more: Notify,
    wishes: Mutex<Wishes>,
    wished: Notify,
    unremoved: Mutex<VecDeque<(Id, Locked)>>,
    buried: AtomicU64,
    watches: AtomicBool,
}

/// What the tending is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Somebody's hands were closed.
    Recover,
    /// Mail may be there that no event told of.
    SearchAll,
}

#[derive(Debug, Default)]
struct Wishes {
    recover: bool,
    search: bool,
}

impl Shared {
    /// How long a message is left alone that could not be settled.
    pub(super) const FAULT_WAIT: Duration = Duration::from_secs(5);
    /// Between how many ready messages the search goes on and pauses.
    const READY: (usize, usize) = (8 * 1024, 16 * 1024);
    /// The waits for a message that is busy.
    const BUSY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
    /// The wait for a message that is being written.
    const WRITING: Duration = Duration::from_secs(1);
    /// How many taken messages may defy removal before nothing more is delivered.
    const UNREMOVED: usize = 32;

    pub(super) fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file name, fit to be shown.
    pub(super) fn shown(&self, name: &OsStr) -> String {
        printable(name.as_bytes())
    }

    pub(super) fn ask(&self, wish: Wish) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        match wish {
            Wish::Recover => wishes.recover = true,
            Wish::SearchAll => wishes.search = true,
        }
        drop(wishes);
        self.wished.notify_one();
    }

    fn wishes(&self) -> Wishes {
        std::mem::take(&mut *self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An event tells of a file in `new/`.
    pub(super) fn arrived(&self, name: &OsStr, was_written: bool) {
        if name.as_bytes().starts_with(b".") {
            return;
        }
        let key = id_of_name(&self.layout.queue, name);
        let came = came(&self.layout, name);
        if self.options.since.is_some_and(|since| came < since) {
            return;
        }
        let mut backlog = self.backlog();
        if backlog.ready_count() >= Self::READY.1 {
            // Memory is bounded: what does not fit is found by the next search.
            drop(backlog);
            return self.ask(Wish::SearchAll);
        }
        if was_written {
            backlog.reschedule(key, SystemTime::now());
        }
        backlog.add_ready(key, name, came);
        drop(backlog);
        self.bell.ring();
    }

    /// An event tells of a story: somebody else has tried the message, or a person has set its time.
    pub(super) fn story_changed(&self, id: Id) {
        if let Some(due) = story::due_by_mtime(self.layout.root(), id)
            && self.backlog().reschedule(id, due)
        {
            self.bell.set_timer();
            self.bell.ring();
        }
    }

    /// Remembers a message that its target has taken and that could not be removed.
    pub(super) fn remove_later(&self, key: Id, locked: Locked) {
        self.unremoved().push_back((key, locked));
    }

    fn unremoved(&self) -> MutexGuard<'_, VecDeque<(Id, Locked)>> {
        self.unremoved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries to remove what could not be removed before; nothing may be delivered while nothing can
    /// be removed, for it would be delivered again.
    fn remove_leftovers(&self) -> io::Result<()> {
        let mut unremoved = self.unremoved();
        let mut last_error = None;
        for _ in 0..unremoved.len() {
            let Some((key, locked)) = unremoved.pop_front() else { break };
            let removed = match locked.is_in_place(&self.layout) {
                Ok(true) => lease::remove(self, &locked.name),
                _ => Ok(()),
            };
            match removed.and_then(|()| story::remove(self.layout.root(), locked.id)) {
                Ok(()) => self.backlog().forget(key),
                Err(error) => {
                    last_error = Some(self.layout.error(&*claim::in_new(&locked.name), error));
                    unremoved.push_back((key, locked));
                }
            }
        }
        match last_error {
            Some(error) if unremoved.len() >= Self::UNREMOVED => Err(error),
            _ => Ok(()),
        }
    }

    fn check_removals(&self) -> io::Result<()> {
        let count = self.unremoved().len();
        if count == 0 {
            return Ok(());
        }
        self.layout.check_writable()?;
        if count >= Self::UNREMOVED { self.remove_leftovers() } else { Ok(()) }
    }

    /// Claims this candidate, or says what is to become of it.
    fn claim(self: &Arc<Self>, candidate: &Candidate, now: SystemTime) -> Result<Option<Claim>, Refused> {
        let locked = claim::lock(&self.layout, &candidate.name, now)?;
        let slot = match &self.hands {
            Some(hands) => Some(
                hands
                    .hold(locked.id, &locked.name)
                    .map_err(|e| Refused::Fault(self.layout.error("maildirq/hands", e)))?,
            ),
            None => None,
        };
        let doom = locked.doom(self.options.max_size);
        let is_burial_unfinished = locked.is_burial_unfinished();
        let body = if doom.is_some() || is_burial_unfinished { None } else { Some(locked.read()) };
        let (id, modified) = (locked.id, locked.modified);
        let history = locked.story.as_ref().map(|story| story.history.clone()).unwrap_or_default();
        let lease = MaildirLease::new(Arc::clone(self), candidate.key, locked, slot);
        if is_burial_unfinished {
            return self.bury(lease.finish_burial()).map(|()| None);
        }
        if let Some(reason) = doom {
            let file = self.shown(&candidate.name);
            tracing::error!(event = "dead", %id, file, outcome = "dead", reason);
            return self.bury(lease.bury(reason)).map(|()| None);
        }
        let body = match body.expect("it is read unless it is to be buried") {
            Ok(body) => body,
            Err(refused) => {
                lease.hand_back();
                return Err(refused);
            }
        };
        let arrived = delivered_at(&candidate.name).filter(|&came| came <= now).unwrap_or(modified);
        let message = Message { id, name: self.shown(&candidate.name), arrived, body, history };
        Ok(Some(Claim { message, lease: Box::new(lease) }))
    }

    fn bury(&self, buried: io::Result<()>) -> Result<(), Refused> {
        buried.map_err(Refused::Fault)?;
        self.buried.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Puts a candidate where its refusal says that it belongs.
    fn put_off(&self, candidate: Candidate, refused: Refused, now: SystemTime) -> io::Result<()> {
        let Candidate { key, name, patience } = candidate;
        let later = patience.saturating_add(1);
        match refused {
            Refused::Gone => self.backlog().forget(key),
            Refused::Due(due) => self.backlog().wait(key, due),
            Refused::Writing => self.backlog().wait(key, now + Self::WRITING),
            Refused::Busy => {
                let wait = Self::BUSY.0 * (1 << patience.min(8));
                self.backlog().wait_patiently(key, now + wait.min(Self::BUSY.1), later);
            }
            Refused::Odd(kind) => self.set_odd(key, &name, kind),
            Refused::Unreadable(error) => {
                if patience == 0 {
                    tracing::error!(event = "unreadable", file = self.shown(&name), reason = %error, "it stays where it is and is tried again");
                }
                let wait = Duration::from_secs(1 << patience.min(8));
                self.backlog().wait_patiently(key, now + wait, later);
            }
            Refused::Fault(error) => {
                self.backlog().release(key, now);
                return Err(error);
            }
        }
        self.bell.set_timer();
        Ok(())
    }

    fn set_odd(&self, key: Id, name: &OsStr, kind: &str) {
        tracing::warn!(event = "no_message", file = self.shown(name), "there is {kind} in new/; it is left alone");
        self.backlog().set_odd(key, name);
    }

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
            self.wait_for_room().await;
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
        match due {
            Some(due) if due > SystemTime::now() => {
                backlog.reschedule(key, due);
                backlog.add_waiting(key, name, due);
            }
            _ => backlog.add_ready(key, name, came),
        }
    }

    async fn wait_for_room(&self) {
        while self.backlog().ready_count() >= Self::READY.1 {
            self.wants_more.store(true, Ordering::Release);
            self.more.notified().await;
        }
    }

    fn call_for_more(&self, ready: usize) {
        if ready < Self::READY.0 && self.wants_more.swap(false, Ordering::AcqRel) {
            self.more.notify_one();
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

    async fn tend(self: &Arc<Self>) {
        let mut upkeep = Upkeep::new(Arc::clone(self));
        loop {
            upkeep.round().await;
            self.is_searching.store(false, Ordering::Release);
            self.bell.ring();
            if !self.options.watch {
                return pending().await;
            }
            upkeep.wait().await;
        }
    }
}

/// The regular work on a queue: watching, recovering, searching, sweeping.
struct Upkeep {
    shared: Arc<Shared>,
    watch: Option<Watch>,
    searched: Option<SystemTime>,
    next_search: Instant,
    next_sweep: Instant,
    wishes: Wishes,
    complaint: String,
}

impl Upkeep {
    /// How often `new/` is searched where there is no inotify.
    const POLL: Duration = Duration::from_secs(1);
    const SWEEP: Duration = Duration::from_secs(3600);
    /// A folder's mtime is too coarse to tell two changes this near.
    const COARSE: Duration = Duration::from_secs(2);

    fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let wishes = Wishes { recover: true, search: true };
        Upkeep {
            shared,
            watch: None,
            searched: None,
            next_search: now,
            next_sweep: now,
            wishes,
            complaint: String::new(),
        }
    }

    /// Watch first, then search: nothing falls between.
    async fn round(&mut self) {
        let is_due = Instant::now() >= self.next_search;
        if self.shared.options.watch && (is_due || self.wishes.search) {
            self.keep_watching();
        }
        if self.wishes.recover || is_due {
            self.shared.recover();
        }
        if is_due || self.wishes.search {
            if self.shared.unremoved().len() > 0
                && let Err(error) = self.shared.remove_leftovers()
            {
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
        self.shared.watches.store(is_well, Ordering::Release);
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
        let is_watched = self.shared.watches.load(Ordering::Acquire) || !self.shared.options.watch;
        if is_watched { self.shared.options.rescan } else { self.shared.options.rescan.min(Self::POLL) }
    }

    async fn search(&mut self) {
        self.next_search = Instant::now() + self.pace();
        let refresh = self.wishes.search || !self.shared.watches.load(Ordering::Acquire);
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
                if !self.complaint.is_empty() && self.shared.watches.load(Ordering::Acquire) {
                    self.complaint.clear();
                    tracing::info!(event = "well", "new/ is watched and searched as it should be");
                }
            }
            Err(error) => self.complain(error.to_string()),
        }
    }

    fn new_changed_at(&self) -> io::Result<SystemTime> {
        let found =
            super::layout::stat(self.shared.layout.root(), "new").map_err(|e| self.shared.layout.error("new", e))?;
        Ok(story::system_time(found.st_mtime, found.st_mtime_nsec))
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        tokio::select! {
            () = sleep_until(self.next_search) => {}
            () = self.shared.wished.notified() => {
                // A burst of wishes is one.
                sleep(Duration::from_millis(5)).await;
            }
        }
        self.wishes = self.shared.wishes();
    }
}

impl MaildirQueue {
    /// Makes a queue of an opened Maildir.
    ///
    /// # Errors
    /// The disk; a full one is none, then deaths are not counted.
    pub fn new(layout: Layout, options: Options) -> io::Result<Self> {
        writer::disarm_lease_signal()?;
        let layout = Arc::new(layout);
        let hands = match Hands::make(&layout, options.hands) {
            Ok(hands) => Some(hands),
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                tracing::warn!(event = "hampered", reason = %layout.error("maildirq/hands", error), "goes on without counting crashes");
                None
            }
            Err(error) => return Err(layout.error("maildirq/hands", error)),
        };
        Ok(MaildirQueue(Arc::new(Shared {
            sync: Sync::start(Arc::clone(&layout))?,
            layout,
            hands,
            options,
            bell: Bell::default(),
            backlog: Mutex::default(),
            is_searching: AtomicBool::new(true),
            wants_more: AtomicBool::new(false),
            more: Notify::new(),
            wishes: Mutex::default(),
            wished: Notify::new(),
            unremoved: Mutex::default(),
            buried: AtomicU64::new(0),
            watches: AtomicBool::new(false),
        })))
    }
}

impl Drop for MaildirQueue {
    fn drop(&mut self) {
        if crash::is_dead() {
            return;
        }
        for (_, locked) in self.0.unremoved().iter() {
            let file = self.0.shown(&locked.name);
            tracing::error!(event = "not_removed", id = %locked.id, file, "its target has it, but it cannot be removed: it will come again");
        }
        if let Some(hands) = &self.0.hands {
            hands.remove(&self.0.layout);
        }
    }
}

impl Queue for MaildirQueue {
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> io::Result<Option<Claim>> {
        self.0.check_removals()?;
        loop {
            let is_open = |target: &str| open(target) && !lease::is_paused(&self.0.layout, target);
            let (candidate, ready) = {
                let mut backlog = self.0.backlog();
                (backlog.take(by, is_open), backlog.ready_count())
            };
            self.0.call_for_more(ready);
            let Some(candidate) = candidate else { return Ok(None) };
            let now = SystemTime::now();
            match self.0.claim(&candidate, now) {
                Ok(None) => {}
                Ok(claim) => return Ok(claim),
                Err(refused) => self.0.put_off(candidate, refused, now)?,
            }
        }
    }

    fn outlook(&self, by: SystemTime) -> Outlook {
        let backlog = self.0.backlog();
        Outlook {
            ready: backlog.has_ready(by),
            searching: self.0.is_searching.load(Ordering::Acquire),
            parked: backlog.parked_count(),
            next_due: backlog.next_due(),
            buried: self.0.buried.load(Ordering::Relaxed),
        }
    }

    fn bell(&self) -> &Bell {
        &self.0.bell
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.tend())
    }
}
