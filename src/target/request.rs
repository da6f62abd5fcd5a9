//! One request: what it says of a message, in its headers and in its body.
//!
//! Nothing that comes from a mail gets into a header.

use super::body::body;
use super::sign::{Signature, sign};
use crate::engine::Message;
use crate::payload::{Format, Payload, PayloadError};
use crate::secret::Secret;
use reqwest::Request;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

/// Up to this length, in bytes, reading a message takes less than handing it to another thread would save: a few
/// milliseconds.
const QUICK: u64 = 512 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const ATTEMPT: HeaderName = HeaderName::from_static("maildirq-attempt");

/// How messages become requests.
pub(super) struct Recipe {
    /// In what shape they are sent.
    pub format: Format,
    /// What requests are signed by.
    pub keys: Vec<Secret<Vec<u8>>>,
}

/// What is sent for a message in one attempt.
pub(super) struct Contents {
    /// The body.
    pub payload: Payload,
    signature: Option<Signature>,
}

impl Recipe {
    /// What is sent for a message now.
    ///
    /// # Errors
    /// The message cannot be read, or would not be whole.
    pub(super) fn contents(&self, message: &Message, now: SystemTime) -> Result<Contents, PayloadError> {
        let payload = self.format.payload(message, now)?;
        let is_signed = !self.keys.is_empty();
        let signature = is_signed.then(|| sign(&self.keys, message.id, now, &payload)).transpose()?;
        Ok(Contents { payload, signature })
    }

    /// The same. What takes long is read by a thread that nobody has to wait for.
    ///
    /// # Errors
    /// The message cannot be read, or would not be whole.
    pub(super) async fn prepare(self: &Arc<Self>, message: &Message) -> Result<Contents, PayloadError> {
        let is_read = !self.keys.is_empty() || !matches!(self.format, Format::Raw { .. });
        if !is_read || message.body.len() <= QUICK {
            return self.contents(message, SystemTime::now());
        }
        let (recipe, message) = (Arc::clone(self), message.clone());
        let reading = tokio::task::spawn_blocking(move || recipe.contents(&message, SystemTime::now()));
        match reading.await {
            Ok(contents) => contents,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(io::Error::other(error).into()),
            },
        }
    }
}

/// Makes room in the fixed headers for those that each message has its own value for, so that a copy need not grow.
pub(super) fn make_room(fixed: &mut HeaderMap) {
    for name in [CONTENT_TYPE, IDEMPOTENCY_KEY, WEBHOOK_ID, ATTEMPT] {
        fixed.insert(name, HeaderValue::from_static(""));
    }
}

impl Contents {
    /// The request for a message; `template` has what is the same for all of them.
    pub(super) fn request(&self, template: &Request, message: &Message) -> Request {
        let mut request = template.try_clone().expect("it has no body that could only be read once");
        *request.headers_mut() = self.headers(template.headers(), message);
        *request.body_mut() = Some(body(&self.payload));
        request
    }

    /// The headers of the request for a message; `fixed` are those that are the same for all of them.
    pub(super) fn headers(&self, fixed: &HeaderMap, message: &Message) -> HeaderMap {
        let mut headers = fixed.clone();
        let text = |text: &str| HeaderValue::from_str(text).expect("it is made of visible ASCII");
        let content_type = match &self.payload.content_type {
            Cow::Borrowed(content_type) => HeaderValue::from_static(content_type),
            Cow::Owned(content_type) => text(content_type),
        };
        headers.insert(CONTENT_TYPE, content_type);
        let id = HeaderValue::from_bytes(&message.id.characters()).expect("an id is made of letters and digits");
        headers.insert(IDEMPOTENCY_KEY, id.clone());
        headers.insert(WEBHOOK_ID, id);
        headers.insert(ATTEMPT, message.attempt().into());
        if let Some(Signature { timestamp, signatures }) = &self.signature {
            headers.insert(HeaderName::from_static("webhook-timestamp"), (*timestamp).into());
            headers.insert(HeaderName::from_static("webhook-signature"), text(signatures));
        }
        headers
    }
}
