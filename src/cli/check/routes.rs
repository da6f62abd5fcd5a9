//! Trap: a broad route before a narrow one.

use super::finding::Finding;
use super::subject::Subject;
use crate::engine::text::printable;
use crate::engine::{Condition, Pattern, Route, Test};

/// Looks for routes that another one, before them, leaves nothing to. Only what is certain is told.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let routes = &subject.config.routes;
    let mut found = Vec::new();
    for (place, route) in routes.iter().enumerate() {
        // Of these the configuration's own warnings tell.
        let is_told = |earlier: &Route| earlier.when.is_universal() || earlier.when == route.when;
        if routes[..place].iter().any(is_told) {
            continue;
        }
        if let Some(earlier) = routes[..place].iter().position(|earlier| takes_all_of(earlier, route)) {
            let text = format!(
                "route {}, `{}`, can never match: route {}, `{}`, is broader and comes first",
                place + 1,
                printable(route.name.as_bytes()),
                earlier + 1,
                printable(routes[earlier].name.as_bytes())
            );
            found.push(Finding::warning(text, "put the narrow route before the broad one"));
        }
    }
    found
}

/// Whether all mail for `narrow` is for `broad`, too.
fn takes_all_of(broad: &Route, narrow: &Route) -> bool {
    let holds = |broad: &Condition| narrow.when.conditions().iter().any(|narrow| follows(broad, narrow));
    broad.when.conditions().iter().all(holds)
}

/// Whether the broad condition holds wherever the narrow one does.
fn follows(broad: &Condition, narrow: &Condition) -> bool {
    if broad.fact != narrow.fact {
        return false;
    }
    match (&broad.test, &narrow.test) {
        (Test::Text(broad), Test::Text(narrow)) => {
            narrow.iter().all(|narrow| broad.iter().any(|broad| covers(broad, narrow)))
        }
        (broad, narrow) => broad == narrow,
    }
}

/// Whether one pattern matches all that the other does.
fn covers(broad: &Pattern, narrow: &Pattern) -> bool {
    let is_expression = |text: &str| text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    let [broad_text, narrow_text] = [broad, narrow].map(ToString::to_string);
    if broad == narrow || broad.is_universal() {
        return true;
    }
    // What regular expressions have in common nobody can say that easily.
    let globs = [broad_text, narrow_text];
    if globs.iter().any(|text| is_expression(text)) {
        return false;
    }
    let [broad, narrow] = globs.map(|text| text.to_ascii_lowercase().chars().collect::<Vec<_>>());
    glob_covers(&broad, &narrow)
}

/// Whether `broad` matches all that `narrow` does. `covered[n]`: what is there of `broad` covers `narrow[n..]`.
fn glob_covers(broad: &[char], narrow: &[char]) -> bool {
    let end = narrow.len();
    let mut covered = vec![false; end + 1];
    covered[end] = true;
    for &first in broad.iter().rev() {
        let rest = covered;
        covered = vec![false; end + 1];
        for at in (0..=end).rev() {
            covered[at] = match (first, narrow.get(at)) {
                ('*', next) => rest[at] || (next.is_some() && covered[at + 1]),
                // Only an asterisk is as much as an asterisk.
                (_, None | Some('*')) => false,
                ('?', Some(_)) => rest[at + 1],
                (character, Some(next)) => character == *next && rest[at + 1],
            };
        }
    }
    covered[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Fact, Way, When};

    #[test]
    fn a_glob_covers_another_only_where_that_is_certain() {
        for (broad, narrow, expected) in [
            ("*", "*", true),
            ("*@example.com", "sales@example.com", true),
            ("*@example.com", "Sales+*@EXAMPLE.com", true),
            ("*@example.com", "*@example.org", false),
            ("sales@example.com", "*@example.com", false),
            ("sales+*@*", "sales+1@example.com", true),
            ("a?c", "abc", true),
            ("a?c", "a*c", false),
            ("a?c", "a?c", true),
            ("abc", "a?c", false),
            ("a*", "a", true),
            ("a*b", "a?b", true),
            ("??", "*", false),
            ("", "", true),
            ("", "*", false),
            ("*", "", true),
            ("/sales/", "sales", false),
            ("*", "/sales/", true),
            ("/sales/", "/sales/", true),
            ("/", "/", true),
        ] {
            assert_eq!(covers(&broad.parse().unwrap(), &narrow.parse().unwrap()), expected, "{broad} {narrow}");
        }
    }

    #[test]
    fn a_route_takes_all_of_one_with_more_conditions() {
        let text = |fact: Fact, patterns: &[&str]| Condition {
            fact,
            test: Test::Text(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()),
        };
        let size = |bound: &str| Condition { fact: Fact::Size, test: Test::Size(bound.parse().unwrap()) };
        let route = |when: Vec<Condition>| Route { name: "r".into(), when: When::all(when), way: Way::Ignore };
        let all = |patterns: &[&str]| vec![text(Fact::To, patterns)];
        for (broad, narrow, expected) in [
            (all(&["*@a", "*@b"]), all(&["x@b"]), true),
            (all(&["*@a"]), all(&["x@a", "x@b"]), false),
            (all(&["*@a"]), vec![text(Fact::To, &["x@a"]), size(">1MB")], true),
            (vec![text(Fact::To, &["x@a"]), size(">1MB")], all(&["x@a"]), false),
            (vec![size(">1MB")], vec![size(">1MB")], true),
            (vec![size(">1MB")], vec![size(">2MB")], false),
            (all(&["*@a"]), vec![text(Fact::From, &["x@a"])], false),
        ] {
            let (broad, narrow) = (route(broad), route(narrow));
            assert_eq!(takes_all_of(&broad, &narrow), expected, "{:?} {:?}", broad.when, narrow.when);
        }
    }
}
