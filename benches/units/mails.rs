//! The mail that is looked at.

use std::fmt::Write;
use std::time::SystemTime;

use data_encoding::BASE64_MIME;
use maildirq::engine::{Body, Envelope, EnvelopeRules, History, Id, Message};
use maildirq::mail::Header;

/// A mail of some sort.
#[derive(Clone, Copy, Debug)]
pub enum Mail {
    /// 1 KiB of plain text.
    Short,
    /// 6 KiB: text and HTML, in quoted-printable and ISO-2022-JP.
    Usual,
    /// The same with a file of 100 KiB, in base64.
    Attachment,
    /// A header with more addresses than are read.
    Refused,
}

impl Mail {
    /// What is parsed.
    pub const PARSED: [Mail; 3] = [Mail::Short, Mail::Usual, Mail::Attachment];
    /// All of them.
    pub const ALL: [Mail; 4] = [Mail::Short, Mail::Usual, Mail::Attachment, Mail::Refused];

    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        let rest = match self {
            Mail::Short => format!("Content-Type: text/plain\n\n{}", TEXT.repeat(10)),
            Mail::Usual => format!("{MIXED}{}--outer--\n", texts()),
            Mail::Attachment => {
                let file = BASE64_MIME.encode(&vec![42; 100 * 1024]);
                format!("{MIXED}{}{FILE}{file}\n--outer--\n", texts())
            }
            Mail::Refused => format!("Cc: {}\n\n{TEXT}", "\"a b\" <c@example.org>, ".repeat(60_000)),
        };
        format!("{HEADER}{rest}").into_bytes()
    }

    /// It as a message that was claimed.
    pub fn message(self) -> Message {
        let bytes = self.bytes();
        Message {
            id: Id::from_digest(&[1; 32]),
            name: "1767225600.M1P42.bench".into(),
            queue: "main".into(),
            place: None,
            route: "".into(),
            envelope: Envelope::read(Header::of(&bytes), &EnvelopeRules::default()),
            arrived: SystemTime::UNIX_EPOCH,
            body: Body::Whole(bytes.into()),
            file: None,
            history: History::default(),
        }
    }
}

const TEXT: &str = "Please confirm the order and reply until tomorrow at noon.\n";
const HEADER: &str = "Return-Path: <sender@example.com>\nDelivered-To: jobs+orders@example.org\n\
    Received: from mx.example.com (mx.example.com [192.0.2.1])\n\tby mx.example.org (Postfix) with ESMTPS id 4F2A\n\
    \tfor <jobs+orders@example.org>; Thu, 1 Jan 2026 00:00:00 +0000 (UTC)\n\
    Message-ID: <4f2a@example.com>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\
    From: =?UTF-8?Q?J=C3=BCrgen?= <sender@example.com>\nTo: jobs+orders@example.org, \"A. B.\" <b@example.org>\n\
    Subject: =?ISO-2022-JP?B?GyRCPEw/PxsoQg==?= and =?UTF-8?B?w7xiZXI=?=\nMIME-Version: 1.0\n";
const MIXED: &str = "Content-Type: multipart/mixed; boundary=outer\n\n";
const FILE: &str = "--outer\nContent-Type: application/pdf; name=\"order.pdf\"\n\
    Content-Disposition: attachment; filename*=utf-8''%C3%BCbersicht.pdf\nContent-Transfer-Encoding: base64\n\n";

fn texts() -> String {
    let mut texts = String::from("--outer\nContent-Type: multipart/alternative; boundary=inner\n\n");
    let kanji = "\u{1b}$B<L??\u{1b}(B please confirm the order, and reply until tomorrow\n".repeat(30);
    let html = "<p>Please confirm the <b>order</b> =C3=BC and =\nreply until tomorrow.</p>\n".repeat(40);
    for (kind, charset, coding, text) in
        [("plain", "iso-2022-jp", "7bit", kanji), ("html", "utf-8", "quoted-printable", html)]
    {
        writeln!(texts, "--inner\nContent-Type: text/{kind}; charset={charset}").expect("a string takes all");
        writeln!(texts, "Content-Transfer-Encoding: {coding}\n\n{text}").expect("a string takes all");
    }
    texts + "--inner--\n"
}
