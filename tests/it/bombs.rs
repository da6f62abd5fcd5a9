//! Mail that is meant to exhaust whoever reads it.

use data_encoding::BASE64;
use memchr::memmem;

use crate::support::leaks::WEBHOOK_KEY;
use crate::support::{App, Exit, Maildir, Maildirq};

/// In the kilobytes that the kernel counts memory in.
const MEGABYTE: u64 = 1024;
const SIZE: usize = 10 << 20;
/// What is larger is not parsed.
const PARSE_LIMIT: usize = 26 << 20;

/// A mail of about this size: a header, and something over and over again.
fn filled(head: &str, piece: &[u8]) -> Vec<u8> {
    filled_to(SIZE, head, piece)
}

fn filled_to(size: usize, head: &str, piece: &[u8]) -> Vec<u8> {
    [head.as_bytes(), &piece.repeat(size / piece.len())].concat()
}

type Bomb = (&'static str, Vec<u8>);

/// Those that are parsed; the first of them weigh the most, in every format.
fn bombs() -> Vec<Bomb> {
    let text = |charset: &str| format!("Subject: x\nContent-Type: text/plain; charset={charset}\n\n");
    let attachment = |transfer: &str| {
        format!(
            "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: {transfer}\n\n"
        )
    };
    let nested = (0..20_000).map(|depth| format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"));
    let line = |byte: u8| [&[byte; 70][..], b"\n"].concat();
    vec![
        ("bytes that become three each", filled(&text("windows-1252"), &line(0x80))),
        ("control characters, six each in JSON", filled(&text("utf-8"), &line(1))),
        ("what no charset has", filled(&text("iso-2022-jp"), &line(0xff))),
        ("UTF-7", filled(&text("utf-7"), b"+AGEAYgBjAGQ-+\n")),
        ("base64", filled(&attachment("base64"), b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w\n")),
        ("bytes as they are", filled(&attachment("binary"), &line(0xee))),
        ("quoted-printable", filled(&attachment("quoted-printable"), b"=41=42=43=44=45=46=47=48=49=4A=4B=4C=4D=\n")),
        ("HTML of tags", filled("Content-Type: text/html\n\n", b"<table><tr><td><b><i>x&amp;")),
        ("millions of delimiters", filled("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n", b"--b\n")),
        ("parts in parts", nested.collect::<String>().into_bytes()),
        ("quotations", filled(&text("utf-8"), b"> > > On Monday, Ada wrote:\n")),
        ("format=flowed", filled("Content-Type: text/plain; format=flowed\n\n", b">> a \n")),
        ("one line", filled(&text("utf-8"), b"x")),
        ("mail in mail", filled("", b"Content-Type: message/rfc822\n\n")),
    ]
}

/// Those that are not parsed, so that the application must get the mail itself.
fn refused_bombs() -> Vec<Bomb> {
    let parts = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n";
    vec![
        ("millions of parts", filled(parts, b"--b\n\n")),
        ("parts with names", filled(parts, b"--b\nContent-Type: a/b; name=x\n\n.\n")),
        ("a subject of encoded words", filled("Subject: ", b"=?utf-8?q?=01?= ")),
        ("a subject of beginnings", filled("Subject: ", b"=?")),
        ("addresses", filled("To: ", b"\"a b\" <c@d>, ")),
        ("groups and comments", filled("To: ", b"g: (((<")),
        ("header fields", filled("", b"X-Field: =?utf-8?q?=01?=\n")),
        ("parameters", filled("Content-Type: text/plain", b"; a*1*=utf-8''%41")),
        ("message ids", filled("References: ", b"<a@b> ")),
    ]
}

/// How much memory it took for a mail, in kilobytes at the worst moment, and what arrived.
fn deliver(mail: &[u8], settings: &str) -> (u64, Vec<u8>) {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let watch = Maildirq::watch_with(&maildir, &app.url(), settings).env("KEY", WEBHOOK_KEY).start();
    maildir.deliver(mail);
    app.wait_for_accepted(1);
    let peak = watch.peak_memory();
    assert_eq!(watch.stop(), Exit::Ok);
    (peak, app.requests().remove(0).body)
}

/// What it takes for a small mail.
fn usual_peak(settings: &str) -> u64 {
    deliver(b"Subject: x\n\nhello\n", settings).0
}

/// Whether the mail is in there to the last byte, as it is or in base64, also percent-encoded.
fn holds(body: &[u8], mail: &[u8]) -> bool {
    let base64 = BASE64.encode(mail);
    let on_one_line = || base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    [mail, base64.as_bytes()].into_iter().any(|sought| memmem::find(body, sought).is_some())
        || memmem::find(body, on_one_line().as_bytes()).is_some()
}

/// With the numbers of bombs that it is tried with, of those that are parsed and of those that are not.
const SETTINGS: &[(&str, usize, usize)] = &[
    ("format = \"json\"", usize::MAX, usize::MAX),
    ("format = \"postmark\"", 2, 1),
    ("format = \"mailgun\"", 3, 1),
    ("format = \"json\"\nattachments = \"multipart\"\nsign = { env = \"KEY\" }", 1, 1),
];
/// With these the mail itself always arrives.
const WHOLE: &[(&str, usize, usize)] = &[
    ("format = \"form\"\nfields = { mail = { mail = \"raw_base64\" }, text = { mail = \"text\" } }", 1, 1),
    (
        "format = \"form\"\nencoding = \"urlencoded\"\nfields = { mail = { mail = \"raw_base64\" }, text = { mail = \"text\" } }",
        1,
        1,
    ),
    ("format = \"mailgun-mime\"", 1, 1),
];

#[test]
fn no_mail_takes_more_than_four_times_its_size() {
    let (bombs, refused_bombs) = (bombs(), refused_bombs());
    let settings =
        SETTINGS.iter().map(|settings| (settings, false)).chain(WHOLE.iter().map(|settings| (settings, true)));
    for ((settings, parsed, refused), is_always_whole) in settings {
        let usual = usual_peak(settings);
        let parsed = bombs.iter().take(*parsed).map(|bomb| (bomb, false));
        let refused = refused_bombs.iter().take(*refused).map(|bomb| (bomb, true));
        for ((what, mail), is_refused) in parsed.chain(refused) {
            let allowed = 4 * mail.len() as u64 / 1024 + 16 * MEGABYTE;
            let (peak, arrived) = deliver(mail, settings);
            let taken = peak.saturating_sub(usual);
            assert!(taken <= allowed, "{what} as {settings}: {taken} kB for {} bytes, and {usual} before", mail.len());
            let must_be_whole = is_refused || is_always_whole;
            assert!(!must_be_whole || holds(&arrived, mail), "{what} as {settings} is lost");
            if settings.contains("json") {
                let told = format!("\"parsed\":{}", !is_refused);
                assert!(memmem::find(&arrived, told.as_bytes()).is_some(), "{what} is not {told}");
            }
        }
    }
}

#[test]
fn what_is_too_large_to_be_parsed_is_never_in_memory() {
    let mail = filled_to(PARSE_LIMIT + 100, "Subject: x\n\n", b"All work and no play makes Jack a dull boy.\n");
    let on_one_line = |settings: &str| settings.contains("urlencoded");
    for (settings, ..) in SETTINGS.iter().chain(WHOLE).filter(|(settings, ..)| !on_one_line(settings)) {
        let usual = usual_peak(settings);
        let (peak, arrived) = deliver(&mail, settings);
        let taken = peak.saturating_sub(usual);
        assert!(taken <= 8 * MEGABYTE, "as {settings} it took {taken} kB, and {usual} before");
        assert!(holds(&arrived, &mail), "as {settings} it is lost");
    }
}

#[test]
fn a_form_without_a_field_for_the_whole_mail_is_not_sent_without_its_text() {
    let settings = "format = \"form\"\nfields = { text = { mail = \"text\" }, subject = { mail = \"subject\" } }";
    let (maildir, app) = (Maildir::new(), App::accepting());
    let (_, mail) = refused_bombs().swap_remove(0);
    let id = maildir.deliver(&mail);
    maildir.deliver("Subject: y\n\nhello\n");

    let drain = Maildirq::drain_with(&maildir, &app.url(), settings).run();

    assert_eq!((drain.exit(), app.count(), maildir.dead().len()), (Exit::SomeDead, 1, 1), "{id:?}");
    assert_eq!(std::fs::read(&maildir.dead()[0]).unwrap(), mail);
    let dead = drain.events("dead");
    let reason = "it cannot be parsed (it has more than 1000 parts), and no field of the form holds the message itself";
    assert_eq!((dead.len(), &dead[0]["reason"]), (1, &reason.into()));
}
