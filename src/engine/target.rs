//! The role of a target: it tries.

use super::message::Message;
use super::outcome::Outcome;
use super::queue::BoxFuture;

/// Something that can be given a message.
pub trait Target: Send + Sync {
    /// One attempt. There is no error beside the [`Outcome`]: what happened is classified here,
    /// where the knowledge is. Dropping the future cuts the attempt off.
    fn attempt<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Outcome>;
}
