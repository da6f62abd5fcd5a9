//! Standard Webhooks, verified by the library of those who wrote the standard.

use std::sync::Arc;

use serde_json::json;

use crate::support::leaks::{OTHER_WEBHOOK_KEY as OLD, WEBHOOK_KEY as NEW};
use crate::support::program::{Program, Shared, python};
use crate::support::{App, Exit, Launch, Maildir, Maildirq, client};

const MAIL: &str = "From: Ada <ada@example.com>\nSubject: =?utf-8?q?caf=C3=A9?=\nMessage-ID: <a.b.c@example.com>\n\nGr\u{fc}\u{df}e\r\n";

/// Each shape, as lines of TOML for a target.
const FORMATS: [&str; 6] = [
    "format = 'raw'",
    "format = 'json'",
    "format = 'json'\nattachments = 'multipart'",
    "format = 'form'\nfields = { email = { mail = 'raw' }, key = 'value' }",
    "format = 'mailgun'",
    "format = 'postmark'",
];

static RECEIVER: Shared = Shared::new();

/// What is signed with the old secret is taken at `/old`, with the new one at `/new`.
fn receiver() -> Arc<Program> {
    let secrets = json!({ "old": OLD, "new": NEW }).to_string();
    RECEIVER.get_or(|| Program::start(&python(), "webhooks/app.py", &[("SECRETS", secrets)]))
}

fn drain(maildir: &Maildir, url: &str, settings: &str) -> Launch {
    Maildirq::drain_with(maildir, url, settings).env("OLD", OLD).env("NEW", NEW)
}

#[test]
fn each_format_is_taken_by_receivers_with_the_old_secret_and_with_the_new_one() {
    let receiver = receiver();
    for format in FORMATS {
        for path in ["/old", "/new"] {
            let maildir = Maildir::new();
            maildir.deliver(MAIL);
            let settings = format!("{format}\nsign = [{{ env = 'NEW' }}, {{ env = 'OLD' }}]");

            let drain = drain(&maildir, &receiver.url(path), &settings).run();

            assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::Ok, 0), "{format} at {path}");
            assert_eq!(drain.wait_for_event("attempt")["status"], 204, "{format} at {path}");
        }
    }
}

#[test]
fn who_has_another_secret_refuses_and_the_mail_waits() {
    let (receiver, maildir) = (receiver(), Maildir::new());
    let name = maildir.deliver(MAIL);

    let drain = drain(&maildir, &receiver.url("/old"), "sign = { env = 'NEW' }").run();

    assert_eq!((drain.exit(), maildir.waiting()), (Exit::SomeWait, vec![name]));
    let attempt = drain.wait_for_event("attempt");
    assert_eq!(attempt["status"], 401);
    assert!(attempt["reason"].as_str().unwrap().contains("No matching signature found"), "{attempt}");
}

#[test]
fn what_is_changed_on_the_way_is_refused() {
    let (receiver, app, maildir) = (receiver(), App::accepting(), Maildir::new());
    maildir.deliver(MAIL);
    assert_eq!(drain(&maildir, &app.url(), "format = 'json'\nsign = [{ env = 'NEW' }]").run().exit(), Exit::Ok);
    let [request] = app.requests().try_into().expect("one request");
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| {
        let value = request.header(name).unwrap_or_else(|| panic!("{name} is not sent: {request:?}"));
        value.to_owned()
    });
    let post = |id: &str, timestamp: &str, body: &[u8]| {
        let headers = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", &signature)];
        client::post(&receiver.url("/new"), &headers, body).0
    };
    let earlier = (timestamp.parse::<u64>().unwrap() - 1).to_string();
    let mut body = request.body.clone();
    body[0] ^= 1;

    assert_eq!(post(&id, &timestamp, &request.body), 204, "as it was sent");
    assert_eq!(post(&id, &timestamp, &body), 401, "another body");
    assert_eq!(post(&id, &timestamp, &[&request.body[..], b" "].concat()), 401, "a longer body");
    assert_eq!(post(&format!("{id}0"), &timestamp, &request.body), 401, "another id");
    assert_eq!(post(&id, &earlier, &request.body), 401, "another time");
}
