//! One run: the real engine in a simulated world, from the first message to the last.

mod end;

use crate::bounds::Bounds;
use crate::clock::Clock;
use crate::ledger::{Book, Counts, Goes, Order, Seen};
use crate::plan::{Event, KINDS, LastOrder, Life, Plan, Spec};
use crate::queue::Watched;
use crate::target::{Pager, Simulated, Weather};
use crate::tasks::Tasks;
use maildirq::engine::{
    Condition, Conditions, Destination, Engine, Fact, MemoryQueue, Rate, Route, Routes, SizeBound, Stop, StopHandle,
    Target, Terms, Test, Until, Way, When,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// What came of a run.
pub struct Ended {
    pub fault: Option<String>,
    pub counts: Counts,
    pub trace: Option<String>,
}

struct World {
    clock: Clock,
    book: Book,
    memory: MemoryQueue,
    queue: Watched,
    weather: Arc<Mutex<Weather>>,
    /// Decides what a person or the world does.
    dice: fastrand::Rng,
    /// Decides who goes on next.
    order: fastrand::Rng,
    letters: Vec<char>,
    events: BTreeMap<(Duration, usize), Event>,
    planned: usize,
    destinations: BTreeMap<char, (usize, Arc<Destination>)>,
}

/// A process.
struct Process {
    engine: Arc<Engine>,
    tasks: Tasks,
    stop: StopHandle,
    until: Until,
    lanes: usize,
    began: SystemTime,
    deadline: Option<Duration>,
    is_killed: bool,
}

/// Runs what a seed draws.
pub fn run(seed: u64, traced: bool) -> Ended {
    let mut dice = fastrand::Rng::with_seed(seed);
    let plan = Plan::draw(&mut dice);
    let clock = Clock::new();
    let book = Book::new(clock.clone(), traced);
    book.open().tell(format_args!("{plan:#?}"));
    let memory = MemoryQueue::default();
    let per_letter = |times: &[Duration]| plan.letters.iter().copied().zip(times.iter().copied()).collect();
    let weather = Weather {
        dice: dice.fork(),
        timeouts: per_letter(&plan.timeouts),
        outages: plan.letters.iter().copied().zip(plan.outages.iter().cloned()).collect(),
        tempers: BTreeMap::new(),
        trouble: plan.trouble,
        is_calm: false,
    };
    let mut world = World {
        queue: Watched::new(memory.clone(), book.clone(), clock.clone(), dice.fork()),
        weather: Arc::new(Mutex::new(weather)),
        order: dice.fork(),
        letters: plan.letters,
        events: BTreeMap::new(),
        planned: 0,
        destinations: BTreeMap::new(),
        clock,
        book,
        memory,
        dice,
    };
    world.plan(plan.arrivals);
    world.queue.set_troubles(plan.troubles);
    for life in plan.lives {
        world.live(life);
    }
    world.come_to_rest(plan.last_lanes);
    let mut ledger = world.book.open();
    Ended { fault: ledger.fault.take(), counts: std::mem::take(&mut ledger.counts), trace: ledger.trace.take() }
}

/// Which messages are of a kind: kinds differ by size.
fn is_of_kind(kind: usize) -> When {
    static KNOWN: OnceLock<Vec<When>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let size = |bound: String| {
            let bound: SizeBound = bound.parse().expect("a bound");
            Condition { fact: Fact::Size, test: Test::Size(bound) }
        };
        (0..KINDS).map(|kind| When::all(vec![size(format!(">{kind}")), size(format!("<={}", kind + 1))])).collect()
    });
    known[kind].clone()
}

impl World {
    fn plan(&mut self, events: impl IntoIterator<Item = (Duration, Event)>) {
        let now = self.clock.elapsed();
        for (at, event) in events {
            self.planned += 1;
            self.events.insert((now + at, self.planned), event);
        }
    }

    fn is_well(&self) -> bool {
        self.book.open().fault.is_none()
    }

    fn destination(&mut self, letter: char) -> (usize, Arc<Destination>) {
        let spec = Spec::draw(&mut self.dice);
        let mut ledger = self.book.open();
        let index = ledger.targets.len();
        ledger.tell(format_args!("{letter}{index} is {spec:?}"));
        let bounds = Bounds::new(spec.limit, spec.interval, spec.breaker.clone());
        ledger.targets.push(Seen { letter, bounds, retry: spec.retry.clone() });
        drop(ledger);
        let (clock, book) = (self.clock.clone(), self.book.clone());
        let target = Simulated { clock, book, weather: Arc::clone(&self.weather), letter, index };
        let pager = spec.on_dead.map(|takes| {
            let (clock, book) = (self.clock.clone(), self.book.clone());
            Box::new(Pager { clock, book, index, takes }) as Box<dyn Target>
        });
        let terms = Terms {
            limit: spec.limit,
            rate: spec.interval.and_then(|interval| Rate::new(1, interval)),
            retry: spec.retry,
            breaker: spec.breaker,
            on_dead: pager,
        };
        (index, Arc::new(Destination::new(letter.to_string(), vec![Box::new(target)], terms)))
    }

    /// Other routes; some of the targets stay.
    fn routes(&mut self) -> (Routes, Vec<Goes>) {
        let mut destinations = BTreeMap::new();
        for letter in self.letters.clone() {
            let is_kept = self.dice.bool();
            let kept = self.destinations.remove(&letter).filter(|_| is_kept);
            if kept.is_some() || destinations.is_empty() || self.dice.u32(..4) > 0 {
                destinations.insert(letter, kept.unwrap_or_else(|| self.destination(letter)));
            }
        }
        let mut routes = Vec::new();
        let goes: Vec<_> = (0..KINDS)
            .map(|kind| {
                let (goes, way) = match self.dice.u32(..12) {
                    0 => return Goes::Nowhere,
                    1 => (Goes::Ignored, Way::Ignore),
                    _ => {
                        let chosen = self.dice.usize(..destinations.len());
                        let (index, destination) = destinations.values().nth(chosen).expect("it is one of them");
                        (Goes::To(*index), Way::To(Arc::clone(&destination.name)))
                    }
                };
                routes.push(Route { name: kind.to_string().into(), when: is_of_kind(kind), way });
                goes
            })
            .collect();
        self.destinations = destinations;
        let all = self.destinations.values().map(|(_, destination)| Arc::clone(destination)).collect();
        (Routes::new(all, routes), goes)
    }

    fn start(&mut self, until: Until, lanes: usize) -> Process {
        self.destinations.clear();
        let (routes, goes) = self.routes();
        {
            let mut ledger = self.book.open();
            (ledger.routes, ledger.tries_once) = (goes, until == Until::Drained);
            ledger.tell(format_args!("a process starts: {until:?}, {lanes} lanes"));
        }
        let (stop, stops) = Stop::new();
        let (wall, steady, sleeper) = (self.clock.clone(), self.clock.clone(), self.clock.clone());
        let chance = Mutex::new(self.dice.fork());
        let conditions = Conditions {
            now: Box::new(move || wall.wall()),
            instant: Box::new(move || steady.instant()),
            sleep: Box::new(move |time| Box::pin(sleeper.sleep(time))),
            dice: Box::new(move || {
                let mut dice = chance.lock().unwrap_or_else(PoisonError::into_inner);
                [0.0, 0.999, dice.f64()][dice.usize(..3)]
            }),
        };
        let engine = Arc::new(Engine::new(Arc::new(self.queue.clone()), routes, until, stops, conditions));
        let mut tasks = Tasks::default();
        for lane in 0..lanes {
            let engine = Arc::clone(&engine);
            tasks.spawn(async move { engine.work(lane, lanes).await });
        }
        let overseer = Arc::clone(&engine);
        tasks.spawn(async move { overseer.oversee().await });
        let began = self.clock.wall();
        Process { engine, tasks, stop, until, lanes, began, deadline: None, is_killed: false }
    }

    /// One process from its start to its end.
    fn live(&mut self, life: Life) {
        if !self.is_well() {
            return;
        }
        self.plan(life.events);
        let mut process = self.start(life.until, life.lanes);
        self.work(&mut process, life.crash_after);
        self.events.retain(|_, event| matches!(event, Event::Arrival { .. }));
        self.end(process);
    }

    fn work(&mut self, process: &mut Process, crash_after: Option<u64>) {
        /// No run needs as many; whoever needs more is going round in circles.
        const MOST_STEPS: u64 = 300_000;
        for step in 0..MOST_STEPS {
            if crash_after == Some(step) {
                process.is_killed = true;
            }
            if process.is_killed || !self.is_well() {
                return;
            }
            if process.tasks.step(&mut self.order) {
                continue;
            }
            if process.tasks.have_ended(process.lanes) {
                return;
            }
            self.look(process);
            let next_event = self.events.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = next_event.into_iter().chain(self.clock.next_timer()).min() else {
                return self.book.open().must_not_be(format_args!("nothing will ever happen again"));
            };
            self.clock.go_to(next);
            if next_event.is_some_and(|at| at <= next) {
                let (_, event) = self.events.pop_first().expect("it was looked at");
                self.happen(event, process);
            }
        }
        self.book.open().must_not_be(format_args!("it goes round in circles"));
    }

    /// What must be true whenever nobody can go on without time passing.
    fn look(&self, process: &Process) {
        let (now, wall) = (self.clock.elapsed(), self.clock.wall());
        let suffers = self.queue.suffers();
        let mut ledger = self.book.open();
        if process.deadline.is_some_and(|deadline| now > deadline) {
            ledger.must_not_be(format_args!("told to end, it does not"));
        }
        if ledger.order == Order::Run && !suffers {
            let horizon = if process.until == Until::Drained { process.began.min(wall) } else { wall };
            ledger.nothing_waits_in_vain(horizon);
        } else {
            ledger.targets.iter_mut().for_each(|target| target.bounds.idle_since = None);
        }
    }

    fn happen(&mut self, event: Event, process: &mut Process) {
        self.book.open().tell(format_args!("{event:?}"));
        match event {
            Event::Arrival { kind, temper } => {
                let id = self.memory.push(vec![b'x'; kind + 1]);
                self.weather.lock().unwrap_or_else(PoisonError::into_inner).tempers.insert(id, temper);
                self.book.open().deliver(id, kind);
            }
            Event::Quiet => {
                process.stop.quiet();
                self.ordered(Order::Quiet);
            }
            Event::Resume => {
                process.stop.resume();
                let mut ledger = self.book.open();
                if ledger.order == Order::Quiet {
                    ledger.order = Order::Run;
                }
            }
            Event::Reload => {
                let (routes, goes) = self.routes();
                let book = self.book.clone();
                process.engine.reroute(routes, || book.open().routes = goes);
                self.book.open().count("reloads");
            }
            Event::SetWall { forward, by } => {
                self.clock.set_wall(forward, by);
                self.book.open().tries_once &= forward;
                // As the upkeep of a queue does.
                process.engine.exchange(|| {});
            }
            Event::Pause(letter) => self.pause(letter, true),
            Event::Unpause(letter) => self.pause(letter, false),
            Event::Last(LastOrder::Crash) => process.is_killed = true,
            Event::Last(LastOrder::Finish) => {
                process.stop.finish();
                self.ordered(Order::Finish);
                let busy_until = self.book.open().busy_until.max(self.clock.elapsed());
                process.deadline.get_or_insert(busy_until + Duration::from_secs(15));
            }
            Event::Last(LastOrder::Now) => {
                process.stop.now();
                self.ordered(Order::Now);
                process.deadline = Some(self.clock.elapsed() + Duration::from_secs(3));
            }
        }
    }

    fn ordered(&self, order: Order) {
        let mut ledger = self.book.open();
        ledger.order = ledger.order.max(order);
    }

    fn pause(&self, letter: char, is_paused: bool) {
        self.memory.pause(&letter.to_string(), is_paused);
        let mut ledger = self.book.open();
        if is_paused {
            ledger.paused.insert(letter);
        } else {
            ledger.paused.remove(&letter);
        }
    }
}
