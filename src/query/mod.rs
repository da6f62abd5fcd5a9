//! The language in which messages are asked for: `state:dead target:app error:503 age:>2h -kind:bounce`.
//!
//! All terms must hold. It is the same for every command, and for whatever else lists messages. It knows no files:
//! it asks whatever has [`Facts`].
//!
//! | file | one idea |
//! |---|---|
//! | `words` | a line of text as words, with quotes |
//! | `term` | one word and what it asks for; what is wrong with it |
//! | `text` | a text that is looked for in another |
//! | `facts` | what is asked of a message |

mod facts;
mod term;
mod text;
mod words;

pub use facts::Facts;
pub use term::{FIELDS, QueryError};

use crate::engine::States;
use term::{Term, What};

/// A query: terms that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Those that are cheap to look at first.
    terms: Vec<Term>,
}

impl Query {
    /// Reads the words of a command line: each is a term, with blanks in it where they were quoted. A word that
    /// holds several terms is taken apart as a line.
    ///
    /// # Errors
    /// One of them makes no sense.
    pub fn parse<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, QueryError> {
        let mut terms = Vec::new();
        for word in words {
            let word = word.as_ref();
            if term::holds_several(word) {
                terms.extend(Query::parse_line(word)?.terms);
            } else if !word.trim().is_empty() {
                terms.push(Term::parse(word)?);
            }
        }
        // Stable, so that a person's order decides among equals.
        terms.sort_by_key(Term::cost);
        Ok(Query { terms })
    }

    /// Reads a line of text, in which quotes keep blanks together.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn parse_line(line: &str) -> Result<Self, QueryError> {
        let mut terms = words::words(line)?.iter().map(|word| Term::parse(word)).collect::<Result<Vec<_>, _>>()?;
        terms.sort_by_key(Term::cost);
        Ok(Query { terms })
    }

    /// Whether all that is asked for holds. What is not known of a message is as if it had none.
    pub fn matches(&self, facts: &impl Facts) -> bool {
        self.terms.iter().all(|term| term.matches(facts))
    }

    /// Whether nothing is asked for, so that every message will do.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The states that it is about; None where it says nothing of them, so that others may choose.
    pub fn states(&self) -> Option<States> {
        let mut asked = None;
        for term in &self.terms {
            if let What::State(states) = term.what {
                let states = if term.is_negated { states.others() } else { states };
                asked = Some(asked.unwrap_or(States::ALL).and(states));
            }
        }
        asked
    }

    /// Whether messages of this queue may match.
    pub fn may_be_in(&self, queue: &str) -> bool {
        self.terms.iter().all(|term| match &term.what {
            What::Queue(name) => name.is(queue) != term.is_negated,
            _ => true,
        })
    }

    /// The names of queues and of targets that it asks for, each with its field and as it was written in lower case.
    /// Patterns are none.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.terms.iter().filter_map(|term| match &term.what {
            What::Target(name) => Some(("target", name.as_name()?)),
            What::Queue(name) => Some(("queue", name.as_name()?)),
            _ => None,
        })
    }

    /// The fields that it asks for, without bare words.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        self.terms.iter().filter_map(|term| term.what.field())
    }

    /// Whether headers or whole messages have to be read to answer it.
    pub fn needs_mail(&self) -> bool {
        self.terms.iter().any(|term| term.cost() >= term::Cost::Header)
    }

    /// Whether this word of a command line can only be meant as a term with a field: `state:dead`, and also with a
    /// misspelt one.
    pub fn is_term(word: &str) -> bool {
        term::field_of(word).is_some()
    }
}

#[cfg(test)]
mod tests;
