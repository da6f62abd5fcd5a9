//! A story as people ask for it: every attempt, and what counts of them.

use super::story::{Event, Line, lines};
use crate::engine::Id;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

/// What happened to a message so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tale {
    /// All that was written down of it, the oldest first.
    pub chapters: Vec<Chapter>,
    /// How many of the first of them do not count any more: the message was dead since, or somebody asked for it
    /// again.
    past: usize,
    /// Why it cannot be read.
    pub fault: Option<String>,
}

/// What kind of event a chapter tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An attempt failed; there is another one to come.
    Failed,
    /// It was set aside, by an attempt or a person.
    Died,
    /// A process died while it read the message.
    Crashed,
    /// A person asked for it to be tried again.
    Asked,
    /// A person dropped it.
    Dropped,
    /// Something that this version does not know.
    Other,
}

impl What {
    /// The word for it, as stories have it.
    pub fn word(self) -> &'static str {
        match self {
            What::Failed => "retry",
            What::Died => "dead",
            What::Crashed => "died",
            What::Asked => "asked",
            What::Dropped => "dropped",
            What::Other => "other",
        }
    }
}

/// One event of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// When it was.
    pub at: SystemTime,
    /// What it was.
    pub what: What,
    /// The number of the attempt, from 1; 0 where it was none.
    pub attempt: u32,
    /// The target; empty where it did not come so far.
    pub target: String,
    /// How the target answered, where it did by a number.
    pub status: Option<u16>,
    /// How long the attempt took.
    pub took: Duration,
    /// Whether it counts against the message.
    pub is_charged: bool,
    /// When the next attempt was meant to be.
    pub due: Option<SystemTime>,
    /// Why it failed; what an app said may be in it.
    pub reason: String,
    /// The person whose doing it was; empty where it was nobody's.
    pub by: String,
    /// Whether that person wants attempts and age to count anew.
    pub is_reset: bool,
}

impl Chapter {
    /// Whether a target was tried.
    pub fn is_attempt(&self) -> bool {
        matches!(self.what, What::Failed | What::Died) && !self.target.is_empty() && self.by.is_empty()
    }
}

impl From<Line> for Chapter {
    fn from(line: Line) -> Self {
        let what = match line.event {
            Event::Retry => What::Failed,
            Event::Dead => What::Died,
            Event::Died => What::Crashed,
            Event::Asked => What::Asked,
            Event::Dropped => What::Dropped,
            Event::Other => What::Other,
        };
        Chapter {
            at: line.at,
            what,
            attempt: line.attempt,
            target: line.target,
            status: line.status,
            took: Duration::from_millis(line.ms),
            is_charged: line.charged,
            due: line.due,
            reason: line.reason,
            by: line.by,
            is_reset: line.reset,
        }
    }
}

impl Tale {
    /// What the story of a message tells. `has_left` says that it lies in no `new/` any more, so that a death at the
    /// end is its present state.
    pub(super) fn read(root: impl AsFd, id: Id, has_left: bool) -> Self {
        match lines(root, id) {
            Ok(found) => {
                let lines = found.map(|(lines, _)| lines).unwrap_or_default();
                Tale::of(lines.into_iter().map(Chapter::from).collect(), has_left)
            }
            Err(error) => Tale { fault: Some(error.to_string()), ..Tale::default() },
        }
    }

    /// What these chapters tell.
    fn of(chapters: Vec<Chapter>, has_left: bool) -> Self {
        let is_end =
            |chapter: &Chapter| chapter.what == What::Died || (chapter.what == What::Asked && chapter.is_reset);
        // Of what was set aside the last death is part of its present life.
        let last_death = chapters.iter().rposition(|chapter| chapter.what == What::Died).filter(|_| has_left);
        let seen = last_death.unwrap_or(chapters.len());
        let past = chapters[..seen].iter().rposition(is_end).map_or(0, |end| end + 1);
        Tale { chapters, past, fault: None }
    }

    /// What counts of it: since it was dead last, or somebody asked for it again.
    pub fn present(&self) -> &[Chapter] {
        &self.chapters[self.past..]
    }

    /// The attempts that count, all of them failed.
    pub fn attempts(&self) -> impl DoubleEndedIterator<Item = &Chapter> {
        self.present().iter().filter(|chapter| chapter.is_attempt())
    }

    /// How many attempts count.
    pub fn tries(&self) -> u32 {
        u32::try_from(self.attempts().count()).unwrap_or(u32::MAX)
    }

    /// The last thing that went wrong.
    pub fn last_failure(&self) -> Option<&Chapter> {
        self.present().iter().rfind(|chapter| matches!(chapter.what, What::Failed | What::Died | What::Crashed))
    }

    /// The first thing that went wrong.
    pub fn first_failure(&self) -> Option<&Chapter> {
        self.present().iter().find(|chapter| matches!(chapter.what, What::Failed | What::Died | What::Crashed))
    }

    /// The target that was tried last, in this life or one before.
    pub fn target(&self) -> Option<&str> {
        self.chapters.iter().map(|chapter| &*chapter.target).rfind(|target| !target.is_empty())
    }

    /// The attempt of this number: of the present life, else of the last one that has it.
    pub fn attempt(&self, number: u32) -> Option<&Chapter> {
        let of_before = || self.chapters.iter().rfind(|chapter| chapter.is_attempt() && chapter.attempt == number);
        self.attempts().find(|chapter| chapter.attempt == number).or_else(of_before)
    }

    /// The target that somebody has chosen, whatever the routes say: until it is dead, or asked for again.
    pub fn chosen_target(&self) -> Option<&str> {
        let last = self.chapters.iter().rfind(|chapter| matches!(chapter.what, What::Asked | What::Died))?;
        (last.what == What::Asked && !last.target.is_empty()).then_some(&*last.target)
    }

    /// Why it is not done.
    pub fn error(&self) -> Option<&str> {
        self.last_failure().map(|chapter| &*chapter.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter(what: What, second: u64) -> Chapter {
        Chapter {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            what,
            attempt: 1,
            target: "app".into(),
            status: Some(503),
            took: Duration::ZERO,
            is_charged: true,
            due: None,
            reason: format!("reason {second}"),
            by: String::new(),
            is_reset: what == What::Asked,
        }
    }

    #[test]
    fn what_counts_is_the_present_life() {
        use What::{Asked, Died, Failed};
        for (whats, has_left, tries, error) in [
            (&[][..], false, 0, None),
            (&[Failed, Failed], false, 2, Some("reason 1")),
            (&[Failed, Died], true, 2, Some("reason 1")),
            (&[Failed, Died], false, 0, None),
            (&[Failed, Died, Asked, Failed], false, 1, Some("reason 3")),
            (&[Failed, Died, Failed, Died], true, 2, Some("reason 3")),
            (&[Failed, Died, Asked], false, 0, None),
        ] {
            let chapters = (0..).zip(whats).map(|(second, what)| chapter(*what, second)).collect();
            let tale = Tale::of(chapters, has_left);
            assert_eq!((tale.tries(), tale.error()), (tries, error), "{whats:?}, {has_left}");
        }
    }

    #[test]
    fn who_only_asks_for_another_try_begins_no_new_life() {
        let mut tale = vec![chapter(What::Failed, 0), chapter(What::Asked, 1), chapter(What::Failed, 2)];
        assert_eq!(Tale::of(tale.clone(), false).tries(), 1);
        tale[1].is_reset = false;
        assert_eq!(Tale::of(tale, false).tries(), 2);
    }

    #[test]
    fn what_a_person_has_buried_was_not_tried_for_that() {
        let buried = Chapter { by: "ada".into(), ..chapter(What::Died, 1) };
        assert_eq!(Tale::of(vec![chapter(What::Failed, 0), buried], true).tries(), 1);
    }

    #[test]
    fn an_attempt_of_a_life_before_is_found_by_its_number() {
        let second = Chapter { attempt: 2, ..chapter(What::Failed, 1) };
        let tale = [chapter(What::Failed, 0), second, chapter(What::Died, 2), chapter(What::Asked, 3)];
        let reason = |tale: &Tale, number| tale.attempt(number).map(|chapter| chapter.reason.clone());
        let before = Tale::of(tale.to_vec(), false);
        assert_eq!([1, 2, 3].map(|number| reason(&before, number).is_some()), [true, true, false]);
        assert_eq!(reason(&before, 2).as_deref(), Some("reason 1"));
        let again = Tale::of([&tale[..], &[chapter(What::Failed, 4)]].concat(), false);
        assert_eq!(reason(&again, 1).as_deref(), Some("reason 4"), "the present life comes first");
    }

    #[test]
    fn a_target_is_chosen_until_it_is_dead_or_asked_for_again() {
        let asked = |target: &str| Chapter { target: target.into(), ..chapter(What::Asked, 1) };
        for (chapters, expected) in [
            (vec![], None),
            (vec![chapter(What::Failed, 0)], None),
            (vec![asked("archive")], Some("archive")),
            (vec![asked("archive"), chapter(What::Failed, 2)], Some("archive")),
            (vec![asked("archive"), asked("")], None),
            (vec![asked("archive"), chapter(What::Died, 2)], None),
        ] {
            assert_eq!(Tale::of(chapters.clone(), false).chosen_target(), expected, "{chapters:?}");
        }
    }

    #[test]
    fn a_death_without_a_target_is_no_attempt() {
        let no_route = Chapter { target: String::new(), reason: "no route".into(), ..chapter(What::Died, 1) };
        let tale = Tale::of(vec![no_route], true);
        assert_eq!((tale.tries(), tale.error(), tale.target()), (0, Some("no route"), None));
    }
}
