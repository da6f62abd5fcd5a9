//! The daemon's end. Whoever asks may be slow, rude or mad: it costs the daemon a task and a few kilobytes, and no more
//! than so many of these.

use super::events::Events;
use super::request::{Ask, LONGEST, Refusal, parse};
use super::socket::SocketFile;
use super::status::Status;
use std::io;
use std::os::unix::net::UnixListener as Listening;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// So many may ask at a time.
const MOST: usize = 16;
/// How long somebody may say nothing, or read nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What there is to tell.
pub trait Tell: Send + Sync + 'static {
    /// How it stands now.
    fn status(&self) -> Status;
    /// What happens.
    fn events(&self) -> &Arc<Events>;
}

/// Answers on this socket, for as long as it is polled.
///
/// # Errors
/// It cannot be listened on.
pub async fn serve(listening: (Listening, SocketFile), tell: Arc<dyn Tell>) -> io::Result<()> {
    let (listener, _file) = listening;
    let listener = UnixListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(MOST));
    let mut busy = JoinSet::new();
    loop {
        // Those that have ended are forgotten.
        while busy.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(event = "control_failed", reason = %error);
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (tell, room) = (Arc::clone(&tell), Arc::clone(&room));
        if let Ok(permit) = room.try_acquire_owned() {
            busy.spawn(async move {
                // Whoever goes away in the middle has heard enough.
                let _ = answer(stream, &*tell).await;
                drop(permit);
            });
        } else {
            let refusal = Refusal::line("too many ask at once");
            // There is room for a line in a fresh socket, or nobody is interested.
            let _ = stream.try_write(refusal.as_bytes());
        }
    }
}

async fn answer(stream: UnixStream, tell: &dyn Tell) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let length = timeout(PATIENCE, (&mut read).take(LONGEST as u64).read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Ok(());
        }
        match parse(&line) {
            Ok(Ask::Status) => {
                let status = serde_json::to_string(&tell.status()).map_err(io::Error::other)? + "\n";
                timeout(PATIENCE, write.write_all(status.as_bytes())).await??;
            }
            Ok(Ask::Tail) => {
                let mut listener = tell.events().listen();
                let mut rest = [0; 1];
                loop {
                    tokio::select! {
                        line = listener.next() => {
                            let Some(line) = line else { return Ok(()) };
                            timeout(PATIENCE, write.write_all(line.as_bytes())).await??;
                        }
                        // There is nothing more to be said; it is only seen when the other end goes away.
                        _ = read.read(&mut rest) => return Ok(()),
                    }
                }
            }
            Err(reason) => {
                return timeout(PATIENCE, write.write_all(Refusal::line(reason).as_bytes())).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{ask_status, follow};
    use super::super::event::Event;
    use super::super::socket::bind;
    use super::*;
    use crate::engine::{Health, Observer};
    use std::path::Path;
    use std::time::SystemTime;
    use tempfile::TempDir;

    #[derive(Default)]
    struct Told(Arc<Events>);

    impl Tell for Told {
        fn status(&self) -> Status {
            Status { v: 1, pid: 7, ..Status::default() }
        }

        fn events(&self) -> &Arc<Events> {
            &self.0
        }
    }

    fn serving() -> (TempDir, Arc<Events>, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("maildirq")).unwrap();
        let (listener, file) = bind(folder.path()).unwrap();
        let told = Told::default();
        let events = Arc::clone(&told.0);
        let live = folder.path().join("maildirq/live");
        let path = std::fs::read_dir(live).unwrap().next().unwrap().unwrap().path();
        tokio::spawn(async move { serve((listener, file), Arc::new(told)).await });
        (folder, events, path)
    }

    async fn said_to(path: &Path, words: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        // It may be shut while we are still talking.
        let _ = stream.write_all(words).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn a_status_is_answered_as_often_as_it_is_asked_for() {
        let (folder, _events, path) = serving();
        let twice = b"{\"v\":1,\"ask\":\"status\"}\n{\"v\":1,\"ask\":\"status\"}\nbye\n";
        let answer = said_to(&path, twice).await;
        assert_eq!((answer.matches("\"pid\":7").count(), answer.matches("\"error\":").count()), (2, 1), "{answer}");
        let statuses = ask_status(&[folder.path().to_owned()], PATIENCE).await.unwrap();
        assert_eq!(statuses.iter().map(|status| status.pid).collect::<Vec<_>>(), [7]);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_and_however_long_it_is() {
        let (_folder, _events, path) = serving();
        for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], &vec![b'x'; 1 << 20], b"\0\n", b"{\"v\":9,\"ask\":\"tail\"}\n"] {
            let answer = said_to(&path, words).await;
            assert!(answer.starts_with("{\"v\":1,\"error\":") || answer.is_empty(), "{answer}");
        }
        assert!(said_to(&path, b"nonsense\n").await.contains("a request is"));
    }

    #[tokio::test]
    async fn no_more_than_so_many_are_listened_to_and_room_is_made_again() {
        let (folder, events, path) = serving();
        let mut silent = Vec::new();
        for _ in 0..MOST {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        let refused = said_to(&path, b"").await;
        assert!(refused.contains("too many"), "{refused}");
        drop(silent);
        let (lines, mut heard) = tokio::sync::mpsc::channel(8);
        let maildirs = [folder.path().to_owned()];
        let telling = async {
            loop {
                events.health("app", Health::Down, "refused", SystemTime::now());
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            followed = follow(&maildirs, PATIENCE, lines) => panic!("{followed:?}"),
            () = telling => {}
            line = heard.recv() => {
                let event: Event = serde_json::from_str(&line.unwrap()).unwrap();
                assert_eq!((&*event.event, event.target.as_deref()), ("target_down", Some("app")));
            }
        }
    }
}
