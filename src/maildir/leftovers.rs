//! Messages that their target has taken and that could not be removed.
//!
//! Sent again they would come twice. So their locks are kept, and only their removal is tried again;
//! and while nothing can be removed, nothing more is delivered.

use super::backlog::Key;
use super::claim::{Locked, in_new};
use super::lease;
use super::names::shown;
use super::served::Maildir;
use super::story;
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many there may be before nothing more is delivered.
const MOST: usize = 32;

/// What is left over.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<VecDeque<(Key, Locked)>>);

impl Leftovers {
    fn list(&self) -> MutexGuard<'_, VecDeque<(Key, Locked)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maildir {
    /// Remembers a message that could not be removed.
    pub(super) fn remove_later(&self, key: Key, locked: Locked) {
        self.leftovers.list().push_back((key, locked));
    }

    /// Whether messages may be claimed, as far as removals go.
    ///
    /// # Errors
    /// What would be delivered could not be removed afterwards.
    pub(super) fn check_leftovers(&self) -> io::Result<()> {
        let count = self.leftovers.list().len();
        if count > 0 {
            self.layout.check_writable()?;
        }
        if count < MOST { Ok(()) } else { self.remove_leftovers() }
    }

    /// Tries to remove them all.
    ///
    /// # Errors
    /// There are still so many that nothing may be delivered.
    pub(super) fn remove_leftovers(&self) -> io::Result<()> {
        let mut leftovers = self.leftovers.list();
        let mut last_error = None;
        for _ in 0..leftovers.len() {
            let Some((key, locked)) = leftovers.pop_front() else { break };
            match self.remove_leftover(&locked) {
                Ok(()) => self.common.backlog().forget(key),
                Err(error) => {
                    last_error = Some(self.layout.error(&*in_new(&locked.name), error));
                    leftovers.push_back((key, locked));
                }
            }
        }
        match last_error {
            Some(error) if leftovers.len() >= MOST => Err(error),
            _ => Ok(()),
        }
    }

    fn remove_leftover(&self, locked: &Locked) -> io::Result<()> {
        // Where somebody else has moved it away, there is nothing left to remove.
        if !matches!(locked.is_in_place(&self.layout), Ok(false)) {
            lease::remove(self, &locked.name)?;
        }
        story::remove(self.layout.root(), locked.id)
    }

    /// Says, at the end, what will come again.
    pub(super) fn complain_of_leftovers(&self) {
        for (_, locked) in self.leftovers.list().iter() {
            let (id, file) = (locked.id, shown(&locked.name));
            tracing::error!(event = "not_removed", %id, file, "its target has it, but it cannot be removed: it will come again");
        }
    }
}
