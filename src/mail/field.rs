//! One header field.

use super::words;
use std::borrow::Cow;

/// A header field, decoded. Where nothing had to be, it is as it stands in the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as it is written.
    pub name: Cow<'a, str>,
    /// Its value on one line, decoded. The encoded words (RFC 2047) of addresses and parameters are, too:
    /// it is there to be read.
    pub value: Cow<'a, str>,
}

impl<'a> Field<'a> {
    /// Decodes a raw field.
    pub(super) fn of(name: &'a [u8], value: &'a [u8]) -> Self {
        Field { name: String::from_utf8_lossy(name), value: words::decode(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Header;

    #[test]
    fn fields_keep_their_order_and_their_repetitions() {
        let mail = b"Received: b\r\nSUBJECT: =?utf-8?Q?caf=C3=A9?=\r\nReceived: a\r\n\tfolded\r\nX-Empty:\r\n\r\n";
        let fields: Vec<_> = Header::of(mail).fields().map(|(name, value)| Field::of(name, value)).collect();
        let told: Vec<_> = fields.iter().map(|field| (&*field.name, &*field.value)).collect();
        assert_eq!(
            told,
            [("Received", "b"), ("SUBJECT", "café"), ("Received", "a\tfolded"), ("X-Empty", "")],
            "the fold of a line is taken out"
        );
    }
}
