//! Who a message is really from and to: what the MTA that delivered it wrote above everything else.
//!
//! A delivery puts lines of its own on top of a message: `Return-Path` with the envelope's sender,
//! and one or more of `X-Original-To` (Postfix), `Envelope-To` (Exim) and `Delivered-To` (qmail,
//! Postfix, `OpenSMTPD`, Dovecot) with its recipient. Whatever stands below the first `Received` was
//! there before, and anybody can have written it.

use super::text::is_harmless;
use crate::mail::Header;

/// The fields that tell a recipient, the one first that is nearest to what the sender wrote: an
/// alias may have changed what `Delivered-To` says.
const RECIPIENT: [&str; 3] = ["X-Original-To", "Envelope-To", "Delivered-To"];
/// The longest address that is believed, in bytes. RFC 5321 section 4.5.3.1.3 allows 256.
const ADDRESS_LIMIT: usize = 512;

/// The envelope of a message, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The sender; empty for a bounce's `<>`.
    pub from: Option<String>,
    /// The recipient.
    pub to: Option<String>,
    /// What stands behind the delimiter in the recipient's local part.
    pub detail: Option<String>,
}

/// How the envelope of a queue's mail is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeRules {
    /// The recipient of mail that tells none.
    pub recipient: Option<String>,
    /// What qmail puts before the recipients of a virtual domain (`example.com-`), to be taken off.
    pub strip_prefix: Option<String>,
    /// What separates a detail from the rest of a local part: `+`, or qmail's `-`.
    pub delimiter: char,
}

impl Default for EnvelopeRules {
    fn default() -> Self {
        EnvelopeRules { recipient: None, strip_prefix: None, delimiter: '+' }
    }
}

impl Envelope {
    /// What the header says, and the rules where it says nothing.
    pub fn read(header: Header<'_>, rules: &EnvelopeRules) -> Self {
        let mut from = None;
        let mut recipients = [const { None::<String> }; RECIPIENT.len()];
        for (name, value) in header.of_delivery() {
            let named = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
            if named("Return-Path") {
                from = from.or_else(|| address(value));
            } else if let Some(place) = RECIPIENT.iter().position(|field| named(field)) {
                let recipient = &mut recipients[place];
                *recipient = recipient.take().or_else(|| address(value).filter(|address| !address.is_empty()));
            }
        }
        let told = recipients.into_iter().flatten().next().map(|to| match &rules.strip_prefix {
            Some(prefix) => to.strip_prefix(&**prefix).map(str::to_owned).unwrap_or(to),
            None => to,
        });
        let to = told.or_else(|| rules.recipient.clone());
        let detail = to.as_deref().and_then(|to| detail(to, rules.delimiter)).map(str::to_owned);
        Envelope { from, to, detail }
    }

    /// The recipient's part before the `@`.
    pub fn local(&self) -> Option<&str> {
        self.to.as_deref().map(|to| split(to).0)
    }

    /// The recipient's part after the `@`.
    pub fn host(&self) -> Option<&str> {
        self.to.as_deref().and_then(|to| split(to).1)
    }
}

/// What an MTA wrote, without its angle brackets; the first address where Exim wrote several that share
/// a delivery. None for what no MTA writes.
fn address(value: &[u8]) -> Option<String> {
    // A comma within quotation marks is part of an address.
    let end = if value.contains(&b'"') { None } else { value.iter().position(|&byte| byte == b',') };
    let text = value[..end.unwrap_or(value.len())].trim_ascii();
    let text = text.strip_prefix(b"<").and_then(|text| text.strip_suffix(b">")).unwrap_or(text);
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= ADDRESS_LIMIT && is_harmless(text))?;
    Some(text.to_owned())
}

fn split(address: &str) -> (&str, Option<&str>) {
    address.rsplit_once('@').map_or((address, None), |(local, host)| (local, Some(host)))
}

/// What stands behind the first delimiter of an address's local part.
fn detail(address: &str, delimiter: char) -> Option<&str> {
    split(address).0.split_once(delimiter).map(|(_, detail)| detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mail: &str, rules: &EnvelopeRules) -> (Option<String>, Option<String>, Option<String>) {
        let Envelope { from, to, detail } = Envelope::read(Header::of(mail.as_bytes()), rules);
        (from, to, detail)
    }

    fn told(from: &str, to: &str, detail: &str) -> (Option<String>, Option<String>, Option<String>) {
        let text = |text: &str| (text != "-").then(|| text.to_owned());
        (text(from), text(to), text(detail))
    }

    #[test]
    fn every_mta_tells_it_its_own_way() {
        for (mta, mail, expected) in [
            (
                "qmail",
                "Return-Path: <ada@example.com>\nDelivered-To: support@example.org\nReceived: x\n\n",
                told("ada@example.com", "support@example.org", "-"),
            ),
            (
                "Postfix",
                "Return-Path: <ada@example.com>\nX-Original-To: support+7@example.org\nDelivered-To: app@host\nReceived: x\n\n",
                told("ada@example.com", "support+7@example.org", "7"),
            ),
            (
                "Exim",
                "Return-path: <ada@example.com>\nEnvelope-to: support@example.org\nDelivery-date: now\nReceived: x\n\n",
                told("ada@example.com", "support@example.org", "-"),
            ),
            (
                "Exim, one delivery for two",
                "Return-path: <ada@example.com>\nEnvelope-to: support@example.org,\n\tsales@example.org\nReceived: x\n\n",
                told("ada@example.com", "support@example.org", "-"),
            ),
            (
                "OpenSMTPD",
                "Return-Path: <>\r\nDelivered-To: support+a+b@example.org\r\nReceived: x\r\n\r\n",
                told("", "support+a+b@example.org", "a+b"),
            ),
            (
                "Dovecot",
                "Return-Path: <MAILER-DAEMON>\nDelivered-To: <ada>\nReceived: x\n\n",
                told("MAILER-DAEMON", "ada", "-"),
            ),
            ("fetchmail", "Received: x\nDelivered-To: forged@example.net\n\n", told("-", "-", "-")),
        ] {
            assert_eq!(read(mail, &EnvelopeRules::default()), expected, "{mta}");
        }
    }

    #[test]
    fn only_the_topmost_line_counts_and_none_below_a_received() {
        let mail = "Delivered-To: first@example.org\nDelivered-To: second@example.org\nReceived: x\nReturn-Path: <forged@example.net>\nX-Original-To: forged@example.net\n\n";
        assert_eq!(read(mail, &EnvelopeRules::default()), told("-", "first@example.org", "-"));
    }

    #[test]
    fn what_no_mta_writes_is_not_believed() {
        let long = format!("Delivered-To: {}@example.org\n\n", "a".repeat(600));
        for mail in ["Delivered-To: a\0b@x\n\n", "Delivered-To:\n\n", "Delivered-To: a\u{202e}b@x\n\n", &long] {
            assert_eq!(read(mail, &EnvelopeRules::default()), told("-", "-", "-"), "{mail:?}");
        }
    }

    #[test]
    fn a_queue_has_rules_for_what_is_not_told() {
        let rules = EnvelopeRules {
            recipient: Some("box-9@example.org".into()),
            strip_prefix: Some("example.com-".into()),
            delimiter: '-',
        };
        assert_eq!(read("Subject: x\n\n", &rules), told("-", "box-9@example.org", "9"));
        let virtual_domain = "Delivered-To: example.com-ada-7@example.com\n\n";
        assert_eq!(read(virtual_domain, &rules), told("-", "ada-7@example.com", "7"));
        assert_eq!(read("Delivered-To: ada@example.net\n\n", &rules), told("-", "ada@example.net", "-"));
    }
}
