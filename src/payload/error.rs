//! Why there is no body for a message.

use std::io;

/// Why there is no body for a message.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It cannot be read now.
    #[error("the message cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The body would lack some of its text, at every attempt. What is said here may be shown.
    #[error("{0}, and no field of the form holds the message itself")]
    Incomplete(String),
}
