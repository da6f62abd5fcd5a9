//! What a field of a form can hold.

use std::fmt;
use std::str::FromStr;

/// Something of a message that a field of a form can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The message itself, byte by byte.
    Raw,
    /// The message, with every line ending in CRLF.
    RawCrlf,
    /// The message in base64, without line breaks (RFC 4648 section 4).
    RawBase64,
    /// The object of `format = "json"`, in which attachments are only described.
    Json,
    /// The sender that the MTA was told; empty for a bounce.
    EnvelopeFrom,
    /// The recipient that the MTA was told.
    EnvelopeTo,
    /// What stands behind the delimiter in the recipient's local part.
    Detail,
    /// The id of the message, the same at every attempt.
    Id,
    /// The name of the queue.
    Queue,
    /// The name of the route.
    Route,
    /// Whether a person wrote it: `human`, `auto_reply`, `bounce`, `list` or `report`.
    Kind,
    /// The header field `From`, decoded.
    From,
    /// The header field `To`, decoded.
    To,
    /// The header field `Cc`, decoded.
    Cc,
    /// The header field `Subject`, decoded.
    Subject,
    /// The message's own id, with its angle brackets.
    MessageId,
    /// When it was written, as it says itself (RFC 3339, UTC).
    Date,
    /// When it was delivered to the queue (RFC 3339, UTC).
    ReceivedAt,
    /// Its length in bytes.
    Size,
    /// Its text; of a mail that has only HTML, what can be read of that.
    Text,
    /// Its HTML.
    Html,
    /// Its text without what it quotes and without signature.
    ReplyText,
}

impl Source {
    /// All of them, by the names that they have in a configuration.
    pub const ALL: [(&'static str, Source); 22] = [
        ("raw", Source::Raw),
        ("raw_crlf", Source::RawCrlf),
        ("raw_base64", Source::RawBase64),
        ("json", Source::Json),
        ("envelope.from", Source::EnvelopeFrom),
        ("envelope.to", Source::EnvelopeTo),
        ("detail", Source::Detail),
        ("id", Source::Id),
        ("queue", Source::Queue),
        ("route", Source::Route),
        ("kind", Source::Kind),
        ("from", Source::From),
        ("to", Source::To),
        ("cc", Source::Cc),
        ("subject", Source::Subject),
        ("message_id", Source::MessageId),
        ("date", Source::Date),
        ("received_at", Source::ReceivedAt),
        ("size", Source::Size),
        ("text", Source::Text),
        ("html", Source::Html),
        ("reply_text", Source::ReplyText),
    ];

    /// Whether this is all of a message: nothing is lost where it is among the fields.
    pub fn is_whole(self) -> bool {
        // The object has the message itself, or the whole text, where it would lack something.
        matches!(self, Source::Raw | Source::RawCrlf | Source::RawBase64 | Source::Json)
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, source)| *source == self).expect("every source has a name").0
    }
}

/// There is no source of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message has nothing of this name")]
pub struct UnknownSource;

impl FromStr for Source {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, source)| *source).ok_or(UnknownSource)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_name_that_reads_back() {
        for (name, source) in Source::ALL {
            assert_eq!((name.parse(), source.to_string()), (Ok(source), name.to_owned()));
        }
        assert_eq!("Raw".parse::<Source>(), Err(UnknownSource));
    }
}
