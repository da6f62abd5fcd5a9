//! The background fsync of changed directories.
//!
//! A removal that a power cut undoes is a duplicate. One fsync for each would cost milliseconds; one
//! for a tenth of a second's worth costs next to nothing, and bounds how much can come back.

use super::layout::{DEAD, DONE, Layout};
use rustix::fs::{Mode, OFlags, fsync, openat};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest that a change waits for its fsync to begin.
const INTERVAL: Duration = Duration::from_millis(100);
/// How many changes make it begin at once.
const CHANGES: u32 = 100;

/// A directory that messages leave or enter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Changed {
    New,
    Dead,
    Done,
}

const FOLDERS: [(&str, &str); 3] = [("new", ""), (DEAD, "/new"), (DONE, "/new")];

/// What has changed in one Maildir.
#[derive(Debug)]
struct Dirty {
    layout: Arc<Layout>,
    folders: [bool; FOLDERS.len()],
}

/// The thread that does it; ends, with all written back, when dropped.
#[derive(Debug)]
pub(super) struct Sync {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    dirty: BTreeMap<u32, Dirty>,
    changes: u32,
    is_over: bool,
}

impl Sync {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("sync".into()).spawn(move || write_back(&theirs))?;
        Ok(Sync { shared, thread: Some(thread) })
    }

    /// Notes a change that should survive a power cut.
    pub(super) fn note(&self, maildir: u32, layout: &Arc<Layout>, folder: Changed) {
        let mut state = self.shared.state();
        let clean = || Dirty { layout: Arc::clone(layout), folders: Default::default() };
        state.dirty.entry(maildir).or_insert_with(clean).folders[folder as usize] = true;
        state.changes += 1;
        let wakes = state.changes == 1 || state.changes == CHANGES;
        drop(state);
        if wakes {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(event = "sync_failed", "the thread that writes directories back has panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for changes, then a little for more of them. None at the end.
    fn wait(&self) -> Option<Vec<Dirty>> {
        let mut state = self.state();
        while state.changes == 0 {
            if state.is_over {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_early = |state: &mut State| state.changes < CHANGES && !state.is_over;
        let (mut state, _) =
            self.changed.wait_timeout_while(state, INTERVAL, is_early).unwrap_or_else(PoisonError::into_inner);
        state.changes = 0;
        Some(std::mem::take(&mut state.dirty).into_values().collect())
    }
}

fn write_back(shared: &Shared) {
    while let Some(dirty) = shared.wait() {
        for Dirty { layout, folders } in dirty {
            for ((folder, part), _) in FOLDERS.iter().zip(folders).filter(|(_, dirty)| *dirty) {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let synced = openat(layout.root(), format!("{folder}{part}"), flags, Mode::empty()).and_then(fsync);
                if let Err(error) = synced {
                    tracing::warn!(event = "sync_failed", reason = %layout.error(folder, error), "after a power cut, messages may come twice");
                }
            }
        }
    }
}
