//! What all Maildirs share that this process serves: one backlog, one bell, one thread that syncs.

use super::arrivals::Arrivals;
use super::backlog::Backlog;
use super::sentinel::Sentinel;
use super::served::Maildir;
use super::slow::Slow;
use super::suspect::Suspects;
use super::sync::Sync;
use super::wishes::{Room, Wish, Wishes};
use crate::engine::{Bell, Observer};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;
use tokio::sync::{Notify, SetOnce};

/// How Maildirs are worked on, all of them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Mail that came before this is left alone.
    pub since: Option<SystemTime>,
    /// How many messages may be in hand at a time.
    pub hands: usize,
    /// Whether removals that take long are made on threads of their own: worth it where several hands
    /// share a thread. Claims must then be settled within a Tokio runtime.
    pub removes_aside: bool,
    /// Whether to look out for new mail; else only what is there now is taken.
    pub watch: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { since: None, hands: 8, removes_aside: false, watch: true }
    }
}

/// All that Maildirs share.
pub(super) struct Common {
    pub(super) settings: Settings,
    pub(super) bell: Bell,
    pub(super) sync: Sync,
    pub(super) slow: Slow,
    pub(super) wishes: Wishes,
    pub(super) room: Room,
    pub(super) suspects: Suspects,
    pub(super) sentinel: Arc<Sentinel>,
    arrivals: SetOnce<Arc<Arrivals>>,
    pub(super) is_searching: AtomicBool,
    pub(super) buried: AtomicU64,
    pub(super) observer: Arc<dyn Observer>,
    /// There is something to be written to a history.
    pub(super) history_begun: Notify,
    /// There is much of it.
    pub(super) history_full: Notify,
    backlog: Mutex<Backlog>,
    served: RwLock<Served>,
}

/// The Maildirs that are served, by their numbers and by their paths.
#[derive(Default)]
pub(super) struct Served {
    numbers: BTreeMap<u32, Arc<Maildir>>,
    paths: BTreeMap<PathBuf, u32>,
}

impl Served {
    /// The Maildir with this number.
    pub(super) fn get(&self, number: u32) -> Option<&Arc<Maildir>> {
        self.numbers.get(&number)
    }

    /// The Maildir at this path.
    pub(super) fn at(&self, path: &Path) -> Option<&Arc<Maildir>> {
        self.get(*self.paths.get(path)?)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Maildir>> {
        self.numbers.values()
    }
}

impl Common {
    /// What no Maildir shares yet.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn new(settings: Settings, observer: Arc<dyn Observer>) -> io::Result<Self> {
        Ok(Common {
            settings,
            bell: Bell::default(),
            sync: Sync::start()?,
            slow: Slow::default(),
            wishes: Wishes::default(),
            room: Room::default(),
            suspects: Suspects::default(),
            sentinel: Arc::default(),
            arrivals: SetOnce::new(),
            is_searching: AtomicBool::new(true),
            buried: AtomicU64::new(0),
            observer,
            history_begun: Notify::new(),
            history_full: Notify::new(),
            backlog: Mutex::default(),
            served: RwLock::default(),
        })
    }

    pub(super) fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn served(&self) -> RwLockReadGuard<'_, Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells of arrivals, which is begun here.
    ///
    /// # Errors
    /// There is no inotify to be had.
    pub(super) fn arrivals(&self) -> Result<Arc<Arrivals>, Errno> {
        if let Some(arrivals) = self.arrivals.get() {
            return Ok(Arc::clone(arrivals));
        }
        let arrivals = Arc::new(Arrivals::start()?);
        // Only the upkeep begins it.
        let _ = self.arrivals.set(Arc::clone(&arrivals));
        Ok(arrivals)
    }

    /// Waits until somebody has begun it.
    pub(super) async fn arrivals_begun(&self) -> &Arrivals {
        self.arrivals.wait().await
    }

    /// More came at once than inotify keeps.
    pub(super) fn overflowed(&self) {
        tracing::warn!(event = "overflow", "more came at once than inotify could tell of; searching for it");
        self.search_all();
    }

    /// Events were lost, so nobody knows what they were of.
    pub(super) fn search_all(&self) {
        for maildir in self.served().all() {
            self.wishes.ask(maildir.number, Wish::Search);
        }
    }

    /// Serves these Maildirs from now on, and no others.
    pub(super) fn serve(&self, maildirs: Vec<Arc<Maildir>>) {
        let mut next = Served::default();
        for maildir in maildirs {
            next.paths.insert(maildir.layout.path().to_owned(), maildir.number);
            next.numbers.insert(maildir.number, maildir);
        }
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *served, next);
        let mut backlog = self.backlog();
        for &number in before.numbers.keys().filter(|&number| served.get(*number).is_none()) {
            backlog.close(number);
        }
        for &number in served.numbers.keys() {
            backlog.open(number);
        }
        drop((backlog, served));
        self.wishes.attend_anew();
    }
}
