//! The end of whoever wants to know.

use super::request::{Ask, Request};
use super::socket::{Sockets, sockets};
use super::status::Status;
use futures_util::future::join_all;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// No answer is longer, in bytes.
const LONGEST_ANSWER: u64 = 16 << 20;

/// Why nothing was heard.
#[derive(Debug, thiserror::Error)]
pub enum Unheard {
    /// No daemon serves these Maildirs.
    #[error("no maildirq is running for these Maildirs")]
    Nobody,
    /// One may, and cannot be asked.
    #[error("cannot ask the daemon of {path}: {error}")]
    Io {
        /// The Maildir.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// How it stands with all daemons that have a socket in one of these Maildirs; none where none runs. One that does not
/// answer in time is left out.
///
/// # Errors
/// A Maildir cannot be looked at.
pub async fn ask_status(maildirs: &[PathBuf], limit: Duration) -> Result<Vec<Status>, Unheard> {
    let found = find(maildirs)?;
    let asked = found.iter().flat_map(|sockets| &sockets.paths).map(|path| timeout(limit, status_of(path)));
    let answers = join_all(asked).await;
    let mut statuses: Vec<_> = answers.into_iter().filter_map(|answer| answer.ok()?.ok()).collect();
    statuses.sort_by_key(|status| status.pid);
    Ok(statuses)
}

async fn status_of(path: &Path) -> io::Result<Status> {
    let mut line = Vec::new();
    ask(path, Ask::Status).await?.take(LONGEST_ANSWER).read_until(b'\n', &mut line).await?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}

/// Passes on what all daemons tell that have a socket in one of these Maildirs, line by line, until the last of them
/// has ended. Whoever does not answer in time counts as none.
///
/// # Errors
/// There is no daemon, or a Maildir cannot be looked at.
pub async fn follow(maildirs: &[PathBuf], limit: Duration, lines: mpsc::Sender<String>) -> Result<(), Unheard> {
    let found = find(maildirs)?;
    let asked = found.iter().flat_map(|sockets| &sockets.paths).map(|path| timeout(limit, ask(path, Ask::Tail)));
    let streams: Vec<_> = join_all(asked).await.into_iter().filter_map(|stream| stream.ok()?.ok()).collect();
    if streams.is_empty() {
        return Err(Unheard::Nobody);
    }
    join_all(streams.into_iter().map(|stream| pass_on(stream, lines.clone()))).await;
    Ok(())
}

async fn pass_on(stream: BufReader<UnixStream>, lines: mpsc::Sender<String>) {
    let mut stream = stream.lines();
    while let Ok(Some(line)) = stream.next_line().await {
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

fn find(maildirs: &[PathBuf]) -> Result<Vec<Sockets>, Unheard> {
    let look = |maildir: &PathBuf| sockets(maildir).map_err(|error| Unheard::Io { path: maildir.clone(), error });
    maildirs.iter().filter_map(|maildir| look(maildir).transpose()).collect()
}

async fn ask(path: &Path, ask: Ask) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(path).await?;
    let request = Request { v: super::VERSION, ask };
    let line = serde_json::to_string(&request).map_err(io::Error::other)? + "\n";
    stream.write_all(line.as_bytes()).await?;
    Ok(BufReader::new(stream))
}
