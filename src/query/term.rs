//! One term of a query: what it asks for, and what is wrong with it.

use super::facts::Facts;
use super::text::Text;
use crate::config::{parse_duration, parse_size};
use crate::engine::text::printable;
use crate::engine::{State, States};
use crate::mail::Kind;
use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

/// All fields, each with what it takes.
pub const FIELDS: &[(&str, &str)] = &[
    ("state", "new, running, retry, dead, done, trash or opened; several with commas"),
    ("target", "the name of the target that was tried last"),
    ("error", "a text in the reason of the last failure"),
    ("age", "how long ago it came: age:>2h, age:<10m"),
    ("tries", "how many attempts were made: tries:3, tries:>=3"),
    ("size", "its size: size:>5MB"),
    ("from", "a text in the sender of the envelope or in From"),
    ("to", "a text in the recipient of the envelope or in To"),
    ("subject", "a text in its subject"),
    ("kind", "human, auto_reply, bounce, list or report"),
    ("has", "attachment"),
    ("queue", "the name of its queue"),
    ("id", "the beginning of its id"),
];

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// What.
    pub text: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.help {
            Some(help) => write!(f, "\n  = try: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for QueryError {}

/// What a term needs to be looked at, the cheap first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// The name of the file.
    Name,
    /// A call of the system.
    File,
    /// Its story.
    Story,
    /// The beginning of its header.
    Header,
    /// All of it.
    Whole,
}

/// One thing that must hold, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub is_negated: bool,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    State(States),
    Target(Text),
    Error(Text),
    Age(Compare<Duration>),
    Tries(Compare<u32>),
    Size(Compare<u64>),
    From(Text),
    To(Text),
    Subject(Text),
    Kind(Vec<Kind>),
    Attachment,
    Queue(Text),
    Id(String),
    /// A bare word: from, to or subject.
    Anywhere(Text),
}

/// A bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compare<T> {
    bound: T,
    may_be: &'static [Ordering],
}

impl<T: Ord> Compare<T> {
    /// Reads `>2h`. A bound without a sign is `>=` where an equal one would be of no use.
    fn parse(
        text: &str,
        usual: &'static [Ordering],
        bound: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Self, String> {
        const SIGNS: [(&str, &[Ordering]); 5] = [
            (">=", &[Ordering::Greater, Ordering::Equal]),
            ("<=", &[Ordering::Less, Ordering::Equal]),
            (">", &[Ordering::Greater]),
            ("<", &[Ordering::Less]),
            ("=", &[Ordering::Equal]),
        ];
        let signed = SIGNS.into_iter().find_map(|(sign, may_be)| Some((text.strip_prefix(sign)?, may_be)));
        let (text, may_be) = signed.unwrap_or((text, usual));
        Ok(Compare { bound: bound(text.trim())?, may_be })
    }

    fn holds(&self, value: &T) -> bool {
        self.may_be.contains(&value.cmp(&self.bound))
    }
}

/// The field that a word begins with: `-state:dead` with `state`.
pub(super) fn field_of(word: &str) -> Option<&str> {
    let (field, _) = word.strip_prefix(['-', '!']).unwrap_or(word).split_once(':')?;
    let is_word = !field.is_empty() && field.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '_');
    is_word.then_some(field)
}

fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|(field, _)| *field == name)
}

/// Whether a word of a command line is a whole query that somebody has put into quotes.
pub(super) fn holds_several(word: &str) -> bool {
    word.split_whitespace().skip(1).any(|part| field_of(part).is_some_and(is_field))
}

impl Term {
    pub(super) fn parse(word: &str) -> Result<Self, QueryError> {
        let bare = word.strip_prefix(['-', '!']).filter(|bare| !bare.is_empty());
        let (is_negated, bare) = (bare.is_some(), bare.unwrap_or(word));
        let Some(field) = field_of(bare) else {
            return Ok(Term { is_negated, what: What::Anywhere(Text::new(bare)) });
        };
        let value = bare[field.len() + 1..].trim();
        let field = field.to_ascii_lowercase();
        if !is_field(&field) {
            return Err(unknown_field(&field));
        }
        let wrong = |text: String| QueryError { text: format!("{field}: {text}"), help: Some(example(&field)) };
        if value.is_empty() {
            return Err(wrong("nothing stands behind the colon".into()));
        }
        Ok(Term { is_negated, what: What::parse(&field, value).map_err(wrong)? })
    }

    pub(super) fn cost(&self) -> Cost {
        match &self.what {
            What::State(_) | What::Queue(_) | What::Id(_) | What::Age(_) => Cost::Name,
            What::Size(_) => Cost::File,
            What::Target(_) | What::Error(_) | What::Tries(_) => Cost::Story,
            What::From(_) | What::To(_) | What::Subject(_) | What::Kind(_) | What::Anywhere(_) => Cost::Header,
            What::Attachment => Cost::Whole,
        }
    }

    pub(super) fn matches(&self, facts: &impl Facts) -> bool {
        self.what.holds(facts) != self.is_negated
    }
}

impl What {
    fn parse(field: &str, value: &str) -> Result<Self, String> {
        const AT_LEAST: &[Ordering] = &[Ordering::Greater, Ordering::Equal];
        Ok(match field {
            "state" => What::State(several(value, State::of_word, &State::ALL.map(State::word))?.into_iter().collect()),
            "target" => What::Target(Text::new(value)),
            "error" => What::Error(Text::new(value)),
            "age" => What::Age(Compare::parse(value, AT_LEAST, parse_duration)?),
            "size" => What::Size(Compare::parse(value, AT_LEAST, parse_size)?),
            "tries" => {
                let number = |text: &str| text.parse().map_err(|_| format!("{} is not a number", shown(text)));
                What::Tries(Compare::parse(value, &[Ordering::Equal], number)?)
            }
            "from" => What::From(Text::new(value)),
            "to" => What::To(Text::new(value)),
            "subject" => What::Subject(Text::new(value)),
            "kind" => {
                let of_word = |word: &str| {
                    Kind::ALL.into_iter().find(|kind| kind.word() == word.to_ascii_lowercase().replace('-', "_"))
                };
                What::Kind(several(value, of_word, &Kind::ALL.map(Kind::word))?)
            }
            "has" => {
                several(value, |word| word.starts_with("attachment").then_some(What::Attachment), &["attachment"])?
                    .remove(0)
            }
            "queue" => What::Queue(Text::new(value)),
            _ => What::Id(value.to_ascii_lowercase()),
        })
    }

    /// The field that asks for it; None for a bare word.
    pub(super) fn field(&self) -> Option<&'static str> {
        Some(match self {
            What::State(_) => "state",
            What::Target(_) => "target",
            What::Error(_) => "error",
            What::Age(_) => "age",
            What::Tries(_) => "tries",
            What::Size(_) => "size",
            What::From(_) => "from",
            What::To(_) => "to",
            What::Subject(_) => "subject",
            What::Kind(_) => "kind",
            What::Attachment => "has",
            What::Queue(_) => "queue",
            What::Id(_) => "id",
            What::Anywhere(_) => return None,
        })
    }

    fn holds(&self, facts: &impl Facts) -> bool {
        match self {
            What::State(states) => states.contains(facts.state()),
            What::Target(name) => facts.target().is_some_and(|target| name.is(target)),
            What::Error(text) => facts.error().is_some_and(|error| text.is_in(error)),
            What::Age(bound) => facts.age().is_some_and(|age| bound.holds(&age)),
            What::Tries(bound) => facts.tries().is_some_and(|tries| bound.holds(&tries)),
            What::Size(bound) => facts.size().is_some_and(|size| bound.holds(&size)),
            What::From(text) => facts.from().into_iter().any(|from| text.is_in(from)),
            What::To(text) => facts.to().into_iter().any(|to| text.is_in(to)),
            What::Subject(text) => facts.subject().is_some_and(|subject| text.is_in(subject)),
            What::Kind(kinds) => facts.kind().is_some_and(|kind| kinds.contains(&kind)),
            What::Attachment => facts.has_attachment() == Some(true),
            What::Queue(name) => name.is(facts.queue()),
            What::Id(beginning) => facts.id().is_some_and(|id| id.starts_with(beginning)),
            What::Anywhere(text) => {
                let people = facts.from().into_iter().chain(facts.to());
                people.chain(facts.subject()).any(|found| text.is_in(found))
            }
        }
    }
}

/// The values of words between commas.
fn several<T>(value: &str, of_word: impl Fn(&str) -> Option<T>, known: &[&str]) -> Result<Vec<T>, String> {
    let of_word = |word: &str| {
        of_word(word.trim()).ok_or_else(|| match nearest(word, known.iter().copied()) {
            Some(near) => format!("{} is not known here; did you mean `{near}`?", shown(word)),
            None => format!("{} is not known here", shown(word)),
        })
    };
    value.split(',').map(of_word).collect()
}

fn shown(text: &str) -> String {
    format!("`{}`", printable(text.as_bytes()))
}

fn unknown_field(field: &str) -> QueryError {
    let text = format!("unknown field {}", shown(field));
    let help = if let Some(near) = nearest(field, FIELDS.iter().map(|(name, _)| *name)) {
        format!("{near}:…  ({})", example(near))
    } else {
        let names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        format!("one of {}; a word with a colon in it stands in quotes behind another field", names.join(", "))
    };
    QueryError { text, help: Some(help) }
}

/// What a field takes.
fn example(field: &str) -> String {
    let takes = FIELDS.iter().find(|(name, _)| *name == field).map_or("", |(_, takes)| *takes);
    format!("{field} is {takes}")
}

/// The known word that a person may have meant.
fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase();
    let near = known.map(|known| (strsim::damerau_levenshtein(&word, known), known));
    let near = near.filter(|(distance, known)| *distance <= (known.len() / 3).max(1));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}
