//! The routes of a file, and whether mail can come by them.

use super::item::{Item, flag};
use super::keys::{
    Place, ROUTE_NAME, ROUTE_TARGET, ROUTES, TARGETS, WHEN, WHEN_DETAIL, WHEN_FROM, WHEN_HAS_ATTACHMENT, WHEN_HEADER,
    WHEN_KIND, WHEN_QUEUE, WHEN_SIZE, WHEN_SUBJECT, WHEN_TO,
};
use super::remark::Note;
use super::walk::{Table, nearest};
use crate::engine::text::printable;
use crate::engine::{Condition, Fact, Pattern, Route, Test, Way, When};
use std::ops::Range;

/// The routes to these targets, for mail of these queues.
pub(super) fn read(top: &Table<'_>, queues: &[String], targets: &[String]) -> Vec<Route> {
    let tables: Vec<_> = match top.item(&ROUTES) {
        None => Vec::new(),
        Some(item) if item.is_table() => {
            let text = "[route] must be [[route]]: there can be several";
            top.walk.note(Note::error(text).at(item.name.clone()).label("write [[route]]"));
            return Vec::new();
        }
        Some(item) => {
            let elements = item.elements().unwrap_or_default();
            elements.iter().filter_map(|element| element.table(Place::Route)).collect()
        }
    };
    if tables.is_empty() {
        return all_to_the_one_target(top, targets);
    }
    let routes: Vec<_> =
        tables.iter().filter_map(|table| Some((table.span.clone(), route(table, queues, targets)?))).collect();
    if routes.len() == tables.len() {
        warn_of_dead_ends(top, &routes);
        warn_of_unused_targets(top, &routes);
    }
    routes.into_iter().map(|(_, route)| route).collect()
}

fn all_to_the_one_target(top: &Table<'_>, targets: &[String]) -> Vec<Route> {
    match targets {
        [only] => vec![Route { name: "".into(), when: When::default(), way: Way::To(only.as_str().into()) }],
        [first, second, ..] => {
            let second = top.items_of(&TARGETS).into_iter().find(|(name, _)| name == second);
            let text = format!("{} targets and no [[route]]: which mail goes where?", targets.len());
            let note =
                Note::absence(text).help(format!("[[route]] with target = \"{first}\", and `when` for the others"));
            top.walk.note(match second {
                Some((_, item)) => note.at(item.name),
                None => note,
            });
            Vec::new()
        }
        [] => Vec::new(),
    }
}

fn route(table: &Table<'_>, queues: &[String], targets: &[String]) -> Option<Route> {
    let when = match table.item(&WHEN) {
        Some(item) => item.table(Place::When).and_then(|table| when(&table, queues)),
        None => Some(When::default()),
    };
    let name = table.optional(&ROUTE_NAME, |item| item.text().filter(|name| item.check_name(name)));
    let Some(item) = table.item(&ROUTE_TARGET) else {
        table
            .lacks("a route without `target`", format!("target = \"NAME\" of a [target.NAME], or \"{}\"", Way::IGNORE));
        return None;
    };
    let target = item.text()?;
    let way = if target == Way::IGNORE {
        Way::Ignore
    } else if targets.iter().any(|known| known == target) {
        Way::To(target.into())
    } else {
        let known = targets.iter().map(String::as_str).chain([Way::IGNORE]);
        unknown(&item, "target", target, known);
        return None;
    };
    Some(Route { name: name.unwrap_or(target).into(), when: when?, way })
}

fn unknown<'k>(item: &Item<'_>, what: &str, name: &str, known: impl Iterator<Item = &'k str> + Clone) {
    let note = Note::error(format!("there is no {what} `{}`", printable(name.as_bytes()))).at(item.span.clone());
    item.walk.note(if let Some(near) = nearest(name, known.clone()) {
        note.label(format!("did you mean `{}`?", printable(near.as_bytes())))
    } else {
        let all: Vec<_> = known.map(|name| printable(name.as_bytes())).collect();
        note.help(format!("there are: {}", all.join(", ")))
    });
}

/// None where a condition makes no sense; it was noted.
fn when(table: &Table<'_>, queues: &[String]) -> Option<When> {
    let mut conditions = Vec::new();
    for (key, fact) in [
        (&WHEN_TO, Fact::To),
        (&WHEN_FROM, Fact::From),
        (&WHEN_DETAIL, Fact::Detail),
        (&WHEN_QUEUE, Fact::Queue),
        (&WHEN_SUBJECT, Fact::Subject),
    ] {
        let Some(item) = table.item(key) else { continue };
        let patterns = patterns(&item);
        if fact == Fact::Queue {
            check_queues(&item, queues);
        }
        conditions.push(patterns.map(|patterns| Condition { fact, test: Test::Text(patterns) }));
    }
    if let Some(item) = table.item(&WHEN_KIND) {
        let words = item.one_or_more().map(|items| items.iter().map(Item::choice).collect::<Vec<_>>());
        let words = words.and_then(|words| words.into_iter().collect::<Option<Vec<_>>>());
        let patterns = |words: Vec<&str>| {
            let patterns = words.iter().map(|word| word.parse().expect("a plain word is a pattern"));
            Condition { fact: Fact::Kind, test: Test::Text(patterns.collect()) }
        };
        conditions.push(words.map(patterns));
    }
    if let Some(item) = table.item(&WHEN_SIZE) {
        let bound = item.parsed(str::parse);
        conditions.push(bound.map(|bound| Condition { fact: Fact::Size, test: Test::Size(bound) }));
    }
    for (name, item) in table.items_of(&WHEN_HEADER) {
        let patterns = if is_field_name(name) {
            patterns(&item)
        } else {
            let text = format!("`{}` is no name of a header field", printable(name.as_bytes()));
            table.walk.note(Note::error(text).at(item.name).label("visible ASCII, without a colon"));
            None
        };
        let fact = Fact::Header(name.to_owned());
        conditions.push(patterns.map(|patterns| Condition { fact, test: Test::Text(patterns) }));
    }
    // The last, since it is the only one for which a message must be read as a whole.
    if let Some(item) = table.item(&WHEN_HAS_ATTACHMENT) {
        conditions.push(flag(&item).map(|flag| Condition { fact: Fact::HasAttachment, test: Test::Flag(flag) }));
    }
    if table.item(&WHEN_HEADER).is_some_and(|item| !item.is_table()) {
        return None;
    }
    conditions.into_iter().collect::<Option<_>>().map(When::all)
}

/// RFC 5322 section 2.2.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

fn patterns(item: &Item<'_>) -> Option<Vec<Pattern>> {
    // All are read, so that all mistakes are found.
    let pattern = |item: &Item<'_>| {
        if item.as_text() == Some("") {
            return item.refuse("an empty pattern is for nothing; the sender of a bounce is \"<>\"");
        }
        item.parsed(str::parse::<Pattern>)
    };
    let patterns: Vec<_> = item.one_or_more()?.iter().map(pattern).collect();
    patterns.into_iter().collect()
}

/// Whether each pattern for queues is for one that there is.
fn check_queues(item: &Item<'_>, queues: &[String]) {
    let patterns = if item.as_text().is_some() { vec![item.clone()] } else { item.elements().unwrap_or_default() };
    for item in patterns {
        let Some(written) = item.as_text() else { continue };
        let Ok(pattern) = written.parse::<Pattern>() else { continue };
        if queues.is_empty() || queues.iter().any(|queue| pattern.matches(queue.as_bytes())) {
            continue;
        }
        if written.contains(['*', '?', '/']) {
            let text = format!("no queue is called like `{}`", printable(written.as_bytes()));
            item.walk.note(Note::warning(text).at(item.span.clone()));
        } else {
            unknown(&item, "queue", written, queues.iter().map(String::as_str));
        }
    }
}

fn warn_of_dead_ends(top: &Table<'_>, routes: &[(Range<usize>, Route)]) {
    for (place, (span, route)) in routes.iter().enumerate() {
        let earlier =
            routes[..place].iter().position(|(_, earlier)| earlier.when.is_universal() || earlier.when == route.when);
        if let Some(earlier) = earlier {
            let name = &routes[earlier].1.name;
            let text = format!("the route `{}` can never match", route.name);
            let label = format!("route {}, `{name}`, takes all that it is for", earlier + 1);
            top.walk.note(Note::warning(text).at(span.clone()).label(label));
        }
    }
    if !routes.iter().any(|(_, route)| route.when.is_universal()) {
        let text = "no catch-all route: mail for other addresses will become dead (\"no route\")";
        top.walk.note(Note::warning(text).help("a last [[route]] without `when` takes all the rest"));
    }
}

fn warn_of_unused_targets(top: &Table<'_>, routes: &[(Range<usize>, Route)]) {
    for (name, item) in top.items_of(&TARGETS) {
        let is_used = routes.iter().any(|(_, route)| matches!(&route.way, Way::To(target) if **target == *name));
        if !is_used && name != Way::IGNORE {
            let text = format!("no route leads to the target `{}`", printable(name.as_bytes()));
            top.walk.note(Note::warning(text).at(item.name));
        }
    }
}
