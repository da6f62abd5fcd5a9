//! The `url` target: POSTs a message to an HTTP endpoint.

use super::address::Address;
use super::answer::{Overrides, meaning};
use super::body::BodyError;
use super::headers::{Auth, fixed_headers, secrets};
use super::request::{Contents, Recipe};
use super::sign::signing_key;
use super::tls::{ClientCertificate, tls_config};
use crate::engine::text::printable;
use crate::engine::{Blame, BoxFuture, Leaving, Message, Outcome, Target, is_shortage};
use crate::payload::{Format, Payload, PayloadError};
use crate::secret::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Proxy, Request, Response};
use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tower::util::MapRequestLayer;

/// Who we say that we are.
const AGENT: &str = concat!("maildirq/", env!("CARGO_PKG_VERSION"));
/// How much of an answer is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// For how long it is looked whether an answer has come, once the time for it is up.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How long the rest of an answer is waited for once its status is known.
const ANSWER_REST: Duration = Duration::from_secs(1);

/// The settings of a `url` target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlConfig {
    /// Where to.
    pub url: Address,
    /// The bound on one attempt, from connecting to the whole header of the answer.
    pub timeout: Duration,
    /// The bound on making a connection, TLS included.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept: less than servers keep theirs, some as short as 5 s.
    pub idle_timeout: Duration,
    /// How long connections are used at all, so that a change of DNS is seen.
    pub max_connection_age: Duration,
    /// An HTTP proxy. Those of the environment are not used.
    pub proxy: Option<Address>,
    /// What proves whose a request is.
    pub auth: Option<Auth>,
    /// More headers for each request.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Statuses that mean something else than usual.
    pub answers: Overrides,
    /// In what shape a message is sent.
    pub format: Format,
    /// The keys that requests are signed by ([`signing_key`]): several while they are being changed.
    pub sign: Vec<Secret>,
    /// What proves to the server who we are.
    pub client_certificate: Option<ClientCertificate>,
}

impl UrlConfig {
    /// The usual settings for this address.
    pub fn new(url: Address) -> Self {
        UrlConfig {
            url,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(4),
            max_connection_age: Duration::from_mins(5),
            proxy: None,
            auth: None,
            headers: Vec::new(),
            answers: Overrides::default(),
            format: Format::default(),
            sign: Vec::new(),
            client_certificate: None,
        }
    }

    fn recipe(&self) -> anyhow::Result<Recipe> {
        let keys = self.sign.iter().map(|key| signing_key(key.reveal()));
        let keys = keys.collect::<Result<_, _>>().map_err(|error| anyhow::anyhow!("`sign`: {error}"))?;
        Ok(Recipe { format: self.format.clone(), keys })
    }
}

/// What would be sent for a message.
#[derive(Debug)]
pub struct Preview {
    /// Where to.
    pub url: Address,
    /// The headers, without those that tell only of the connection.
    pub headers: Vec<(String, Shown)>,
    /// The body.
    pub payload: Payload,
}

/// The value of a header, where it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It may.
    Plain(String),
    /// It must not.
    Secret,
}

/// An HTTP endpoint, with its kept-alive connections. One for each lane of the engine.
pub struct UrlTarget {
    config: UrlConfig,
    tls: Option<rustls::ClientConfig>,
    /// The request that every message is sent by.
    template: Request,
    recipe: Arc<Recipe>,
    /// What an answer must not bring into a log: an application's error page may show the request.
    secrets: Arc<[Secret]>,
    client: Mutex<(Client, Instant)>,
    connections: Connections,
}

/// How many connections were made.
type Connections = Arc<AtomicU64>;

impl UrlTarget {
    /// As many targets as there are lanes; they share what is costly to make.
    ///
    /// # Errors
    /// There are no CA certificates to verify a server by, the proxy makes no sense, or a header
    /// cannot be sent.
    pub fn lanes(config: &UrlConfig, lanes: usize) -> anyhow::Result<Vec<Box<dyn Target>>> {
        // reqwest wants a provider even where there is no TLS. One that is set already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = config.url.is_tls().then(|| tls_config(config.client_certificate.as_ref())).transpose()?;
        let recipe = Arc::new(config.recipe()?);
        let headers = fixed_headers(config)?;
        let lane = || -> anyhow::Result<Box<dyn Target>> {
            let connections = Connections::default();
            let client = build(config, tls.as_ref(), &connections)?;
            let template = template(config, &client, headers.clone())?;
            let secrets = secrets(config, template.headers()).into();
            let (config, client) = (config.clone(), Mutex::new((client, Instant::now())));
            let (tls, recipe) = (tls.clone(), recipe.clone());
            Ok(Box::new(UrlTarget { config, tls, template, recipe, secrets, client, connections }))
        };
        (0..lanes).map(|_| lane()).collect()
    }

    /// What would be sent for a message now, of which nothing is.
    ///
    /// # Errors
    /// The message cannot be read, or a header cannot be sent.
    pub fn preview(config: &UrlConfig, message: &Message) -> anyhow::Result<Preview> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().tls_certs_only([]).no_proxy().build()?;
        let template = template(config, &client, fixed_headers(config)?)?;
        let contents = config.recipe()?.contents(message, SystemTime::now())?;
        let request = contents.request(&template, message);
        let agent = [(USER_AGENT.to_string(), Shown::Plain(AGENT.into()))];
        let shown = |value: &HeaderValue| match value.to_str() {
            Ok(text) if !value.is_sensitive() => Shown::Plain(text.to_owned()),
            _ => Shown::Secret,
        };
        let headers = request.headers().iter().map(|(name, value)| (name.to_string(), shown(value)));
        Ok(Preview {
            url: config.url.clone(),
            headers: agent.into_iter().chain(headers).collect(),
            payload: contents.payload,
        })
    }

    /// The client, a new one where the connections of the old are too old.
    fn client(&self) -> Client {
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= self.config.max_connection_age {
            match build(&self.config, self.tls.as_ref(), &self.connections) {
                Ok(client) => *current = (client, Instant::now()),
                Err(error) => tracing::warn!(event = "connections_kept", reason = %error),
            }
        }
        current.0.clone()
    }

    /// Sends the message and waits for the header of the answer.
    async fn post(&self, message: &Message, contents: &Contents) -> reqwest::Result<Response> {
        let client = self.client();
        let connections = self.connections.load(Ordering::Relaxed);
        let request = || contents.request(&self.template, message);
        let sent = client.execute(request()).await;
        let is_fresh = self.connections.load(Ordering::Relaxed) != connections;
        // A server may close an idle connection at the very moment that we use it again. The id
        // makes it safe to send once more, and it is still the same attempt.
        if !is_fresh && sent.as_ref().is_err_and(was_cut_off) {
            return client.execute(request()).await;
        }
        sent
    }

    /// Sends the message, and says what came of it.
    async fn send(&self, message: &Message, contents: &Contents) -> Outcome {
        let limit = self.config.timeout;
        match answer_within(limit, self.post(message, contents)).await {
            Ok(Ok(response)) => judge(response, &self.config.answers, &self.secrets).await,
            Ok(Err(error)) => self.failure(&error.without_url()),
            Err(_) => Outcome::Retry {
                blame: Blame::Unclear,
                status: None,
                reason: format!("no answer from {} within {}", self.config.url, humantime::format_duration(limit)),
                after: None,
            },
        }
    }

    fn failure(&self, error: &reqwest::Error) -> Outcome {
        let root = causes(error).last().map(ToString::to_string).unwrap_or_default();
        let root = printable(root.as_bytes());
        let is_ours =
            |cause: &(dyn Error + 'static)| cause.is::<BodyError>() || cause.downcast_ref().is_some_and(is_shortage);
        let (blame, reason) = if causes(error).any(is_ours) {
            (Blame::Ourselves, root)
        } else if error.is_connect() {
            (Blame::Endpoint, format!("cannot connect to {}: {root}", self.config.url))
        } else if error.is_builder() {
            (Blame::Ourselves, root)
        } else {
            (Blame::Unclear, format!("no complete answer from {}: {root}", self.config.url))
        };
        Outcome::Retry { blame, status: None, reason, after: None }
    }
}

impl Target for UrlTarget {
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        Box::pin(async move {
            match self.recipe.prepare(message).await {
                Ok(contents) if leaving() => Some(self.send(message, &contents).await),
                Ok(_) => None,
                Err(error) => Some(unsent(&error)),
            }
        })
    }
}

/// What is answered in time, though it may be read late: whoever was stopped, or whose machine stood still, finds the
/// time up and the answer there, and must not ask again.
async fn answer_within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut answer = pin!(answer);
    match timeout(limit, answer.as_mut()).await {
        Ok(answer) => Ok(answer),
        Err(_) => timeout(LAST_LOOK, answer).await,
    }
}

/// The message is not sent, and no target is to blame.
pub(super) fn unsent(error: &PayloadError) -> Outcome {
    let reason = printable(error.to_string().as_bytes());
    match error {
        PayloadError::Unreadable(_) => Outcome::Retry { blame: Blame::Ourselves, status: None, reason, after: None },
        // It would be the same each time, and a person can still read the message.
        PayloadError::Incomplete(_) => Outcome::Unfit { reason },
    }
}

/// What is the same in the requests for all messages.
fn template(config: &UrlConfig, client: &Client, headers: HeaderMap) -> reqwest::Result<Request> {
    // What the URL says of user and password goes into a header here.
    let mut template = client.post(config.url.url.clone()).build()?;
    template.headers_mut().extend(headers);
    Ok(template)
}

fn build(config: &UrlConfig, tls: Option<&rustls::ClientConfig>, connections: &Connections) -> reqwest::Result<Client> {
    let connections = Arc::clone(connections);
    let count = MapRequestLayer::new(move |address| {
        connections.fetch_add(1, Ordering::Relaxed);
        address
    });
    let mut builder = Client::builder()
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
    if let Some(socket) = &config.url.socket {
        builder = builder.unix_socket(socket.clone());
    }
    builder.build()
}

/// What an answer means. The status is enough for that; of the rest only a little is read, to keep
/// the connection usable and to say why.
async fn judge(response: Response, answers: &Overrides, secrets: &[Secret]) -> Outcome {
    let status = response.status();
    let after = retry_after(response.headers());
    let said = hide(&rest_of(response).await, secrets);
    let meaning = answers.over(status.as_u16(), meaning(status.as_u16()));
    meaning.outcome(status.as_u16(), &status.to_string(), &printable(said.trim_ascii().as_bytes()), after)
}

/// An answer without what it repeats of our secrets.
fn hide(said: &[u8], secrets: &[Secret]) -> String {
    let said = String::from_utf8_lossy(said).into_owned();
    secrets.iter().fold(said, |said, secret| said.replace(secret.reveal(), "••••"))
}

/// The beginning of an answer's body.
async fn rest_of(mut response: Response) -> Vec<u8> {
    let mut said = Vec::new();
    let reading = async {
        let mut length = 0;
        while let Ok(Some(piece)) = response.chunk().await {
            length += piece.len();
            if said.len() < 1024 {
                said.extend_from_slice(&piece[..piece.len().min(1024)]);
            }
            if length > ANSWER_LIMIT {
                break;
            }
        }
    };
    // Whatever comes of it, the status stands.
    let _ = timeout(ANSWER_REST, reading).await;
    said
}

/// The wait that a server asks for: seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
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

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
