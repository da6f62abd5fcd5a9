//! The regular work on one Maildir.

use super::claim::in_new;
use super::complaints::{About, Complaints};
use super::hands::Hands;
use super::layout::PAUSED;
use super::pauses::sweep_pauses;
use super::search::{Found, Search, came};
use super::served::Maildir;
use super::watch::Watch;
use super::wishes::Asked;
use super::{act, layout, recover, story, sweep};
use crate::engine::is_shortage;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A search through `new/` under way.
struct UnderWay {
    search: Search,
    /// When the folder was last changed before it began.
    changed: SystemTime,
    /// Whether what is known is looked at again, too.
    is_thorough: bool,
    /// Whether an event should have told of what it finds.
    is_rescan: bool,
}

/// What is known, and to be done, of one Maildir.
pub(super) struct Care {
    maildir: Arc<Maildir>,
    is_watching: bool,
    under_way: Option<UnderWay>,
    /// Whether a search has seen all of it at least once.
    has_searched: bool,
    /// When the folder was last changed before the last search that saw all of it.
    searched: Option<SystemTime>,
    next_search: Instant,
    asked: Asked,
}

impl Care {
    /// How often `new/` is searched where there is no inotify.
    const POLL: Duration = Duration::from_secs(1);
    /// A folder's mtime is too coarse to tell two changes this near.
    const COARSE: Duration = Duration::from_secs(2);

    /// A Maildir of which nothing is known yet.
    pub(super) fn new(maildir: Arc<Maildir>) -> Self {
        Care {
            maildir,
            is_watching: false,
            under_way: None,
            has_searched: false,
            searched: None,
            next_search: Instant::now(),
            asked: Asked::ALL,
        }
    }

    /// Whose care it is.
    pub(super) fn maildir(&self) -> &Arc<Maildir> {
        &self.maildir
    }

    /// When it is to be looked after next without being asked to: to be searched, or because a pause ends.
    pub(super) fn next_round(&self) -> Instant {
        let left = |end: SystemTime| end.duration_since(SystemTime::now()).unwrap_or_default();
        let end = self.maildir.next_end_of_pause().map(|end| Instant::now() + left(end));
        end.map_or(self.next_search, |end| end.min(self.next_search))
    }

    /// Whether a search is under way.
    pub(super) fn is_searching(&self) -> bool {
        self.under_way.is_some()
    }

    /// Something is asked for.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.asked.recover |= asked.recover;
        self.asked.search |= asked.search;
    }

    /// Does what is due or asked for. Watch first, then search: nothing falls between.
    pub(super) fn round(&mut self, watch: &mut Option<Watch>, complaints: &mut Complaints) {
        let asked = std::mem::take(&mut self.asked);
        let common = &Arc::clone(&self.maildir.common);
        let is_due = Instant::now() >= self.next_search;
        if self.maildir.next_end_of_pause().is_some_and(|end| end <= SystemTime::now()) {
            self.maildir.look_at_pauses();
        }
        if !is_due && asked == Asked::default() {
            return;
        }
        if common.settings.watch && (is_due || asked.search) {
            self.keep_watching(watch, complaints);
        }
        self.maildir.recover();
        if asked.recover {
            // Whoever closed its hands has given back what it held.
            common.backlog().holders_ended(self.maildir.number, SystemTime::now());
        }
        if is_due {
            self.maildir.look_at_pauses();
            if let Err(error) = self.maildir.remove_leftovers() {
                tracing::error!(event = "not_removed", reason = %error);
            }
        }
        if asked.search || (is_due && self.under_way.is_none()) {
            // What was asked for was told of: by more events than there was room for, or by a lost one.
            self.begin_search(asked.search || !self.is_watching, self.has_searched && !asked.search, complaints);
        }
        if is_due {
            self.next_search = Instant::now() + self.pace();
        }
    }

    fn keep_watching(&mut self, watch: &mut Option<Watch>, complaints: &mut Complaints) {
        let started = match watch {
            Some(watch) => Ok(watch),
            None => Watch::start(&self.maildir.common).map(|started| watch.insert(started)),
        };
        let watched = started.and_then(|watch| watch.follow(&self.maildir));
        self.is_watching = watched.is_ok();
        self.maildir.is_watched.store(self.is_watching, Ordering::Relaxed);
        match watched {
            Ok(is_another_folder) => {
                if is_another_folder {
                    self.searched = None;
                    self.has_searched = false;
                }
                complaints.withdraw(About::Watching, &self.maildir);
            }
            // Of a folder that is not there the search tells.
            Err(_) if layout::stat(self.maildir.layout.root(), "new").is_err() => {}
            Err(error) => {
                let pace = humantime::format_duration(self.pace());
                let cause = self.maildir.cause(&error);
                let reason = format!("cannot watch new/ ({cause}); searching it every {pace} instead");
                complaints.say(About::Watching, &self.maildir, reason);
            }
        }
    }

    fn pace(&self) -> Duration {
        let rescan = self.maildir.options.rescan;
        let is_watched = self.is_watching || !self.maildir.common.settings.watch;
        if is_watched { rescan } else { rescan.min(Self::POLL) }
    }

    /// Begins a search, unless the folder is as the last one left it.
    fn begin_search(&mut self, is_thorough: bool, is_rescan: bool, complaints: &mut Complaints) {
        let layout = &self.maildir.layout;
        let changed = layout.check_in_place().and_then(|()| {
            let found = layout::stat(layout.root(), "new").map_err(|error| layout.error("new", error))?;
            Ok(story::system_time(found.st_mtime, found.st_mtime_nsec))
        });
        let begun = match changed {
            Ok(changed) if self.searched == Some(changed) && !is_thorough => return,
            Ok(changed) => Search::begin(layout).map(|search| UnderWay { search, changed, is_thorough, is_rescan }),
            Err(error) => Err(error),
        };
        match begun {
            Ok(begun) => {
                self.maildir.common.backlog().begin_search(self.maildir.number);
                self.under_way = Some(begun);
            }
            Err(error) => complaints.say(About::Searching, &self.maildir, error.to_string()),
        }
    }

    /// Goes on with a search that is under way.
    pub(super) fn bite(&mut self, complaints: &mut Complaints) {
        let Some(under_way) = &mut self.under_way else { return };
        match under_way.search.bite(&self.maildir.layout) {
            Ok(None) => self.end_search(complaints),
            Ok(Some(found)) => {
                let late_after =
                    under_way.is_rescan.then_some(if self.is_watching { Self::COARSE } else { Duration::ZERO });
                self.maildir.add_found(&under_way.search, found, under_way.is_thorough, late_after);
            }
            Err(error) => {
                self.under_way = None;
                complaints.say(About::Searching, &self.maildir, error.to_string());
            }
        }
    }

    fn end_search(&mut self, complaints: &mut Complaints) {
        self.maildir.common.backlog().end_search(self.maildir.number);
        self.has_searched = true;
        complaints.withdraw(About::Searching, &self.maildir);
        if let Some(UnderWay { changed, .. }) = self.under_way.take() {
            let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > Self::COARSE);
            self.searched = is_settled.then_some(changed);
        }
    }
}

impl Maildir {
    /// What an error of the watcher comes from. What this process has run out of is no Maildir's own.
    fn cause(&self, error: &notify::Error) -> String {
        match &error.kind {
            notify::ErrorKind::MaxFilesWatch => "the limit on inotify watches is reached".into(),
            // To inotify ENOSPC is that there are no more watches to be had.
            notify::ErrorKind::Io(error) if is_shortage(error) || error.raw_os_error() == Some(libc::ENOSPC) => {
                error.to_string()
            }
            // Which of its folders was missed first is chance, and no other complaint.
            notify::ErrorKind::PathNotFound => self.layout.error("", io::ErrorKind::NotFound).to_string(),
            notify::ErrorKind::Io(error) => self.layout.error("", error.kind()).to_string(),
            _ => error.to_string(),
        }
    }

    /// Adds what a search has found. Where an event should have told of it so long after it came, it is found late.
    fn add_found(&self, search: &Search, found: Vec<Found>, is_thorough: bool, late_after: Option<Duration>) {
        for file in found {
            let key = self.key_of(file.id);
            let is_known = self.common.backlog().see(key);
            if let (false, Some(kind)) = (is_known, file.odd) {
                self.set_odd(key, &file.name, kind);
            } else if file.odd.is_none() && (!is_known || is_thorough) {
                self.add(search, &file);
                if !is_known && late_after.is_some_and(|age| self.is_there_for(&file.name, age)) {
                    self.common.observer.found_late(&self.options.queue);
                }
            }
        }
    }

    /// Whether a file is in `new/` for longer than this. Its ctime is that of its coming here, whatever its name says.
    fn is_there_for(&self, name: &OsStr, age: Duration) -> bool {
        let Ok(found) = layout::stat(self.layout.root(), &*in_new(name)) else { return false };
        let came = story::system_time(found.st_ctime, found.st_ctime_nsec);
        age.is_zero() || SystemTime::now().duration_since(came).is_ok_and(|past| past > age)
    }

    fn add(&self, search: &Search, file: &Found) {
        let came = came(&self.layout, &file.name);
        if self.common.settings.since.is_some_and(|since| came < since) {
            return;
        }
        let key = self.key_of(file.id);
        let due = search.due(&self.layout, file.id).map(Self::by_mtime);
        let mut backlog = self.common.backlog();
        match due {
            Some(due) => {
                backlog.reschedule(key, due);
                backlog.add_waiting(key, &file.name, due);
            }
            None => backlog.add_ready(key, &file.name, came),
        }
    }

    fn recover(&self) {
        match recover::recover(&self.layout, self.hands.as_ref().map(Hands::name)) {
            Ok(0) => {}
            Ok(count) => {
                let maildir = self.shown();
                tracing::info!(
                    event = "recovered",
                    maildir,
                    processes = count,
                    "took over what crashed processes held"
                );
                self.common.bell.ring();
            }
            Err(error) => tracing::warn!(event = "recovery_failed", maildir = self.shown(), reason = %error),
        }
    }

    pub(super) fn sweep(&self) {
        let pruned = super::history::prune(&self.layout, &self.options.retention, SystemTime::now());
        if let Err(error) = pruned {
            tracing::warn!(event = "sweep_failed", maildir = self.shown(), reason = %error);
        }
        match sweep::sweep(&self.layout, SystemTime::now()) {
            Ok(0) => {}
            Ok(count) => {
                let maildir = self.shown();
                tracing::info!(event = "swept", maildir, stories = count, "removed stories of mail that is gone");
            }
            Err(error) => tracing::warn!(event = "sweep_failed", maildir = self.shown(), reason = %error),
        }
        let emptied = |age| act::empty_trash(&self.layout, age, SystemTime::now());
        match self.options.retention.trash.map_or(Ok(0), emptied) {
            Ok(0) => {}
            Ok(count) => tracing::info!(event = "trash_emptied", maildir = self.shown(), messages = count),
            Err(error) => tracing::warn!(event = "sweep_failed", maildir = self.shown(), reason = %error),
        }
        if let Err(error) = sweep_pauses(self.layout.root(), SystemTime::now()) {
            let reason = self.layout.error(PAUSED, error);
            tracing::warn!(event = "sweep_failed", maildir = self.shown(), %reason);
        }
    }
}
