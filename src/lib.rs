//! A Maildir as a durable job queue.
//!
//! Mail that an MTA delivers into a Maildir reaches an application, and nothing is lost on the way.
//! The program is a thin shell around this library; where things are:
//!
//! | module | what it is |
//! |---|---|
//! | [`engine`] | **the idea**: plain types, three traits, one loop. Start here |
//! | [`maildir`] | mail is *kept* here: the Maildir as a queue, and `deliver` |
//! | [`mail`] | what a mail *says*: header, texts, attachments, decoded |
//! | [`payload`] | the shapes in which applications take mail |
//! | [`target`] | mail *goes* here: HTTP endpoints, commands |
//! | [`secret`] | text that is never shown |
//! | [`config`] | the TOML file and what it means |
//! | [`wire`] | the one file that knows every adapter: configuration → queue, routes, targets |
//! | [`cli`] | one verb, one file |
//! | [`logging`] | how log lines look |
//!
//! What may import what is a table in `tests/it/layering.rs`. `docs/architecture.md` tells the
//! whole story; `docs/on-disk.md` has the files and states, and what a crash leaves of each.

pub mod cli;
pub mod config;
pub mod engine;
pub mod logging;
pub mod mail;
pub mod maildir;
pub mod payload;
pub mod secret;
pub mod target;
pub mod wire;

/// A new process has what is open here, locks included, until it becomes another program. So tests that
/// mind who has a file open must not run while others start programs: those read this, these write it.
#[cfg(test)]
pub(crate) static FORKS: std::sync::RwLock<()> = std::sync::RwLock::new(());
