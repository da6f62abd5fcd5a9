//! What a worker says on its standard error: its log. It is passed on line by line, and its end is remembered.

use super::super::job::REST;
use super::super::last_lines::LastLines;
use crate::engine::text::printable_within;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How much is read at a time, in bytes.
const PIECE: usize = 16 * 1024;
/// A line that is longer than this, in bytes, is passed on as several.
const LONGEST: usize = 4 * 1024;

/// What a process says, read without end: it never has to wait for us, however much it says.
pub(super) struct Said {
    last: Arc<Mutex<LastLines>>,
    reading: JoinHandle<()>,
}

impl Said {
    /// Begins to read what a process of this number says, which belongs to this target.
    pub fn listen(pipe: impl AsyncRead + Send + Unpin + 'static, target: &str, process: i32) -> Self {
        let last = Arc::new(Mutex::new(LastLines::default()));
        let (memory, target) = (Arc::clone(&last), target.to_owned());
        let pass_on = move |line: &[u8]| {
            if tracing::enabled!(tracing::Level::INFO) {
                let line = printable_within(line, LONGEST);
                tracing::info!(event = "worker_said", target, process, line);
            }
        };
        let reading = tokio::spawn(listen(pipe, memory, pass_on));
        Said { last, reading }
    }

    /// Forgets what was said so far.
    pub fn forget(&self) {
        *lock(&self.last) = LastLines::default();
    }

    /// The last lines, as one that may be shown.
    pub fn shown(&self) -> String {
        lock(&self.last).shown()
    }

    /// The same of a process that has ended. Whoever still holds its pipe is not waited for.
    pub async fn shown_at_the_end(&mut self) -> String {
        // Too late is no error: what is known then is all there is.
        let _ = timeout(REST, &mut self.reading).await;
        self.shown()
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn lock(last: &Mutex<LastLines>) -> MutexGuard<'_, LastLines> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(mut pipe: impl AsyncRead + Unpin, last: Arc<Mutex<LastLines>>, mut pass_on: impl FnMut(&[u8])) {
    let mut piece = vec![0; PIECE];
    let mut begun = Vec::new();
    // What is left unsaid changes nothing.
    while let Ok(count @ 1..) = pipe.read(&mut piece).await {
        lock(&last).add(&piece[..count]);
        let mut lines = piece[..count].split(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            begun.extend_from_slice(line);
            while begun.len() > LONGEST {
                let rest = begun.split_off(end_of_character(&begun, LONGEST));
                pass_on(&begun);
                begun = rest;
            }
            if lines.peek().is_some() {
                pass_on_if_any(&begun, &mut pass_on);
                begun.clear();
            }
        }
    }
    pass_on_if_any(&begun, &mut pass_on);
}

fn pass_on_if_any(line: &[u8], pass_on: &mut impl FnMut(&[u8])) {
    let line = line.trim_ascii_end();
    if !line.is_empty() {
        pass_on(line);
    }
}

/// Where a character of UTF-8 ends, at `most` or a little before it.
fn end_of_character(text: &[u8], most: usize) -> usize {
    let is_boundary = |place: &usize| text.get(*place).is_none_or(|byte| byte & 0xc0 != 0x80);
    (most.saturating_sub(3)..=most).rev().find(is_boundary).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_on(text: &[u8]) -> Vec<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut lines, last) = (Vec::new(), Arc::default());
        runtime.block_on(listen(text, last, |line| lines.push(line.to_vec())));
        lines
    }

    #[test]
    fn each_line_is_passed_on() {
        let text = b"one\r\n\n \ntwo\n  three";
        assert_eq!(passed_on(text), [&b"one"[..], b"two", b"  three"]);
    }

    #[test]
    fn a_long_line_is_passed_on_in_pieces() {
        for (character, count) in [("x", 20_000), ("\u{20ac}", 20_000), ("\u{1f600}", 20_000)] {
            let pieces = passed_on(character.repeat(count).as_bytes());
            assert!(pieces.iter().all(|piece| piece.len() <= LONGEST && str::from_utf8(piece).is_ok()), "{character}");
            assert_eq!(pieces.concat(), character.repeat(count).as_bytes());
        }
        assert_eq!(passed_on(&[0x80; 10_000]).concat(), [0x80; 10_000]);
    }
}
