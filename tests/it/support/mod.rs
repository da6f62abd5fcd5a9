//! The small language the tests are written in: one word, one file.
//!
//! A test puts mail into a [`Maildir`], runs [`Maildirq`] on it, and looks at what an [`App`] received.
//! A [`Ledger`] does the book-keeping where thousands of mails and many crashes are involved;
//! [`Rude`] stands in for the app where the other side misbehaves, a [`Script`] where it is a program.
//! A [`Program`](program::Program) is a real application, in a language of its own.

#![allow(dead_code, unused_imports, reason = "a language may have words that no test uses today")]

pub mod ambush;
pub mod app;
pub mod books;
pub mod client;
pub mod delivery;
pub mod digest;
pub mod disk;
pub mod fate;
pub mod formats;
pub mod groups;
pub mod health;
pub mod http;
pub mod launch;
pub mod leaks;
pub mod ledger;
pub mod maildir;
pub mod manager;
pub mod mda;
pub mod postfix;
pub mod power;
pub mod process;
pub mod program;
pub mod pty;
pub mod rude;
pub mod scale;
pub mod script;
pub mod server;
pub mod skip;
pub mod tls;
pub mod verdict;
pub mod wait;
pub mod worker;

pub use app::App;
pub use delivery::{Delivery, read_log};
pub use disk::Disk;
pub use fate::Fate;
pub use health::Checkup;
pub use http::{Answer, Request};
pub use launch::Launch;
pub use leaks::Overheard;
pub use ledger::{Ledger, Pace};
pub use maildir::Maildir;
pub use manager::Manager;
pub use mda::Mda;
pub use power::Standstill;
pub use process::{Exit, Maildirq};
pub use rude::{Rude, Rudeness};
pub use scale::from_environment;
pub use script::Script;
pub use skip::skipped;
pub use tls::{Authority, Certificate};
pub use verdict::{Allowed, Fault, Verdict};
pub use wait::{Gate, SOON, holds_for, wait_for, wait_until};
