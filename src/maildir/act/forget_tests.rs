//! What is erased, and what is not.

use super::super::story;
use super::super::tests::Bench;
use super::*;
use crate::maildir::story::{Event, Line, append};
use std::fs;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

const ADA: &str = "ada@example.com";
const FROM_ADA: &str = "Return-Path: <Ada@Example.com>\nSubject: x\n\nhi\n";
const ABOUT_ADA: &str = "From: bob@example.com\n\nada@example.com wrote\n";

impl Bench {
    fn has(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }

    fn tell_of(&self, path: &str, reason: &str) -> Id {
        let id = self.operator.see(&self.folder.path().join(path)).unwrap().unwrap().id();
        let due = SystemTime::now() + Duration::from_hours(1);
        let line = Line { due: Some(due), reason: reason.into(), ..Line::new(SystemTime::now(), Event::Retry) };
        append(self.operator.layout.root(), id, line, due).unwrap();
        id
    }

    fn story_of(&self, id: Id) -> String {
        fs::read_to_string(self.folder.path().join(super::super::story::path(id))).unwrap()
    }
}

#[test]
fn an_address_is_found_whole_and_in_any_case() {
    for (text, count) in [
        ("ada@example.com", 1),
        ("From: Ada <ADA@Example.COM>, ada@example.com.", 2),
        ("mailfrom=ada@example.com; user='ada@example.com'", 2),
        ("xada@example.com", 0),
        ("ada@example.com.au", 0),
        ("ada@example.community", 0),
        ("o.ada@example.com", 0),
        ("ada+list@example.com", 0),
        ("550 unknown sender ada@example.com: no", 1),
        ("", 0),
        ("ada@", 0),
    ] {
        assert_eq!(mentions(text.as_bytes(), ADA).count(), count, "{text}");
    }
    assert_eq!(mentions(b"abc", "").count(), 0);
}

#[test]
fn kept_mail_of_a_person_is_removed_with_its_story_and_other_mail_is_not() {
    let mut bench = Bench::new();
    let kept = [
        ".maildirq.dead/new/1762087331.a.b",
        ".maildirq.trash/new/1762087332.a.b",
        ".maildirq.done/cur/1762087333.a.b:2,S",
    ];
    for path in kept {
        bench.put(path, FROM_ADA);
    }
    let id = bench.tell_of(kept[0], "no");
    let others = [(".maildirq.dead/new/1762087334.a.b", ABOUT_ADA), ("new/1762087335.a.b", FROM_ADA)];
    for (path, text) in others {
        bench.put(path, text);
    }

    let expected = Forgotten { messages: 3, waiting: 1, ..Forgotten::default() };
    assert_eq!(bench.operator.forget(ADA, true).unwrap(), expected);
    assert!(kept.iter().all(|path| bench.has(path)), "a dry run removes nothing");
    assert_eq!(bench.operator.forget(ADA, false).unwrap(), expected);
    assert!(!kept.iter().any(|path| bench.has(path)) && others.iter().all(|(path, _)| bench.has(path)));
    assert!(!bench.has(&super::super::story::path(id)));
    assert_eq!(bench.operator.forget(ADA, false).unwrap(), Forgotten { waiting: 1, ..Forgotten::default() });
}

#[test]
fn a_story_of_other_mail_says_the_same_without_the_address_and_is_due_when_it_was() {
    let mut bench = Bench::new();
    bench.put("new/1762087331.a.b", "From: bob@example.com\n\n");
    let id = bench.tell_of("new/1762087331.a.b", "550 Ada@example.com is unknown here");
    let due = story::due_by_mtime(bench.operator.layout.root(), id);
    assert_eq!(bench.operator.forget(ADA, false).unwrap(), Forgotten { stories: 1, ..Forgotten::default() });
    assert!(bench.story_of(id).contains("550 *************** is unknown here"), "{}", bench.story_of(id));
    assert_eq!(story::due_by_mtime(bench.operator.layout.root(), id), due);
    assert_eq!(story::Story::read(bench.operator.layout.root(), id).unwrap().unwrap().history.tries, 1);
}

#[test]
fn the_story_of_mail_in_hand_is_left_for_the_next_time() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let mut bench = Bench::new();
    bench.put("new/1762087331.a.b", "From: bob@example.com\n\n");
    let id = bench.tell_of("new/1762087331.a.b", "ada@example.com");
    let held = File::open(bench.folder.path().join("new/1762087331.a.b")).unwrap();
    fs2::FileExt::lock_exclusive(&held).unwrap();
    assert_eq!(bench.operator.forget(ADA, false).unwrap(), Forgotten { in_hand: 1, ..Forgotten::default() });
    assert!(bench.story_of(id).contains(ADA));
}

#[test]
fn lines_of_the_history_are_taken_out() {
    let mut bench = Bench::new();
    let line = |from: &str| format!("{{\"v\":1,\"at\":\"2026-11-22T07:07:30Z\",\"id\":\"x\",\"from\":\"{from}\"}}\n");
    let before = [line("ada@example.com"), line("bob@example.com"), line("Ada@Example.com")].concat();
    bench.put("maildirq/history/2026.jsonl", &before);
    let expected = Forgotten { history: 2, ..Forgotten::default() };
    assert_eq!([true, false].map(|is_dry| bench.operator.forget(ADA, is_dry).unwrap()), [expected; 2]);
    let after = fs::read_to_string(bench.folder.path().join("maildirq/history/2026.jsonl")).unwrap();
    assert_eq!(after, line("bob@example.com"));
}
