//! What the beginning of a message's header tells, for listings and searches.

use crate::engine::{Envelope, EnvelopeRules};
use crate::mail::{Header, Kind, decode_text, kind, read_header};

/// Who wrote a message, to whom, and about what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The envelope, as far as it is known.
    pub envelope: Envelope,
    /// The field `From`, decoded, on one line; it may hold anything.
    pub from: Option<String>,
    /// The field `To`, likewise.
    pub to: Option<String>,
    /// The field `Subject`, likewise.
    pub subject: Option<String>,
    /// The field `Message-ID`, with its angle brackets.
    pub message_id: Option<String>,
    /// What kind of mail it is; None for what has no header.
    pub kind: Option<Kind>,
}

impl Summary {
    /// What these first bytes of a message tell.
    pub fn of(head: &[u8], rules: &EnvelopeRules) -> Self {
        let header = Header::of(head);
        let mut summary = Summary { envelope: Envelope::read(header, rules), ..Summary::default() };
        let mut is_empty = true;
        for (name, value) in header.fields() {
            is_empty = false;
            let field = match name.to_ascii_lowercase().as_slice() {
                b"from" => &mut summary.from,
                b"to" => &mut summary.to,
                b"subject" => &mut summary.subject,
                b"message-id" => &mut summary.message_id,
                _ => continue,
            };
            field.get_or_insert_with(|| decode_text(value).into_owned());
        }
        summary.kind = (!is_empty).then(|| kind(header, summary.envelope.from.as_deref()));
        summary
    }

    /// The address that it is from: that of its author, or else of its sender.
    pub fn author(&self) -> Option<String> {
        let author = self.from.as_ref().and_then(|from| {
            // Decoded already, and so without anything that would be decoded again.
            let line = format!("From: {from}\n\n");
            read_header(line.as_bytes()).from.into_iter().next().map(|mailbox| mailbox.address)
        });
        author.filter(|address| !address.is_empty()).or_else(|| self.envelope.from.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> Summary {
        Summary::of(head.as_bytes(), &EnvelopeRules::default())
    }

    #[test]
    fn the_header_tells_who_and_what() {
        let summary = of("Return-Path: <bounces@example.com>\nDelivered-To: support+7@example.org\nReceived: x\n\
            From: =?utf-8?q?Ad=C3=A4?= <ada@example.com>\nTo: us@example.org\nSubject: Re:\n printer\nSubject: other\n\
            Message-ID: <1@x>\n\nSubject: body\n");
        assert_eq!(summary.from.as_deref(), Some("Adä <ada@example.com>"));
        assert_eq!(summary.author().as_deref(), Some("ada@example.com"));
        assert_eq!(summary.subject.as_deref(), Some("Re: printer"));
        assert_eq!(summary.message_id.as_deref(), Some("<1@x>"));
        assert_eq!(summary.envelope.to.as_deref(), Some("support+7@example.org"));
        assert_eq!(summary.kind, Some(Kind::Human));
    }

    #[test]
    fn what_has_no_header_tells_nothing() {
        assert_eq!(of("hello\n"), Summary::default());
        assert_eq!(of("").author(), None);
        assert_eq!(of("Return-Path: <ada@x>\n\n").author().as_deref(), Some("ada@x"));
    }
}
