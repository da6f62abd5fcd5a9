//! A real Rails application with Action Mailbox, which takes mail by its relay ingress.

use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::Value;

use crate::support::program::{Program, Shared, ruby};
use crate::support::{Exit, Launch, Maildir, Maildirq, SOON, client, wait_for};

const PASSWORD: &str = "hunter2: \"a\" pass%word~";
const INGRESS: &str = "/rails/action_mailbox/relay/inbound_emails";

static RAILS: Shared = Shared::new();

/// The application, and a Maildir for it.
struct Office {
    rails: Arc<Program>,
    maildir: Maildir,
}

impl Office {
    fn open() -> Office {
        let start = || Program::start(&ruby(), "rails/app.rb", &[("RAILS_INBOUND_EMAIL_PASSWORD", PASSWORD)]);
        Office { rails: RAILS.get_or(start), maildir: Maildir::new() }
    }

    /// With these lines of TOML for more settings of the target.
    fn drain(&self, password: &str, settings: &str) -> Launch {
        let auth = "auth = { basic = 'actionmailbox', password = { env = 'INGRESS_PASSWORD' } }";
        let settings = format!("{auth}\n{settings}");
        Maildirq::drain_with(&self.maildir, &self.rails.url(INGRESS), &settings).env("INGRESS_PASSWORD", password)
    }

    /// The inbound emails of this Message-ID, once each has been routed.
    #[track_caller]
    fn inbound(&self, message_id: &str) -> Vec<Value> {
        let is_routed = |email: &Value| email["status"] != "pending" && email["status"] != "processing";
        wait_for("Action Mailbox to route its mail", SOON, || {
            let mut told = self.rails.told("/inbound_emails");
            let emails: &mut Vec<Value> = told.as_array_mut().expect("a list");
            emails.retain(|email| email["message_id"] == message_id);
            emails.iter().all(is_routed).then(|| emails.split_off(0))
        })
    }
}

fn source(email: &Value) -> Vec<u8> {
    BASE64.decode(email["source"].as_str().unwrap().as_bytes()).unwrap()
}

#[test]
fn rails_takes_a_mail_byte_for_byte_and_it_leaves_the_maildir() {
    let office = Office::open();
    let mail = b"Return-Path: <ada@example.com>\r\nTo: support+7@example.org\nSubject: =?utf-8?q?caf=C3=A9?=\n\
        Message-ID: <whole@example.com>\n\nF\xfcr alle Bytes: \x80\xff\x01 \r\n.\nFrom me\n\n";
    office.maildir.deliver(mail);

    let drain = office.drain(PASSWORD, "").run();

    assert_eq!((drain.exit(), office.maildir.waiting().len()), (Exit::Ok, 0));
    assert_eq!(drain.wait_for_event("attempt")["status"], 204);
    let [email] = &office.inbound("whole@example.com")[..] else { panic!("there is one") };
    assert!(source(email) == mail, "{}", String::from_utf8_lossy(&source(email)));
    assert_eq!((&email["status"], &email["mailbox"]), (&"delivered".into(), &"SupportMailbox".into()));
    assert_eq!((&email["subject"], &email["recipients"][0]), (&"café".into(), &"support+7@example.org".into()));
}

#[test]
fn rails_refuses_a_wrong_password_and_the_mail_waits_for_the_right_one() {
    let office = Office::open();
    let name = office.maildir.deliver("To: support@example.org\nMessage-ID: <password@example.com>\n\n.\n");

    let wrong = office.drain("hunter3", "retry = { min_delay = '10ms', max_delay = '10ms' }").run();

    assert_eq!((wrong.exit(), office.maildir.waiting()), (Exit::SomeWait, vec![name]));
    let attempt = wrong.wait_for_event("attempt");
    assert_eq!(attempt["status"], 401);
    assert!(attempt["reason"].as_str().unwrap().contains("looks like configuration"), "{attempt}");
    assert_eq!(office.inbound("password@example.com"), [Value::Null; 0]);

    assert_eq!(office.drain(PASSWORD, "").arg("--wait-retries").run().exit(), Exit::Ok);
    assert_eq!(office.inbound("password@example.com").len(), 1);
}

/// What the format relies on.
#[test]
fn rails_refuses_every_media_type_but_that_of_a_message() {
    let office = Office::open();
    let credentials = format!("Basic {}", BASE64.encode(format!("actionmailbox:{PASSWORD}").as_bytes()));
    let mail = b"To: support@example.org\nMessage-ID: <type@example.com>\n\n.\n";
    for (media_type, status) in
        [("text/plain", 415), ("application/octet-stream", 415), ("message/global", 415), ("message/rfc822", 204)]
    {
        let headers = [("authorization", &*credentials), ("content-type", media_type)];
        assert_eq!(client::post(&office.rails.url(INGRESS), &headers, mail).0, status, "{media_type}");
    }
}

#[test]
fn rails_knows_a_mail_again_that_comes_twice_because_of_a_crash() {
    let office = Office::open();
    // The folders and the identity are there from now on, so that nothing but the mail is unlinked.
    assert_eq!(office.drain(PASSWORD, "").run().exit(), Exit::Ok);
    office.maildir.deliver("To: support@example.org\nMessage-ID: <twice@example.com>\n\n.\n");

    let killed = office.drain(PASSWORD, "").args(["--concurrency", "1"]).killed_at("unlinkat", 1).run();

    assert_eq!((killed.exit(), office.maildir.waiting().len()), (Exit::Signal(9), 1));
    assert_eq!(office.inbound("twice@example.com").len(), 1);
    let again = office.drain(PASSWORD, "").run();
    assert_eq!((again.exit(), office.maildir.waiting().len()), (Exit::Ok, 0));
    assert_eq!(again.wait_for_event("attempt")["status"], 204);
    assert_eq!(office.inbound("twice@example.com").len(), 1, "it was the same mail");
}

/// Rails looks for recipients in the header alone, where that of a Bcc does not stand.
#[test]
fn rails_routes_a_mail_whose_recipient_only_the_envelope_knows() {
    for (settings, status) in [("", "bounced"), ("add_original_to = true", "delivered")] {
        let office = Office::open();
        let message_id = format!("bcc-{status}@example.com");
        let mail = format!("To: undisclosed-recipients:;\nMessage-ID: <{message_id}>\n\n.\n");
        let delivered = format!("Delivered-To: orders@example.org\nReceived: by mx.example.org\n{mail}");
        office.maildir.deliver(&delivered);

        let drain = office.drain(PASSWORD, settings).run();

        assert_eq!((drain.exit(), office.maildir.waiting().len()), (Exit::Ok, 0));
        let [email] = &office.inbound(&message_id)[..] else { panic!("there is one") };
        assert_eq!(email["status"], status, "{settings}");
        if status == "delivered" {
            assert_eq!(email["mailbox"], "OrdersMailbox");
            let expected = format!("X-Original-To: orders@example.org\n{delivered}");
            assert_eq!(String::from_utf8(source(email)).unwrap(), expected);
        }
    }
}
