//! What is told over HTTP: `/metrics`, `/healthz` (it is alive) and `/readyz` (it takes mail).

use crate::config::Listen;
use crate::secret::Secret;
use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};
use std::fs::Permissions;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// So many connections there are at a time; others wait.
const MOST: usize = 32;
/// How long a connection lasts, also one that says nothing: it keeps a place from others. Whoever scrapes makes another
/// one.
const LIFETIME: Duration = Duration::from_secs(30);
/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to tell.
pub trait Inside: Send + Sync + 'static {
    /// All metrics, in the text format of Prometheus. It may take as long as the disk does.
    ///
    /// # Errors
    /// They cannot be told; the text says why.
    fn metrics(&self) -> Result<String, String>;
    /// Why no mail is taken now, if that is so.
    fn not_ready(&self) -> Option<String>;
    /// What metrics must be asked with.
    fn token(&self) -> Option<Secret>;
}

/// A place that is listened on.
pub enum Bound {
    /// An address.
    Tcp(TcpListener),
    /// A socket of this machine, removed at the end.
    Unix(UnixListener, Removed),
}

impl Bound {
    /// Where it is, as it turned out: the port may have been left to the system.
    pub fn place(&self) -> Option<Listen> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok().map(Listen::Tcp),
            Bound::Unix(_, file) => Some(Listen::Unix(file.0.clone())),
        }
    }
}

/// A socket's file, removed at the end.
pub struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Begins to listen; to be called inside of a Tokio runtime.
///
/// # Errors
/// The system: the address is taken, or must not be used.
pub fn bind(listen: &Listen) -> io::Result<Bound> {
    match listen {
        Listen::Tcp(address) => {
            let listener = StdTcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Bound::Tcp(TcpListener::from_std(listener)?))
        }
        Listen::Unix(path) => {
            let listener = bind_socket(path)?;
            listener.set_nonblocking(true)?;
            // Whoever is in the group may ask: a proxy, say.
            std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
            Ok(Bound::Unix(UnixListener::from_std(listener)?, Removed(path.clone())))
        }
    }
}

fn bind_socket(path: &Path) -> io::Result<StdUnixListener> {
    match StdUnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // To a file that is no socket nobody can connect either.
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            let left = StdUnixStream::connect(path).err();
            if is_socket && left.is_some_and(|refused| refused.kind() == io::ErrorKind::ConnectionRefused) {
                std::fs::remove_file(path)?;
                return StdUnixListener::bind(path);
            }
            Err(error)
        }
        bound => bound,
    }
}

/// Answers, for as long as it is polled.
pub async fn serve(bound: Bound, inside: Arc<dyn Inside>) {
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .with_state(inside);
    let room = Arc::new(Semaphore::new(MOST));
    let served = match bound {
        Bound::Tcp(listener) => axum::serve(Few { listener, room }, pages).await,
        Bound::Unix(listener, _removed) => axum::serve(Few { listener, room }, pages).await,
    };
    if let Err(error) = served {
        tracing::error!(event = "web_failed", reason = %error);
    }
}

async fn metrics(State(inside): State<Arc<dyn Inside>>, headers: HeaderMap) -> Response {
    if inside.token().is_some_and(|token| !is_shown(&token, &headers)) {
        let how = [(WWW_AUTHENTICATE, "Bearer realm=\"maildirq\"")];
        return (StatusCode::UNAUTHORIZED, how, "ask with the token of [web]\n").into_response();
    }
    let told = tokio::task::spawn_blocking(move || inside.metrics()).await;
    match told.map_err(|error| error.to_string()).and_then(|told| told) {
        Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(reason) => {
            tracing::error!(event = "web_failed", reason);
            (StatusCode::INTERNAL_SERVER_ERROR, "the log tells why\n").into_response()
        }
    }
}

/// Whether a request shows this token. How long the comparison takes tells nothing.
fn is_shown(token: &Secret, headers: &HeaderMap) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| {
        let (scheme, shown) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(shown.trim())
    });
    shown.is_some_and(|shown| Sha256::digest(shown) == Sha256::digest(token.reveal()))
}

async fn readiness(State(inside): State<Arc<dyn Inside>>) -> Response {
    match inside.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Only so many connections at a time.
struct Few<L> {
    listener: L,
    room: Arc<Semaphore>,
}

impl<L: axum::serve::Listener> axum::serve::Listener for Few<L> {
    type Io = Brief<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.room).acquire_owned().await.expect("nobody closes it");
        let (stream, address) = self.listener.accept().await;
        (Brief { stream, end: Box::pin(sleep(LIFETIME)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that lasts only so long.
struct Brief<S> {
    stream: S,
    end: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl<S> Brief<S> {
    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().poll(context).is_ready() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Brief<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Brief<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_left_behind_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        drop(bind_socket(&path).unwrap());
        let listener = bind_socket(&path).unwrap();
        assert!(bind_socket(&path).is_err());
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file of somebody").unwrap();
        assert!(bind_socket(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file of somebody");
    }
}
