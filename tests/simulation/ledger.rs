//! What is true of each message: the reference for the engine. Whatever the engine does to a target
//! or to the queue is entered here first, and the first thing that must not be is remembered.

mod settlements;

use crate::bounds::{Bounds, Sign};
use crate::clock::Clock;
use maildirq::engine::{History, Id, Message, Outcome, Report, RetryPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Where mail of one kind goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// To the target with this place in [`Ledger::targets`].
    To(usize),
    Ignored,
    Nowhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It may be claimed from this time on.
    Waiting(Option<SystemTime>),
    Held,
    /// The queue could not settle it, and is still at it.
    Detained,
    Gone,
    Dead,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum End {
    Answered(Outcome),
    Panicked,
    CutOff,
}

/// An attempt that has ended, and what was known then.
#[derive(Debug)]
struct Ended {
    target: usize,
    end: End,
    took_another: bool,
    is_unwell: bool,
}

#[derive(Debug)]
pub struct Known {
    pub kind: usize,
    pub place: Place,
    attempt: Option<(u64, usize)>,
    ended: Option<Ended>,
    /// The target that has still given a right to an attempt for it.
    pass: Option<usize>,
    history: History,
    /// Failures that were written down in this life of the process.
    failures: u32,
}

/// A target, from when it was made until a reload takes it away.
pub struct Seen {
    pub letter: char,
    pub bounds: Bounds,
    pub retry: RetryPolicy,
}

/// Which orders the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    Run,
    Quiet,
    Finish,
    Now,
}

/// How often what happened, over all seeds: what never happens proves nothing.
pub type Counts = BTreeMap<&'static str, u64>;

pub struct Ledger {
    pub clock: Clock,
    pub messages: BTreeMap<Id, Known>,
    pub targets: Vec<Seen>,
    /// By kind of mail.
    pub routes: Vec<Goes>,
    pub paused: BTreeSet<char>,
    pub order: Order,
    /// What the engine should report at the end of this life.
    pub report: Report,
    /// A one-shot run tries each message once, where nobody sets the clock back meanwhile.
    pub tries_once: bool,
    pub counts: Counts,
    /// The process is being killed: what it held is dropped without a word.
    pub is_crashing: bool,
    /// The first thing that must not be.
    pub fault: Option<String>,
    /// What happened, where somebody wants to know.
    pub trace: Option<String>,
    attempts: u64,
    /// When the last of the attempts that are under way would end of itself.
    pub busy_until: Duration,
}

/// The ledger, as all who enter something hold it.
#[derive(Clone)]
pub struct Book(Arc<Mutex<Ledger>>);

impl Book {
    pub fn new(clock: Clock, traced: bool) -> Self {
        Book(Arc::new(Mutex::new(Ledger {
            clock,
            messages: BTreeMap::new(),
            targets: Vec::new(),
            routes: Vec::new(),
            paused: BTreeSet::new(),
            order: Order::Run,
            report: Report::default(),
            tries_once: false,
            counts: Counts::new(),
            is_crashing: false,
            fault: None,
            trace: traced.then(String::new),
            attempts: 0,
            busy_until: Duration::ZERO,
        })))
    }

    pub fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    pub fn tell(&mut self, what: fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{:>14.3?} {what}", self.clock.elapsed());
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn must_not_be(&mut self, what: fmt::Arguments<'_>) {
        self.tell(format_args!("MUST NOT BE: {what}"));
        let now = self.clock.elapsed();
        self.fault.get_or_insert_with(|| format!("at {now:?}: {what}"));
    }

    fn known(&mut self, id: Id) -> &mut Known {
        self.messages.get_mut(&id).expect("the queue only has what was delivered")
    }

    pub fn deliver(&mut self, id: Id, kind: usize) {
        self.tell(format_args!("{id} comes, kind {kind}"));
        let place = Place::Waiting(None);
        let known =
            Known { kind, place, attempt: None, ended: None, pass: None, history: History::default(), failures: 0 };
        self.messages.insert(id, known);
    }

    /// The queue gives a message out.
    pub fn claimed(&mut self, message: &Message, by: SystemTime) {
        let known = self.known(message.id);
        let is_due = match known.place {
            Place::Waiting(due) => due.is_none_or(|due| due <= by),
            _ => false,
        };
        let is_right = is_due && message.history == known.history;
        let seen = format_args!("{:?}", known.place).to_string();
        (known.place, known.ended) = (Place::Held, None);
        self.tell(format_args!("{} is claimed", message.id));
        if !is_right {
            self.must_not_be(format_args!("{} given out, {seen} by {by:?}, {:?}", message.id, message.history));
        }
    }

    /// A target is given a message. Returns the number of the attempt.
    pub fn begin_attempt(&mut self, message: &Message, target: usize, lasts: Duration) -> u64 {
        let (id, now) = (message.id, self.clock.elapsed());
        self.attempts += 1;
        let number = self.attempts;
        self.count("attempts");
        self.busy_until = self.busy_until.max(now + lasts);
        let letter = self.targets[target].letter;
        self.tell(format_args!("{id} attempt {number} at {letter}{target}, for {lasts:?}"));
        let (order, tries_once) = (self.order, self.tries_once);
        let goes = self.routes[self.messages[&id].kind];
        let known = self.known(id);
        let wrong = if known.place != Place::Held {
            Some(format!("it is {:?}", known.place))
        } else if known.attempt.is_some() {
            Some("it is being tried elsewhere".to_owned())
        } else if goes != Goes::To(target) {
            Some(format!("its route leads {goes:?}"))
        } else if order != Order::Run {
            Some(format!("the order is {order:?}"))
        } else if tries_once && known.failures > 0 {
            Some("it has failed in this run".to_owned())
        } else {
            None
        };
        (known.attempt, known.pass) = (Some((number, target)), Some(target));
        let wrong = wrong.or_else(|| self.paused.contains(&letter).then(|| "its target is paused".to_owned()));
        if let Some(wrong) = wrong {
            self.must_not_be(format_args!("{id} is tried at {letter}{target}, but {wrong}"));
        }
        if self.targets[target].bounds.is_down() {
            self.count("probes");
        }
        if let Err(wrong) = self.targets[target].bounds.begin(number, now) {
            self.must_not_be(format_args!("{letter}{target} is given {id}: {wrong}"));
        }
        number
    }

    /// An attempt ends, however that may be.
    pub fn end_attempt(&mut self, id: Id, end: End) {
        let (now, wall) = (self.clock.elapsed(), self.clock.wall());
        let known = self.known(id);
        let Some((number, target)) = known.attempt.take() else { return };
        let last_try = known.history.last_try;
        self.tell(format_args!("{id} attempt {number} ends: {end:?}"));
        let sign = match &end {
            End::Answered(outcome) => Sign::of(outcome),
            End::Panicked => Sign::Ours,
            End::CutOff => Sign::Nothing,
        };
        let is_cut_off = matches!(end, End::CutOff);
        let bounds = &mut self.targets[target].bounds;
        let took_another = last_try.is_some_and(|time| bounds.took_since(time));
        bounds.end(number, sign, now, wall);
        let is_unwell = !bounds.is_up();
        self.known(id).ended = Some(Ended { target, end, took_another, is_unwell });
        self.count(match sign {
            Sign::Took => "taken",
            Sign::Alive => "answered",
            Sign::Failed => "failed",
            Sign::Unclear => "unclear",
            Sign::Away => "away",
            Sign::Ours => "ours",
            Sign::Nothing if is_cut_off => "cut off",
            Sign::Nothing => "unfit",
        });
    }

    pub fn is_tried(&self, id: Id) -> bool {
        self.messages[&id].pass.is_some()
    }

    fn give_pass_back(&mut self, id: Id) {
        if let Some(target) = self.known(id).pass.take() {
            self.targets[target].bounds.passes -= 1;
        }
    }

    /// Whoever asked for it is told that a message has died.
    pub fn told_of_death(&mut self, id: Id, lasts: Duration) {
        self.count("told of death");
        self.busy_until = self.busy_until.max(self.clock.elapsed() + lasts);
        if !matches!(self.known(id).place, Place::Dead | Place::Detained) {
            let known = format!("{:?}", self.messages[&id]);
            self.must_not_be(format_args!("{id} is told of as dead: {known}"));
        }
    }

    /// The queue could not do as it was told, and has kept the message.
    pub fn detained(&mut self, id: Id) {
        self.count("not settled");
        self.tell(format_args!("{id} cannot be settled"));
        self.give_pass_back(id);
        self.known(id).place = Place::Detained;
    }

    /// The message is back in the queue, without a word.
    pub fn back(&mut self, id: Id) {
        self.tell(format_args!("{id} is back"));
        self.give_pass_back(id);
        self.known(id).place = Place::Waiting(None);
    }

    /// The process is no more: what it knew and what it held in memory is gone with it.
    pub fn end_of_life(&mut self) {
        for (id, known) in &mut self.messages {
            (known.ended, known.failures) = (None, 0);
            if matches!(known.place, Place::Held | Place::Detained) || known.attempt.is_some() {
                let wrong = format!("{id} is still {:?}", known.place);
                self.fault.get_or_insert(wrong);
            }
        }
        self.is_crashing = false;
        (self.order, self.report, self.busy_until) = (Order::Run, Report::default(), Duration::ZERO);
    }

    /// Mail waits, and its target has had room for it all the time: nobody has looked.
    pub fn nothing_waits_in_vain(&mut self, horizon: SystemTime) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let now = self.clock.elapsed();
        let room: Vec<_> = self.targets.iter().map(|target| target.bounds.has_room(now)).collect();
        let mut awaited = vec![None; self.targets.len()];
        let is_current = |index: &usize| self.routes.contains(&Goes::To(*index));
        for (id, known) in &self.messages {
            if !matches!(known.place, Place::Waiting(due) if due.is_none_or(|due| due <= horizon)) {
                continue;
            }
            match self.routes[known.kind] {
                Goes::To(index) if !self.paused.contains(&self.targets[index].letter) => awaited[index] = Some(*id),
                Goes::To(_) => {}
                // Any target with room will do.
                Goes::Ignored | Goes::Nowhere => {
                    (0..room.len()).filter(is_current).for_each(|index| awaited[index] = Some(*id));
                }
            }
        }
        let mut forgotten = None;
        for ((target, has_room), awaited) in self.targets.iter_mut().zip(room).zip(awaited) {
            match awaited.filter(|_| has_room) {
                None => target.bounds.idle_since = None,
                Some(id) if now > *target.bounds.idle_since.get_or_insert(now) + PATIENCE => {
                    forgotten = Some((id, target.letter));
                }
                Some(_) => {}
            }
        }
        if let Some((id, letter)) = forgotten {
            self.must_not_be(format_args!("{id} waits though {letter} has room"));
        }
    }
}
