//! Mail to try things with: each kind of message that an application has to cope with.

use clap::ValueEnum;
use data_encoding::BASE64;
use std::time::SystemTime;

/// A kind of message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sample {
    /// One part of plain text
    #[default]
    Plain,
    /// A reply, with a quotation and a signature
    Reply,
    /// Text and HTML, one instead of the other
    Html,
    /// A text with two files
    Attachment,
    /// Beyond ASCII, in header and body
    Utf8,
    /// 5 MB
    Big,
}

/// How large the big one is, in bytes.
const BIG: usize = 5_000_000;
/// The longest line of base64 (RFC 2045 section 6.8).
const LINE: usize = 76;
/// A black dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

impl Sample {
    /// A message of this kind, of this moment.
    pub fn mail(self, from: &str, to: Option<&str>) -> Vec<u8> {
        let token = format!("{:016x}", fastrand::u64(..));
        let (subject, name) = match self {
            Sample::Plain => ("maildirq test".to_owned(), "maildirq"),
            Sample::Reply => ("Re: maildirq test reply".to_owned(), "maildirq"),
            Sample::Html => ("maildirq test html".to_owned(), "maildirq"),
            Sample::Attachment => ("maildirq test attachment".to_owned(), "maildirq"),
            Sample::Utf8 => (format!("maildirq test {}", encoded("Grüße, 你好, שלום 🙂")), "=?utf-8?Q?m=C3=A4ildirq?="),
            Sample::Big => ("maildirq test big".to_owned(), "maildirq"),
        };
        // A bounce comes from nobody, but somebody has written it.
        let author = if from.is_empty() { "MAILER-DAEMON@maildirq.invalid" } else { from };
        let mut header = vec![
            format!("Date: {}", httpdate::fmt_http_date(SystemTime::now()).replace("GMT", "+0000")),
            format!("From: {name} <{author}>"),
        ];
        header.extend(to.map(|to| format!("To: <{to}>")));
        header.push(format!("Subject: {subject}"));
        header.push(format!("Message-ID: <{token}@maildirq.invalid>"));
        if self == Sample::Reply {
            header.push("In-Reply-To: <1042.1@maildirq.invalid>".into());
            header.push("References: <1042.0@maildirq.invalid>\n <1042.1@maildirq.invalid>".into());
        }
        header.push("MIME-Version: 1.0".into());
        let start = format!("{}\n", header.join("\n"));
        let rest = self.content(&format!("maildirq-{token}"), BIG.saturating_sub(start.len()));
        format!("{start}{rest}").into_bytes()
    }

    /// The fields that say what it is, and the body.
    fn content(self, boundary: &str, room: usize) -> String {
        match self {
            Sample::Plain => text("This is a test. If you can read it, mail reaches your application.\n"),
            Sample::Reply => text(
                "Yes, please.\n\nOn Sat, 1 Nov 2025 at 12:42, Support <support@example.com> wrote:\n> Shall we send it again?\n> It is no trouble.\n\n-- \nAda\n",
            ),
            Sample::Html => {
                let html = "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<p>This is a <a href=3D\"https://example.com/\">test</a>.</p>\n";
                multipart("alternative", boundary, &[&text("This is a test.\n"), html])
            }
            Sample::Attachment => {
                let file = |kind: &str, name: &str, content: &str| {
                    format!(
                        "Content-Type: {kind}\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"{name}\"\n\n{content}"
                    )
                };
                let table = file("text/csv; charset=utf-8", "table.csv", &lines(&BASE64.encode(b"a,b\r\n1,2\r\n")));
                let picture = file("image/png", "dot.png", &lines(PNG));
                multipart("mixed", boundary, &[&text("There are two files with this test.\n"), &table, &picture])
            }
            Sample::Utf8 => format!(
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{}",
                lines(&BASE64.encode("Grüße, 你好, שלום 🙂\r\nZażółć gęślą jaźń\r\n".as_bytes()))
            ),
            Sample::Big => {
                let part = |content: &str| {
                    let start = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"big.bin\"\n\n";
                    multipart("mixed", boundary, &[&text("It is large.\n"), &format!("{start}{content}")])
                };
                // Whole lines of base64, as many as fit.
                let count = room.saturating_sub(part("").len()) / (LINE + 1);
                let mut bytes = vec![0; count * LINE / 4 * 3];
                fastrand::fill(&mut bytes);
                part(&lines(&BASE64.encode(&bytes)))
            }
        }
    }
}

fn text(body: &str) -> String {
    format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n{body}")
}

fn multipart(kind: &str, boundary: &str, parts: &[&str]) -> String {
    let parts: Vec<_> = parts.iter().map(|part| format!("--{boundary}\n{part}")).collect();
    format!(
        "Content-Type: multipart/{kind}; boundary=\"{boundary}\"\n\nThis message has several parts (MIME).\n\n{}\n--{boundary}--\n",
        parts.join("\n")
    )
}

/// In lines that are not too long.
fn lines(base64: &str) -> String {
    let mut lines = String::with_capacity(base64.len() + base64.len() / LINE + 1);
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines
}

/// An encoded word of RFC 2047.
fn encoded(text: &str) -> String {
    format!("=?utf-8?B?{}?=", BASE64.encode(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Header;
    use mailparse::{DispositionType, MailHeaderMap, ParsedMail, parse_mail};
    use std::collections::BTreeSet;

    fn check_lines(mail: &[u8]) {
        for line in mail.split(|byte| *byte == b'\n') {
            assert!(line.len() <= 78 && line.is_ascii(), "{}", String::from_utf8_lossy(line));
        }
    }

    fn kinds(mail: &ParsedMail<'_>) -> Vec<String> {
        let own = mail.ctype.mimetype.clone();
        std::iter::once(own).chain(mail.subparts.iter().flat_map(kinds)).collect()
    }

    #[test]
    fn each_sample_is_a_message_as_standards_have_it() {
        let mut ids = BTreeSet::new();
        for sample in Sample::value_variants() {
            let mail = sample.mail("ada@example.com", Some("support@example.org"));
            check_lines(&mail);
            let parsed = parse_mail(&mail).unwrap();
            let get = |name: &str| parsed.headers.get_first_value(name).unwrap_or_else(|| panic!("{sample:?}: {name}"));
            assert!(get("Subject").contains("maildirq test"), "{sample:?}");
            assert!(get("From").ends_with("<ada@example.com>") && get("To") == "<support@example.org>");
            let age = age_of(&get("Date"));
            assert!((-2..=60).contains(&age), "{sample:?}: {}", get("Date"));
            assert!(ids.insert(get("Message-ID")));
            assert_eq!(get("MIME-Version"), "1.0");
            let expected: &[&str] = match sample {
                Sample::Html => &["multipart/alternative", "text/plain", "text/html"],
                Sample::Attachment => &["multipart/mixed", "text/plain", "text/csv", "image/png"],
                Sample::Big => &["multipart/mixed", "text/plain", "application/octet-stream"],
                Sample::Plain | Sample::Reply | Sample::Utf8 => &["text/plain"],
            };
            assert_eq!(kinds(&parsed), expected);
            assert!(Header::of(&mail).get("Subject").is_some());
        }
    }

    /// How many seconds ago that was.
    fn age_of(date: &str) -> i64 {
        let then = mailparse::dateparse(date).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(now).unwrap() - then
    }

    #[test]
    fn what_is_in_them_reads_back() {
        let utf8 = Sample::Utf8.mail("ada@example.com", None);
        let parsed = parse_mail(&utf8).unwrap();
        assert!(parsed.headers.get_first_value("Subject").unwrap().ends_with("你好, שלום 🙂"));
        assert!(parsed.get_body().unwrap().contains("gęślą jaźń"));
        let attachment = Sample::Attachment.mail("ada@example.com", None);
        let parsed = parse_mail(&attachment).unwrap();
        assert_eq!(parsed.subparts[1].get_body().unwrap(), "a,b\r\n1,2\r\n");
        let picture = &parsed.subparts[2];
        assert_eq!(picture.get_content_disposition().disposition, DispositionType::Attachment);
        assert!(picture.get_body_raw().unwrap().starts_with(b"\x89PNG\r\n"));
        let html = Sample::Html.mail("ada@example.com", None);
        assert!(parse_mail(&html).unwrap().subparts[1].get_body().unwrap().contains("href=\"https://example.com/\""));
    }

    #[test]
    fn the_big_one_is_five_megabytes() {
        let mail = Sample::Big.mail("ada@example.com", Some("support@example.org"));
        assert!((BIG - 100..=BIG).contains(&mail.len()), "{}", mail.len());
        let body = parse_mail(&mail).unwrap().subparts[1].get_body_raw().unwrap();
        assert!(body.len() > 3_600_000, "{}", body.len());
    }

    #[test]
    fn mail_from_nobody_has_an_author_and_mail_to_nobody_has_no_to() {
        let mail = Sample::Plain.mail("", None);
        let parsed = parse_mail(&mail).unwrap();
        assert!(parsed.headers.get_first_value("From").unwrap().contains("MAILER-DAEMON"));
        assert_eq!(parsed.headers.get_first_value("To"), None);
    }
}
