//! Which messages a route is for.

use super::pattern::Pattern;
use super::sight::Sight;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::str::FromStr;

/// The conditions of a route. All that are given must hold; none at all is every message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When(Vec<Condition>);

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub fact: Fact,
    /// What must be true of it.
    pub test: Test,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The envelope's recipient.
    To,
    /// The envelope's sender.
    From,
    /// The detail of the recipient (`+detail`).
    Detail,
    /// The name of the queue.
    Queue,
    /// The length of the message.
    Size,
    /// What kind of mail it is, in a word.
    Kind,
    /// The subject, decoded.
    Subject,
    /// Any of the header fields with this name, decoded.
    Header(String),
    /// Whether something is attached.
    HasAttachment,
}

/// What must be true.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// One of these patterns matches.
    Text(Vec<Pattern>),
    /// The number is on this side of the bound.
    Size(SizeBound),
    /// It is so.
    Flag(bool),
}

/// A bound on a number of bytes: `>5MB`, `<=10KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeBound {
    /// On which side of the bound a size must be.
    side: Ordering,
    /// Whether the bound itself will do.
    or_equal: bool,
    /// The bound, in bytes.
    bytes: u64,
}

/// What came of looking at one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition, as it is written.
    pub condition: String,
    /// Whether it holds.
    pub holds: bool,
    /// What the message has there; None where it has nothing.
    pub found: Option<String>,
}

impl When {
    /// All of these must hold.
    pub fn all(conditions: Vec<Condition>) -> Self {
        When(conditions)
    }

    /// The conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether this is a route for the message.
    ///
    /// # Errors
    /// The message has to be read as a whole for that, and cannot be.
    pub fn matches(&self, sight: &Sight<'_>) -> io::Result<bool> {
        for condition in &self.0 {
            if !condition.holds(sight)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there is no message that this route is not for.
    pub fn is_universal(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at each condition.
    ///
    /// # Errors
    /// As [`When::matches`].
    pub fn explain(&self, sight: &Sight<'_>) -> io::Result<Vec<Finding>> {
        let explain = |condition: &Condition| {
            let values = condition.fact.of(sight)?;
            // Of several fields of one name, the one that made the condition hold.
            let found = values.iter().find(|value| condition.is_met_by(value)).or(values.first());
            Ok(Finding {
                condition: condition.to_string(),
                holds: condition.holds(sight)?,
                found: found.map(|value| super::text::printable(value.as_bytes())),
            })
        };
        self.0.iter().map(explain).collect()
    }
}

impl Condition {
    fn holds(&self, sight: &Sight<'_>) -> io::Result<bool> {
        Ok(match &self.test {
            Test::Size(bound) => bound.admits(sight.message.body.len()),
            Test::Text(_) | Test::Flag(_) => self.fact.of(sight)?.iter().any(|value| self.is_met_by(value)),
        })
    }

    fn is_met_by(&self, value: &str) -> bool {
        match &self.test {
            Test::Text(patterns) => patterns.iter().any(|pattern| pattern.matches(value.as_bytes())),
            Test::Flag(flag) => value == flag.to_string(),
            Test::Size(_) => false,
        }
    }
}

impl Fact {
    /// What the message has there.
    fn of<'a>(&self, sight: &Sight<'a>) -> io::Result<Vec<Cow<'a, str>>> {
        let one = |text: Option<&'a str>| text.map(Cow::from).into_iter().collect();
        let envelope = &sight.message.envelope;
        Ok(match self {
            Fact::To => one(envelope.to.as_deref()),
            // A bounce's sender is `<>`, in patterns too.
            Fact::From => one(envelope.from.as_deref().map(|from| if from.is_empty() { "<>" } else { from })),
            Fact::Detail => one(envelope.detail.as_deref()),
            Fact::Queue => one(Some(&sight.message.queue)),
            Fact::Size => vec![sight.message.body.len().to_string().into()],
            Fact::Kind => one(Some(sight.kind().word())),
            Fact::Subject => sight.values("Subject").collect(),
            Fact::Header(name) => sight.values(name).collect(),
            Fact::HasAttachment => sight.has_attachment()?.map(|is_so| is_so.to_string().into()).into_iter().collect(),
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.fact)?;
        match &self.test {
            Test::Size(bound) => write!(f, "\"{bound}\""),
            Test::Flag(flag) => write!(f, "{flag}"),
            Test::Text(patterns) => match &patterns[..] {
                [one] => write!(f, "{one:?}"),
                several => write!(f, "{several:?}"),
            },
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::To => f.write_str("to"),
            Fact::From => f.write_str("from"),
            Fact::Detail => f.write_str("detail"),
            Fact::Queue => f.write_str("queue"),
            Fact::Size => f.write_str("size"),
            Fact::Kind => f.write_str("kind"),
            Fact::Subject => f.write_str("subject"),
            Fact::HasAttachment => f.write_str("has_attachment"),
            Fact::Header(name) => write!(f, "header.{name}"),
        }
    }
}

impl SizeBound {
    fn admits(self, size: u64) -> bool {
        let found = size.cmp(&self.bytes);
        found == self.side || (self.or_equal && found == Ordering::Equal)
    }
}

impl fmt::Display for SizeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.side == Ordering::Greater { ">" } else { "<" };
        write!(f, "{sign}{}{}", if self.or_equal { "=" } else { "" }, self.bytes)
    }
}

impl FromStr for SizeBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a bound on a size looks like \">5MB\" or \"<=64KiB\"".to_owned();
        let (side, rest) = match text.trim().split_at_checked(1) {
            Some((">", rest)) => (Ordering::Greater, rest),
            Some(("<", rest)) => (Ordering::Less, rest),
            _ => return Err(wrong()),
        };
        let (or_equal, rest) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
        let bytes: bytesize::ByteSize = rest.trim().parse().map_err(|_| wrong())?;
        Ok(SizeBound { side, or_equal, bytes: bytes.as_u64() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Body, Envelope, EnvelopeRules, Message};
    use crate::mail::Header;

    const MAIL: &str = "Return-Path: <>\nDelivered-To: Support+42@example.org\nReceived: x\nSubject: Re:\n  invoice\nX-Spam-Flag: NO\nx-spam-flag: YES\n\nbody";

    fn message() -> Message {
        Message {
            queue: "support".into(),
            envelope: Envelope::read(Header::of(MAIL.as_bytes()), &EnvelopeRules::default()),
            body: Body::Whole(MAIL.into()),
            ..Message::sample()
        }
    }

    fn text(fact: Fact, patterns: &[&str]) -> Condition {
        Condition { fact, test: Test::Text(patterns.iter().map(|p| p.parse().unwrap()).collect()) }
    }

    fn size(bound: &str) -> Condition {
        Condition { fact: Fact::Size, test: Test::Size(bound.parse().unwrap()) }
    }

    #[test]
    fn each_fact_can_be_asked_for() {
        let header = |name: &str| Fact::Header(name.into());
        for (condition, expected) in [
            (text(Fact::To, &["support+*@example.org"]), true),
            (text(Fact::To, &["sales@*", "support+*"]), true),
            (text(Fact::To, &["support@example.org"]), false),
            (text(Fact::From, &["<>"]), true),
            (text(Fact::From, &["*@*"]), false),
            (text(Fact::Detail, &["42"]), true),
            (text(Fact::Detail, &[""]), false),
            (text(Fact::Queue, &["supp*"]), true),
            (text(header("subject"), &["Re:  invoice"]), true),
            (text(header("Subject"), &["/^invoice/"]), false),
            (text(Fact::Subject, &["*invoice"]), true),
            (text(Fact::Kind, &["bounce"]), true),
            (text(Fact::Kind, &["human", "list"]), false),
            (Condition { fact: Fact::HasAttachment, test: Test::Flag(true) }, false),
            (text(header("X-Spam-Flag"), &["yes"]), true),
            (text(header("X-Absent"), &["*"]), false),
            (size(">100"), true),
            (size(">1KiB"), false),
            (size("<1KiB"), true),
        ] {
            assert_eq!(condition.holds(&Sight::of(&message())).unwrap(), expected, "{condition}");
        }
    }

    #[test]
    fn all_conditions_must_hold_and_none_is_every_message() {
        let to = text(Fact::To, &["support+*"]);
        let message = message();
        let matches = |conditions| When::all(conditions).matches(&Sight::of(&message)).unwrap();
        assert!(matches(vec![to.clone(), size(">1")]));
        assert!(!matches(vec![to, size("<1")]));
        assert!(matches(vec![]) && When::default().is_universal());
    }

    #[test]
    fn what_is_not_known_matches_nothing() {
        let unknown = Message { envelope: Envelope::default(), ..message() };
        for fact in [Fact::To, Fact::From, Fact::Detail] {
            assert!(!text(fact, &["*"]).holds(&Sight::of(&unknown)).unwrap());
        }
    }

    #[test]
    fn a_bound_is_on_one_side_and_may_be_included() {
        for (bound, admits, refuses) in
            [(">10", 11, 10), (">=10", 10, 9), ("<10", 9, 10), ("<= 10", 10, 11), (">1KB", 1001, 1000)]
        {
            let bound: SizeBound = bound.parse().unwrap();
            assert!(bound.admits(admits) && !bound.admits(refuses), "{bound}");
        }
        for wrong in ["", "10", "=10", ">", ">ten", "≥10"] {
            assert!(wrong.parse::<SizeBound>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_explanation_says_what_was_found() {
        let when = When::all(vec![text(Fact::Detail, &["4?"]), text(Fact::Header("X-Absent".into()), &["a", "b"])]);
        let [detail, header] = &when.explain(&Sight::of(&message())).unwrap()[..] else {
            panic!("one for each condition")
        };
        assert_eq!((detail.condition.as_str(), detail.holds), ("detail = \"4?\"", true));
        assert_eq!(detail.found.as_deref(), Some("42"));
        assert_eq!((header.condition.as_str(), header.holds), ("header.X-Absent = [\"a\", \"b\"]", false));
        assert_eq!(header.found, None);
        let spam = |pattern| {
            When::all(vec![text(Fact::Header("X-Spam-Flag".into()), &[pattern])])
                .explain(&Sight::of(&message()))
                .unwrap()
        };
        assert_eq!(spam("yes")[0].found.as_deref(), Some("YES"), "the second field made it hold");
        assert_eq!(spam("maybe")[0].found.as_deref(), Some("NO"));
    }
}
