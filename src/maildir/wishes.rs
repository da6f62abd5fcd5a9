//! What the upkeep is asked for, and how far it may run ahead of the hands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// What the upkeep can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Somebody's hands were closed: look whether by a crash.
    Recover,
    /// Mail may be there that no event told of.
    Search,
}

/// What it is asked for one Maildir.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub recover: bool,
    pub search: bool,
}

impl Asked {
    /// All there is to ask for.
    pub(super) const ALL: Asked = Asked { recover: true, search: true };
}

/// What it is asked for, by Maildir.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    asked: Mutex<BTreeMap<u32, Asked>>,
    news: Notify,
}

impl Wishes {
    /// Asks for something; asking twice is as asking once.
    pub(super) fn ask(&self, maildir: u32, wish: Wish) {
        let mut all = self.all();
        let asked = all.entry(maildir).or_default();
        match wish {
            Wish::Recover => asked.recover = true,
            Wish::Search => asked.search = true,
        }
        drop(all);
        self.news.notify_one();
    }

    /// Asks to see which Maildirs are served now.
    pub(super) fn attend_anew(&self) {
        self.news.notify_one();
    }

    /// What is asked for, which then is asked for no more.
    pub(super) fn take(&self) -> BTreeMap<u32, Asked> {
        std::mem::take(&mut *self.all())
    }

    /// Waits until something is asked for. A burst of wishes is one.
    pub(super) async fn news(&self) {
        self.news.notified().await;
        sleep(Duration::from_millis(5)).await;
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) async fn wait(&self, ready: impl Fn() -> usize) {
        while Self::is_full(ready()) {
            self.is_wanted.store(true, Ordering::Release);
            self.made.notified().await;
        }
    }
}
