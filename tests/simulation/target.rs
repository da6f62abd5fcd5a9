//! Simulated targets: what they answer is drawn at each attempt, as the weather at the time has it.

use crate::clock::Clock;
use crate::ledger::{Book, End};
use maildirq::engine::{Blame, BoxFuture, Id, Leaving, Message, Outcome, Target};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a message does to any target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    Ordinary,
    /// It is never taken, and the target says so each time.
    Bad,
    /// The target refuses it for good.
    Unwanted,
    /// The target breaks over it.
    Bomb,
    /// Our own code breaks over it.
    Lethal,
    /// No target can be given it: it is not even sent.
    Unfit,
}

/// How a target is out.
#[derive(Clone, Copy, Debug)]
pub enum Out {
    Refuses,
    Hangs,
    Breaks,
    IsBusy,
    SaysSo,
}

/// From when until when a target is out.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub from: Duration,
    pub until: Duration,
    pub how: Out,
}

/// What decides how attempts end.
pub struct Weather {
    pub dice: fastrand::Rng,
    pub outages: BTreeMap<char, Vec<Outage>>,
    pub timeouts: BTreeMap<char, Duration>,
    pub tempers: BTreeMap<Id, Temper>,
    /// How many of a hundred attempts fail for no reason.
    pub trouble: u32,
    /// From some time on nothing fails any more but what is the message's own.
    pub is_calm: bool,
}

/// What happens at an attempt, and how long that takes.
type Fate = (Duration, End);

fn retry(blame: Blame, after: Option<u64>) -> End {
    let (reason, after) = ("drawn".into(), after.map(Duration::from_secs));
    End::Answered(Outcome::Retry { blame, status: None, reason, after })
}

fn reject(status: Option<u16>) -> End {
    End::Answered(Outcome::Reject { status, reason: "drawn".into() })
}

impl Weather {
    fn fate(&mut self, letter: char, id: Id, now: Duration) -> Fate {
        let timeout = self.timeouts[&letter];
        let mut temper = self.tempers[&id];
        if self.is_calm && matches!(temper, Temper::Bomb | Temper::Lethal) {
            temper = Temper::Ordinary;
        }
        if temper == Temper::Unfit {
            return (self.takes(timeout), End::Answered(Outcome::Unfit { reason: "drawn".into() }));
        }
        let is_out = |outage: &&Outage| (outage.from..outage.until).contains(&now);
        let outage = self.outages.get(&letter).and_then(|outages| outages.iter().find(is_out)).copied();
        let takes = self.takes(timeout);
        match outage {
            Some(outage) if !self.is_calm => match outage.how {
                Out::Refuses => return (takes.min(Duration::from_millis(50)), retry(Blame::Endpoint, None)),
                Out::Hangs => return (timeout, retry(Blame::Unclear, None)),
                Out::Breaks => return (takes, retry(Blame::Unclear, None)),
                Out::IsBusy => return (takes, retry(Blame::Endpoint, Some(self.dice.u64(..100)))),
                Out::SaysSo => {
                    return (Duration::ZERO, End::Answered(Outcome::Unavailable { reason: "drawn".into() }));
                }
            },
            _ => {}
        }
        match temper {
            Temper::Bad => (takes, retry(Blame::Message, None)),
            Temper::Unwanted => (takes, reject(Some(422))),
            Temper::Bomb => (takes, retry(Blame::Unclear, None)),
            Temper::Lethal => (takes, End::Panicked),
            Temper::Unfit => unreachable!("it was not sent"),
            Temper::Ordinary if !self.is_calm && self.dice.u32(..100) < self.trouble => self.trouble(takes, timeout),
            Temper::Ordinary => (takes, End::Answered(Outcome::Done { status: Some(200) })),
        }
    }

    /// Often nothing, and often as long as others take.
    fn takes(&mut self, timeout: Duration) -> Duration {
        let time = match self.dice.u32(..4) {
            0 => 0,
            1 => 100,
            2 => self.dice.u64(1..2000),
            _ => self.dice.u64(1..60_000),
        };
        Duration::from_millis(time).min(timeout)
    }

    fn trouble(&mut self, takes: Duration, timeout: Duration) -> Fate {
        let end = match self.dice.u32(..9) {
            0 => retry(Blame::Endpoint, None),
            1 => retry(Blame::Message, None),
            2 => retry(Blame::Unclear, None),
            3 => retry(Blame::Ourselves, None),
            4 => retry(Blame::Endpoint, Some(self.dice.u64(..10_000))),
            5 => return (Duration::ZERO, End::Answered(Outcome::Unavailable { reason: "drawn".into() })),
            6 => reject(None),
            7 => End::Panicked,
            _ => return (timeout, retry(Blame::Unclear, None)),
        };
        (takes, end)
    }
}

/// A target, from when it was made until a reload takes it away.
#[derive(Clone)]
pub struct Simulated {
    pub clock: Clock,
    pub book: Book,
    pub weather: Arc<Mutex<Weather>>,
    pub letter: char,
    /// Its place in the ledger.
    pub index: usize,
}

/// An attempt under way. Dropped, it is cut off.
struct Attempt {
    book: Book,
    id: Id,
}

impl Attempt {
    fn end(self, end: End) -> Outcome {
        self.book.open().end_attempt(self.id, end.clone());
        match end {
            End::Answered(outcome) => outcome,
            // Without the words of the panic hook: it is no bug of the test.
            End::Panicked | End::CutOff => std::panic::resume_unwind(Box::new("drawn")),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Where it has ended, there is nothing left to end.
        self.book.open().end_attempt(self.id, End::CutOff);
    }
}

impl Target for Simulated {
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        if !leaving() {
            return Box::pin(async { None });
        }
        let fate = |weather: &mut Weather| weather.fate(self.letter, message.id, self.clock.elapsed());
        let (takes, end) = fate(&mut self.weather.lock().unwrap_or_else(PoisonError::into_inner));
        self.book.open().begin_attempt(message, self.index, takes);
        let attempt = Attempt { book: self.book.clone(), id: message.id };
        if takes.is_zero() && matches!(end, End::Panicked) {
            attempt.end(end);
            unreachable!("it has panicked")
        }
        Box::pin(async move {
            if !takes.is_zero() {
                self.clock.sleep(takes).await;
            }
            Some(attempt.end(end))
        })
    }
}

/// Whoever is told of the dead.
#[derive(Clone)]
pub struct Pager {
    pub clock: Clock,
    pub book: Book,
    pub index: usize,
    pub takes: Duration,
}

/// Somebody is being told.
struct Call<'a>(&'a Pager);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.book.open().targets[self.0.index].bounds.passes -= 1;
    }
}

impl Target for Pager {
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        if !leaving() {
            return Box::pin(async { None });
        }
        let mut ledger = self.book.open();
        ledger.told_of_death(message.id, self.takes);
        ledger.targets[self.index].bounds.passes += 1;
        let call = Call(self);
        Box::pin(async move {
            self.clock.sleep(self.takes).await;
            drop(call);
            Some(Outcome::Done { status: None })
        })
    }
}
