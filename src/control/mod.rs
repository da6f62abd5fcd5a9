//! What only the daemon knows, told over a Unix socket of its own: how its targets stand, and what happens now.
//!
//! Everything else is on the disk, and is read there, with or without a daemon. `docs/control.md` is the contract.
//!
//! | file | one idea |
//! |---|---|
//! | `socket` | where sockets are, and how they are found |
//! | `request` | what is asked, line by line |
//! | `status` | how it stands |
//! | `event` | one thing that happened |
//! | `events` | telling what happens to those who listen |
//! | `hour`, `window` | the last hour of each target and each queue |
//! | `server` | the daemon's end |
//! | `client` | the other one |

mod client;
mod event;
mod events;
mod hour;
mod request;
mod server;
mod socket;
mod status;
mod window;

pub use client::{Unheard, ask_status, follow};
pub use event::Event;
pub use events::Events;
pub use hour::{Hour, QueueHour, TargetHour};
pub use request::Ask;
pub use server::{Tell, serve};
pub use socket::{SocketFile, bind};
pub use status::{QueueStatus, Status, TargetStatus};

/// The version of every line.
pub const VERSION: u32 = 1;
