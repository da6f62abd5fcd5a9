//! How log lines look: text for people, one JSON object a line for programs. Always on standard
//! error: standard output is for data.

use clap::ValueEnum;
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Level;
use tracing_subscriber::filter::Targets;
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

/// Begins to log what is at least as grave as `level`.
pub fn start(format: Format, level: Level) {
    // What the libraries underneath have to say is for their developers.
    let filter = Targets::new().with_target("maildirq", level);
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
    std::panic::set_hook(Box::new(tell_of_panic));
    let registry = tracing_subscriber::registry();
    match format {
        Format::Json => {
            let layer =
                tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(stderr);
            registry.with(layer.with_filter(filter)).init();
        }
        Format::Text => {
            let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let layer = tracing_subscriber::fmt::layer().with_target(false).with_ansi(colours).with_writer(stderr);
            registry.with(layer.with_filter(filter)).init();
        }
    }
}
