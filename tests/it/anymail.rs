//! A real Django application with django-anymail, which takes mail as Mailgun and Postmark send it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::digest::sha256;
use crate::support::program::{Program, Shared, python};
use crate::support::{Exit, Launch, Maildir, Maildirq};

const KEY: &str = "key-hunter2";
const PASSWORD: &str = "hunter2";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const PDF: &[u8] = b"%PDF-1.4\n\0\xff";
const CSV: &[u8] = b"a,b\n1,2\n";

/// Each format, and where the application takes it.
const FORMATS: [(&str, &str); 4] = [
    ("format = 'mailgun'\nsigning_key = { env = 'KEY' }", "/anymail/mailgun/inbound/"),
    ("format = 'mailgun-mime'\nsigning_key = { env = 'KEY' }", "/anymail/mailgun/inbound_mime/"),
    ("format = 'postmark'", "/anymail/postmark/inbound/"),
    ("format = 'postmark'\nraw_email = true", "/anymail/postmark/inbound/"),
];

static DJANGO: Shared = Shared::new();

/// The application, and a Maildir for it.
struct Office {
    django: Arc<Program>,
    maildir: Maildir,
}

impl Office {
    fn open() -> Office {
        let env = [("MAILGUN_SIGNING_KEY", KEY.to_owned()), ("WEBHOOK_SECRET", format!("anymail:{PASSWORD}"))];
        let django = DJANGO.get_or(|| Program::start(&python(), "django/app.py", &env));
        Office { django, maildir: Maildir::new() }
    }

    fn drain(&self, format: &str, path: &str) -> Launch {
        let auth = "auth = { basic = 'anymail', password = { env = 'PASSWORD' } }";
        let launch = Maildirq::drain_with(&self.maildir, &self.django.url(path), &format!("{format}\n{auth}"));
        launch.env("KEY", KEY).env("PASSWORD", PASSWORD)
    }

    /// The inbound events for this recipient.
    #[track_caller]
    fn inbound(&self, recipient: &str) -> Vec<Value> {
        let mut told = self.django.told("/inbound");
        let events = told.as_array_mut().expect("a list");
        events.retain(|event| event["envelope_recipient"] == recipient);
        events.split_off(0)
    }
}

/// Not in the header's `To`; everything in it that can be told.
fn mail(recipient: &str) -> String {
    let header = "From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.com>\n\
        To: Support <support@example.org>, other@example.org\n\
        Cc: =?iso-8859-1?q?Ren=E9?= <rene@example.org>\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus?= =?utf-8?b?IEvDtmxu?=\n\
        Date: Tue, 1 Sep 2026 10:00:00 +0200\n\
        Message-ID: <gruss@example.com>\n\
        MIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=outer\n";
    let text = "--outer\nContent-Type: multipart/related; boundary=related\n\n\
        --related\nContent-Type: multipart/alternative; boundary=alternative\n\n\
        --alternative\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
        Gr=C3=BC=C3=9Fe!\n\nOn Mon, 31 Aug 2026 at 9:00, Support wrote:\n> How are you?\n\
        --alternative\nContent-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
        <p>Gr=FC=DFe! <img src=3D\"cid:logo@example.com\"></p>\n\
        --alternative--\n";
    let attachments = "--related\nContent-Type: image/png\nContent-ID: <logo@example.com>\n\
        Content-Disposition: inline; filename=logo.png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n\
        --related--\n\
        --outer\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\
        Content-Disposition: attachment; filename*=utf-8''Rechnung%20M%C3%A4rz.pdf\n\nJVBERi0xLjQKAP8=\n\
        --outer\nContent-Type: text/csv\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n\
        YSxiCjEsMgo=\n\
        --outer--\n";
    let envelope =
        format!("Return-Path: <bounce@example.com>\nDelivered-To: {recipient}\nReceived: by mx.example.org\n");
    [&*envelope, header, "\n", text, attachments].concat()
}

#[test]
fn anymail_reads_the_same_from_each_format() {
    let office = Office::open();
    for (number, (format, path)) in FORMATS.iter().enumerate() {
        let recipient = format!("team+{number}@example.org");
        office.maildir.deliver(mail(&recipient));

        let drain = office.drain(format, path).run();

        assert_eq!((drain.exit(), office.maildir.waiting().len()), (Exit::Ok, 0), "{format}");
        let [event] = &office.inbound(&recipient)[..] else { panic!("{format}: there is one event") };
        let expected = json!({
            "envelope_sender": "bounce@example.com",
            "from": [["Jürgen Müller", "juergen@example.com"]],
            "to": [["Support", "support@example.org"], ["", "other@example.org"]],
            "cc": [["René", "rene@example.org"]],
            "subject": "Grüße aus Köln",
            "date": 1_788_249_600.0,
            "message_id": "<gruss@example.com>",
            "inline": { "logo@example.com": { "name": "logo.png", "type": "image/png", "sha256": sha256(PNG) } },
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&event[key], value, "{format}: {key}");
        }
        let text = |key: &str| event[key].as_str().unwrap_or_default().replace("\r\n", "\n").trim_end().to_owned();
        assert_eq!(text("text"), "Grüße!\n\nOn Mon, 31 Aug 2026 at 9:00, Support wrote:\n> How are you?", "{format}");
        assert_eq!(text("html"), "<p>Grüße! <img src=\"cid:logo@example.com\"></p>", "{format}");
        // A message as a whole has no such thing.
        if !path.contains("mime") {
            assert_eq!(text("stripped_text"), "Grüße!", "{format}");
        }
        let [pdf, csv] = &event["attachments"].as_array().unwrap()[..] else { panic!("{format}: {event}") };
        let expected = json!({ "name": "Rechnung März.pdf", "type": "application/pdf", "sha256": sha256(PDF) });
        assert_eq!(pdf, &expected, "{format}");
        // Its name, which it has not, can be made up.
        assert_eq!((&csv["type"], &csv["sha256"]), (&"text/csv".into(), &sha256(CSV).into()), "{format}");
    }
}

#[test]
fn anymail_refuses_another_key_and_the_mail_waits() {
    let office = Office::open();
    let (format, path) = FORMATS[0];
    for (variable, recipient) in [("KEY", "wrong-key@example.org"), ("PASSWORD", "wrong-password@example.org")] {
        let name = office.maildir.deliver(mail(recipient));

        let wrong = office.drain(format, path).env(variable, "hunter3").run();

        assert_eq!((wrong.exit(), office.maildir.waiting()), (Exit::SomeWait, vec![name]), "{variable}");
        assert_eq!(wrong.wait_for_event("attempt")["status"], 400, "{variable}");
        assert_eq!(office.inbound(recipient), [Value::Null; 0], "{variable}");
        assert_eq!(office.drain(format, path).arg("--wait-retries").run().exit(), Exit::Ok);
        assert_eq!(office.inbound(recipient).len(), 1, "{variable}");
    }
}

#[test]
fn anymail_is_told_by_the_id_that_a_mail_comes_again() {
    let office = Office::open();
    for (number, (format, path)) in FORMATS.iter().enumerate() {
        let recipient = format!("again+{number}@example.org");
        // The folders and the identity are there from now on, so that nothing but the mail is unlinked.
        assert_eq!(office.drain(format, path).run().exit(), Exit::Ok);
        office.maildir.deliver(mail(&recipient));

        let killed = office.drain(format, path).concurrency(1).killed_at("unlinkat", 1).run();
        assert_eq!((killed.exit(), office.maildir.waiting().len()), (Exit::Signal(9), 1), "{format}");
        assert_eq!(office.drain(format, path).run().exit(), Exit::Ok);

        let [first, second] = &office.inbound(&recipient)[..] else { panic!("{format}: it has come twice") };
        assert!(first["event_id"].as_str().is_some_and(|id| !id.is_empty()), "{first}");
        assert_eq!(first, second, "{format}");
    }
}

#[test]
fn anymail_takes_what_is_hardly_a_mail() {
    let office = Office::open();
    let odd = [
        ("empty", ""),
        ("header-only", "Subject: nothing more\n"),
        ("no-header", "\nonly a text\n"),
        ("empty-attachment", "Content-Type: application/pdf; name=empty.pdf\n\n"),
        ("no-addresses", "From: nobody\nTo: a b, <>, @x, undisclosed-recipients:;\nCc: \u{e4}@\u{e4}.test\n\n.\n"),
        ("8-bit", "Subject: \u{e4}\nX-Control: \u{1}\u{1b}\n\n\u{0} and \u{2028}\n"),
    ];
    for (number, (format, path)) in FORMATS.iter().enumerate() {
        for (name, mail) in odd {
            let recipient = format!("{name}+{number}@example.org");
            office.maildir.deliver(format!("Return-Path: <>\nDelivered-To: {recipient}\nReceived: x\n{mail}"));

            let drain = office.drain(format, path).run();

            assert_eq!(
                drain.exit(),
                Exit::Ok,
                "{name}, {format}: {:?}{}",
                drain.events("attempt"),
                office.django.said()
            );
            assert_eq!(office.inbound(&recipient).len(), 1, "{name}, {format}");
        }
    }
}
