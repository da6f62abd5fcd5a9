//! The role of a target: it tries.

use super::message::Message;
use super::outcome::Outcome;
use super::queue::BoxFuture;
use std::future::pending;

/// To be called once, when all of a message has been read that has to be, and before any of it leaves. Where it
/// says no, nothing may leave.
pub type Leaving<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// Something that can be given a message.
pub trait Target: Send + Sync {
    /// One attempt, for a queue that wants to know which message a process has died over: reading it may take more
    /// memory than there is. None where nothing was allowed to leave, and only there.
    ///
    /// There is no error beside the [`Outcome`]: what happened is classified here, where the knowledge is. Dropping
    /// the future cuts the attempt off.
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>>;

    /// The same, where nobody has to be asked.
    fn attempt<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let outcome = self.attempt_leaving(message, &mut || true).await;
            outcome.expect("it was allowed to leave")
        })
    }

    /// Ends as soon as the target can take something. Asked where it has said that it cannot
    /// ([`Outcome::Unavailable`]): nobody then waits for the time of the next probe. It need not be able to tell.
    fn returns(&self) -> BoxFuture<'_, ()> {
        Box::pin(pending())
    }
}
