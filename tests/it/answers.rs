//! What the app is told, and what its answer means for the message: the table of docs/answers.md.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Answer, App, Exit, Fate, Maildir, Maildirq, Request};

const MESSAGES_OWN: Fate = Fate::Waits { charged: true };
const NOT_CHARGED: Fate = Fate::Waits { charged: false };

/// The table of docs/answers.md, for a message's first try.
fn usual_fate(status: u16) -> Fate {
    match status {
        200..=299 => Fate::Done,
        406 | 413 | 422 => Fate::Dead,
        429 => NOT_CHARGED,
        status if looks_like_configuration(status) => NOT_CHARGED,
        400..=499 => MESSAGES_OWN,
        _ => NOT_CHARGED,
    }
}

fn looks_like_configuration(status: u16) -> bool {
    matches!(status, 300..=399 | 401 | 403 | 404 | 405 | 410 | 415)
}

/// So many failures in a row are no reason to stop here.
const UNDAUNTED: &str = "breaker = { after = 1000 }";

#[test]
fn every_status_has_its_fate() {
    let (maildir, app) = (Maildir::new(), App::answering(as_the_mail_wants));
    let statuses = (200..=599).chain([600, 999]);
    let mails: Vec<_> = statuses.map(|status| (status, maildir.deliver(wanting(status)))).collect();

    let drain = Maildirq::drain_with(&maildir, &app.url(), UNDAUNTED).run();

    assert_eq!(drain.exit(), Exit::SomeDead);
    let requests = app.requests();
    let ids: BTreeMap<_, _> = requests.iter().map(|request| (request.body.as_slice(), request.id())).collect();
    for (status, name) in mails {
        let (fate, story) = (usual_fate(status), maildir.story(ids[wanting(status).as_slice()]));
        assert_eq!(Fate::of(&maildir, &name, &story), fate, "{status}");
        if fate != Fate::Done {
            let told = story.last().unwrap();
            let reason = told["reason"].as_str().unwrap();
            assert_eq!((told["status"].as_u64(), told["try"].as_u64()), (Some(status.into()), Some(1)), "{told}");
            assert!(reason.starts_with(&status.to_string()), "{reason}");
            assert!(reason.ends_with(&snippet(status)), "{reason}");
            assert_eq!(reason.contains("(looks like configuration)"), looks_like_configuration(status), "{reason}");
        }
    }
}

#[test]
fn the_log_says_what_looks_like_configuration() {
    let (maildir, app) = (Maildir::new(), App::answering(as_the_mail_wants));
    maildir.deliver(wanting(404));

    let drain = Maildirq::drain(&maildir, &app.url()).run();

    let attempt = drain.wait_for_event("attempt");
    assert_eq!((&attempt["level"], &attempt["status"]), (&"WARN".into(), &404.into()));
    assert!(attempt["reason"].as_str().unwrap().contains("looks like configuration"), "{attempt}");
}

#[test]
fn a_hostile_answer_is_kept_short_and_harmless() {
    let hostile = format!("\u{1b}]0;owned\u{7}\r\n{{\"event\":\"dead\"}}\n\u{202e}{}", "x".repeat(1_000_000));
    let app = App::answering(move |_| Answer::status(422).body(hostile.clone()));
    let maildir = Maildir::new();
    maildir.deliver("Subject: hi\n\nhi\n");

    let drain = Maildirq::drain(&maildir, &app.url()).run();

    assert_eq!(drain.exit(), Exit::SomeDead);
    let story = maildir.story(app.requests()[0].id());
    let reason = story[0]["reason"].as_str().unwrap();
    assert_eq!((story.len(), drain.events("dead").len()), (1, 1));
    assert!(reason.starts_with("422 Unprocessable Entity: ") && reason.chars().all(is_harmless), "{reason}");
    assert!(reason.len() < 600, "{reason}");
}

/// The wish, and the wait in seconds that comes of it where `max_delay` is 100 s.
#[test]
fn a_wish_to_wait_is_honoured_within_limits() {
    let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(1));
    let in_a_year = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(365 * 24));
    let wishes = [
        ("50", 50..=50),
        ("100", 100..=100),
        ("101", 100..=100),
        ("18446744073709551615", 100..=100),
        ("0", 1..=1),
        ("1", 1..=1),
        (&*in_a_minute, 30..=60),
        (&*in_a_year, 100..=100),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 1..=1),
    ];
    for (wish, expected) in wishes {
        let maildir = Maildir::new();
        let asked = wish.to_owned();
        let app = App::answering(move |_| Answer::status(503).header("retry-after", &asked));
        maildir.deliver("Subject: hi\n\nhi\n");

        Maildirq::drain_with(&maildir, &app.url(), r#"retry = { max_delay = "100s" }"#).run();

        let waits = wait_in(&maildir.story(app.requests()[0].id())[0]).as_secs_f64().round();
        assert!((f64::from(*expected.start())..=f64::from(*expected.end())).contains(&waits), "{wish}: {waits} s");
    }
}

#[test]
fn a_wish_that_is_none_leaves_the_wait_to_chance() {
    for wish in ["soon", "-5", "", "99999999999999999999"] {
        let maildir = Maildir::new();
        let app = App::answering(move |_| Answer::status(503).header("retry-after", wish));
        maildir.deliver("Subject: hi\n\nhi\n");

        Maildirq::drain_with(&maildir, &app.url(), r#"retry = { max_delay = "100ms" }"#).run();

        let wait = wait_in(&maildir.story(app.requests()[0].id())[0]);
        assert!(wait <= Duration::from_millis(100), "{wish:?}: {wait:?}");
    }
}

/// A body that wants this status.
fn wanting(status: u16) -> Vec<u8> {
    format!("Subject: a wish\n\n{status}").into_bytes()
}

fn as_the_mail_wants(request: &Request) -> Answer {
    let wish = request.body.rsplit(|&byte| byte == b'\n').next().unwrap();
    let status = str::from_utf8(wish).unwrap().parse().unwrap();
    let has_body = !matches!(status, 204 | 304);
    Answer::status(status).body(if has_body { snippet(status) } else { String::new() })
}

fn snippet(status: u16) -> String {
    if status == 304 { String::new() } else { format!("because {status} is what it wants") }
}

/// Between an attempt and the next, as a line of a story has it.
fn wait_in(line: &Value) -> Duration {
    let time = |name: &str| humantime::parse_rfc3339(line[name].as_str().unwrap()).unwrap();
    time("due").duration_since(time("at")).unwrap()
}

fn is_harmless(character: char) -> bool {
    !character.is_control() && character != '\u{202e}'
}
