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
//! | `envelope` | who a message is really from and to |
//! | `outcome` | what an attempt came to, and what becomes of the message |
//! | `retry` | the pure decision from the one to the other |
//! | `schedule` | how long is waited between attempts; the policies of well-known systems |
//! | `pace` | how many attempts may begin in a time |
//! | `gate` | how much a target may be given now: its concurrency, its rate and its circuit breaker |
//! | `queue`, `target` | the traits |
//! | `pattern`, `rule` | which messages a route is for |
//! | `sight` | a message as routes look at it |
//! | `route` | which target a message goes to |
//! | `run` | the loop; `watch` and `drain` are both this |
//! | `astray` | what becomes of a message that has come to no target |
//! | `attempt` | one attempt, and what becomes of the message after it |
//! | `alarm` | when idle hands look again, and when a run is over |
//! | `log` | the lines that the loop logs |
//! | `state` | the states of a message, and the words for them |
//! | `observer` | who looks on while it happens |
//! | `stop` | how the loop is told to pause, finish or end |
//! | `memory` | a queue in memory, which keeps the traits honest |
//! | `shortage` | whether this machine has run out of something |
//! | `text` | making bytes of strangers fit for a log line |

mod alarm;
mod astray;
mod attempt;
mod envelope;
mod gate;
mod log;
mod memory;
mod message;
mod observer;
mod outcome;
mod pace;
mod pattern;
mod queue;
mod retry;
mod route;
mod rule;
mod run;
mod schedule;
mod shortage;
mod sight;
mod state;
mod stop;
mod target;
pub mod text;

pub use envelope::{Envelope, EnvelopeRules};
pub use gate::{BreakerPolicy, Health};
pub use memory::MemoryQueue;
pub use message::{Body, History, Id, Message};
pub use observer::{Attempt, Burial, Nobody, Observer};
pub use outcome::{Blame, Note, Outcome, Settlement};
pub use pace::Rate;
pub use pattern::Pattern;
pub use queue::{Bell, BoxFuture, Claim, Lease, Outlook, Queue, Taken};
pub use retry::{Facts, RetryPolicy, decide};
pub use route::{Destination, Route, Routes, Standing, Terms, Way};
pub use rule::{Condition, Fact, Finding, SizeBound, Test, When};
pub use run::{Conditions, Engine, Report, Until};
pub use schedule::{KNOWN, Known, Schedule};
pub use shortage::is_shortage;
pub use sight::Sight;
pub use state::{State, States};
pub use stop::{Stop, StopHandle};
pub use target::{Leaving, Target};
