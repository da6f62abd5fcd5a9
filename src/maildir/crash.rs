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
pub(super) use armed::{arm, is_dead, point, witness};

#[cfg(test)]
mod armed {
    use super::io;
    use std::cell::{Cell, RefCell};

    /// Whoever is told of each point that is reached.
    type Witness = Box<dyn FnMut(&'static str)>;

    thread_local! {
        static WITNESS: RefCell<Option<Witness>> = const { RefCell::new(None) };
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static CRASHED: Cell<bool> = const { Cell::new(false) };
    }

    /// Crashes at the `nth` point from here (from 0), or nowhere.
    pub(in super::super) fn arm(nth: Option<u32>) {
        LEFT.set(nth);
        CRASHED.set(false);
    }

    /// From here on this one is told of each point, or nobody.
    pub(in super::super) fn witness(witness: Option<Witness>) {
        WITNESS.set(witness);
    }

    /// Whether the armed point was reached.
    pub(in super::super) fn is_dead() -> bool {
        CRASHED.get()
    }

    pub(in super::super) fn point(name: &'static str) -> io::Result<()> {
        WITNESS.with_borrow_mut(|witness| {
            if let Some(witness) = witness {
                witness(name);
            }
        });
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
