//! Every way we know to make mail expensive, and who makes one of about a given size in bytes.
//!
//! Most are known from parsers that they brought down: time by the square of what is repeated, memory for each of
//! many small things, text that grows when it is decoded, and depth.

use std::fmt::Write;

/// What it is, and who makes one of about so many bytes.
pub type Class = (&'static str, fn(usize) -> Vec<u8>);

/// The header limits of Postfix: `header_size_limit`, and lines that it does not break.
const POSTFIX_HEADER: usize = 100_000;
/// What is still parsed: see `src/mail/guard.rs`.
const MOST_MARKS: usize = 49_000;
const MOST_LINES: usize = 19_000;
const MOST_PARTS: usize = 990;
const LONGEST_HEADER: usize = 1_000_000;

/// Time by the square of something in the header.
pub const HEADERS: &[Class] = &[
    ("a subject of beginnings of encoded words", |size| lines(size, "Subject: ", "=?")),
    ("a subject of encoded words", |size| lines(size, "Subject: ", "=?utf-8?q?=01?= ")),
    ("as many of them as are parsed", |size| in_header(size, "Subject: ", "=?utf-8?q?=41?= ", LONGEST_HEADER)),
    ("encoded words without an end", |size| in_header(size, "Subject: ", "=?utf-8?q?a", LONGEST_HEADER)),
    ("encoded words of base64 that share characters", |size| {
        in_header(size, "Subject: ", "=?utf-8?b?4g==?= ", LONGEST_HEADER)
    }),
    ("raw text of 8 bits before each encoded word", |size| {
        in_header(size, "Subject: ", "\u{e9}\u{e9} =?utf-8?q?x?= ", LONGEST_HEADER)
    }),
    ("a type of beginnings of encoded words", |size| {
        in_header(size, "Content-Type: text/plain; name=\"", "=?", LONGEST_HEADER)
    }),
    ("parameters", |size| lines(size, "Content-Type: text/plain", "; a*1*=utf-8''%41")),
    ("as many of them as are parsed", |size| in_header(size, "Content-Type: text/plain", "; a=b", 5 * MOST_MARKS)),
    ("a parameter in many pieces", |size| numbered(size, |at| format!("; name*{at}=x"))),
    ("a parameter in many pieces, the last first", |size| {
        numbered(size, |at| format!("; name*{}*=%41", MOST_MARKS - at))
    }),
    ("the same piece of a parameter", |size| {
        in_header(size, "Content-Type: text/plain", "; name*0=x", 10 * MOST_MARKS)
    }),
    ("one line of a header", |size| lines(size, "X-Long: ", "x")),
    ("a header of line ends", |size| lines(size, "Subject: x", "\n ")),
    ("as many folds as are parsed", |size| in_header(size, "Subject: x", "\n x", 3 * MOST_LINES)),
    ("header fields", |size| lines(size, "", "X-Field: =?utf-8?q?=01?=\n")),
    ("as many of them as are parsed", |size| in_header(size, "", "X: =?utf-8?q?=01?=\n", 19 * MOST_LINES)),
    ("the same field twenty thousand times", |size| in_header(size, "", "From: a@b\n", 10 * MOST_LINES)),
    ("addresses", |size| lines(size, "To: ", "\"a b\" <c@d>, ")),
    ("as many of them as are parsed", |size| in_header(size, "To: ", "\"a b\" <c@d>, ", 6 * MOST_MARKS)),
    ("groups and comments", |size| lines(size, "To: ", "g: (((<")),
    ("comments in comments", |size| in_header(size, "From: ", "(", LONGEST_HEADER)),
    ("quotes that are not closed", |size| in_header(size, "From: ", "\"a\\", LONGEST_HEADER)),
    ("comments in a date", |size| in_header(size, "Date: Fri, 2 Jan ", "(x)", LONGEST_HEADER)),
    ("comments in a type", |size| in_header(size, "Content-Type: text/", "(x)", LONGEST_HEADER)),
    ("message ids", |size| lines(size, "References: ", "<a@b> ")),
    ("as many of them as are parsed", |size| in_header(size, "References: ", "<a@b> ", 6 * MOST_MARKS)),
];

/// Time and memory by the number and the depth of parts.
pub const PARTS: &[Class] = &[
    ("millions of parts", |size| lines(size, MIXED, "--b\n\n")),
    ("parts with names", |size| lines(size, MIXED, "--b\nContent-Type: a/b; name=x\n\n.\n")),
    ("millions of delimiters", |size| lines(size, MIXED, "--b\n")),
    ("what Postfix takes: deep, with long delimiters, and lines of dashes", deep_with_long_delimiters),
    ("lines that are almost delimiters", |size| {
        let boundary = "b".repeat(900);
        lines(size, &format!("Content-Type: multipart/mixed; boundary={boundary}\n\n"), &format!("--{boundary}c\n"))
    }),
    ("a delimiter that is the beginning of the other", |size| {
        let head = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n";
        lines(size, head, "--bb\n\nx\n--b\n\n")
    }),
    ("a boundary of dashes", |size| {
        let boundary = "-".repeat(70);
        lines(size, &format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n"), "----------\n")
    }),
    ("lines of two dashes", |size| lines(size, MIXED, "--\n")),
    ("boundaries in one field", |size| {
        in_header(size, "Content-Type: multipart/mixed", "; boundary=b", 12 * MOST_MARKS)
    }),
    ("parts in parts", nested),
    ("a hundred parts in parts", |size| {
        let head: String = (0..100).map(|depth| opening(&format!("b{depth}"))).collect();
        lines(size, &head, "--b99\n\nx\n")
    }),
    ("mail in mail", |size| lines(size, "", "Content-Type: message/rfc822\n\n")),
    ("mail in mail, each in a part of its own", |size| {
        let head: String =
            (0..50).map(|at| opening(&format!("m{at}")) + "\nContent-Type: message/rfc822\n\n").collect();
        lines(size, &head, "All work and no play\n")
    }),
    ("as many parts as are parsed, each with a header of names", |size| {
        let name = "; name*=utf-8''%41".repeat(40);
        let part = format!("--b\nContent-Type: a/b{name}\n\n");
        let text = "x".repeat((size / MOST_PARTS).saturating_sub(part.len()).max(1));
        lines_at_most(size, MIXED, &format!("{part}{text}\n"), MOST_PARTS)
    }),
    ("names of attachments that lead elsewhere", |size| {
        let part = "--b\nContent-Disposition: attachment; filename=\"../../etc/cron.d/\\\"\u{202e}x\"\n\n";
        let text = "x".repeat((size / MOST_PARTS).saturating_sub(part.len()).max(1));
        lines_at_most(size, MIXED, &format!("{part}{text}\n"), MOST_PARTS)
    }),
    ("a bounce of many recipients", |size| {
        let head = "From: MAILER-DAEMON\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nx\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\n";
        lines(size, head, "Final-Recipient: rfc822; a@b\nAction: failed\nStatus: 5.1.1\n\n")
    }),
    ("a bounce that only says so", |size| {
        lines(size, "Return-Path: <>\nFrom: MAILER-DAEMON\nSubject: failure notice\n\n", "<a@b>:\n550 no such user\n\n")
    }),
];

/// Text that grows, or is searched for what is not there.
pub const TEXTS: &[Class] = &[
    ("bytes that become three each", |size| text_of(size, "windows-1252", &[&[0x80; 70][..], b"\n"].concat())),
    ("control characters, six each in JSON", |size| text_of(size, "utf-8", &[&[1; 70][..], b"\n"].concat())),
    ("what no charset has", |size| text_of(size, "iso-2022-jp", &[&[0xff; 70][..], b"\n"].concat())),
    ("nothing but changes of charset", |size| text_of(size, "iso-2022-jp", b"\x1b$B\x1b(B")),
    ("UTF-7", |size| text_of(size, "utf-7", b"+AGEAYgBjAGQ-+\n")),
    ("halves of characters", |size| text_of(size, "utf-16", b"\xd8\x00\xd8\x00\n\x00")),
    ("a charset of four bytes", |size| text_of(size, "gb18030", b"\x81\x30\x81")),
    ("base64", |size| attached(size, "base64", b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w\n")),
    ("base64 of line ends", |size| attached(size, "base64", b"A\n\n\n")),
    ("bytes as they are", |size| attached(size, "binary", &[&[0xee; 70][..], b"\n"].concat())),
    ("quoted-printable", |size| attached(size, "quoted-printable", b"=41=42=43=44=45=46=47=48=49=4A=4B=4C=4D=\n")),
    ("quoted-printable of blanks", |size| attached(size, "quoted-printable", b" \t \t")),
    ("uuencode that begins and begins", |size| attached(size, "x-uuencode", b"begin 644 a\n#0V%T\n")),
    ("HTML of tags", |size| html(size, "<table><tr><td><b><i>x&amp;")),
    ("HTML of beginnings of tags", |size| html(size, "<")),
    ("HTML of comments that do not end", |size| html(size, "<!--")),
    ("HTML of attributes that do not end", |size| html(size, "<a href=\"")),
    ("HTML of references that do not end", |size| html(size, "&amp")),
    ("HTML of quotations", |size| html(size, "<blockquote>")),
    ("HTML of ends of what never began", |size| html(size, "</blockquote></div>")),
    ("quotations", |size| text_of(size, "utf-8", b"> > > On Monday, Ada wrote:\n")),
    ("a line of marks of quotation", |size| text_of(size, "utf-8", b">")),
    ("who wrote what", |size| text_of(size, "utf-8", b"On Monday, Ada <a@b>\n")),
    ("signatures", |size| text_of(size, "utf-8", b"-- \n")),
    ("separators", |size| text_of(size, "utf-8", b"-----Original Message-----\n")),
    ("format=flowed", |size| lines(size, "Content-Type: text/plain; format=flowed; delsp=yes\n\n", ">> a \n")),
    ("one line", |size| text_of(size, "utf-8", b"x")),
    ("blanks", |size| text_of(size, "utf-8", b" ")),
    ("line ends of Macintosh", |size| text_of(size, "utf-8", b"\r")),
    ("line ends", |size| text_of(size, "utf-8", b"\n")),
    ("zeros behind a header", |size| text_of(size, "utf-8", &[0])),
    ("no header at all", |size| repeated(size, b"", &(0..=255).collect::<Vec<u8>>())),
];

const MIXED: &str = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n";

fn repeated(size: usize, head: &[u8], piece: &[u8]) -> Vec<u8> {
    [head, &piece.repeat((size.saturating_sub(head.len()) / piece.len()).max(1))].concat()
}

fn lines(size: usize, head: &str, piece: &str) -> Vec<u8> {
    repeated(size, head.as_bytes(), piece.as_bytes())
}

fn lines_at_most(size: usize, head: &str, piece: &str, times: usize) -> Vec<u8> {
    [head, &piece.repeat(times.min(size / piece.len()))].concat().into_bytes()
}

/// So much in the header, and the rest of the mail is text.
fn in_header(size: usize, head: &str, piece: &str, length: usize) -> Vec<u8> {
    let header = lines(length.min(size / 2), head, piece);
    repeated(size, &[&header, b"\n\n".as_slice()].concat(), b"All work and no play makes Jack a dull boy.\n")
}

fn numbered(size: usize, parameter: impl Fn(usize) -> String) -> Vec<u8> {
    let parameters: String = (0..MOST_MARKS).map(parameter).collect();
    in_header(size, "Content-Type: text/plain", &parameters, parameters.len())
}

fn text_of(size: usize, charset: &str, piece: &[u8]) -> Vec<u8> {
    repeated(size, format!("Subject: x\nContent-Type: text/plain; charset={charset}\n\n").as_bytes(), piece)
}

fn html(size: usize, piece: &str) -> Vec<u8> {
    lines(size, "Content-Type: text/html\n\n", piece)
}

fn attached(size: usize, transfer: &str, piece: &[u8]) -> Vec<u8> {
    let head =
        format!("{MIXED}--b\n\nhello\n--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: {transfer}\n\n");
    repeated(size, head.as_bytes(), piece)
}

fn opening(boundary: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n")
}

fn nested(size: usize) -> Vec<u8> {
    let mut mail = String::new();
    for depth in 0.. {
        if mail.len() >= size {
            break;
        }
        let _ = write!(mail, "Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n");
    }
    mail.into_bytes()
}

/// Headers as long as Postfix lets them through, in mail of the length that it takes by default.
fn deep_with_long_delimiters(size: usize) -> Vec<u8> {
    let boundary = |depth: usize| format!("{}{depth:03}", "-".repeat(POSTFIX_HEADER / 100 - 60));
    let head: String = (0..90).map(|depth| opening(&boundary(depth))).collect();
    lines(size, &head, &format!("--{}\n", "-".repeat(POSTFIX_HEADER / 100)))
}
