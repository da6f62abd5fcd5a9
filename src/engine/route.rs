//! Which target a message goes to.

use super::gate::{BreakerPolicy, Gate};
use super::message::Message;
use super::retry::RetryPolicy;
use super::target::Target;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A target with all that the engine keeps about it.
pub struct Destination {
    /// Its name.
    pub name: Arc<str>,
    /// How its failures are tried again.
    pub retry: RetryPolicy,
    lanes: Vec<Box<dyn Target>>,
    gate: Mutex<Gate>,
}

impl Destination {
    /// A destination that gets at most `limit` attempts at a time. `lanes` holds one target for
    /// each lane of the engine, so that connections need not be shared between threads.
    pub fn new(
        name: impl Into<Arc<str>>,
        lanes: Vec<Box<dyn Target>>,
        limit: usize,
        retry: RetryPolicy,
        breaker: BreakerPolicy,
    ) -> Self {
        assert!(!lanes.is_empty(), "a destination needs a target");
        Destination { name: name.into(), retry, lanes, gate: Mutex::new(Gate::new(limit, breaker)) }
    }

    pub(super) fn target(&self, lane: usize) -> &dyn Target {
        &*self.lanes[lane % self.lanes.len()]
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Picks the destination of a message, by its place in the list.
type Chooser = Box<dyn Fn(&Message) -> usize + Send + Sync>;

/// All destinations, and the way to them.
pub struct Routes {
    destinations: Vec<Destination>,
    choose: Chooser,
}

impl Routes {
    /// Everything goes to the one destination.
    pub fn all_to(destination: Destination) -> Self {
        Routes::new(vec![destination], |_| 0)
    }

    /// `choose` says to which of the destinations, by place, a message goes.
    pub fn new(destinations: Vec<Destination>, choose: impl Fn(&Message) -> usize + Send + Sync + 'static) -> Self {
        assert!(!destinations.is_empty(), "there is nowhere to go");
        Routes { destinations, choose: Box::new(choose) }
    }

    pub(super) fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    pub(super) fn route(&self, message: &Message) -> &Destination {
        &self.destinations[(self.choose)(message)]
    }
}
