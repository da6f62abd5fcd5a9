//! Who speaks HTTP for a `url` target: [`Plain`] where there is neither TLS nor a proxy, reqwest for all else.

use super::body::{BodyError, PieceBody};
use super::plain::{self, Plain, PlainError};
use super::request::Contents;
use super::url::UrlConfig;
use crate::engine::{Message, is_shortage};
use bytes::Bytes;
use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use reqwest::Proxy;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tower::util::MapRequestLayer;

/// Who we say that we are.
pub(super) const AGENT: &str = concat!("maildirq/", env!("CARGO_PKG_VERSION"));

/// The connections of one lane to where a configuration leads.
pub(super) struct Client {
    /// What is the same in the requests for all messages.
    template: reqwest::Request,
    way: Way,
}

enum Way {
    Plain { connections: Plain, uri: Uri },
    Library(Box<Library>),
}

/// Connections by reqwest.
struct Library {
    config: UrlConfig,
    tls: Option<rustls::ClientConfig>,
    client: Mutex<(reqwest::Client, Instant)>,
    connections: Connections,
}

/// How many connections were made.
type Connections = Arc<AtomicU64>;

/// An answer, of which the header has come.
pub(super) enum Answer {
    Plain(plain::Answer),
    Library(reqwest::Response),
}

/// Why there is no answer.
pub(super) enum SendError {
    Plain(PlainError),
    Library(reqwest::Error),
}

impl Client {
    /// A client that has no connection yet.
    ///
    /// # Errors
    /// The proxy makes no sense.
    pub(super) fn new(
        config: &UrlConfig,
        tls: Option<&rustls::ClientConfig>,
        mut template: reqwest::Request,
    ) -> anyhow::Result<Self> {
        let way = if config.proxy.is_some() || config.url.is_tls() {
            Way::Library(Box::new(Library::new(config, tls)?))
        } else {
            let headers = template.headers_mut();
            headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
            headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
            let host = HeaderValue::from_str(&config.url.host())?;
            headers.entry(HOST).or_insert(host);
            Way::Plain { connections: Plain::new(config)?, uri: config.url.path_and_query().parse()? }
        };
        Ok(Client { template, way })
    }

    /// Sends a message, and waits for the header of the answer.
    ///
    /// A server may close an idle connection at the very moment that it is used again. The id makes it safe to send
    /// the message once more then, and it is still the same attempt.
    ///
    /// # Errors
    /// There is no whole header of an answer.
    pub(super) async fn send(&self, contents: &Contents, message: &Message) -> Result<Answer, SendError> {
        match &self.way {
            Way::Plain { connections, uri } => {
                let request = || {
                    let mut request = Request::new(PieceBody::of(&contents.payload));
                    *request.method_mut() = Method::POST;
                    *request.uri_mut() = uri.clone();
                    *request.headers_mut() = contents.headers(self.template.headers(), message);
                    request
                };
                connections.send(request).await.map(Answer::Plain).map_err(SendError::Plain)
            }
            Way::Library(library) => {
                let request = || contents.request(&self.template, message);
                library.send(request).await.map(Answer::Library).map_err(SendError::Library)
            }
        }
    }
}

impl Library {
    fn new(config: &UrlConfig, tls: Option<&rustls::ClientConfig>) -> anyhow::Result<Self> {
        let connections = Connections::default();
        let client = build(config, tls, &connections)?;
        let client = Mutex::new((client, Instant::now()));
        Ok(Library { config: config.clone(), tls: tls.cloned(), client, connections })
    }

    /// The client, a new one where the connections of the old are too old.
    fn client(&self) -> reqwest::Client {
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= self.config.max_connection_age {
            match build(&self.config, self.tls.as_ref(), &self.connections) {
                Ok(client) => *current = (client, Instant::now()),
                Err(error) => tracing::warn!(event = "connections_kept", reason = %error),
            }
        }
        current.0.clone()
    }

    async fn send(&self, request: impl Fn() -> reqwest::Request) -> reqwest::Result<reqwest::Response> {
        let client = self.client();
        let connections = self.connections.load(Ordering::Relaxed);
        let sent = client.execute(request()).await;
        let is_fresh = self.connections.load(Ordering::Relaxed) != connections;
        if !is_fresh && sent.as_ref().is_err_and(was_cut_off) {
            return client.execute(request()).await;
        }
        sent
    }
}

impl Answer {
    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Answer::Plain(answer) => answer.response.status(),
            Answer::Library(response) => response.status(),
        }
    }

    /// Its header.
    pub(super) fn headers(&self) -> &HeaderMap {
        match self {
            Answer::Plain(answer) => answer.response.headers(),
            Answer::Library(response) => response.headers(),
        }
    }

    /// The next piece of its body. None at its end, and where the rest does not come.
    pub(super) async fn chunk(&mut self) -> Option<Bytes> {
        match self {
            Answer::Plain(answer) => answer.chunk().await.ok().flatten(),
            Answer::Library(response) => response.chunk().await.ok().flatten(),
        }
    }

    /// Ends with it. Its connection serves the next request, where the answer was read to its end.
    pub(super) fn end(self) {
        if let Answer::Plain(answer) = self {
            answer.end();
        }
    }
}

impl SendError {
    /// No connection could be made.
    pub(super) fn is_connect(&self) -> bool {
        match self {
            SendError::Plain(error) => matches!(error, PlainError::Connect(_)),
            SendError::Library(error) => error.is_connect(),
        }
    }

    /// Nobody else is to blame: the message cannot be read, or this process is short of something.
    pub(super) fn is_ours(&self) -> bool {
        let is_ours =
            |cause: &(dyn Error + 'static)| cause.is::<BodyError>() || cause.downcast_ref().is_some_and(is_shortage);
        let is_builder = matches!(self, SendError::Library(error) if error.is_builder());
        is_builder && !self.is_connect() || causes(self.error()).any(is_ours)
    }

    /// What is behind it, as whoever met it says.
    pub(super) fn root(&self) -> String {
        causes(self.error()).last().map(ToString::to_string).unwrap_or_default()
    }

    fn error(&self) -> &(dyn Error + 'static) {
        match self {
            SendError::Plain(error) => error,
            SendError::Library(error) => error,
        }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether the connection was closed before the header of an answer was complete.
fn was_cut_off(error: &reqwest::Error) -> bool {
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    causes(error).any(|cause| {
        let was_incomplete = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
        let was_reset = cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
        was_incomplete || was_reset
    })
}

fn build(
    config: &UrlConfig,
    tls: Option<&rustls::ClientConfig>,
    connections: &Connections,
) -> reqwest::Result<reqwest::Client> {
    let connections = Arc::clone(connections);
    let count = MapRequestLayer::new(move |address| {
        connections.fetch_add(1, Ordering::Relaxed);
        address
    });
    let mut builder = reqwest::Client::builder()
        .user_agent(AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .connector_layer(count)
        .tcp_nodelay(true)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(config.idle_timeout);
    builder = match &config.proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy.url.clone())?),
        None => builder.no_proxy(),
    };
    builder = match tls {
        Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
        // Without this reqwest looks for CA certificates that nobody needs.
        None => builder.tls_certs_only([]),
    };
    builder.build()
}
