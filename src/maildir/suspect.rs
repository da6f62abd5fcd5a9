//! Of the mail that a process has died over only one is read at a time.
//!
//! Whoever dies takes the blame to all that it reads at that moment. What was read beside the mail that kills would
//! come back together with it, be blamed again, and be set aside in the end. So whatever was blamed once is read by
//! itself: of a second death it is innocent, unless it is the cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process reads a suspect.
#[derive(Debug, Default)]
pub(super) struct Suspects(Arc<AtomicBool>);

/// The right to read one, as long as it is there.
#[derive(Debug)]
pub(super) struct Turn(Arc<AtomicBool>);

impl Suspects {
    /// None while another one is being read.
    pub(super) fn turn(&self) -> Option<Turn> {
        let is_taken = self.0.swap(true, Ordering::AcqRel);
        (!is_taken).then(|| Turn(Arc::clone(&self.0)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
