//! How much of it: tests that can be run for longer say so by a variable, and what it is usually.

use std::env;

/// The number in this variable of the environment, or the usual one.
#[track_caller]
pub fn from_environment(name: &str, usual: usize) -> usize {
    env::var(name).map_or(usual, |number| number.parse().unwrap_or_else(|_| panic!("{name} is no number: {number}")))
}
