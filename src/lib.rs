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
//! | [`query`] | the language in which messages are asked for |
//! | [`control`] | what only the daemon knows, told over a socket of its own |
//! | [`metrics`] | metrics for Prometheus: every name, once |
//! | [`web`] | the same, and whether it is alive and ready, over HTTP |
//! | [`wire`] | the one file that knows every adapter: configuration → queue, routes, targets |
//! | [`cli`] | one verb, one file |
//! | [`logging`] | how log lines look |
//! | `base64` | bytes as base64, in bulk |
//! | `system` | what only `unsafe` code can ask of the system |
//!
//! What may import what is a table in `tests/it/layering.rs`. `docs/architecture.md` tells the
//! whole story; `docs/on-disk.md` has the files and states, and what a crash leaves of each.

mod base64;
pub mod cli;
pub mod config;
pub mod control;
pub mod engine;
pub mod logging;
pub mod mail;
pub mod maildir;
pub mod metrics;
pub mod payload;
pub mod query;
pub mod secret;
mod system;
pub mod target;
pub mod web;
pub mod wire;

/// A new process has what is open here, locks included, until it becomes another program. So tests that
/// mind who has a file open must not run while others start programs: those read this, these write it.
#[cfg(test)]
pub(crate) static FORKS: std::sync::RwLock<()> = std::sync::RwLock::new(());

/// Compares a file of the repository with what it is made of; writes it instead where `MAILDIRQ_BLESS` is set.
#[cfg(test)]
pub(crate) fn assert_file(path: &str, expected: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("MAILDIRQ_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not what it is made of; MAILDIRQ_BLESS=1 renews it", path.display());
}
