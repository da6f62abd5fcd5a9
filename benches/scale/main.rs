//! What maildirq is like at the edges: a large backlog, many that wait, nothing to do, many Maildirs, an endpoint that
//! is slow or down. Each has a command of its own, and `--help`:
//!
//!     cargo bench --bench scale -- backlog       # or: waiting, idle, many, slow, down; all: one after the other
//!
//! A figure of memory is of the process alone. Wake-ups are what proc(5) counts as voluntary context switches of its
//! threads.

mod application;
mod backlog;
#[path = "../support/endpoint.rs"]
mod endpoint;
mod maildir;
mod process;
mod quiet;
mod slow;
mod waiting;

use std::path::PathBuf;
use std::{env, fs, thread};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;

#[derive(Parser)]
struct Options {
    /// What is measured
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Messages of a backlog, and messages that wait
    #[arg(long, default_value = "1000000")]
    messages: usize,
    /// What the rate of a large backlog is held against, in messages
    #[arg(long, default_value = "20000")]
    few: usize,
    /// How many Maildirs are many
    #[arg(long, default_value = "1000")]
    maildirs: usize,
    /// How long what is quiet is looked at
    #[arg(long, default_value = "20")]
    seconds: u64,
    /// Where the Maildirs lie [default: /dev/shm if writable, else TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A large backlog: rate, memory, the first message out
    Backlog,
    /// Many messages that wait for a retry: the start, memory, what is done meanwhile
    Waiting,
    /// Nothing to do
    Idle,
    /// Many Maildirs: the same, and how long a message takes in any of them
    Many,
    /// An endpoint that takes 20 ms for each request
    Slow,
    /// An endpoint that is not there, and a backlog of a tenth of the messages
    Down,
    /// All of it
    All,
}

fn main() -> Result<()> {
    // `cargo bench` passes --bench; `cargo test --all-targets` does not, and only wants to see that it works.
    let options = if env::args().any(|arg| arg == "--bench") {
        Options::parse()
    } else {
        Options::parse_from(["scale", "--messages=200", "--few=50", "--maildirs=10", "--seconds=1"])
    };
    let load = fs::read_to_string("/proc/loadavg")?;
    println!("{} cores (load {})", thread::available_parallelism()?, &load[..4]);
    let is_asked = |what| options.what == What::All || options.what == what;
    if is_asked(What::Backlog) {
        backlog::measure(&options)?;
    }
    if is_asked(What::Waiting) {
        waiting::measure(&options)?;
    }
    if is_asked(What::Idle) {
        quiet::idle(&options)?;
    }
    if is_asked(What::Many) {
        quiet::many(&options)?;
    }
    if is_asked(What::Slow) {
        slow::measure(&options)?;
    }
    if is_asked(What::Down) {
        quiet::down(&options)?;
    }
    Ok(())
}

impl Options {
    fn folder(&self) -> Result<TempDir> {
        Ok(match &self.dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?,
        })
    }
}
