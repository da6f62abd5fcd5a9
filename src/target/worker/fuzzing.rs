//! What `tests/fuzz` reaches of this module, and nobody else.

use super::lines::Lines;
use super::protocol::{self, Breach};
use crate::engine::Outcome;
use std::io::{self, Write};
use tokio::net::unix::pipe;

/// The longest line that a worker may say, in bytes.
pub const LONGEST_LINE: usize = protocol::LONGEST_LINE;

/// What a line means as the answer to the job of this id.
///
/// # Errors
/// It is none, for this reason.
pub fn answer(line: &[u8], id: &str) -> Result<Outcome, String> {
    protocol::answer(line, id).map_err(|breach| {
        let _ = breach.outcome();
        breach.reason()
    })
}

/// Whether a line says that the worker is ready.
///
/// # Errors
/// It says something else.
pub fn ready(line: &[u8]) -> Result<(), String> {
    protocol::ready(line)
}

/// The lines of a worker that says this, piece by piece, and then ends: up to the first that is too long. The
/// pieces must fit into a pipe, each by itself.
pub fn lines(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, String>> {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().expect("there is an epoll");
    }
    RUNTIME.with(|runtime| runtime.block_on(heard(pieces))).expect("a pipe can be made and read")
}

async fn heard(pieces: &[&[u8]]) -> io::Result<Vec<Result<Vec<u8>, String>>> {
    let (read, mut write) = io::pipe()?;
    let mut lines = Lines::new(pipe::Receiver::from_owned_fd(read.into())?);
    let mut heard = Vec::new();
    let mut hear = |line: Result<Vec<u8>, Breach>| {
        heard.push(line.map_err(|breach| breach.reason()));
        heard.last().is_some_and(Result::is_ok)
    };
    let Some((last, first)) = pieces.split_last() else { return Ok(heard) };
    for piece in first {
        write.write_all(piece)?;
        while let Some(line) = lines.last()? {
            if !hear(line) {
                return Ok(heard);
            }
        }
    }
    write.write_all(last)?;
    drop(write);
    while let Some(line) = lines.next().await? {
        if !hear(line) {
            break;
        }
    }
    Ok(heard)
}
