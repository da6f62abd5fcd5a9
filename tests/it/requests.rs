//! What the app sees of a message: its bytes, and headers that hold nothing from it (T33).

use std::collections::BTreeSet;

use crate::support::{Answer, App, Exit, Maildir, Maildirq, Request};

const RETRY_AT_ONCE: &str = r#"retry = { max_delay = "1ms" }"#;

#[test]
fn a_message_is_posted_with_these_headers_and_no_others() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let mail = b"From: a@example.org\nSubject: hi\n\nhi\n";
    maildir.deliver(mail);

    Maildirq::drain(&maildir, &app.url()).run();

    let request = only(app.requests());
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/mail"));
    assert_eq!(sorted(request.headers.clone()), expected_headers(&app, &request));
    assert_eq!(request.body, mail);
}

#[test]
fn an_id_is_the_same_for_every_attempt_and_process() {
    let maildir = Maildir::new();
    let app = App::answering(|request| if request.attempt() < Some(6) { Answer::status(400) } else { Answer::ok() });
    maildir.deliver("Subject: hi\n\nhi\n");

    for _ in 0..3 {
        let drain = Maildirq::drain_with(&maildir, &app.url(), RETRY_AT_ONCE).run();
        assert_eq!(drain.exit(), Exit::SomeWait);
    }
    let _watch = Maildirq::watch_with(&maildir, &app.url(), RETRY_AT_ONCE).start();
    app.wait_for_accepted(1);

    let requests = app.requests();
    let attempts: Vec<_> = requests.iter().map(Request::attempt).collect();
    let ids: BTreeSet<_> = requests.iter().map(Request::id).collect();
    assert_eq!(attempts, (1..=6).map(Some).collect::<Vec<_>>());
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(requests.iter().all(|request| request.header("idempotency-key") == Some(request.id())));
    assert!(is_base32(requests[0].id()), "{ids:?}");
}

#[test]
fn two_messages_differ_in_their_ids_even_if_they_are_equal() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    (0..2).for_each(|_| drop(maildir.deliver("Subject: hi\n\nhi\n")));

    Maildirq::drain(&maildir, &app.url()).run();

    let requests = app.requests();
    let [one, other] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_ne!(one.id(), other.id());
    assert_eq!(without_ids(one), without_ids(other));
}

#[test]
fn a_body_arrives_as_it_lies_on_the_disk() {
    const PIECE: usize = 64 * 1024;
    let every_byte: Vec<u8> = (0..=255).collect();
    let mails = [
        ("8 bits, NUL and all control characters", every_byte.clone()),
        ("line ends of every kind", b"Subject: hi\r\nX: 1\nY: 2\r\r\n\n\n.\r\n..\n\rend\r".to_vec()),
        ("a line of 100 KB", [b"Subject: hi\n\n".as_slice(), &b"x".repeat(100_000)].concat()),
        ("a byte", b"x".to_vec()),
        ("no header", b"\n\nbody".to_vec()),
        ("what could be an end", b"Subject: hi\n\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ("a byte less than a piece", filler(PIECE - 1)),
        ("a piece", filler(PIECE)),
        ("a byte more than a piece", filler(PIECE + 1)),
        ("two pieces", filler(2 * PIECE)),
        ("5 MB of every byte", every_byte.repeat(20_000)),
    ];
    let (maildir, app) = (Maildir::new(), App::accepting());
    for (what, mail) in mails {
        maildir.deliver(&mail);

        assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok, "{what}");

        let request = app.requests().pop().unwrap();
        assert!(request.body == mail, "{what}: {} bytes became {}", mail.len(), request.body.len());
        assert_eq!(sorted(request.headers.clone()), expected_headers(&app, &request), "{what}");
    }
    assert_eq!(app.complaints(), [""; 0]);
}

#[test]
fn nothing_from_a_mail_is_ever_in_a_header_or_raw_in_the_log() {
    let nasty = [
        "x\r\nX-Injected: 1",
        "nul \0 and \x1b[31mred\x1b[0m",
        "\u{202e}fdp.exe and \u{2028} and \u{9b}2J",
        "=?utf-8?q?=0D=0AX-Injected:_1=00=1B[31m?=",
        "() { :;}; touch /tmp/shocked",
        "{\"event\":\"dead\"}\\\"",
        &"x".repeat(1_000_000),
    ];
    let fields = ["Subject", "From", "To", "Message-ID", "Content-Type", "webhook-id", "Maildirq-Attempt: 7\nHost"];
    for (field, log) in fields.iter().flat_map(|field| ["json", "text"].map(|log| (field, log))) {
        let (maildir, app) = (Maildir::new(), App::accepting());
        for value in nasty {
            maildir.deliver(format!("{field}: {value}\nX-Other: 1\n\nbody\n"));
        }
        let drain = Maildirq::drain(&maildir, &app.url());

        let drain = if log == "text" { drain.log_text() } else { drain }.run();

        assert_eq!((drain.exit(), app.count()), (Exit::Ok, nasty.len()));
        for request in app.requests() {
            assert_eq!(sorted(request.headers.clone()), expected_headers(&app, &request), "{field}");
        }
        for line in drain.lines() {
            assert!(line.len() < 2000 && line.chars().all(is_harmless), "{line:?}");
        }
    }
}

/// All that a request may have, whatever the mail.
fn expected_headers(app: &App, request: &Request) -> Vec<(String, String)> {
    let length = request.body.len().to_string();
    let host = app.url().replace("http://", "").replace("/mail", "");
    let headers = [
        ("accept", "*/*"),
        ("content-length", &length),
        ("content-type", "message/rfc822"),
        ("host", &host),
        ("idempotency-key", request.id()),
        ("maildirq-attempt", "1"),
        ("user-agent", concat!("maildirq/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", request.id()),
    ];
    assert!(is_base32(request.id()), "{:?}", request.id());
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn sorted(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.sort();
    headers
}

fn without_ids(request: &Request) -> Vec<&(String, String)> {
    request.headers.iter().filter(|(name, _)| name != "webhook-id" && name != "idempotency-key").collect()
}

fn is_base32(id: &str) -> bool {
    id.len() == 26 && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

fn is_harmless(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
}

/// So many bytes that nothing repeats at the length of a buffer.
fn filler(size: usize) -> Vec<u8> {
    b"Subject: filler\n\n".iter().copied().chain((b'!'..=b'}').cycle()).take(size).collect()
}

#[track_caller]
fn only(requests: Vec<Request>) -> Request {
    let [request] = requests.try_into().expect("one request");
    request
}
