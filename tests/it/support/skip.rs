//! What is not tested here, said where it is seen.

use std::fmt::Display;
use std::io::{self, Write};

/// Tells why a test has nothing to show on this machine, though it passes. Not by `eprintln!`, which is shown of tests
/// that fail and of no others.
pub fn skipped(why: impl Display) {
    writeln!(io::stderr(), "skipped: {why}").expect("somebody reads what the tests say");
}
