//! What a mail brings beside its text.

use super::entry::guarded;
use super::part::Part;
use super::transfer::Transfer;
use std::borrow::Cow;

/// A part that is not the text of the mail.
#[derive(Clone, Debug)]
pub struct Attachment<'a> {
    /// A name that is safe as that of a file.
    pub name: Option<String>,
    /// Its media type in lower case, without parameters.
    pub media_type: String,
    /// Its charset as it is labelled, of a text.
    pub charset: Option<String>,
    /// Whether it is to be shown within the text.
    pub is_inline: bool,
    /// What the HTML calls it, without angle brackets.
    pub content_id: Option<String>,
    /// Whether it is the text or the HTML of the mail, which is too long to stand whole there.
    pub is_body: bool,
    raw: &'a [u8],
    transfer: Transfer,
}

impl<'a> Attachment<'a> {
    /// This part as an attachment. `is_related`: it belongs to a `multipart/related` (RFC 2387).
    pub(super) fn new(part: &Part<'a>, is_related: bool) -> Self {
        let name = part.file_name();
        let content_id = part.content_id();
        let disposition = &*part.disposition.value;
        let is_text = part.media_type.starts_with("text/");
        let is_inline = disposition == "inline"
            || is_related && content_id.is_some()
            || disposition.is_empty() && is_text && name.is_none();
        let charset = part.content_type.get("charset").filter(|_| is_text).map(str::to_owned);
        Attachment {
            name,
            media_type: part.media_type.clone(),
            charset,
            is_inline,
            content_id,
            is_body: false,
            raw: part.raw,
            transfer: part.transfer(),
        }
    }

    /// This part, which is the text or the HTML of the mail, as an attachment.
    pub(super) fn of_body(part: &Part<'a>) -> Self {
        Attachment { is_body: true, is_inline: true, ..Attachment::new(part, false) }
    }

    /// Its bytes. They are decoded each time.
    pub fn content(&self) -> Cow<'a, [u8]> {
        guarded(|| self.decoded(), || self.raw.into())
    }

    pub(super) fn decoded(&self) -> Cow<'a, [u8]> {
        self.transfer.unwrap(self.raw)
    }

    /// Whether a person would say that something is attached: not for signatures, pictures that the HTML shows or
    /// that have no name, and further pieces of text.
    pub(super) fn is_told(&self) -> bool {
        let is_signature = matches!(
            &*self.media_type,
            "application/pgp-signature" | "application/pkcs7-signature" | "application/x-pkcs7-signature"
        );
        let is_picture = self.media_type.starts_with("image/");
        let is_shown = self.is_inline && (self.name.is_none() || (is_picture && self.content_id.is_some()));
        !is_signature && !is_shown && !self.is_body
    }
}
