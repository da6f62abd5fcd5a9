//! A test of every key: what is said of a slip of the pen.

use super::keys::{KEYS, Key, Place};
use super::tests::remarks;
use super::walk::nearest;
use std::collections::HashSet;

/// What stands before keys of this place, by headers of tables.
fn header(place: Place) -> &'static str {
    match place {
        Place::Top => "",
        Place::Queue => "[queue.a]\n",
        Place::Route => "[[route]]\n",
        Place::When => "[[route]]\ntarget = \"ignore\"\n[route.when]\n",
        Place::Target => "[target.app]\n",
        Place::Auth => "[target.app.auth]\n",
        Place::Answers => "[target.app.answers]\n",
        Place::Retry => "[target.app.retry]\n",
        Place::Breaker => "[target.app.breaker]\n",
        Place::Secret => "[target.app]\nurl = \"http://x/\"\n[target.app.headers.Api-Key]\n",
        Place::FormField => "[target.app]\nurl = \"http://x/\"\nformat = \"form\"\n[target.app.fields.f]\n",
        Place::Web => "[web]\n",
        Place::Keep => "[keep]\n",
    }
}

/// What stands before and behind keys of this place, by inline tables.
fn inline(place: Place) -> (&'static str, &'static str) {
    match place {
        Place::Top => ("", ""),
        Place::Queue => ("queue = { a = { ", " } }"),
        Place::Route => ("route = [{ ", " }]"),
        Place::When => ("route = [{ target = \"ignore\", when = { ", " } }]"),
        Place::Target => ("target.app = { ", " }"),
        Place::Auth => ("target.app.auth = { ", " }"),
        Place::Answers => ("target.app.answers = { ", " }"),
        Place::Retry => ("target.app.retry = { ", " }"),
        Place::Breaker => ("target.app.breaker = { ", " }"),
        Place::Secret => ("target.app = { url = \"http://x/\", headers = { Api-Key = { ", " } } }"),
        Place::FormField => ("target.app = { url = \"http://x/\", format = \"form\", fields = { f = { ", " } } }"),
        Place::Web => ("web = { ", " }"),
        Place::Keep => ("keep = { ", " }"),
    }
}

/// Slips of the pen: a letter left out, doubled, in the place of another, two of them swapped.
fn typos(name: &str) -> HashSet<String> {
    let mut typos = HashSet::new();
    for place in 0..name.len() {
        let (before, letter, after) = (&name[..place], &name[place..=place], &name[place + 1..]);
        typos.insert(format!("{before}{after}"));
        typos.insert(format!("{before}{letter}{letter}{after}"));
        typos.insert(format!("{before}q{after}"));
        if let Some(next) = after.get(..1) {
            typos.insert(format!("{before}{next}{letter}{}", &after[1..]));
        }
    }
    typos.retain(|typo| !typo.is_empty() && !KEYS.iter().any(|key| key.name == typo));
    typos
}

#[test]
fn a_typo_in_any_key_at_any_level_is_pointed_at_and_set_right() {
    for place in Place::ALL {
        for key in Key::of(*place) {
            let typos = typos(key.name);
            assert!(typos.len() >= 5, "{}: {typos:?}", key.name);
            for typo in typos {
                let (before, behind) = inline(*place);
                for (before, behind) in [(header(*place), ""), (before, behind)] {
                    let text = format!("{before}{typo} = {}{behind}\n", key.example);
                    let (line, column) = (before.matches('\n').count() + 1, before.lines().last().map_or(0, str::len));
                    let column = if before.ends_with('\n') || before.is_empty() { 1 } else { column + 1 };
                    let remarks = remarks(&text);
                    let found =
                        remarks.iter().find(|remark| remark.text.starts_with(&format!("unknown key `{typo}` ")));
                    let found = found.unwrap_or_else(|| panic!("{text}\n{remarks:?}"));
                    assert_eq!((found.line, found.column), (Some(line), Some(column)), "{text}");
                    let hint = format!("did you mean `{}`?", key.name);
                    assert_eq!(found.help.as_deref(), Some(&*hint), "{text}");
                    let carets = "^".repeat(typo.len());
                    assert!(found.rendered.ends_with(&format!(" {carets} {hint}")), "{}", found.rendered);
                }
            }
        }
    }
}

#[test]
fn no_key_is_like_another_of_its_place() {
    for place in Place::ALL {
        let names: Vec<_> = Key::of(*place).map(|key| key.name).collect();
        for name in &names {
            assert_eq!(nearest(name, names.iter().copied()), Some(*name));
        }
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{place:?}: {names:?}");
    }
}
