//! How log lines look: text for people, one JSON object a line for programs. Always on standard
//! error: standard output is for data.
//!
//! Where standard error is the journal's, each line has its priority in front, as sd-daemon(3) has it; the journal takes
//! that off.

use clap::ValueEnum;
use rustix::fs::fstat;
use std::io::{self, IsTerminal, Stderr, Write, stderr};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Whether standard error is for programs: then nothing but JSON may go there.
pub fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Logs where a panic was. What it says is left out: it may quote a mail.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(event = "bug", place, "a bug in maildirq; please report it");
}

/// Writes lines to standard error.
#[derive(Clone, Copy, Debug)]
struct Lines {
    has_priorities: bool,
}

impl Lines {
    fn to_stderr() -> Self {
        let told = std::env::var("JOURNAL_STREAM").ok();
        let found = fstat(stderr()).ok().map(|found| format!("{}:{}", found.st_dev, found.st_ino));
        Lines { has_priorities: told.is_some() && told == found }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { priority: None, out: stderr() }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        Line { priority: self.has_priorities.then(|| priority(*about.level())), out: stderr() }
    }
}

/// The priority of syslog(3), as sd-daemon(3) writes it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// A line to be written.
struct Line {
    priority: Option<&'static str>,
    out: Stderr,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(priority) = self.priority.take() {
            // In one piece: other threads write, too.
            self.out.write_all(&[priority.as_bytes(), bytes].concat())?;
            return Ok(bytes.len());
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Begins to log what is at least as grave as `level`.
pub fn start(format: Format, level: Level) {
    // What the libraries underneath have to say is for their developers.
    let filter = Targets::new().with_target("maildirq", level);
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
    std::panic::set_hook(Box::new(tell_of_panic));
    let registry = tracing_subscriber::registry();
    match format {
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_writer(Lines::to_stderr());
            registry.with(layer.with_filter(filter)).init();
        }
        Format::Text => {
            let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let layer = tracing_subscriber::fmt::layer().with_target(false).with_ansi(colours).with_writer(stderr);
            registry.with(layer.with_filter(filter)).init();
        }
    }
}
