//! Waiting for something to happen, never for time to pass.

use std::fmt::Display;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded CI machine, short enough that a hung test ends.
pub const SOON: Duration = Duration::from_secs(20);

const GLANCE: Duration = Duration::from_millis(2);

/// Returns once `cond` holds; panics at the deadline, saying what it waited for.
#[track_caller]
pub fn wait_until(what: impl Display, deadline: Duration, cond: impl FnMut() -> bool) {
    assert!(comes_true(deadline, cond), "waited {deadline:?} in vain: {what}");
}

/// The same for a value that is not there yet.
#[track_caller]
pub fn wait_for<T>(what: impl Display, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until(what, deadline, || {
        found = look();
        found.is_some()
    });
    found.expect("the wait ended because it was found")
}

/// The opposite of waiting: nothing may change for this long.
#[track_caller]
pub fn holds_for(what: impl Display, period: Duration, mut cond: impl FnMut() -> bool) {
    let start = Instant::now();
    let broken = comes_true(period, || !cond());
    assert!(!broken, "held for {:?} only, not {period:?}: {what}", start.elapsed());
}

/// Whether `cond` came true in time.
pub fn comes_true(deadline: Duration, mut cond: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if cond() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(GLANCE);
    }
}

/// Holds threads up until it is opened; it never closes again.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn closed() -> Gate {
        Gate::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    /// Waits for the gate to open, at most this long; says whether it is open.
    pub fn opens_within(&self, patience: Duration) -> bool {
        let open = self.0.0.lock().unwrap();
        let (open, _) = self.0.1.wait_timeout_while(open, patience, |open| !*open).unwrap();
        *open
    }
}
