//! Simulated time: a clock that only goes forward, a wall clock that may be set, and those who wait.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

/// Both clocks; clones are the same.
#[derive(Clone)]
pub struct Clock(Arc<Mutex<State>>);

struct State {
    zero: Instant,
    elapsed: Duration,
    wall_at_zero: SystemTime,
    /// The wall clock is read to the nanosecond: no two readings are the same.
    readings: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    timers_made: u64,
}

impl Clock {
    /// Time begins, at the same time of the wall clock for every seed.
    pub fn new() -> Self {
        let wall_at_zero = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        let (zero, elapsed, timers) = (Instant::now(), Duration::ZERO, BTreeMap::new());
        Clock(Arc::new(Mutex::new(State { zero, elapsed, wall_at_zero, readings: 0, timers, timers_made: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since time began, by the clock that only goes forward.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    pub fn instant(&self) -> Instant {
        let state = self.state();
        state.zero + state.elapsed
    }

    pub fn wall(&self) -> SystemTime {
        let mut state = self.state();
        state.readings += 1;
        state.wall_at_zero + state.elapsed + Duration::from_nanos(state.readings)
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, forward: bool, by: Duration) {
        let mut state = self.state();
        if forward {
            state.wall_at_zero += by;
        } else {
            state.wall_at_zero -= by;
        }
    }

    pub fn sleep(&self, time: Duration) -> Sleep {
        let until = self.state().elapsed + time;
        Sleep { clock: self.clone(), until, key: None }
    }

    /// When the first of those who wait is to be woken.
    pub fn next_timer(&self) -> Option<Duration> {
        self.state().timers.first_key_value().map(|((until, _), _)| *until)
    }

    /// Lets time pass, and wakes who waited for it.
    pub fn go_to(&self, time: Duration) {
        let mut state = self.state();
        state.elapsed = state.elapsed.max(time);
        let later = state.timers.split_off(&(time, u64::MAX));
        let woken = std::mem::replace(&mut state.timers, later);
        drop(state);
        woken.into_values().for_each(Waker::wake);
    }
}

/// Waits for a time.
pub struct Sleep {
    clock: Clock,
    until: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.state();
        if state.elapsed >= self.until {
            return Poll::Ready(());
        }
        state.timers_made += 1;
        let key = self.key.unwrap_or((self.until, state.timers_made));
        state.timers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.state().timers.remove(&key);
        }
    }
}
