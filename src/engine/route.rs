//! Which target a message goes to.

use super::gate::{BreakerPolicy, Gate, Health};
use super::message::Message;
use super::pace::Rate;
use super::retry::RetryPolicy;
use super::rule::When;
use super::sight::Sight;
use super::target::Target;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The terms on which a target is given messages.
pub struct Terms {
    /// How many attempts it gets at a time.
    pub limit: usize,
    /// How many attempts begin in a time.
    pub rate: Option<Rate>,
    /// How its failures are tried again.
    pub retry: RetryPolicy,
    /// When it counts as down.
    pub breaker: BreakerPolicy,
    /// What is told of each message for it that has died.
    pub on_dead: Option<Box<dyn Target>>,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { limit: 8, rate: None, retry: RetryPolicy::default(), breaker: BreakerPolicy::default(), on_dead: None }
    }
}

/// How it stands with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub health: Health,
    /// How many attempts are under way.
    pub busy: usize,
    /// How many may be.
    pub limit: usize,
    /// How long until the next probe, where it is down and none is under way.
    pub next_probe: Option<Duration>,
}

/// A target with all that the engine keeps about it.
pub struct Destination {
    /// Its name.
    pub name: Arc<str>,
    pub(super) retry: RetryPolicy,
    pub(super) on_dead: Option<Box<dyn Target>>,
    limit: usize,
    lanes: Vec<Box<dyn Target>>,
    gate: Mutex<Gate>,
}

impl Destination {
    /// `lanes` holds one target for each lane of the engine, so that connections need not be shared
    /// between threads.
    pub fn new(name: impl Into<Arc<str>>, lanes: Vec<Box<dyn Target>>, terms: Terms) -> Self {
        assert!(!lanes.is_empty(), "a destination needs a target");
        let Terms { limit, rate, retry, breaker, on_dead } = terms;
        let limit = limit.max(1);
        Destination {
            name: name.into(),
            retry,
            on_dead,
            limit,
            lanes,
            gate: Mutex::new(Gate::new(limit, rate, breaker)),
        }
    }

    /// How it stands with the target now.
    pub fn standing(&self, now: Instant) -> Standing {
        let gate = self.gate();
        let health = gate.health();
        let probe = gate.opens_at().filter(|_| health == Health::Down);
        let next_probe = probe.map(|at| at.saturating_duration_since(now));
        Standing { health, busy: gate.in_flight(), limit: self.limit, next_probe }
    }

    pub(super) fn target(&self, lane: usize) -> &dyn Target {
        &*self.lanes[lane % self.lanes.len()]
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the target of this name.
    To(Arc<str>),
    /// Nowhere: the message is taken, and then removed or kept as its queue has it.
    Ignore,
}

impl Way {
    /// The name of the target that is none.
    pub const IGNORE: &str = "ignore";

    /// The name of the target.
    pub fn target(&self) -> &str {
        match self {
            Way::To(name) => name,
            Way::Ignore => Way::IGNORE,
        }
    }
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// For which messages.
    pub when: When,
    /// Where to.
    pub way: Way,
}

impl Route {
    /// The first of these routes that is for the message: the one that counts.
    ///
    /// # Errors
    /// The message has to be read as a whole for that, and cannot be.
    pub fn first_for<'a>(routes: &'a [Route], message: &Message) -> io::Result<Option<&'a Route>> {
        let sight = Sight::of(message);
        for route in routes {
            if route.when.matches(&sight)? {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }
}

/// All destinations, and the routes to them; the first that matches counts.
pub struct Routes {
    destinations: BTreeMap<Arc<str>, Arc<Destination>>,
    routes: Vec<Route>,
}

/// What was found for a message.
pub(super) enum Found<'a> {
    /// A route to this destination.
    To(&'a Route, &'a Arc<Destination>),
    /// A person has chosen this destination; the routes were not asked.
    Chosen(&'a Arc<Destination>),
    /// A route to nowhere.
    Ignore(&'a Route),
    /// No route.
    Nothing,
    /// Nobody can tell: the message cannot be read.
    Unreadable(io::Error),
}

impl Routes {
    /// Everything goes to the one destination.
    pub fn all_to(destination: Destination) -> Self {
        let route = Route { name: "".into(), when: When::default(), way: Way::To(Arc::clone(&destination.name)) };
        Routes::new(vec![Arc::new(destination)], vec![route])
    }

    /// These routes to these destinations.
    ///
    /// # Panics
    /// A route leads to a destination that is not there.
    pub fn new(destinations: Vec<Arc<Destination>>, routes: Vec<Route>) -> Self {
        let destinations: BTreeMap<_, _> =
            destinations.into_iter().map(|destination| (Arc::clone(&destination.name), destination)).collect();
        for route in &routes {
            let leads_somewhere = !matches!(&route.way, Way::To(name) if !destinations.contains_key(name));
            assert!(leads_somewhere, "{route:?} leads nowhere");
        }
        Routes { destinations, routes }
    }

    /// All destinations.
    pub fn destinations(&self) -> impl Iterator<Item = &Arc<Destination>> {
        self.destinations.values()
    }

    /// How many attempts all destinations together get at a time.
    pub fn limit(&self) -> usize {
        self.destinations().map(|destination| destination.limit).sum()
    }

    pub(super) fn find(&self, message: &Message) -> Found<'_> {
        // One that is gone meanwhile is nobody's choice any more.
        if let Some(chosen) = message.history.target.as_ref().and_then(|target| self.destinations.get(target)) {
            return Found::Chosen(chosen);
        }
        match Route::first_for(&self.routes, message) {
            Ok(Some(route)) => match &route.way {
                Way::To(name) => Found::To(route, &self.destinations[name]),
                Way::Ignore => Found::Ignore(route),
            },
            Ok(None) => Found::Nothing,
            Err(error) => Found::Unreadable(error),
        }
    }
}
