use super::*;
use crate::engine::State;
use crate::mail::Kind;
use std::time::Duration;

/// A dead message of three tries and two hours, 6 MB from Ada to support.
struct Sample;

impl Facts for Sample {
    fn state(&self) -> State {
        State::Dead
    }
    fn id(&self) -> Option<String> {
        Some("k7f3q9abcdefghijklmnopqrst".into())
    }
    fn queue(&self) -> &'static str {
        "billing"
    }
    fn age(&self) -> Option<Duration> {
        Some(Duration::from_hours(2))
    }
    fn size(&self) -> Option<u64> {
        Some(6_000_000)
    }
    fn tries(&self) -> Option<u32> {
        Some(3)
    }
    fn target(&self) -> Option<&str> {
        Some("app")
    }
    fn error(&self) -> Option<&str> {
        Some("500 \"undefined method `id' for nil\"")
    }
    fn from(&self) -> Vec<&str> {
        vec!["bounces@example.com", "Ada Lovelace <ada@example.com>"]
    }
    fn to(&self) -> Vec<&str> {
        vec!["support+42@example.org"]
    }
    fn subject(&self) -> Option<&str> {
        Some("Re: Invoice 1042 overdue")
    }
    fn kind(&self) -> Option<Kind> {
        Some(Kind::AutoReply)
    }
    fn has_attachment(&self) -> Option<bool> {
        None
    }
}

fn matches(line: &str) -> bool {
    Query::parse_line(line).unwrap_or_else(|error| panic!("{line}: {error}")).matches(&Sample)
}

#[test]
fn every_field_asks_for_its_own() {
    for line in [
        "",
        "state:dead",
        "STATE:Dead",
        "state:new,dead",
        "target:app",
        "target:a*",
        "error:503 -error:503",
        "error:\"undefined method\"",
        "age:>1h",
        "age:<3h",
        "age:2h",
        "tries:3",
        "tries:>=3",
        "tries:<4",
        "size:>5MB",
        "size:5MB",
        "from:@example.com",
        "from:bounces",
        "from:lovelace",
        "to:support+*",
        "subject:\"invoice 1042\"",
        "kind:auto_reply",
        "kind:auto-reply,list",
        "queue:billing",
        "id:k7f3q9",
        "id:K7",
        "invoice",
        "ada support",
        "-kind:bounce",
        "!kind:bounce",
        "-has:attachment",
        "state:dead target:app error:500 age:>1h -kind:bounce invoice",
    ] {
        assert_eq!(matches(line), !line.contains("503"), "{line}");
    }
}

#[test]
fn what_is_not_so_does_not_match() {
    for line in [
        "state:new",
        "-state:dead",
        "target:ap",
        "error:timeout",
        "age:>2h",
        "age:<2h",
        "tries:2",
        "tries:>3",
        "size:<5MB",
        "from:bob",
        "to:sales",
        "subject:ada",
        "kind:human",
        "queue:bill",
        "id:7f3",
        "has:attachment",
        "undefined",
        "-invoice",
        "state:dead invoice bob",
    ] {
        assert!(!matches(line), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_told_with_what_was_meant() {
    for (line, text, help) in [
        ("stat:dead", "unknown field `stat`", "state:…"),
        ("targte:app", "unknown field `targte`", "target:…"),
        ("colour:red", "unknown field `colour`", "one of state, target"),
        ("state:daed", "did you mean `dead`?", "state is new"),
        ("state:", "nothing stands behind the colon", "state is new"),
        ("kind:humam", "did you mean `human`?", "kind is human"),
        ("age:>soon", "age: ", "age:>2h"),
        ("tries:many", "`many` is not a number", "tries:3"),
        ("size:big", "size: ", "size:>5MB"),
        ("has:attachement", "did you mean `attachment`?", "has is attachment"),
        ("subject:\"open", "a quotation has no end", "close it"),
        ("sub\u{1b}ject:x\u{1b}", "", ""),
    ] {
        match Query::parse_line(line) {
            Ok(_) => assert_eq!(text, "", "{line}"),
            Err(error) => {
                assert!(error.text.contains(text) && !text.is_empty(), "{line}: {error}");
                assert!(error.help.unwrap().contains(help), "{line}");
            }
        }
    }
}

#[test]
fn the_words_of_a_command_line_keep_their_blanks() {
    for (words, expected) in [
        (&["subject:invoice 1042", "state:dead"][..], true),
        (&["state:dead target:app"], true),
        (&["state:dead target:other"], false),
        (&["subject:\"invoice 1042\" state:dead"], true),
        (&["error:undefined method"], true),
        (&["Invoice 1042"], true),
        (&["invoice  1042"], false),
        (&["", " "], true),
    ] {
        assert_eq!(Query::parse(words).unwrap().matches(&Sample), expected, "{words:?}");
    }
}

#[test]
fn the_states_are_known_before_anything_is_read() {
    let states = |line| Query::parse_line(line).unwrap().states().map(|states| states.iter().collect::<Vec<_>>());
    assert_eq!(states("invoice"), None);
    assert_eq!(states("state:dead"), Some(vec![State::Dead]));
    assert_eq!(states("state:retry,new -state:new"), Some(vec![State::Retry]));
    assert_eq!(states("state:dead state:new"), Some(vec![]));
    assert_eq!(states("-state:dead").map(|states| states.len()), Some(6));
}

#[test]
fn mail_is_read_only_for_what_stands_in_it() {
    let needs_mail = |line| Query::parse_line(line).unwrap().needs_mail();
    assert!(needs_mail("invoice") && needs_mail("state:dead kind:human") && needs_mail("-has:attachment"));
    assert!(!needs_mail("state:dead target:app error:503 age:>2h size:>1MB tries:3 id:k7 queue:x"));
}

#[test]
fn a_term_is_told_from_an_id_a_name_and_a_message_id() {
    for word in ["state:dead", "-kind:bounce", "stat:dead", "error:"] {
        assert!(Query::is_term(word), "{word}");
    }
    for word in ["k7f3q9", "1762087331.V801.mx1:2,S", "/var/mail/new/1762087331.x:2,S", "<1:2@x>", "invoice", "-x"] {
        assert!(!Query::is_term(word), "{word}");
    }
}

#[test]
fn a_query_tells_which_queues_it_may_be_about() {
    for (line, expected) in [
        ("", true),
        ("state:dead", true),
        ("queue:billing", true),
        ("queue:support", false),
        ("-queue:billing", false),
        ("-queue:support", true),
        ("queue:billing queue:support", false),
    ] {
        assert_eq!(Query::parse_line(line).unwrap().may_be_in("billing"), expected, "{line}");
    }
}
