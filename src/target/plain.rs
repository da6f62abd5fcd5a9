//! HTTP/1.1 without TLS and without a proxy, by hyper alone: what an application on this machine is spoken to by.
//!
//! A connection has no task of its own: whoever waits for an answer drives it meanwhile, so nothing is handed over
//! between the two. See docs/adr/0012.

use super::body::PieceBody;
use super::url::UrlConfig;
use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::iter;
use std::mem::replace;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlainError {
    /// There is no connection.
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// There was one.
    #[error("no answer")]
    Exchange(#[source] hyper::Error),
}

/// Connections to one server, from one lane.
pub(super) struct Plain {
    connector: Connector,
    connect_timeout: Duration,
    idle: Arc<Idle>,
}

enum Connector {
    Tcp { connector: HttpConnector, server: Uri },
    Unix(PathBuf),
}

struct Connection {
    sender: SendRequest<PieceBody>,
    wire: Wire,
    made: Instant,
    used: Instant,
}

/// What moves the bytes of a connection while it is polled. None once the connection has ended.
struct Wire(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

/// Connections that wait for the next request.
struct Idle {
    timeout: Duration,
    max_age: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The one that was used last in front.
    connections: VecDeque<Connection>,
    /// Somebody closes what is idle for too long.
    is_watched: bool,
}

/// An answer, of which the header has come.
pub(super) struct Answer {
    /// Its header.
    pub response: Response<Incoming>,
    connection: Connection,
    idle: Arc<Idle>,
}

impl Plain {
    /// Connections to where `config` leads, of which none is made yet.
    pub(super) fn new(config: &UrlConfig) -> anyhow::Result<Self> {
        let connector = if let Some(socket) = &config.url.socket {
            Connector::Unix(socket.clone())
        } else {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(config.connect_timeout));
            Connector::Tcp { connector, server: config.url.url.as_str().parse()? }
        };
        Ok(Plain {
            connector,
            connect_timeout: config.connect_timeout,
            idle: Arc::new(Idle {
                timeout: config.idle_timeout,
                max_age: config.max_connection_age,
                kept: Mutex::default(),
            }),
        })
    }

    /// Sends a request, and waits for the header of the answer.
    ///
    /// A server may close an idle connection at the very moment that it is used again: then the request is sent once
    /// more, over a new one.
    ///
    /// # Errors
    /// There is no whole header of an answer.
    pub(super) async fn send(&self, request: impl Fn() -> Request<PieceBody>) -> Result<Answer, PlainError> {
        while let Some(mut connection) = self.idle.take() {
            if !connection.is_ready() {
                continue;
            }
            match connection.ask(request()).await {
                Err(error) if was_cut_off(&error) => break,
                answer => return self.answer(answer, connection),
            }
        }
        let mut connection = self.connect().await.map_err(PlainError::Connect)?;
        self.answer(connection.ask(request()).await, connection)
    }

    fn answer(&self, answer: hyper::Result<Response<Incoming>>, connection: Connection) -> Result<Answer, PlainError> {
        let response = answer.map_err(PlainError::Exchange)?;
        Ok(Answer { response, connection, idle: Arc::clone(&self.idle) })
    }

    async fn connect(&self) -> Result<Connection, Box<dyn Error + Send + Sync>> {
        let connecting = async {
            match &self.connector {
                Connector::Tcp { connector, server } => {
                    Connection::over(connector.clone().oneshot(server.clone()).await?).await
                }
                Connector::Unix(socket) => Connection::over(TokioIo::new(UnixStream::connect(socket).await?)).await,
            }
        };
        timeout(self.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }
}

impl Connection {
    async fn over<S>(stream: S) -> Result<Self, Box<dyn Error + Send + Sync>>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(stream).await?;
        let made = Instant::now();
        Ok(Connection { sender, wire: Wire(Some(Box::pin(connection))), made, used: made })
    }

    /// Whether it takes a request now. The server may have closed it, or have answered before it had the whole of the
    /// last one.
    fn is_ready(&mut self) -> bool {
        // Who asks is not to be woken by the request that follows.
        self.wire.advance(&mut Context::from_waker(Waker::noop()));
        self.sender.is_ready()
    }

    async fn ask(&mut self, request: Request<PieceBody>) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        self.wire.drive(answer).await
    }
}

impl Wire {
    /// Has it do what it can do now.
    fn advance(&mut self, context: &mut Context<'_>) {
        // What has ended is dropped, so that whoever waits for it hears of that. Why it ended, he is told himself.
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
            self.0 = None;
        }
    }

    /// Waits for what this connection brings about.
    async fn drive<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        // Nothing else brings it about, and it is looked for each time that the connection has done something. So it
        // need not wake anybody itself: it would wake whoever is awake already, and have him look once more. Without
        // a constraint, for else it might have to be looked for again although nothing happens.
        let mut wanted = pin!(unconstrained(wanted));
        poll_fn(|context| {
            self.advance(context);
            wanted.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }
}

impl Answer {
    /// The next piece of its body. None at its end.
    ///
    /// # Errors
    /// The rest does not come.
    pub(super) async fn chunk(&mut self) -> hyper::Result<Option<Bytes>> {
        let body = self.response.body_mut();
        while !body.is_end_stream() {
            let frame = self.connection.wire.drive(poll_fn(|context| Pin::new(&mut *body).poll_frame(context))).await;
            match frame.transpose()?.map(Frame::into_data) {
                Some(Ok(bytes)) => return Ok(Some(bytes)),
                // Trailers say nothing that counts.
                Some(Err(_)) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// Ends with it. Its connection serves the next request, where the answer was read to its end.
    pub(super) fn end(mut self) {
        if self.connection.is_ready() {
            self.idle.keep(self.connection);
        }
    }
}

impl Idle {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last: it is the most likely to be there still.
    fn take(&self) -> Option<Connection> {
        let mut kept = self.kept();
        iter::from_fn(|| kept.connections.pop_front()).find(|connection| connection.made.elapsed() < self.max_age)
    }

    fn keep(self: &Arc<Self>, mut connection: Connection) {
        connection.used = Instant::now();
        let mut kept = self.kept();
        kept.connections.push_front(connection);
        if !replace(&mut kept.is_watched, true) {
            let idle = Arc::clone(self);
            tokio::spawn(async move {
                while let Some(next) = idle.close_old() {
                    sleep_until(next).await;
                }
            });
        }
    }

    /// Closes those that were idle for too long: at many a server each has a thread wait for it. Returns when the
    /// next one will have been.
    fn close_old(&self) -> Option<Instant> {
        let mut kept = self.kept();
        kept.connections.retain(|connection| connection.used.elapsed() < self.timeout);
        let next = kept.connections.back().map(|connection| connection.used + self.timeout);
        kept.is_watched = next.is_some();
        next
    }
}

/// Whether the connection was closed before the header of an answer was complete.
fn was_cut_off(error: &hyper::Error) -> bool {
    let was_reset =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    error.is_incomplete_message()
        || error.is_canceled()
        || error.source().and_then(|cause| cause.downcast_ref()).is_some_and(was_reset)
}
