//! What is expected of routes, in a file: a unit test of the routing.

use super::super::{Exit, complain, mail};
use super::explain::{self, DEAD};
use super::subject::Subject;
use crate::engine::Route;
use crate::engine::text::printable;
use std::fs;
use std::path::Path;

/// What is expected: names of messages, and where each of them goes.
#[derive(Debug, Default)]
pub struct Expectations(Vec<(String, String)>);

/// What came of one message.
pub struct Verdict {
    /// What was expected, where anything was.
    pub expected: Option<String>,
    /// What is.
    pub found: String,
    /// Whether it is as expected.
    pub is_met: bool,
}

impl Expectations {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense; it was told of, and this is how to end.
    pub fn read(path: &Path) -> Result<Self, Exit> {
        let shown = mail::shown(path);
        let text = fs::read_to_string(path).map_err(|error| {
            complain(format_args!("cannot read {shown}: {error}"));
            Exit::NoInput
        })?;
        Expectations::parse(&text).map_err(|error| {
            complain(format_args!("{shown}: {error}\n  = a line looks like: bounce.eml  bounces"));
            Exit::DataError
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = place + 1;
            // The name of a file may have blanks in it, that of a route may not.
            let (name, way) =
                line.rsplit_once(char::is_whitespace).ok_or_else(|| format!("line {number} says only one word"))?;
            let name = name.trim_end();
            if all.iter().any(|(other, _)| other == name) {
                return Err(format!("line {number} names {} again", printable(name.as_bytes())));
            }
            all.push((name.to_owned(), way.to_owned()));
        }
        Ok(Expectations(all))
    }

    /// Whether the route of a message is the one that is expected.
    pub fn verdict(&self, subject: &Subject, route: Option<&Route>) -> Verdict {
        let expected = self.0.iter().find(|(name, _)| is_called(subject, name)).map(|(_, way)| way.clone());
        let found = explain::way(route).to_owned();
        let is_met = expected.as_deref().is_some_and(|expected| match route {
            None => expected == DEAD,
            Some(route) => expected == found || expected == route.way.target(),
        });
        Verdict { expected, found, is_met }
    }

    /// The names of messages that were not given.
    pub fn left_over(&self, subjects: &[Subject]) -> impl Iterator<Item = &str> {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !subjects.iter().any(|subject| is_called(subject, name)))
    }
}

impl Verdict {
    /// One line about it.
    pub fn line(&self, subject: &Subject) -> String {
        let (label, found) = (&subject.label, &self.found);
        match &self.expected {
            _ if self.is_met => format!("✓ {label}  {found}"),
            Some(expected) => format!("✗ {label}  {found}, expected {}", printable(expected.as_bytes())),
            None => format!("✗ {label}  {found}, and nothing is expected of it"),
        }
    }
}

/// A name without folders is that of a file wherever it lies.
fn is_called(subject: &Subject, name: &str) -> bool {
    let given = &subject.given;
    given.as_os_str() == name
        || subject.label == name
        || (!name.contains('/') && given.file_name().is_some_and(|file| file == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Message, Way, When};

    fn subject(given: &str) -> Subject {
        let label = Path::new(given).file_name().unwrap().to_str().unwrap().to_owned();
        let mut subject = Subject::new(given.into(), Message::sample(), &[]).unwrap();
        subject.label = label;
        subject
    }

    #[test]
    fn a_line_is_a_name_and_a_route_a_target_or_dead() {
        let expected = Expectations::parse(
            "# routes\n\na.eml\tinvoices\n  b c.eml   app  \ntests/d.eml dead\ne.eml ignore\nx.eml invoices\n",
        )
        .unwrap();
        let route = |name: &str, way| Route { name: name.into(), when: When::default(), way };
        let (to_app, ignore) = (route("invoices", Way::To("app".into())), route("spam", Way::Ignore));
        for (given, route, is_met) in [
            ("tests/a.eml", Some(&to_app), true),
            ("b c.eml", Some(&to_app), true),
            ("tests/d.eml", None, true),
            ("tests/d.eml", Some(&to_app), false),
            ("other/d.eml", None, false),
            ("e.eml", Some(&ignore), true),
            ("a.eml", Some(&ignore), false),
            ("a.eml", None, false),
            ("f.eml", None, false),
        ] {
            assert_eq!(expected.verdict(&subject(given), route).is_met, is_met, "{given}");
        }
        let given = ["a.eml", "b c.eml", "tests/d.eml", "e.eml"].map(subject);
        assert_eq!(expected.left_over(&given).collect::<Vec<_>>(), ["x.eml"]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        for (text, explained) in [("a.eml\n", "line 1"), ("a app\n# x\na app\n", "line 3 names a again")] {
            let error = Expectations::parse(text).unwrap_err();
            assert!(error.contains(explained), "{error}");
        }
    }
}
