//! The regular work on one Maildir.

use super::common::Common;
use super::hands::Hands;
use super::search::{Found, Search, came};
use super::served::Maildir;
use super::watch::Watch;
use super::wishes::Asked;
use super::{layout, recover, story, sweep};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

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

/// What is known, and to be done, of one Maildir.
pub(super) struct Care {
    maildir: Arc<Maildir>,
    is_watching: bool,
    under_way: Option<UnderWay>,
    /// When the folder was last changed before the last search that saw all of it.
    searched: Option<SystemTime>,
    next_search: Instant,
    asked: Asked,
    about_watching: Complaint,
    about_searching: Complaint,
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
            searched: None,
            next_search: Instant::now(),
            asked: Asked::ALL,
            about_watching: Complaint::default(),
            about_searching: Complaint::default(),
        }
    }

    /// Whose care it is.
    pub(super) fn maildir(&self) -> &Arc<Maildir> {
        &self.maildir
    }

    /// When it is to be searched next without being asked to.
    pub(super) fn next_search(&self) -> Instant {
        self.next_search
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
    pub(super) fn round(&mut self, watch: &mut Option<Watch>, common: &Arc<Common>) {
        let asked = std::mem::take(&mut self.asked);
        let is_due = Instant::now() >= self.next_search;
        if !is_due && asked == Asked::default() {
            return;
        }
        if common.settings.watch && (is_due || asked.search) {
            self.keep_watching(watch, common);
        }
        self.maildir.recover();
        if asked.recover {
            // Whoever closed its hands has given back what it held.
            common.backlog().holders_ended(self.maildir.number, SystemTime::now());
        }
        if is_due {
            self.maildir.pauses_changed();
            if let Err(error) = self.maildir.remove_leftovers() {
                tracing::error!(event = "not_removed", reason = %error);
            }
        }
        if asked.search || (is_due && self.under_way.is_none()) {
            self.begin_search(asked.search || !self.is_watching);
        }
        if is_due {
            self.next_search = Instant::now() + self.pace();
        }
    }

    fn keep_watching(&mut self, watch: &mut Option<Watch>, common: &Arc<Common>) {
        let started = match watch {
            Some(watch) => Ok(watch),
            None => Watch::start(common).map(|started| watch.insert(started)),
        };
        let watched = started.and_then(|watch| watch.follow(&self.maildir));
        self.is_watching = watched.is_ok();
        match watched {
            Ok(is_another_folder) => {
                if is_another_folder {
                    self.searched = None;
                }
                self.about_watching.withdraw("new/ is watched again");
            }
            // Of a folder that is not there the search tells.
            Err(_) if layout::stat(self.maildir.layout.root(), "new").is_err() => {}
            Err(error) => {
                let pace = humantime::format_duration(self.pace());
                self.about_watching.say(format!("cannot watch new/ ({error}); searching it every {pace} instead"));
            }
        }
    }

    fn pace(&self) -> Duration {
        let rescan = self.maildir.options.rescan;
        let is_watched = self.is_watching || !self.maildir.common.settings.watch;
        if is_watched { rescan } else { rescan.min(Self::POLL) }
    }

    /// Begins a search, unless the folder is as the last one left it.
    fn begin_search(&mut self, is_thorough: bool) {
        let layout = &self.maildir.layout;
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
                self.maildir.common.backlog().begin_search(self.maildir.number);
                self.under_way = Some(begun);
            }
            Err(error) => self.about_searching.say(error.to_string()),
        }
    }

    /// Goes on with a search that is under way. Returns whether there is one.
    pub(super) fn bite(&mut self) -> bool {
        let Some(under_way) = &mut self.under_way else { return false };
        match under_way.search.bite(&self.maildir.layout) {
            Ok(None) => self.end_search(),
            Ok(Some(found)) => self.maildir.add_found(&under_way.search, found, under_way.is_thorough),
            Err(error) => {
                self.under_way = None;
                self.about_searching.say(error.to_string());
            }
        }
        true
    }

    fn end_search(&mut self) {
        self.maildir.common.backlog().end_search(self.maildir.number);
        self.about_searching.withdraw("new/ can be searched again");
        if let Some(UnderWay { changed, .. }) = self.under_way.take() {
            let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > Self::COARSE);
            self.searched = is_settled.then_some(changed);
        }
    }
}

impl Maildir {
    /// Adds what a search has found.
    fn add_found(&self, search: &Search, found: Vec<Found>, is_thorough: bool) {
        for file in found {
            let key = self.key_of(file.id);
            let is_known = self.common.backlog().see(key);
            if let (false, Some(kind)) = (is_known, file.odd) {
                self.set_odd(key, &file.name, kind);
            } else if file.odd.is_none() && (!is_known || is_thorough) {
                self.add(search, &file);
            }
        }
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
                tracing::info!(event = "recovered", processes = count, "took over what crashed processes held");
                self.common.bell.ring();
            }
            Err(error) => tracing::warn!(event = "recovery_failed", reason = %error),
        }
    }

    pub(super) fn sweep(&self) {
        match sweep::sweep(&self.layout, SystemTime::now()) {
            Ok(0) => {}
            Ok(count) => tracing::info!(event = "swept", stories = count, "removed stories of mail that is gone"),
            Err(error) => tracing::warn!(event = "sweep_failed", reason = %error),
        }
    }
}
