//! A message as routes look at it: what was looked up once is not looked up again.

use super::message::Message;
use crate::mail::{Kind, PARSE_LIMIT, decode_text, kind, read};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::io;

type RawField<'a> = (&'a [u8], &'a [u8]);

/// A message under the eyes of routes.
pub struct Sight<'a> {
    /// The message.
    pub message: &'a Message,
    fields: OnceCell<Vec<RawField<'a>>>,
    kind: OnceCell<Kind>,
    has_attachment: OnceCell<Option<bool>>,
}

impl<'a> Sight<'a> {
    /// A first look.
    pub fn of(message: &'a Message) -> Self {
        Sight { message, fields: OnceCell::new(), kind: OnceCell::new(), has_attachment: OnceCell::new() }
    }

    /// What kind of mail it is.
    pub fn kind(&self) -> Kind {
        *self.kind.get_or_init(|| kind(self.message.header(), self.message.envelope.from.as_deref()))
    }

    /// The decoded values of all header fields of this name.
    pub(super) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Cow<'a, str>> + 's {
        let fields = self.fields.get_or_init(|| self.message.header().fields().collect());
        let named = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| decode_text(value))
    }

    /// Whether something is attached to it. None where it is not parsed, and so nobody knows.
    ///
    /// # Errors
    /// It has to be read as a whole for that, and cannot be.
    pub(super) fn has_attachment(&self) -> io::Result<Option<bool>> {
        if let Some(known) = self.has_attachment.get() {
            return Ok(*known);
        }
        let found = if self.message.body.len() > PARSE_LIMIT {
            None
        } else {
            let bytes = self.message.body.bytes()?;
            let mail = read(&bytes);
            mail.refusal.is_none().then(|| mail.has_attachment())
        };
        Ok(*self.has_attachment.get_or_init(|| found))
    }
}
