//! What a `url` target sends, and what it makes of the answer.

use super::*;
use crate::engine::{Body, Envelope};
use crate::payload::{Attachments, Encoding, FieldValue, Source};
use bytes::Bytes;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

#[test]
fn what_an_answer_repeats_of_a_secret_is_hidden() {
    let secrets = ["sesame", "Zm9vOmJhcg=="].map(Secret::new);
    let said = b"Authorization: Basic Zm9vOmJhcg== key=sesame \xff";
    assert_eq!(hide(said, &secrets), "Authorization: Basic •••• key=•••• \u{fffd}");
}

#[test]
fn a_wish_to_wait_is_seconds_or_a_date() {
    let wait = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        retry_after(&headers).map(|wait| wait.as_secs())
    };
    assert_eq!(wait("120"), Some(120));
    assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    assert!(wait(&soon).is_some_and(|seconds| (95..=100).contains(&seconds)));
    assert_eq!((wait("soon"), wait("-5")), (None, None));
}

/// What one attempt comes to at a server that answers with this status, and what the server saw.
fn attempt(status: u16, configure: impl FnOnce(&mut UrlConfig)) -> (Outcome, String) {
    let (outcome, seen) = attempt_of(&Message::sample(), status, configure);
    (outcome, String::from_utf8(seen).unwrap())
}

fn attempt_of(message: &Message, status: u16, configure: impl FnOnce(&mut UrlConfig)) -> (Outcome, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://of-url:pw-of-url@{}/in", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        while !is_complete(&seen) {
            let mut piece = [0; 4096];
            let count = peer.read(&mut piece).unwrap();
            assert_ne!(count, 0, "cut off after {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..count]);
        }
        write!(peer, "HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n").unwrap();
        seen
    });
    let mut config = UrlConfig::new(url.parse().unwrap());
    configure(&mut config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = UrlTarget::lanes(&config, 1).unwrap().pop().unwrap();
    let outcome = runtime.block_on(target.attempt(message));
    (outcome, server.join().unwrap())
}

/// The header of a request in lower case, and its body.
fn parts(request: &[u8]) -> Option<(String, &[u8])> {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&request[..end]).to_ascii_lowercase(), &request[end + 4..]))
}

fn value<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn is_complete(request: &[u8]) -> bool {
    parts(request).is_some_and(|(header, body)| value(&header, "content-length") == Some(&body.len().to_string()))
}

#[test]
fn what_is_configured_arrives_beside_our_own_headers() {
    let (outcome, seen) = attempt(500, |config| {
        config.auth = Some(Auth::Bearer(Secret::new("hunter2")));
        config.headers = vec![("x-key".parse().unwrap(), Secret::new("hunter3"))];
    });
    let sent = |line: &str| seen.matches(line).count();
    assert_eq!(sent("\r\nauthorization: Bearer hunter2\r\n"), 1, "{seen}");
    assert_eq!((sent("\r\nx-key: hunter3\r\n"), sent("authorization:")), (1, 1), "{seen}");
    assert_eq!((sent("\r\ncontent-type: message/rfc822\r\n"), sent("\r\nmaildirq-attempt: 1\r\n")), (1, 1), "{seen}");
    assert!(!format!("{outcome:?}").contains("hunter"), "{outcome:?}");
}

#[test]
fn without_auth_the_url_says_whose_a_request_is() {
    let (_, seen) = attempt(200, |_| ());
    assert!(seen.contains("\r\nauthorization: Basic b2YtdXJsOnB3LW9mLXVybA==\r\n"), "{seen}");
}

#[test]
fn a_target_has_its_own_meanings_of_a_status() {
    for (status, expected) in [(409, "done"), (503, "reject"), (204, "retry"), (500, "retry"), (200, "done")] {
        let (outcome, _) = attempt(status, |config| {
            config.answers = Overrides { done: vec![409..=409], reject: vec![503..=503], retry: vec![204..=204] };
        });
        let became = match &outcome {
            Outcome::Done { .. } => "done",
            Outcome::Reject { .. } | Outcome::Unfit { .. } => "reject",
            Outcome::Retry { .. } | Outcome::Unavailable { .. } => "retry",
        };
        assert_eq!((became, outcome.status()), (expected, Some(status)));
    }
}

/// Our shape, with everything in it.
fn json() -> Format {
    Format::Json { attachments: Attachments::Inline, describe_above: None }
}

/// This mail as the engine has it where it is large.
fn in_file(mail: &[u8], length: u64) -> Message {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(mail).unwrap();
    let head = Bytes::copy_from_slice(&mail[..mail.len().min(100)]);
    Message { body: Body::File { head, file: file.into(), length }, ..Message::sample() }
}

#[test]
fn nothing_that_comes_from_a_mail_gets_into_a_header() {
    let hostile = b"X-Evil: 1\r\nSubject: =?utf-8?q?a=0D=0AX-Evil:_1?=\r\nContent-Type: a/b\0\x85; boundary=\"X-Evil: 1\r\n\r\n\xff";
    let own = [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "maildirq-attempt",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    ];
    let evil = || "a\r\nX-Evil: 1\0\u{202e}".to_owned();
    let envelope = Envelope { from: Some(evil()), to: Some(evil()), detail: Some(evil()) };
    let fields = || vec![("all".into(), FieldValue::Of(Source::Raw))];
    for format in [
        Format::Raw { add_original_to: true },
        json(),
        Format::Json { attachments: Attachments::Multipart, describe_above: None },
        Format::Form { encoding: Encoding::Urlencoded, fields: fields() },
        Format::Form { encoding: Encoding::Multipart, fields: fields() },
        Format::Mailgun { mime: false, signing_key: None, is_fresh: true },
        Format::Mailgun { mime: true, signing_key: None, is_fresh: false },
        Format::Postmark { raw_email: true },
    ] {
        let message = Message {
            envelope: envelope.clone(),
            route: evil().into(),
            body: Body::Whole(Bytes::copy_from_slice(hostile)),
            ..Message::sample()
        };
        let (_, seen) = attempt_of(&message, 200, |config| {
            config.format = format.clone();
            config.sign = vec![Secret::new(KEY)];
        });
        let (header, _) = parts(&seen).unwrap();
        let mut names: Vec<_> = header.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, own, "{format:?}: {header}");
        assert!(!header.contains("evil"), "{format:?}: {header}");
    }
}

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn every_key_signs_what_is_sent() {
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let mail = b"Subject: x\n\nbody\n";
    for message in [Message::sample(), in_file(mail, mail.len() as u64)] {
        let (_, seen) = attempt_of(&message, 200, |config| {
            config.format = json();
            config.sign = vec![Secret::new(KEY), Secret::new(other)];
        });
        let (header, body) = parts(&seen).unwrap();
        let timestamp = value(&header, "webhook-timestamp").unwrap();
        let signed = [format!("{}.{timestamp}.", message.id).as_bytes(), body].concat();
        let signature = |key: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(signing_key(key).unwrap().reveal_bytes()).unwrap();
            mac.update(&signed);
            format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
        };
        let expected = format!("{} {}", signature(KEY), signature(other));
        assert_eq!(value(&header, "webhook-signature"), Some(&*expected.to_ascii_lowercase()));
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(age - timestamp.parse::<u64>().unwrap() < 60, "{timestamp}");
        assert_eq!(value(&header, "content-type"), Some("application/json"));
    }
    let (_, unsigned) = attempt(200, |_| ());
    assert!(!unsigned.contains("webhook-signature") && !unsigned.contains("webhook-timestamp"), "{unsigned}");
}

#[test]
fn a_large_message_is_streamed_with_its_length() {
    let mail = [&b"Subject: x\n\n"[..], &vec![b'a'; 300_000]].concat();
    let message = in_file(&mail, mail.len() as u64);
    let envelope = Envelope { to: Some("box@example.org".into()), ..Envelope::default() };
    let (outcome, seen) = attempt_of(&Message { envelope, ..message }, 200, |config| {
        config.format = Format::Raw { add_original_to: true };
    });
    assert_eq!(outcome, Outcome::Done { status: Some(200) });
    let (header, body) = parts(&seen).unwrap();
    assert!(!header.contains("chunked"), "{header}");
    assert_eq!(body, [b"X-Original-To: box@example.org\n", &mail[..]].concat());
}

#[test]
fn a_connection_serves_again_after_an_answer_in_chunks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        for _ in 0..3 {
            let mut seen = Vec::new();
            while !is_complete(&seen) {
                let mut piece = [0; 4096];
                let count = peer.read(&mut piece).unwrap();
                assert_ne!(count, 0, "another connection was made");
                seen.extend_from_slice(&piece[..count]);
            }
            write!(peer, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").unwrap();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = UrlConfig::new(format!("http://{address}/in").parse().unwrap());
    let target = UrlTarget::lanes(&config, 1).unwrap().pop().unwrap();
    for _ in 0..3 {
        assert_eq!(runtime.block_on(target.attempt(&Message::sample())), Outcome::Done { status: Some(200) });
    }
    server.join().unwrap();
}

#[test]
fn an_answer_that_comes_before_all_was_sent_is_one_and_the_next_request_goes_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let answers = ["413 Too Large", "200 OK"];
        // Both are kept until the end, and read no further than to the end of the header.
        answers.map(|answer| {
            let (mut peer, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while parts(&seen).is_none() {
                let mut piece = [0; 64];
                let count = peer.read(&mut piece).unwrap();
                seen.extend_from_slice(&piece[..count]);
            }
            write!(peer, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").unwrap();
            peer
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = UrlConfig::new(format!("http://{address}/in").parse().unwrap());
    let target = UrlTarget::lanes(&config, 1).unwrap().pop().unwrap();
    // More than the system takes in its buffers.
    let mail = [&b"Subject: x\n\n"[..], &vec![b'a'; 30_000_000]].concat();
    let refused = runtime.block_on(target.attempt(&in_file(&mail, mail.len() as u64)));
    assert!(matches!(refused, Outcome::Reject { status: Some(413), .. }), "{refused:?}");
    assert_eq!(runtime.block_on(target.attempt(&Message::sample())), Outcome::Done { status: Some(200) });
    drop(server.join().unwrap());
}

#[test]
fn a_message_that_cannot_be_read_is_nobodys_fault_but_ours() {
    let config = |format| UrlConfig { format, ..UrlConfig::new("http://127.0.0.1:9/in".parse().unwrap()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let signed = UrlConfig { sign: vec![Secret::new(KEY)], ..config(Format::default()) };
    for config in [config(json()), config(Format::Postmark { raw_email: true }), signed] {
        let target = UrlTarget::lanes(&config, 1).unwrap().pop().unwrap();
        let outcome = runtime.block_on(target.attempt(&in_file(b"Subject: x\n", 100)));
        let Outcome::Retry { blame: Blame::Ourselves, reason, .. } = outcome else { panic!("{outcome:?}") };
        assert!(reason.starts_with("the message cannot be read: "), "{reason}");
    }
}

#[test]
fn a_message_that_would_lose_its_text_is_kept_for_a_person() {
    let fields = vec![("body".to_owned(), FieldValue::Of(Source::Text))];
    let format = Format::Form { encoding: Encoding::Multipart, fields };
    let config = UrlConfig { format, ..UrlConfig::new("http://127.0.0.1:9/in".parse().unwrap()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = UrlTarget::lanes(&config, 1).unwrap().pop().unwrap();
    let long = [b"Subject: x\n\n".to_vec(), b"text\n".repeat(300_000)].concat();
    let outcome = runtime.block_on(target.attempt(&in_file(&long, long.len() as u64)));
    let reason = "its text is longer than 1 MiB, and no field of the form holds the message itself".to_owned();
    assert_eq!(outcome, Outcome::Unfit { reason });
}

#[test]
fn secrets_of_a_shape_are_hidden_in_answers() {
    let field = |value: &str| ("key".to_owned(), FieldValue::Secret(Secret::new(value)));
    let mut config = UrlConfig::new("http://127.0.0.1/".parse().unwrap());
    let plain = ("project".to_owned(), FieldValue::Text("support".to_owned()));
    let fields = vec![field("hunter2"), field("abc"), plain];
    config.format = Format::Form { encoding: Encoding::Urlencoded, fields };
    config.sign = vec![Secret::new(KEY)];
    assert_eq!(secrets(&config, &HeaderMap::new()), ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "hunter2"].map(Secret::new));
    config.format = Format::Mailgun { mime: false, signing_key: Some(Secret::new("hunter3")), is_fresh: false };
    assert_eq!(secrets(&config, &HeaderMap::new())[1], Secret::new("hunter3"));
    assert!(!format!("{config:?}").contains("hunter") && !format!("{config:?}").contains("MfKQ"), "{config:?}");
}

#[test]
fn a_preview_shows_what_would_be_sent_but_no_secret() {
    let mut config = UrlConfig::new("http://ada:pw-of-url@127.0.0.1:9/in?x=1".parse().unwrap());
    config.headers = vec![("x-key".parse().unwrap(), Secret::new("hunter2"))];
    config.sign = vec![Secret::new(KEY)];
    let message = Message::sample();
    let preview = UrlTarget::preview(&config, &message).unwrap();
    let header = |name: &str| preview.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value);
    let plain = |text: &str| Some(Shown::Plain(text.to_owned()));
    assert_eq!(header("content-type").cloned(), plain("message/rfc822"));
    assert_eq!(header("webhook-id").cloned(), plain(&message.id.to_string()));
    assert_eq!((header("x-key"), header("authorization")), (Some(&Shown::Secret), Some(&Shown::Secret)));
    assert!(matches!(header("webhook-signature"), Some(Shown::Plain(text)) if text.starts_with("v1,")));
    assert!(header("user-agent").is_some() && header("webhook-timestamp").is_some());
    assert_eq!(preview.payload.len(), message.body.len());
    assert_eq!(preview.url, config.url);
    let shown = format!("{preview:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("pw-of-url"), "{shown}");
}

#[test]
fn a_key_that_is_none_is_refused_before_anything_is_sent() {
    let mut config = UrlConfig::new("http://127.0.0.1/".parse().unwrap());
    config.sign = vec![Secret::new("hunter2")];
    let error = UrlTarget::lanes(&config, 1).err().unwrap().to_string();
    assert!(error.starts_with("`sign`: a key begins with whsec_"), "{error}");
}

/// How often somebody was woken.
#[derive(Default)]
struct Wakings(AtomicUsize);

impl Wake for Wakings {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn who_waits_for_an_answer_is_woken_by_the_answer_and_by_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = UrlConfig::new(format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap());
    let (seen, was_seen) = mpsc::channel();
    let (answer, is_to_answer) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        for () in is_to_answer {
            let mut request = Vec::new();
            while !is_complete(&request) {
                let mut piece = [0; 4096];
                let count = peer.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..count]);
            }
            seen.send(()).unwrap();
            peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (target, message) = (UrlTarget::lanes(&config, 1).unwrap().pop().unwrap(), Message::sample());
    runtime.block_on(async {
        answer.send(()).unwrap();
        assert_eq!(target.attempt(&message).await, Outcome::Done { status: Some(204) });
        was_seen.recv().unwrap();

        let wakings = Arc::<Wakings>::default();
        let waker = Waker::from(Arc::clone(&wakings));
        let mut attempt = target.attempt(&message);
        assert!(attempt.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // It is sent, and the server does not even read it yet.
        assert_eq!(wakings.0.load(Ordering::Relaxed), 0);
        answer.send(()).unwrap();
        was_seen.recv().unwrap();
        while wakings.0.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let outcome = attempt.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(outcome, Poll::Ready(Outcome::Done { status: Some(204) }));
        assert_eq!(wakings.0.load(Ordering::Relaxed), 1);
    });
    drop(answer);
    server.join().unwrap();
}
