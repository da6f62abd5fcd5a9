//! What is to become of a message: what the engine says, held against what the attempt was.

use super::{End, Ended, Goes, Ledger, Place, Seen};
use maildirq::engine::{Blame, Id, Outcome, Settlement};
use std::time::{Duration, SystemTime};

impl Ledger {
    /// The engine says what is to become of a message.
    pub fn settling(&mut self, id: Id, how: &Settlement) {
        self.tell(format_args!("{id} settles: {how:?}"));
        let ended = self.known(id).ended.take();
        let is_right = match &ended {
            None => self.is_right_untried(id, how),
            Some(ended) => self.is_right(id, ended, how),
        };
        match how {
            Settlement::Done => self.report.done += 1,
            Settlement::Dead { .. } => self.report.dead += 1,
            Settlement::Retry { .. } => self.report.failed += 1,
            Settlement::Park { .. } => self.report.failed += u64::from(ended.is_some()),
            Settlement::Release => {}
        }
        self.count(match how {
            Settlement::Done => "done",
            Settlement::Retry { charged: true, .. } => "charged",
            Settlement::Retry { .. } => "not charged",
            Settlement::Dead { .. } => "dead",
            Settlement::Release => "released",
            Settlement::Park { .. } => "parked",
        });
        if !is_right {
            let known = format!("{:?}", self.messages[&id]);
            self.must_not_be(format_args!("{id} settles by {how:?} after {ended:?}: {known}"));
        }
    }

    /// What may become of a message that was not tried.
    fn is_right_untried(&mut self, id: Id, how: &Settlement) -> bool {
        let known = &self.messages[&id];
        let goes = self.routes[known.kind];
        known.attempt.is_none()
            && match how {
                Settlement::Done => goes == Goes::Ignored,
                Settlement::Dead { .. } => goes == Goes::Nowhere,
                Settlement::Park { target } => {
                    matches!(goes, Goes::To(index) if target.starts_with(self.targets[index].letter))
                }
                Settlement::Release => true,
                Settlement::Retry { .. } => false,
            }
    }

    /// What must become of a message after an attempt.
    fn is_right(&self, id: Id, ended: &Ended, how: &Settlement) -> bool {
        let known = &self.messages[&id];
        let Seen { letter, retry, .. } = &self.targets[ended.target];
        let (blame, after) = match &ended.end {
            End::CutOff => return *how == Settlement::Release,
            End::Panicked => (Blame::Ourselves, None),
            End::Answered(Outcome::Done { .. }) => return *how == Settlement::Done,
            End::Answered(Outcome::Reject { .. } | Outcome::Unfit { .. }) => {
                return matches!(how, Settlement::Dead { .. });
            }
            End::Answered(Outcome::Unavailable { .. }) => return is_parked_for(how, *letter),
            End::Answered(Outcome::Retry { blame, after, .. }) => (*blame, *after),
        };
        if matches!(blame, Blame::Endpoint | Blame::Unclear) && ended.is_unwell {
            return is_parked_for(how, *letter);
        }
        let is_own = blame == Blame::Message || (blame == Blame::Unclear && ended.took_another);
        let (now, most) = (self.clock.wall(), retry.schedule.most());
        if is_own {
            let failures = known.history.charged + 1;
            let failing_for = known.history.first_charged.and_then(|first| now.duration_since(first).ok());
            let is_worn_out = retry.attempts.is_some_and(|most| failures >= most);
            let is_old = retry.give_up.is_some_and(|most| failures > 1 && failing_for.unwrap_or_default() >= most);
            if is_worn_out || is_old {
                return matches!(how, Settlement::Dead { .. });
            }
        }
        let (least, most) = match after {
            None => (Duration::ZERO, most),
            Some(asked) => (asked.max(Duration::from_secs(1)).min(most), asked.max(Duration::from_secs(1)).min(most)),
        };
        matches!(how, Settlement::Retry { due, charged, note }
            if *charged == is_own && (note.at + least..=note.at + most).contains(due) && is_just_now(note.at, now))
    }

    /// The queue has done as it was told.
    pub fn settled(&mut self, id: Id, how: &Settlement) {
        self.give_pass_back(id);
        let known = self.known(id);
        known.place = match how {
            Settlement::Done => Place::Gone,
            Settlement::Dead { .. } => Place::Dead,
            Settlement::Release | Settlement::Park { .. } => Place::Waiting(None),
            Settlement::Retry { due, charged, note } => {
                known.failures += 1;
                known.history.tries += 1;
                known.history.last_try = Some(note.at);
                known.history.last_reason.clone_from(&note.reason);
                if *charged {
                    known.history.charged += 1;
                    known.history.first_charged.get_or_insert(note.at);
                }
                Place::Waiting(Some(*due))
            }
        };
    }
}

fn is_just_now(time: SystemTime, now: SystemTime) -> bool {
    now.duration_since(time).is_ok_and(|since| since < Duration::from_micros(1))
}

fn is_parked_for(how: &Settlement, letter: char) -> bool {
    matches!(how, Settlement::Park { target } if target.starts_with(letter))
}
