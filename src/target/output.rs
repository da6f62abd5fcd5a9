//! What a command says: its last lines on standard error are kept, all else is thrown away.

use super::last_lines::LastLines;
use std::future::pending;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};

/// How much is read at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// Both ends that a command writes to.
pub(super) struct Output {
    pub(super) stderr: Option<ChildStderr>,
    /// Only where somebody counts what is written there.
    pub(super) stdout: Option<ChildStdout>,
}

impl Output {
    /// Reads until nobody holds the other ends any more, and never keeps a writer waiting. Returns whether it
    /// was more than `limit`, in bytes and on both together; then no more is read, and a writer waits.
    pub(super) async fn read(&mut self, said: &mut LastLines, limit: Option<u64>) -> bool {
        let limit = limit.unwrap_or(u64::MAX);
        let (mut count, mut stderr_piece, mut stdout_piece) = (0_u64, vec![0; PIECE], Vec::new());
        if self.stdout.is_some() {
            stdout_piece.resize(PIECE, 0);
        }
        while self.stderr.is_some() || self.stdout.is_some() {
            let read = tokio::select! {
                // Whoever then says too much on the other one has said here why.
                biased;
                read = next(&mut self.stderr, &mut stderr_piece) => {
                    said.add(&stderr_piece[..read]);
                    read
                }
                read = next(&mut self.stdout, &mut stdout_piece) => read,
            };
            count = count.saturating_add(read as u64);
            if count > limit {
                return true;
            }
        }
        false
    }
}

/// How many bytes were read. At the end of it, or where it cannot be read, it is closed.
async fn next(pipe: &mut Option<impl AsyncRead + Unpin>, piece: &mut [u8]) -> usize {
    let Some(open) = pipe else { return pending().await };
    // What is left unsaid does not change what the exit code says.
    let read = open.read(piece).await.unwrap_or(0);
    if read == 0 {
        *pipe = None;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::sync::PoisonError;
    use tokio::process::Command;
    use tokio::runtime::Builder;

    /// What was said on both is there before either is read.
    #[test]
    fn why_is_heard_before_too_much() {
        let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..20 {
            runtime.block_on(async {
                let mut command = Command::new("sh");
                command.args(["-c", "echo why >&2; yes | head -c 5000"]).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().unwrap();
                let mut output = Output { stderr: child.stderr.take(), stdout: child.stdout.take() };
                assert!(child.wait().await.unwrap().success());
                let mut said = LastLines::default();
                assert!(output.read(&mut said, Some(1024)).await);
                assert_eq!(said.shown(), "why");
            });
        }
    }
}
