use super::*;
use crate::mail::html::text_of_html;
use crate::mail::kind::kind;
use crate::mail::reply::reply;
use crate::mail::reply_html::reply_html;
use crate::mail::{HEADER_LIMIT, PARSE_LIMIT, TEXT_LIMIT};
use std::fmt::Write;
use std::panic::catch_unwind;

const NOTE: &str = "From: =?utf-8?Q?Ada_L=C3=B6we?= <ada@example.org>\n\
    From: eve@example.net\n\
    To: team@example.com,\n\tbob@example.com\n\
    Cc: carol@example.com\n\
    Reply-To: answers@example.org\n\
    Subject: =?utf-8?B?w6l0w6k=?=\n\
    Subject: another\n\
    Date: Fri, 2 Jan 2026 10:00:00 +0100\n\
    Message-ID: <1@example.org>\n\
    In-Reply-To: <0@example.com>\n\
    References: <a@example.com>\n <0@example.com>\n\
    Content-Type: multipart/mixed; boundary=b\n\n\
    --b\nContent-Type: multipart/alternative; boundary=c\n\n\
    --c\n\nHello\n--c\nContent-Type: text/html; charset=utf-8\n\n<p>Hello\n--c--\n\
    --b\nContent-Type: Application/PDF; name=\"../a.pdf\"\nContent-Transfer-Encoding: base64\n\
    Content-Disposition: attachment\nContent-ID: <x@y>\n\nYWJj\nZA==\n--b--\n";

fn addresses(mailboxes: &[Mailbox]) -> Vec<&str> {
    mailboxes.iter().map(|mailbox| &*mailbox.address).collect()
}

#[test]
fn what_needs_no_decoding_is_not_copied() {
    let mail = b"Subject: Hello\nContent-Type: multipart/alternative; boundary=b\n\n\
        --b\nContent-Type: text/plain; charset=utf-8\n\ncaf\xc3\xa9\n--b\nContent-Type: text/html\n\n<p>\n--b--\n";
    let read = read(mail);
    assert_eq!((read.text.as_deref(), read.html.as_deref()), (Some("caf\u{e9}"), Some("<p>")));
    let fields = read.fields.iter().flat_map(|field| [&field.name, &field.value]);
    let texts = [&read.subject, &read.text, &read.html].into_iter().flatten();
    assert!(fields.chain(texts).all(|text| matches!(text, Cow::Borrowed(_))));
}

#[test]
fn all_that_a_mail_tells_is_read() {
    let mail = read(NOTE.as_bytes());
    assert_eq!(mail.refusal, None);
    assert_eq!(addresses(&mail.from), ["ada@example.org", "eve@example.net"]);
    assert_eq!(mail.from[0].name.as_deref(), Some("Ada Löwe"));
    assert_eq!(addresses(&mail.to), ["team@example.com", "bob@example.com"]);
    assert_eq!(addresses(&mail.cc), ["carol@example.com"]);
    assert_eq!(addresses(&mail.reply_to), ["answers@example.org"]);
    assert_eq!(mail.subject.as_deref(), Some("été"));
    assert_eq!(mail.date.unwrap().as_second(), 1_767_344_400);
    assert_eq!(mail.message_id.as_deref(), Some("<1@example.org>"));
    assert_eq!(mail.in_reply_to.as_deref(), Some("<0@example.com>"));
    assert_eq!(mail.references, ["<a@example.com>", "<0@example.com>"]);
    assert_eq!((mail.text.as_deref(), mail.html.as_deref()), (Some("Hello"), Some("<p>Hello")));
    assert_eq!(mail.fields.len(), 12);
    assert!(!mail.is_cut && mail.has_attachment());
    let [file] = &*mail.attachments else { panic!("{:?}", mail.attachments) };
    assert_eq!((file.name.as_deref(), &*file.media_type), (Some("a.pdf"), "application/pdf"));
    assert_eq!((file.content_id.as_deref(), file.is_inline), (Some("x@y"), false));
    assert_eq!((&*file.content(), file.charset.as_deref()), (&b"abcd"[..], None));
}

#[test]
fn the_header_alone_tells_all_but_the_parts() {
    let mail = read_header(NOTE.as_bytes());
    assert_eq!(mail.subject.as_deref(), Some("été"));
    assert_eq!((mail.refusal, mail.text, mail.attachments.len()), (None, None, 0));
}

#[test]
fn what_is_refused_is_told_by_its_header() {
    let large = format!("Subject: large\n\n{}", "a".repeat(usize::try_from(PARSE_LIMIT).unwrap()));
    let parts = format!("Subject: parts\nContent-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\n".repeat(2000));
    let lines = format!("Subject: lines\n{}", "X:\n".repeat(30_000));
    for (mail, subject, refusal) in
        [(large, "large", Refusal::Size), (parts, "parts", Refusal::Parts), (lines, "lines", Refusal::Lines)]
    {
        let mail = read(mail.as_bytes());
        assert_eq!((mail.subject.as_deref(), mail.refusal), (Some(subject), Some(refusal)));
        assert!(mail.fields.len() <= HEADER_LIMIT / 3 && mail.text.is_none());
    }
}

#[test]
fn a_long_text_is_cut_and_attached_whole() {
    let text = "a".repeat(TEXT_LIMIT + 1);
    let part = |kind: &str| format!("--b\nContent-Type: text/{kind}\n\n{text}\n");
    let mail = format!(
        "Content-Type: multipart/alternative; boundary=b\n\n{}{}--b--\n",
        part("plain; charset=us-ascii"),
        part("html")
    );
    let mail = read(mail.as_bytes());
    assert!(mail.is_cut && !mail.has_attachment());
    assert_eq!(mail.text.unwrap().len(), TEXT_LIMIT);
    assert_eq!(mail.html.unwrap().len(), TEXT_LIMIT);
    let told: Vec<_> =
        mail.attachments.iter().map(|attachment| (&*attachment.media_type, attachment.content())).collect();
    assert_eq!(told, [("text/plain", text.as_bytes().into()), ("text/html", text.as_bytes().into())]);
}

#[test]
fn an_attachment_is_what_a_person_would_call_one() {
    for (part, expected) in [
        ("Content-Type: application/pdf", true),
        ("Content-Type: application/pdf\nContent-Disposition: inline; filename=a.pdf", true),
        ("Content-Type: image/png\nContent-Disposition: attachment", true),
        ("Content-Type: text/plain; name=a.txt", true),
        ("Content-Type: message/rfc822", true),
        ("Content-Type: image/png\nContent-Disposition: inline; filename=a.png", true),
        ("Content-Type: image/png\nContent-Disposition: inline", false),
        ("Content-Type: image/png\nContent-ID: <x>\nContent-Disposition: inline; filename=a.png", false),
        ("Content-Type: text/plain", false),
        ("Content-Type: application/pgp-signature; name=signature.asc", false),
        ("Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Disposition: attachment", false),
    ] {
        let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHi\n--b\n{part}\n\nx\n--b--\n");
        let mail = read(mail.as_bytes());
        assert_eq!((mail.has_attachment(), mail.attachments.len()), (expected, 1), "{part}");
    }
    assert!(!read(b"Subject: x\n\nHi").has_attachment());
}

#[test]
fn no_mail_makes_the_reading_fail_or_grow() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let samples = samples();
    let pieces: Vec<&[u8]> = samples.iter().flat_map(|sample| sample.split_inclusive(|&byte| byte == b'\n')).collect();
    for round in 0..4_000 {
        let mut mail = random.choice(&samples).unwrap().clone();
        for _ in 0..random.usize(..8) {
            mutate(&mut mail, &pieces, &mut random);
        }
        let told = || format!("seed {seed}, round {round}: {}", mail.escape_ascii());
        let read = catch_unwind(|| read_closely(&mail)).unwrap_or_else(|_| panic!("{}", told()));
        let texts = [&read.text, &read.html].map(|text| text.as_ref().map_or(0, |text| text.len()));
        assert!(texts.iter().all(|&length| length <= TEXT_LIMIT.min(4 * mail.len())), "{}", told());
        let attached: usize = read.attachments.iter().map(|attachment| attachment.decoded().len()).sum();
        assert!(attached <= mail.len(), "{}", told());
        let fields: usize = read.fields.iter().map(|field| field.name.len() + field.value.len()).sum();
        assert!(fields <= 4 * mail.len(), "{}", told());
    }
}

/// Reads all that is read of any mail, and has panics come through.
fn read_closely(mail: &[u8]) -> Mail<'_> {
    let read = read(mail);
    kind(Header::of(mail), Some(""));
    let html = read.html.as_deref().unwrap_or_default();
    reply_html(html);
    for text in [read.text.as_deref().unwrap_or_default(), &text_of_html(html)] {
        let reply = reply(text);
        assert!(reply.text.len() + reply.signature.len() <= text.len());
    }
    read
}

/// One of each thing that mail can have.
fn samples() -> Vec<Vec<u8>> {
    let mut nested = String::new();
    for level in 0..25 {
        writeln!(nested, "Content-Type: multipart/mixed; boundary=\"{level}\"\n\n--{level}").unwrap();
    }
    let odd = "From ada Thu\nSubject: =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= =?utf-7?Q?+AOk-?= =?utf-8*en?q?=c3?=\n\
        To: \"a, b\" <a@example.org>, undisclosed: c@example.org, (x (y)) d@example.org;;\n\
        Content-Type: multipart/related; boundary=\"b\"; start=\"<s>\"; type*0*=utf-8'en'%c3%a9; type*1=x\n\n\
        --b\nContent-Type: text/plain; charset=utf-16; format=flowed; delsp=yes\nContent-Transfer-Encoding: base64\n\n\
        //5hACAACgBiAA==\n--b\nContent-Type: text/html\nContent-ID: <s>\n\n<meta charset=gb18030>\x01\n\
        --b\nContent-Transfer-Encoding: x-uuencode\nContent-Disposition: attachment; filename*=gbk''%d6%d0\n\n\
        begin 644 a\n#0V%T\n`\nend\n--b\nContent-Type: message/delivery-status\n\n\
        Reporting-MTA: dns; a.example\n\nFinal-Recipient: rfc822; b@example.org\nAction: failed\nStatus: 5.1.1\n\
        --b\nContent-Type: text/plain; format=flowed\nContent-Transfer-Encoding: quoted-printable\n\n> a =\n\n>>b =C3=A9\n--b--\n";
    let mut latin = NOTE.replace("Hello", "caf\u{e9} ").into_bytes();
    latin.push(0xE9);
    let crlf = NOTE.replace('\n', "\r\n").into_bytes();
    vec![NOTE.as_bytes().to_vec(), crlf, latin, nested.into_bytes(), odd.as_bytes().to_vec()]
}

fn mutate(mail: &mut Vec<u8>, pieces: &[&[u8]], random: &mut fastrand::Rng) {
    let at = random.usize(..=mail.len());
    let end = (at + random.usize(..40)).min(mail.len());
    match random.u8(..6) {
        0 => mail.truncate(at),
        1 => drop(mail.drain(at..end)),
        2 => drop(mail.splice(at..at, random.choice(pieces).unwrap().iter().copied())),
        3 => mail[at..end].iter_mut().for_each(|byte| *byte = random.u8(..)),
        4 => mail.insert(at, *random.choice(b"\r\n\0:;=?\"<>()*'%-\xff").unwrap()),
        _ => drop(mail.splice(at..at, mail[at..end].to_vec())),
    }
}
