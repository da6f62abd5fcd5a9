//! The shapes in which applications take mail: the body of a request.
//!
//! The body for a message is the same at every attempt, to the last byte: applications know a repeat by that.
//!
//! | file | one idea |
//! |---|---|
//! | `raw` | the message itself |
//! | `json`, `object` | our own object: how it is built, and what is in it |
//! | `form`, `source` | fields of the user's choice |
//! | `mailgun`, `postmark` | as those services send it |
//! | `reference` | the page of the documentation about the object, and a test that it is right |
//! | `error` | why there is none |
//! | `parsed` | a message and what it says |
//! | `piece` | bytes in memory and in files |
//! | `base64`, `multipart`, `urlencoded` | ways to write bytes down |

mod base64;
mod error;
mod form;
mod json;
mod mailgun;
mod multipart;
mod object;
mod parsed;
mod piece;
mod postmark;
mod raw;
#[cfg(test)]
mod reference;
mod source;
mod urlencoded;

pub use error::PayloadError;
pub use object::json_schema;
pub use piece::{Chunks, Payload, Piece};
pub use source::{Source, UnknownSource};

use crate::engine::Message;
use crate::secret::Secret;
use std::time::SystemTime;

/// In what shape a message is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// The message itself, `message/rfc822`.
    Raw {
        /// Puts the envelope's recipient on top as `X-Original-To`, where the delivery has not done so.
        add_original_to: bool,
    },
    /// Our object.
    Json {
        /// How attachments are sent.
        attachments: Attachments,
        /// Attachments larger than this, in bytes, are only described, but for the whole of a text that is cut.
        describe_above: Option<u64>,
    },
    /// Fields of the user's choice.
    Form {
        /// How they are written.
        encoding: Encoding,
        /// Their names and what is in them, in order.
        fields: Vec<(String, FieldValue)>,
    },
    /// As Mailgun's routes send it.
    Mailgun {
        /// The whole message in `body-mime`, instead of parsed.
        mime: bool,
        /// What it is signed by.
        signing_key: Option<Secret>,
        /// Signed anew at each attempt, for receivers that refuse old timestamps. The body differs then.
        is_fresh: bool,
    },
    /// As Postmark's inbound webhook sends it.
    Postmark {
        /// The whole message, too, in `RawEmail`.
        raw_email: bool,
    },
}

/// How attachments are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachments {
    /// As base64, in the object.
    Inline,
    /// Not: they are only described, but for the whole of a text that is cut.
    Omit,
    /// As parts beside the object (RFC 7578).
    Multipart,
}

/// How the fields of a form are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/form-data` (RFC 7578).
    Multipart,
}

/// What is in a field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// This text, which anybody may see.
    Text(String),
    /// This text, which nobody may see.
    Secret(Secret),
    /// Something of the mail.
    Of(Source),
}

impl Default for Format {
    fn default() -> Self {
        Format::Raw { add_original_to: false }
    }
}

impl Format {
    /// The body for this message. It depends on nothing but the message, unless `is_fresh` says otherwise.
    ///
    /// # Errors
    /// The message cannot be read, or the body would lack some of its text.
    pub fn payload(&self, message: &Message, now: SystemTime) -> Result<Payload, PayloadError> {
        Ok(match self {
            Format::Raw { add_original_to } => raw::payload(message, *add_original_to),
            Format::Json { attachments, describe_above } => json::payload(message, *attachments, *describe_above)?,
            Format::Form { encoding, fields } => form::payload(message, *encoding, fields)?,
            Format::Mailgun { mime, signing_key, is_fresh } => {
                let signing = mailgun::Signing { key: signing_key.as_ref(), fresh: is_fresh.then_some(now) };
                mailgun::payload(message, *mime, signing)?
            }
            Format::Postmark { raw_email } => postmark::payload(message, *raw_email)?,
        })
    }

    /// Whether the body is another one at each attempt.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Format::Mailgun { is_fresh: true, .. })
    }

    /// What of it nobody may see.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Format::Raw { .. } | Format::Json { .. } | Format::Postmark { .. } => Vec::new(),
            Format::Mailgun { signing_key, .. } => signing_key.iter().collect(),
            Format::Form { fields, .. } => {
                let values = fields.iter().map(|(_, value)| value);
                let secrets = values.filter_map(|value| match value {
                    FieldValue::Secret(secret) => Some(secret),
                    FieldValue::Text(_) | FieldValue::Of(_) => None,
                });
                secrets.collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
