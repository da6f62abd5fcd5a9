//! All Maildirs of this process in the role of one [`Queue`].

use super::common::{Common, Settings};
use super::history;
use super::layout::Layout;
use super::served::{Maildir, Options};
use super::stock::Stock;
use super::upkeep::Upkeep;
use super::writer;
use crate::engine::{Bell, BoxFuture, Claim, Nobody, Observer, Outlook, Queue};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

/// How often everything is searched while events cannot be read.
const DEAF: Duration = Duration::from_secs(1);

/// Maildirs as a queue.
pub struct MaildirQueue {
    common: Arc<Common>,
    opened: AtomicU32,
}

impl MaildirQueue {
    /// A queue that serves no Maildir yet.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(settings: Settings) -> io::Result<Self> {
        MaildirQueue::observed(settings, Arc::new(Nobody))
    }

    /// The same, with somebody who looks on.
    ///
    /// # Errors
    /// As [`MaildirQueue::new`].
    pub fn observed(settings: Settings, observer: Arc<dyn Observer>) -> io::Result<Self> {
        writer::disarm_lease_signal()?;
        Ok(MaildirQueue { common: Arc::new(Common::new(settings, observer)?), opened: AtomicU32::new(0) })
    }

    /// A queue that serves this one Maildir.
    ///
    /// # Errors
    /// As [`MaildirQueue::prepare`].
    pub fn of_one(layout: Layout, options: Options, settings: Settings) -> io::Result<Self> {
        let queue = MaildirQueue::new(settings)?;
        queue.serve(vec![queue.prepare(layout, options)?]);
        Ok(queue)
    }

    /// Makes ready to serve an opened Maildir; [`serve`](MaildirQueue::serve) begins with it.
    ///
    /// # Errors
    /// The disk.
    pub fn prepare(&self, layout: Layout, options: Options) -> io::Result<Arc<Maildir>> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        Maildir::new(number, layout, options, Arc::clone(&self.common)).map(Arc::new)
    }

    /// The Maildir at this path, where it is served with just these options and still is the folder
    /// that was opened.
    pub fn find(&self, path: &Path, options: &Options) -> Option<Arc<Maildir>> {
        let found = self.common.served().at(path).cloned();
        found.filter(|maildir| maildir.options == *options && maildir.layout.check_in_place().is_ok())
    }

    /// How many Maildirs are served.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.common.served().all().count()
    }

    /// Whether events tell of the mail of all Maildirs; else some are searched each second.
    pub fn is_watched(&self) -> bool {
        self.common.served().all().all(|maildir| maildir.is_watched.load(Ordering::Relaxed))
    }

    /// The targets that a person has paused in some Maildir, as far as that is known here.
    pub fn paused_targets(&self) -> BTreeSet<String> {
        let served: Vec<_> = self.common.served().all().cloned().collect();
        let told = |maildir: &Arc<Maildir>| {
            let told = maildir.told_paused.lock().unwrap_or_else(PoisonError::into_inner);
            told.keys().filter_map(|target| target.to_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        served.iter().flat_map(told).collect()
    }

    /// How much there is in each Maildir. It lists folders, which takes as long as the disk does.
    pub fn stocks(&self) -> Vec<Stock> {
        let served: Vec<_> = self.common.served().all().cloned().collect();
        served.iter().map(|maildir| maildir.stock()).collect()
    }

    /// The paths of all Maildirs that are served.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.common.served().all().map(|maildir| maildir.layout.path().to_owned()).collect()
    }

    /// Serves these Maildirs from now on, and no others. What is in hand of others is worked on to
    /// its end.
    pub fn serve(&self, maildirs: Vec<Arc<Maildir>>) {
        self.common.serve(maildirs);
    }

    /// Writes what is to be remembered of done mail, now and then.
    async fn write_histories(&self) {
        loop {
            self.common.history_begun.notified().await;
            tokio::select! {
                () = tokio::time::sleep(history::INTERVAL) => {}
                () = self.common.history_full.notified() => {}
            }
            let served: Vec<_> = self.common.served().all().cloned().collect();
            for maildir in served {
                maildir.write_history();
            }
        }
    }

    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    #[cfg(test)]
    pub(super) fn only(&self) -> Arc<Maildir> {
        Arc::clone(self.common.served().all().next().expect("it serves one"))
    }
}

impl Drop for MaildirQueue {
    fn drop(&mut self) {
        // Somebody may still hold one for a moment (a sweep, an event), but this is the end.
        self.common.served().all().for_each(|maildir| maildir.close());
        // Maildirs hold what they share, and are held by it.
        self.common.serve(Vec::new());
    }
}

impl Queue for MaildirQueue {
    fn claim(&self, by: SystemTime, open: &dyn Fn(&str) -> bool) -> Option<Claim> {
        loop {
            let (candidate, ready) = {
                let mut backlog = self.common.backlog();
                (backlog.take(by, open), backlog.ready_count())
            };
            self.common.room.left(ready);
            let candidate = candidate?;
            let maildir = self.common.served().get(candidate.key.maildir).cloned();
            if let Some(claim) = maildir.and_then(|maildir| maildir.take(candidate)) {
                return Some(claim);
            }
        }
    }

    fn parked(&self, target: &str) -> usize {
        self.common.backlog().parked_under(target)
    }

    fn release_parked(&self) {
        self.common.backlog().release_parked(SystemTime::now());
    }

    fn fault(&self) -> Option<String> {
        self.common.served().all().find_map(|maildir| maildir.fault())
    }

    fn is_stuck(&self) -> bool {
        self.common.backlog().is_stuck()
    }

    fn outlook(&self, by: SystemTime) -> Outlook {
        let mut backlog = self.common.backlog();
        Outlook {
            ready: backlog.has_ready(by),
            searching: self.common.is_searching.load(Ordering::Acquire),
            parked: backlog.parked_count(),
            next_due: backlog.next_due(),
            buried: self.common.buried.load(Ordering::Relaxed),
        }
    }

    fn bell(&self) -> &Bell {
        &self.common.bell
    }

    fn listen(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let arrivals = self.common.arrivals_begun().await;
            loop {
                if let Err(error) = arrivals.listen(&self.common).await {
                    tracing::warn!(event = "watch_failed", reason = %error);
                }
                tokio::time::sleep(DEAF).await;
                self.common.search_all();
            }
        })
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        let upkeep = Upkeep::new(Arc::clone(&self.common)).run();
        Box::pin(async { tokio::join!(upkeep, self.write_histories()).0 })
    }
}
