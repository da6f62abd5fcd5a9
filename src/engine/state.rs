//! The states of a message, by the words that all commands have for them.

use std::fmt;

/// What has become of a message so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It waits for its first try.
    New,
    /// A process works on it.
    Running,
    /// It has a story: a try has failed, or somebody asked for another one. It waits for when it is due.
    Retry,
    /// It was given up or refused, and needs a person.
    Dead,
    /// Its target has it.
    Done,
    /// A person has dropped it.
    Trash,
    /// A mail client has opened it, and it is nobody's work.
    Opened,
}

impl State {
    /// All of them.
    pub const ALL: [State; 7] =
        [State::New, State::Running, State::Retry, State::Dead, State::Done, State::Trash, State::Opened];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::New => "new",
            State::Running => "running",
            State::Retry => "retry",
            State::Dead => "dead",
            State::Done => "done",
            State::Trash => "trash",
            State::Opened => "opened",
        }
    }

    /// The sign that stands beside the word, one column wide.
    pub fn sign(self) -> char {
        match self {
            State::New => '○',
            State::Running => '◐',
            State::Retry => '↻',
            State::Dead => '✖',
            State::Done => '✓',
            State::Trash => '⌫',
            State::Opened => '◇',
        }
    }

    /// The state of this word, in any case.
    pub fn of_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| word.eq_ignore_ascii_case(state.word()))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States(u8);

impl States {
    /// All of them.
    pub const ALL: States = States((1 << State::ALL.len()) - 1);
    /// Those of mail that is still on its way.
    pub const WAITING: States = States(1 << State::New as u8 | 1 << State::Running as u8 | 1 << State::Retry as u8);
    /// Those of mail that is somebody's business: on its way, or dead.
    pub const OPEN: States = States(States::WAITING.0 | 1 << State::Dead as u8);

    /// Whether it is one of them.
    pub fn contains(self, state: State) -> bool {
        self.0 & (1 << state as u8) != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: States) -> States {
        States(self.0 & other.0)
    }

    /// All others.
    #[must_use]
    pub fn others(self) -> States {
        States(!self.0 & States::ALL.0)
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| self.contains(*state))
    }
}

impl FromIterator<State> for States {
    fn from_iter<T: IntoIterator<Item = State>>(states: T) -> Self {
        States(states.into_iter().fold(0, |bits, state| bits | 1 << state as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_its_state_belong_together() {
        for state in State::ALL {
            assert_eq!(State::of_word(&state.word().to_uppercase()), Some(state));
        }
        assert_eq!(State::of_word("deadly"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let both: States = [State::Dead, State::Opened].into_iter().collect();
        assert_eq!(both.iter().collect::<Vec<_>>(), [State::Dead, State::Opened]);
        assert_eq!(both.others().iter().count(), 5);
        assert_eq!(both.and(States::OPEN).iter().collect::<Vec<_>>(), [State::Dead]);
        assert_eq!(States::ALL.iter().count(), 7);
        assert!(!States::WAITING.contains(State::Dead) && States::OPEN.contains(State::New));
    }
}
