//! How a process ends, and how the run does: what must have become of all mail.

use super::{Process, World};
use crate::ledger::{Goes, Order, Place, Seen};
use crate::queue::Troubles;
use maildirq::engine::{Engine, Report, Until};
use std::sync::PoisonError;

impl World {
    /// A process has ended, or is killed here.
    pub(super) fn end(&mut self, process: Process) {
        let Process { engine, tasks, until, is_killed, .. } = process;
        if !self.is_well() {
            self.book.open().is_crashing = true;
        } else if is_killed {
            let mut ledger = self.book.open();
            ledger.tell(format_args!("the process is killed"));
            ledger.count("crashes");

            ledger.is_crashing = true;
        } else {
            self.check_end(&engine, until);
        }
        drop(tasks);
        drop(engine);
        self.queue.end_of_life();
        self.book.open().end_of_life();
    }

    fn check_end(&self, engine: &Engine, until: Until) {
        let (report, fault) = (engine.counts(), engine.report().err());
        let suffers = self.queue.suffers();
        let mut ledger = self.book.open();
        ledger.tell(format_args!("the process has ended: {report:?}"));
        if report != ledger.report {
            let expected: Report = ledger.report;
            ledger.must_not_be(format_args!("{report:?} is reported, {expected:?} is right"));
        }
        if fault.is_some() != (suffers && until != Until::Stopped) {
            ledger.must_not_be(format_args!("{fault:?} is reported"));
        }
        if ledger.order != Order::Run {
            return ledger.count("ended by order");
        }
        ledger.count("ended of itself");
        if suffers {
            return;
        }
        let is_left = |place: Place| match until {
            Until::Stopped => true,
            Until::Drained => place == Place::Waiting(None),
            Until::Settled => matches!(place, Place::Waiting(_)),
        };
        let may_be_left = |goes| match goes {
            Goes::To(index) => {
                let target: &Seen = &ledger.targets[index];
                ledger.paused.contains(&target.letter) || (until == Until::Drained && target.bounds.is_down())
            }
            Goes::Ignored | Goes::Nowhere => until == Until::Drained,
        };
        let left =
            ledger.messages.values().find(|known| is_left(known.place) && !may_be_left(ledger.routes[known.kind]));
        if let Some(left) = left.map(|left| format!("{left:?}")) {
            ledger.must_not_be(format_args!("it ends of itself and leaves {left}"));
        }
    }

    /// In the end all is well, and one process brings all mail to where it belongs.
    pub(super) fn come_to_rest(&mut self, lanes: usize) {
        if !self.is_well() {
            return;
        }
        self.queue.set_troubles(Troubles::default());
        self.weather.lock().unwrap_or_else(PoisonError::into_inner).is_calm = true;
        self.letters.clone().into_iter().for_each(|letter| self.pause(letter, false));
        let mut process = self.start(Until::Settled, lanes);
        for (_, event) in std::mem::take(&mut self.events) {
            self.happen(event, &mut process);
        }
        self.work(&mut process, None);
        if self.is_well() {
            self.check_end(&process.engine, Until::Settled);
        }
        self.end(process);
        let mut ledger = self.book.open();
        let lost = ledger.messages.iter().find(|(_, known)| !matches!(known.place, Place::Gone | Place::Dead));
        if let Some(lost) = lost.map(|lost| format!("{lost:?}")) {
            ledger.must_not_be(format_args!("it never comes to rest: {lost}"));
        }
    }
}
