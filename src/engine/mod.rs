//! The idea of maildirq: one message walks one straight line,
//! **queue → claim → route → target → settle**.
//!
//! Plain types, three small traits ([`Queue`], [`Lease`], [`Target`]) and one loop ([`Engine`]).
//! Nothing in here knows of files or sockets; what a technology can do is said by the traits that
//! its own module implements.
//!
//! | file | one idea |
//! |---|---|
//! | `message` | what is known of one message: identity, header, body, what happened so far |
//! | `header` | a bounded, linear look at header fields |
//! | `outcome` | what an attempt came to, and what becomes of the message |
//! | `retry` | the pure decision from the one to the other |
//! | `gate` | how much a target may be given now: its concurrency and its circuit breaker |
//! | `queue`, `target` | the traits |
//! | `route` | which target a message goes to |
//! | `run` | the loop; `watch` and `drain` are both this |
//! | `log` | the lines that the loop logs |
//! | `stop` | how the loop is told to pause, finish or end |
//! | `memory` | a queue in memory, which keeps the traits honest |
//! | `text` | making bytes of strangers fit for a log line |

mod gate;
mod header;
mod log;
mod memory;
mod message;
mod outcome;
mod queue;
mod retry;
mod route;
mod run;
mod stop;
mod target;
pub mod text;

pub use gate::BreakerPolicy;
pub use header::{HEADER_LIMIT, Header};
pub use memory::MemoryQueue;
pub use message::{Body, History, Id, Message};
pub use outcome::{Blame, Note, Outcome, Settlement};
pub use queue::{Bell, BoxFuture, Claim, Lease, Outlook, Queue};
pub use retry::{Facts, RetryPolicy, decide};
pub use route::{Destination, Routes};
pub use run::{Conditions, Engine, Report, Until};
pub use stop::{Stop, StopHandle};
pub use target::Target;
