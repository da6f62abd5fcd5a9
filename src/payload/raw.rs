//! The message itself, as it is and with other line ends.

use super::piece::{Payload, Piece};
use crate::engine::text::is_harmless;
use crate::engine::{Body, Message};
use crate::mail::Header;
use std::io::{self, Write};

/// The field that tells a recipient who is in no other, as of a blind copy.
const ORIGINAL_TO: &str = "X-Original-To";

/// The body for `format = "raw"`.
pub(super) fn payload(message: &Message, add_original_to: bool) -> Payload {
    let line = add_original_to.then(|| original_to(message)).flatten();
    let line = line.map(|line| Piece::Bytes(line.into()));
    let pieces = line.into_iter().chain([Piece::of(&message.body)]).collect();
    Payload { content_type: "message/rfc822".into(), pieces }
}

/// The line that tells the recipient, where the delivery has not put it on top, and it is known.
fn original_to(message: &Message) -> Option<String> {
    let to = message.envelope.to.as_deref().filter(|to| !to.is_empty() && is_harmless(to))?;
    let beginning = match &message.body {
        Body::Whole(bytes) | Body::File { head: bytes, .. } => bytes,
    };
    let first_line = beginning.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let line_end = if first_line.ends_with(b"\r\n") { "\r\n" } else { "\n" };
    (!is_told(message.header(), to)).then(|| format!("{ORIGINAL_TO}: {to}{line_end}"))
}

/// Whether the delivery has told this recipient. What stands below may be of an earlier one, as of a mail
/// that was forwarded, and leads elsewhere.
fn is_told(header: Header<'_>, to: &str) -> bool {
    header.of_delivery().filter(|(name, _)| name.eq_ignore_ascii_case(ORIGINAL_TO.as_bytes())).any(|(_, value)| {
        let value = value.trim_ascii();
        let address = value.strip_prefix(b"<").and_then(|value| value.strip_suffix(b">")).unwrap_or(value);
        address.eq_ignore_ascii_case(to.as_bytes())
    })
}

/// Writes the message with every line ending in CRLF, as it is on its way between mail servers.
pub(super) fn write_crlf(message: &Piece, out: &mut impl Write) -> io::Result<()> {
    let mut after_cr = false;
    message.each_chunk(|chunk| {
        let mut rest = chunk;
        if after_cr {
            out.write_all(b"\n")?;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        after_cr = false;
        while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
            out.write_all(&rest[..end])?;
            after_cr = rest[end] == b'\r' && end + 1 == rest.len();
            out.write_all(if after_cr { b"\r" } else { b"\r\n" })?;
            rest = rest[end..].strip_prefix(b"\r\n").unwrap_or(&rest[end + 1..]);
        }
        out.write_all(rest)
    })?;
    if after_cr { out.write_all(b"\n") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Envelope;
    use crate::payload::tests::{message, text_of};
    use bytes::Bytes;

    fn sent(mail: &'static str, to: Option<&str>, add_original_to: bool) -> String {
        let envelope = Envelope { to: to.map(str::to_owned), ..Envelope::default() };
        text_of(&payload(&Message { envelope, ..message(mail) }, add_original_to))
    }

    #[test]
    fn the_recipient_is_told_where_the_mail_does_not() {
        let to = Some("box@example.org");
        for (mail, to, expected) in [
            ("Subject: x\n\nbody", to, "X-Original-To: box@example.org\nSubject: x\n\nbody"),
            ("Subject: x\r\n\r\nbody", to, "X-Original-To: box@example.org\r\nSubject: x\r\n\r\nbody"),
            ("no header", to, "X-Original-To: box@example.org\nno header"),
            (
                "x-original-TO: <Box@Example.org>\nReceived: a\n\n",
                to,
                "x-original-TO: <Box@Example.org>\nReceived: a\n\n",
            ),
            (
                "X-Original-To: b@x\nX-Original-To: box@example.org\n\n",
                to,
                "X-Original-To: b@x\nX-Original-To: box@example.org\n\n",
            ),
            ("Subject: x\n\n", None, "Subject: x\n\n"),
            ("Subject: x\n\n", Some(""), "Subject: x\n\n"),
            ("Subject: x\n\n", Some("a\r\nBcc: b@x"), "Subject: x\n\n"),
        ] {
            assert_eq!(sent(mail, to, true), expected);
            assert_eq!(sent(mail, to, false), mail);
        }
    }

    #[test]
    fn an_earlier_recipient_does_not_hide_the_true_one() {
        for mail in [
            "Received: a\nX-Original-To: old@example.net\n\n",
            "Received: a\nX-Original-To: box@example.org\n\n",
            "X-Original-To: prefix-box@example.org\nReceived: a\n\n",
            "X-Original-To:\nReceived: a\n\n",
        ] {
            let expected = format!("X-Original-To: box@example.org\n{mail}");
            assert_eq!(sent(mail, Some("box@example.org"), true), expected);
        }
    }

    #[test]
    fn a_large_message_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        let body = Body::File { head: Bytes::from_static(b"Subject: x\n"), file: file.into(), length: 1 << 40 };
        let envelope = Envelope { to: Some("a@x".into()), ..Envelope::default() };
        let payload = payload(&Message { envelope, body, ..Message::sample() }, true);
        assert_eq!(payload.len(), (1 << 40) + "X-Original-To: a@x\n".len() as u64);
    }

    /// The same bytes, in memory and in a file.
    fn pieces(bytes: &[u8]) -> [Piece; 2] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let (file, length) = (file.into(), bytes.len() as u64);
        [Bytes::copy_from_slice(bytes).into(), Piece::File { head: Bytes::new(), file, length }]
    }

    #[test]
    fn every_line_gets_the_same_end() {
        let long = format!("{}\r\nb\r", "a".repeat(48 * 1024 - 1));
        let long_expected = format!("{}\r\nb\r\n", "a".repeat(48 * 1024 - 1));
        for (given, expected) in [
            ("", ""),
            ("a", "a"),
            ("a\nb\n", "a\r\nb\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\r", "a\r\nb\r\n"),
            ("\n\r\r\n\n\r", "\r\n\r\n\r\n\r\n\r\n"),
            (&*long, &*long_expected),
        ] {
            for piece in pieces(given.as_bytes()) {
                let mut written = Vec::new();
                write_crlf(&piece, &mut written).unwrap();
                assert_eq!(String::from_utf8(written).unwrap(), expected, "{piece:?}");
            }
        }
    }
}
