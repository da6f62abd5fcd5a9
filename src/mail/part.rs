//! The tree of parts (RFC 2045, RFC 2046).

use super::header::Header;
use super::name;
use super::params::Params;
use super::transfer::Transfer;
use std::borrow::Cow;

/// How much of a field with parameters is read, in bytes. Real ones are shorter than 1 KiB.
const VALUE_LIMIT: usize = 8 * 1024;

/// One part, with those inside it.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// Its header, raw.
    pub header: Header<'a>,
    /// Its `Content-Type`, read.
    pub content_type: Params,
    /// Its `Content-Disposition` (RFC 2183), read.
    pub disposition: Params,
    /// Its media type in lower case, as `text/plain`.
    pub media_type: String,
    /// Its bytes as they stand in the mail; none for a multipart.
    pub raw: &'a [u8],
    /// The parts inside a multipart. A `message/rfc822` is a leaf.
    pub parts: Vec<Part<'a>>,
}

impl<'a> Part<'a> {
    /// The raw value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.header.get(name)
    }

    /// How its bytes are wrapped up.
    pub fn transfer(&self) -> Transfer {
        self.field("Content-Transfer-Encoding").map_or(Transfer::Identity, Transfer::named)
    }

    /// Its bytes, with the transfer encoding taken off.
    pub fn content(&self) -> Cow<'a, [u8]> {
        self.transfer().unwrap(self.raw)
    }

    /// A name that is safe as that of a file (RFC 2183 section 2.3).
    pub fn file_name(&self) -> Option<String> {
        let safe = |params: &Params, key: &str| params.get(key).and_then(name::safe);
        safe(&self.disposition, "filename").or_else(|| safe(&self.content_type, "name"))
    }

    /// Whether it says that it is to be shown only when asked for.
    pub fn is_set_apart(&self) -> bool {
        self.disposition.value == "attachment"
    }

    /// What other parts call it (RFC 2392), without angle brackets.
    pub fn content_id(&self) -> Option<String> {
        let id = super::words::decode(bounded(self.field("Content-ID")?));
        let id = id.trim().trim_start_matches('<').trim_end_matches('>').trim();
        (!id.is_empty()).then(|| id.to_owned())
    }
}

/// The media type of a part with these fields, in lower case.
///
/// One that is none is text, as RFC 2045 section 5.2 has it, unless it comes as a file.
pub(super) fn media_type(content_type: &Params, disposition: &Params, default: &str) -> String {
    let value = &content_type.value;
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_token_byte);
    if value.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype)) {
        return value.clone();
    }
    if value.is_empty() {
        return default.to_owned();
    }
    let is_file = disposition.value == "attachment"
        || disposition.get("filename").is_some()
        || content_type.get("name").is_some();
    if is_file { "application/octet-stream" } else { "text/plain" }.to_owned()
}

/// RFC 2045 section 5.1.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// The first field of this name in a header, which has parameters.
pub(super) fn params(header: Header<'_>, name: &str) -> Params {
    header.get(name).map(|value| Params::read(bounded(value))).unwrap_or_default()
}

fn bounded(value: &[u8]) -> &[u8] {
    &value[..value.len().min(VALUE_LIMIT)]
}
