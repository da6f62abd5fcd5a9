//! Bounces as mail servers write them.

use super::*;
use crate::mail::split::tree;
use std::fs;
use std::path::Path;

fn read(mail: &[u8]) -> Option<Bounce> {
    bounce(&tree(mail, 0).expect("the mail can be parsed"))
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bounce").join(name).with_extension("eml");
    fs::read(path).expect("the fixture can be read")
}

/// `address action status diagnostic`, one recipient a line.
fn shown(bounce: &Bounce) -> String {
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let recipient = |failed: &FailedRecipient| {
        format!("{} {} {} {}", failed.address, word(&failed.action), word(&failed.status), word(&failed.diagnostic))
    };
    bounce.recipients.iter().map(recipient).collect::<Vec<_>>().join("\n")
}

#[test]
fn bounces_of_many_mail_servers_are_read() {
    let mx = Some("mx.example.com");
    let cases = [
        (
            "postfix",
            mx,
            "quay-3",
            "nobody+quay@example.org failed 5.1.1 550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown in local recipient table\n\
             full@example.org failed 5.2.2 the mailbox is full",
        ),
        (
            "postfix-delayed",
            mx,
            "quay-4",
            "ada@slow.example delayed 4.4.1 connect to mail.slow.example[192.0.2.7]:25: Connection timed out",
        ),
        (
            "exim",
            mx,
            "E1vGabc-0001-3x@mx.example.com",
            "nobody@example.org failed 5.7.26 550-5.7.26 The sender has not proved who he is. 550 See http://192.0.2.1/why for more",
        ),
        (
            "exim-old",
            None,
            "quay-5",
            "nobody@example.org failed 5.1.1 SMTP error from remote mail server after RCPT TO:<nobody@example.org>: host mail.example.org [192.0.2.5]: 550 5.1.1 no such user\n\
             full@example.org failed - mailbox is full: retry timeout exceeded",
        ),
        (
            "qmail",
            mx,
            "quay-6",
            "nobody@example.org failed 5.1.1 192.0.2.5 does not like recipient. Remote host said: 550 5.1.1 no such user Giving up on 192.0.2.5.\n\
             old@example.net failed 5.1.2 Sorry, I couldn't find any host named example.net. (#5.1.2)",
        ),
        (
            "exchange",
            Some("MAIL7.example.org"),
            "quay-7",
            "nobody@example.org failed 5.1.10 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        ),
        (
            "gmail",
            Some("googlemail.example"),
            "quay-8",
            "nobody@gmail.example failed 5.1.1 550-5.1.1 The email account that you tried to reach does not exist. 550 5.1.1 Learn more at the help pages",
        ),
        ("opensmtpd", mx, "quay-9", "nobody@example.org failed 5.0.0 -"),
        ("sendmail", mx, "quay-10", "nobody@example.org failed 5.7.1 554 5.7.1 refused, see 192.0.2.1"),
        ("global", mx, "quay-11", "jörg@example.org failed 5.6.7 550 5.6.7 Straße unbekannt"),
        ("delivered", mx, "quay-12", ""),
    ];
    for (name, mta, id, recipients) in cases {
        let mail = fixture(name);
        let crlf = String::from_utf8(mail.clone()).expect("fixtures are text").replace('\n', "\r\n").into_bytes();
        for mail in [mail, crlf] {
            let bounce = read(&mail).unwrap_or_else(|| panic!("{name} is no bounce"));
            assert_eq!(shown(&bounce), recipients, "{name}");
            assert_eq!(bounce.reporting_mta.as_deref(), mta, "{name}");
            let id = if id.contains('@') { format!("<{id}>") } else { format!("<{id}@example.com>") };
            assert_eq!(bounce.message_id, Some(id), "{name}");
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bounce");
    assert_eq!(fs::read_dir(folder).expect("the folder is there").count(), cases.len());
}

/// A mail to which a report on `bob@x` is attached, not sent as one.
fn with_report_attached(header: &str) -> String {
    let report = "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; bob@x\nAction: failed";
    format!("{header}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee.\n--b\n{report}\n--b--\n")
}

#[test]
fn a_report_counts_where_the_mail_is_a_bounce() {
    for header in ["Return-Path: <>\nReceived: x\nFrom: postmaster@x\n", "From: mailer-daemon@x\n"] {
        let mail = with_report_attached(header);
        assert_eq!(read(mail.as_bytes()).map(|bounce| shown(&bounce)).as_deref(), Some("bob@x failed - -"), "{mail}");
    }
}

#[test]
fn other_mail_is_no_bounce() {
    let forwarded = [
        b"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n".to_vec(),
        fixture("postfix"),
        b"\n--o--\n".to_vec(),
    ]
    .concat();
    for mail in [
        &b""[..],
        b"Subject: x\n\nNo.\n",
        b"Subject: x\n\nHi. This is the plumber.\n\nI came.\n\n-- \nAda\n",
        b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; a@example.org\n--b--\n",
        &forwarded,
        b"Return-Path: <ada@x>\nFrom: ada@x\n\nHi. This is the best day.\n\n<bob@x>:\nno longer here\n",
        b"From: ada@x\n\nHi. This is the qmail-send program at x.\n\n<bob@x>:\nno\n",
        b"Return-Path: <>\nFrom: ada@x\n\nHi. This is the best day.\n\n<bob@x>:\nno longer here\n",
        b"From: ada@x\nX-Failed-Recipients:\n\nbob@x\n",
        b"Return-Path: <>\nFrom: ada@x\nX-Failed-Recipients: ,\n\n<bob@x>:\nno\n",
        with_report_attached("Return-Path: <ada@x>\nFrom: ada@x\n").as_bytes(),
        with_report_attached("Received: x\nReturn-Path: <>\nFrom: postmaster@x\n").as_bytes(),
        with_report_attached("Return-Path: <>\nAuto-Submitted: auto-replied\n").as_bytes(),
    ] {
        assert_eq!(read(mail), None, "{}", mail.escape_ascii());
    }
}

#[test]
fn texts_of_old_mail_servers_are_read_however_they_begin() {
    let cases = [
        (
            "From: MAILER-DAEMON@example.org\nContent-Transfer-Encoding: quoted-printable\n\nSorry=\n.\n\n<a@b>:\nno (#5.1.1)\n\n--- Below\n\nMessage-ID: <1@x>\n",
            "a@b failed 5.1.1 no (#5.1.1)",
        ),
        ("From: ada@example.org\n\nSorry.\n\n<a@b>:\nno\n", ""),
        ("Return-Path: <>\n\nHi. This is the deliver program at x.\n\n<a@b>:\nno\n", "a@b failed - no"),
        (
            "X-Failed-Recipients: a@b\n\n  a@b:\n    SMTP error after RCPT TO:\n    <a@b>:\n    553 5.1.1 no:\n    a@b\n\nBye.\n",
            "a@b failed 5.1.1 SMTP error after RCPT TO: <a@b>: 553 5.1.1 no: a@b",
        ),
        ("X-Failed-Recipients: a@b, c@d\nContent-Type: text/html\n\n<p>Sorry", "a@b failed - -\nc@d failed - -"),
    ];
    for (mail, expected) in cases {
        assert_eq!(read(mail.as_bytes()).map(|bounce| shown(&bounce)).unwrap_or_default(), expected, "{mail}");
    }
}

fn with_status(status: &str) -> Bounce {
    let mail = format!("Content-Type: message/delivery-status\n\n{status}");
    read(mail.as_bytes()).expect("a status is a bounce")
}

#[test]
fn odd_fields_are_read_as_well_as_can_be() {
    let cases = [
        ("Final-Recipient: ada@example.org", "ada@example.org - - -"),
        ("Final-Recipient: rfc822; <ada@example.org> (Ada)", "ada@example.org - - -"),
        ("Final-Recipient: rfc822;\"a b\"@example.org", "\"a b\"@example.org - - -"),
        ("Final-Recipient: local; ada", "ada - - -"),
        ("Original-Recipient: rfc822; unknown\nFinal-Recipient: rfc822; a@example.org", "a@example.org - - -"),
        ("Final-Recipient: utf-8; a\\x{20ac}\\x{zz}\\x{", "a€\\x{zz}\\x{ - - -"),
        ("Final-Recipient: rfc822;", ""),
        ("Final-Recipient: rfc822; a@b\nStatus: 5.1.1 (unknown)\nAction: Failed (hard)", "a@b failed 5.1.1 -"),
        ("Final-Recipient: rfc822; a@b\nAction: failure", "a@b failed - -"),
        ("Final-Recipient: rfc822; a@b\nStatus: 550", "a@b - - -"),
        (
            "Final-Recipient: rfc822; a@b\nStatus: 4.0.0\nDiagnostic-Code: smtp; 550 5.1.1 no",
            "a@b - 4.0.0 550 5.1.1 no",
        ),
        (
            "Final-Recipient: rfc822; a@b\nDiagnostic-Code: 550 no; 5.2.2.2 nor 15.1.1",
            "a@b - - 550 no; 5.2.2.2 nor 15.1.1",
        ),
        ("Final-Recipient: rfc822; a@b\nDiagnostic-Code: smtp; \x1b[1mno\u{7}\n\t\tway", "a@b - - [1mno way"),
        ("\n \r\n\nFinal-Recipient: rfc822; a@b\n\n\n\nFinal-Recipient: rfc822; c@d\n\n", "a@b - - -\nc@d - - -"),
    ];
    for (status, expected) in cases {
        assert_eq!(shown(&with_status(status)), expected, "{status}");
    }
}

#[test]
fn long_texts_and_many_recipients_are_cut() {
    let block = format!("Final-Recipient: rfc822; a@b\nDiagnostic-Code: smtp; {}\n\n", "é ".repeat(2000));
    let bounce = with_status(&block.repeat(3 * RECIPIENT_LIMIT));
    assert_eq!(bounce.recipients.len(), RECIPIENT_LIMIT);
    let longest = bounce.recipients.iter().filter_map(|failed| failed.diagnostic.as_ref()).map(String::len).max();
    assert!(longest.is_some_and(|length| length <= TEXT_LIMIT && length > TEXT_LIMIT - 4), "{longest:?}");
    let exim = format!("X-Failed-Recipients: {}\n\nsorry", "a@b,\n ".repeat(5000));
    assert!(read(exim.as_bytes()).is_some_and(|bounce| bounce.recipients.len() <= RECIPIENT_LIMIT));
    let qmail = format!("From: MAILER-DAEMON\n\nHi. This is the x\n\n{}", "<a@b>:\nno\n\n".repeat(5000));
    assert!(read(qmail.as_bytes()).is_some_and(|bounce| bounce.recipients.len() == RECIPIENT_LIMIT));
}
