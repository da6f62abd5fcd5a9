//! Places at which a test lets this process die.
//!
//! Outside of unit tests a point is nothing at all. In them, an armed point ends what is under way
//! as a kill would: by an error that nobody cleans up after.

use std::io;

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
pub(super) fn point(_name: &'static str) -> io::Result<()> {
    Ok(())
}

/// Whether this process counts as dead, so that nothing may be cleaned up.
#[cfg(not(test))]
pub(super) fn is_dead() -> bool {
    false
}

#[cfg(test)]
pub(super) use armed::{arm, is_dead, point};

#[cfg(test)]
mod armed {
    use super::io;
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static CRASHED: Cell<bool> = const { Cell::new(false) };
    }

    /// Crashes at the `nth` point from here (from 0), or nowhere.
    pub(in super::super) fn arm(nth: Option<u32>) {
        LEFT.set(nth);
        CRASHED.set(false);
    }

    /// Whether the armed point was reached.
    pub(in super::super) fn is_dead() -> bool {
        CRASHED.get()
    }

    pub(in super::super) fn point(name: &'static str) -> io::Result<()> {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                CRASHED.set(true);
            }
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
        if CRASHED.get() { Err(io::Error::other(format!("killed {name}"))) } else { Ok(()) }
    }
}
