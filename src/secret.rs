//! What must not be seen: it can be used, never shown.

use std::fmt;

/// A secret: a text, or the bytes of a key. It has no `Display`, and its `Debug` shows dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl Secret {
    /// Makes a secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Secret<Vec<u8>> {
    /// Makes a secret of these bytes.
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }

    /// The bytes, for the one place that needs them.
    pub fn reveal_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!((format!("{secret:?}{secret:#?}").as_str(), secret.reveal()), ("••••••••", "hunter2"));
        let secret = Secret::of_bytes(b"hunter2".to_vec());
        assert_eq!((format!("{secret:?}").as_str(), secret.reveal_bytes()), ("••••", &b"hunter2"[..]));
    }
}
