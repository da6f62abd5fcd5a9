//! In what shape an application gets a message: what every format has in common.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use crate::support::http::HEADERS_SENT;
use crate::support::launch::{binary, write_config};
use crate::support::leaks::WEBHOOK_KEY;
use crate::support::{Answer, App, Exit, Maildir, Maildirq, Overheard, Request};
use serde_json::Value;

/// Each with what a target needs for it.
const FORMATS: &[(&str, &str)] = &[
    ("raw", "add_original_to = true"),
    ("json", ""),
    ("json", "attachments = \"multipart\""),
    ("json", "attachments = \"omit\""),
    (
        "form",
        "fields = { key = \"k\", mail = { mail = \"raw\" }, text = { mail = \"text\" }, all = { mail = \"json\" } }",
    ),
    ("form", "encoding = \"urlencoded\"\nfields = { mail = { mail = \"raw_base64\" } }"),
    ("mailgun", "signing_key = \"hunter2-key\""),
    ("mailgun-mime", "signing_key = \"hunter2-key\""),
    ("postmark", "raw_email = true"),
];

/// With what makes formats hard: other charsets, an attachment, a picture, a recipient in no field.
const MAIL: &str = "Return-Path: <ada@example.com>\n\
Delivered-To: support+42@example.org\n\
Received: x\n\
From: =?utf-8?Q?Ada_L=C3=B6velace?= <ada@example.com>\n\
To: team@example.org\n\
Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\n\
Message-ID: <1@example.com>\n\
Date: Sun, 02 Nov 2025 14:02:09 +0000\n\
MIME-Version: 1.0\n\
Content-Type: multipart/mixed; boundary=b\n\
\n\
--b\n\
Content-Type: text/plain; charset=utf-8\n\
\n\
Gr\u{fc}\u{df}e\n\
--b\n\
Content-Type: image/png; name=\"dot.png\"\n\
Content-Disposition: attachment; filename=\"dot.png\"\n\
Content-Transfer-Encoding: base64\n\
\n\
iVBORw0KGgo=\n\
--b--\n";

fn settings(format: &str, more: &str) -> String {
    format!("format = \"{format}\"\n{more}\nretry = {{ max_delay = \"1ms\" }}\n")
}

/// Rails, and whoever else knows a repeat by its body, sees one mail however often it comes.
#[test]
fn a_body_is_the_same_at_every_attempt_of_every_process() {
    for (format, more) in FORMATS {
        let maildir = Maildir::new();
        let app =
            App::answering(|request| if request.attempt() < Some(3) { Answer::status(400) } else { Answer::ok() });
        maildir.deliver(MAIL);
        for exit in [Exit::SomeWait, Exit::SomeWait, Exit::Ok] {
            let drain = Maildirq::drain_with(&maildir, &app.url(), &settings(format, more)).run();
            assert_eq!(drain.exit(), exit, "{format} {more}");
        }
        let requests = app.requests();
        let attempts: Vec<_> = requests.iter().map(Request::attempt).collect();
        assert_eq!(attempts, [Some(1), Some(2), Some(3)]);
        for request in &requests {
            assert!(request.body == requests[0].body, "{format} {more}: the body changes");
            assert_eq!(request.header("content-type"), requests[0].header("content-type"), "{format} {more}");
        }
    }
}

/// T33
#[test]
fn nothing_of_a_mail_is_in_a_header_whatever_the_format() {
    let evil = "evil\r\nX-Injected: 1\0\u{202e}";
    let mail = MAIL
        .replace("Subject: ", &format!("Subject: =?utf-8?q?=0D=0AX-Injected:_1?= {evil} "))
        .replace("dot.png", "evil\\\"\u{202e}gnp.png")
        .replace("boundary=b", "boundary=b; charset=\"evil\"")
        .replace("image/png", "evil/png");
    for (format, more) in FORMATS {
        let (maildir, app) = (Maildir::new(), App::accepting());
        maildir.deliver(&mail);
        let mut settings = settings(format, more);
        let _ = writeln!(settings, "sign = \"{WEBHOOK_KEY}\"");
        let drain = Maildirq::drain_with(&maildir, &app.url(), &settings).run();
        assert_eq!((drain.exit(), app.count()), (Exit::Ok, 1), "{format} {more}");
        for (name, value) in &app.requests()[0].headers {
            assert!(HEADERS_SENT.contains(&&**name), "{format} {more}: {name}");
            assert!(value.is_ascii() && !value.contains("evil"), "{format} {more}: {name}: {value}");
        }
    }
}

#[test]
fn the_object_tells_what_the_mail_says() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver(MAIL);
    Maildirq::drain_with(&maildir, &app.url(), "format = \"json\"").run();
    let request = app.requests().remove(0);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let object: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(object["id"], request.id());
    assert_eq!(object["envelope"], serde_json::json!({ "from": "ada@example.com", "to": "support+42@example.org" }));
    assert_eq!((&object["detail"], &object["kind"]), (&"42".into(), &"human".into()));
    assert_eq!(object["from"], serde_json::json!([{ "name": "Ada L\u{f6}velace", "address": "ada@example.com" }]));
    assert_eq!((&object["subject"], &object["text"]), (&"Gr\u{fc}\u{df}e".into(), &"Gr\u{fc}\u{df}e".into()));
    assert_eq!(object["date"], "2025-11-02T14:02:09Z");
    let attachment = &object["attachments"][0];
    assert_eq!((&attachment["name"], &attachment["type"]), (&"dot.png".into(), &"image/png".into()));
    assert_eq!((&attachment["size"], &attachment["data"]), (&8.into(), &"iVBORw0KGgo=".into()));
    assert_eq!((&object["parsed"], &object["size"]), (&true.into(), &MAIL.len().into()));
}

/// Mailgun itself signs each attempt anew; whoever refuses old timestamps needs that.
#[test]
fn a_signature_of_mailgun_can_be_of_the_attempt() {
    let maildir = Maildir::new();
    let app = App::answering(|request| if request.attempt() < Some(2) { Answer::status(400) } else { Answer::ok() });
    maildir.deliver_as("1000000000.M1P2Q3.mx", MAIL);
    let settings = settings("mailgun-mime", "signing_key = \"hunter2-key\"\ntimestamp = \"attempt\"");
    for exit in [Exit::SomeWait, Exit::Ok] {
        assert_eq!(Maildirq::drain_with(&maildir, &app.url(), &settings).run().exit(), exit);
    }
    for request in app.requests() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(!body.contains("timestamp=1000000000"), "{body}");
    }
    let ids: BTreeSet<_> = app.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn routes_go_by_what_a_mail_says_once_it_is_decoded() {
    let apps: Vec<_> = (0..5).map(|_| App::accepting()).collect();
    let maildir = Maildir::new();
    let mut toml = format!("maildir = {:?}\n", maildir.path());
    for (number, when) in [
        "{ kind = [\"auto_reply\", \"bounce\"] }",
        "{ subject = \"Gr\u{fc}\u{df}e*\", has_attachment = false }",
        "{ header = { X-Customer = \"J\u{fc}rgen*\" } }",
        "{ has_attachment = true }",
        "{}",
    ]
    .iter()
    .enumerate()
    {
        let _ = write!(toml, "[[route]]\ntarget = \"app{number}\"\nwhen = {when}\n");
        let _ = write!(toml, "[target.app{number}]\nurl = \"{}\"\n", apps[number].url());
    }
    let plain = |header: &str| format!("Received: x\nFrom: a@example.com\n{header}\n\nhello\n");
    for mail in [
        plain("Auto-Submitted: auto-replied"),
        plain("Subject: =?iso-8859-1?Q?Gr=FC=DFe?= an alle"),
        plain("X-Customer: =?utf-8?B?SsO8cmdlbiBN?="),
        MAIL.to_owned(),
        large_mail(),
        plain("Subject: other"),
    ] {
        maildir.deliver(mail);
    }
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    let counts: Vec<_> = apps.iter().map(App::count).collect();
    assert_eq!(counts, [1, 1, 1, 2, 1]);
}

/// To take it for one without an attachment would send it the wrong way.
#[test]
fn a_mail_that_cannot_be_read_for_its_route_waits_until_it_can() {
    let maildir = Maildir::new();
    (0..5).for_each(|_| drop(maildir.deliver(large_mail())));
    let toml = format!(
        "maildir = {:?}\nconcurrency = 1\n[[route]]\ntarget = \"files\"\nwhen = {{ has_attachment = true }}\n\
         [[route]]\ntarget = \"ignore\"\n[target.files]\ncommand = [\"true\"]\n",
        maildir.path()
    );
    // Of each mail the first call reads the beginning, the second the whole. The loader of a program has calls of
    // its own, but not as many.
    let drain = Maildirq::drain_config(&toml).arg("--wait-retries").failing("pread64", "EIO", "10").run();
    assert_eq!((drain.exit(), drain.events("drained")[0]["done"].as_u64()), (Exit::Ok, Some(5)));
    let [line] = &drain.events("unreadable")[..] else { panic!("{:?}", drain.lines()) };
    assert!(line["reason"].as_str().unwrap().starts_with("cannot be read, so its route is not known"), "{line}");
    assert_eq!(drain.events("ignored").len(), 0);
}

/// Of a large message only the beginning is in memory, and the attachment is not there.
fn large_mail() -> String {
    MAIL.replace("Gr\u{fc}\u{df}e\n--b", &format!("{}\n--b", "a line of text\n".repeat(20_000)))
}

fn route(toml: &str, arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("maildirq.toml");
    write_config(&config, toml);
    let output = Command::new(binary()).arg("route").arg("-c").arg(&config).args(arguments).overheard();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_route_shows_is_what_the_target_gets() {
    for (format, more) in FORMATS {
        let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(400)));
        let name = maildir.deliver(MAIL);
        let settings = settings(format, more);
        let drain = Maildirq::drain_with(&maildir, &app.url(), &settings).run();
        assert_eq!(drain.exit(), Exit::SomeWait);
        let request = app.requests().remove(0);

        let toml = format!("maildir = {:?}\n[target.app]\nurl = \"{}\"\n{settings}", maildir.path(), app.url());
        let (code, shown, said) = route(&toml, &["--payload", request.id()]);
        assert_eq!((code, &*said), (Some(0), ""));
        assert!(shown == request.body, "{format} {more}: {}", String::from_utf8_lossy(&shown));
        let path = maildir.message(&name);
        let by_path = || route(&toml, &["--payload", path.to_str().unwrap()]).1;
        assert!(by_path() == by_path() && by_path().len() == shown.len(), "{format} {more}: only the ids differ");
    }
}

#[test]
fn the_command_line_for_curl_sends_the_same_request() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(400)));
    let name = maildir.deliver(MAIL);
    let url = format!("{}?key=hunter2", app.url());
    let settings = format!(
        "format = \"json\"\nsign = \"{WEBHOOK_KEY}\"\nauth = {{ bearer = \"hunter2-bearer\" }}\n\
         headers = {{ X-Key = \"hunter2-header\" }}\n"
    );
    let toml = format!("maildir = {:?}\n[target.app]\nurl = \"{url}\"\n{settings}", maildir.path());
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("it's a config.toml");
    write_config(&config, &toml);
    let path = maildir.message(&name);
    let output = Command::new(binary()).args(["route", "--curl", "-c"]).args([&config, &path]).overheard();
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(!line.contains("hunter"), "{line}");

    let folder_of_binary = std::path::Path::new(binary()).parent().unwrap();
    let path = format!("{}:{}", folder_of_binary.display(), std::env::var("PATH").unwrap());
    let sent = Command::new("sh")
        .args(["-c", &line])
        .env("PATH", path)
        .env("TARGET_URL", &url)
        .env("HEADER_AUTHORIZATION", "Bearer hunter2-bearer")
        .env("HEADER_X_KEY", "hunter2-header")
        .output()
        .unwrap();
    assert!(sent.status.success(), "{line}\n{}", String::from_utf8_lossy(&sent.stderr));
    let request = app.requests().remove(0);
    assert_eq!(request.header("authorization"), Some("Bearer hunter2-bearer"));
    assert_eq!(request.header("x-key"), Some("hunter2-header"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let object: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(object["id"], request.id());
}
