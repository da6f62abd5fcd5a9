//! The `url` target: POSTs a message to an HTTP endpoint.

use super::address::Address;
use super::answer::{Overrides, meaning};
use super::body::{BodyError, FileBody};
use super::headers::{Auth, fixed_headers, secrets};
use crate::engine::text::printable;
use crate::engine::{Blame, Body, BoxFuture, Message, Outcome, Target, is_shortage};
use crate::secret::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Request, Response};
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};
use tower::util::MapRequestLayer;

/// How much of an answer is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
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
        }
    }
}

/// An HTTP endpoint, with its kept-alive connections. One for each lane of the engine.
pub struct UrlTarget {
    config: UrlConfig,
    tls: Option<rustls::ClientConfig>,
    /// The request that every message is sent by.
    template: Request,
    /// What an answer must not bring into a log: an application's error page may show the request.
    secrets: Arc<[String]>,
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
        let tls = config.url.is_tls().then(tls_config).transpose()?;
        let headers = fixed_headers(config)?;
        let lane = || -> anyhow::Result<Box<dyn Target>> {
            let connections = Connections::default();
            let client = build(config, tls.as_ref(), &connections)?;
            // What the URL says of user and password goes into a header here.
            let mut template = client.post(config.url.url.clone()).build()?;
            template.headers_mut().extend(headers.clone());
            let secrets = secrets(config, template.headers()).into();
            let (config, client) = (config.clone(), Mutex::new((client, Instant::now())));
            Ok(Box::new(UrlTarget { config, tls: tls.clone(), template, secrets, client, connections }))
        };
        (0..lanes).map(|_| lane()).collect()
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
    async fn post(&self, message: &Message) -> reqwest::Result<Response> {
        let client = self.client();
        let connections = self.connections.load(Ordering::Relaxed);
        let sent = client.execute(self.request(message)).await;
        let is_fresh = self.connections.load(Ordering::Relaxed) != connections;
        // A server may close an idle connection at the very moment that we use it again. The id
        // makes it safe to send once more, and it is still the same attempt.
        if !is_fresh && sent.as_ref().is_err_and(was_cut_off) {
            return client.execute(self.request(message)).await;
        }
        sent
    }

    fn request(&self, message: &Message) -> Request {
        let mut request = self.template.try_clone().expect("it has no body that could only be read once");
        let id = HeaderValue::from_str(&message.id.to_string()).expect("base32 is fit for a header");
        let headers = request.headers_mut();
        headers.insert(HeaderName::from_static("idempotency-key"), id.clone());
        headers.insert(HeaderName::from_static("webhook-id"), id);
        headers.insert(HeaderName::from_static("maildirq-attempt"), message.attempt().into());
        *request.body_mut() = Some(match &message.body {
            Body::Whole(bytes) => bytes.clone().into(),
            Body::File { file, length, .. } => reqwest::Body::wrap(FileBody::new(file.clone(), *length)),
        });
        request
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
    fn attempt<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Outcome> {
        Box::pin(async {
            let limit = self.config.timeout;
            match timeout(limit, self.post(message)).await {
                Ok(Ok(response)) => judge(response, &self.config.answers, &self.secrets).await,
                Ok(Err(error)) => self.failure(&error.without_url()),
                Err(_) => Outcome::Retry {
                    blame: Blame::Unclear,
                    status: None,
                    reason: format!("no answer from {} within {}", self.config.url, humantime::format_duration(limit)),
                    after: None,
                },
            }
        })
    }
}

/// The authorities that servers are verified by: those of the system.
pub(super) fn authorities() -> anyhow::Result<rustls::RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    anyhow::ensure!(
        usable > 0,
        "there are no CA certificates to verify the server by {}\n  = try: install the package ca-certificates, or point SSL_CERT_FILE at a bundle",
        errors.join("; ")
    );
    Ok(roots)
}

/// How TLS is spoken.
pub(super) fn tls_config() -> anyhow::Result<rustls::ClientConfig> {
    let roots = authorities()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn build(config: &UrlConfig, tls: Option<&rustls::ClientConfig>, connections: &Connections) -> reqwest::Result<Client> {
    let connections = Arc::clone(connections);
    let count = MapRequestLayer::new(move |address| {
        connections.fetch_add(1, Ordering::Relaxed);
        address
    });
    let mut builder = Client::builder()
        .user_agent(concat!("maildirq/", env!("CARGO_PKG_VERSION")))
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
async fn judge(response: Response, answers: &Overrides, secrets: &[String]) -> Outcome {
    let status = response.status();
    let after = retry_after(response.headers());
    let said = hide(&rest_of(response).await, secrets);
    let meaning = answers.over(status.as_u16(), meaning(status.as_u16()));
    meaning.outcome(status.as_u16(), &status.to_string(), &printable(said.trim_ascii().as_bytes()), after)
}

/// An answer without what it repeats of our secrets.
fn hide(said: &[u8], secrets: &[String]) -> String {
    let said = String::from_utf8_lossy(said).into_owned();
    secrets.iter().fold(said, |said, secret| said.replace(secret.as_str(), "••••"))
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
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn what_an_answer_repeats_of_a_secret_is_hidden() {
        let secrets = ["sesame".to_owned(), "Zm9vOmJhcg==".to_owned()];
        let said = b"Authorization: Basic Zm9vOmJhcg== key=sesame \xff";
        assert_eq!(hide(said, &secrets), "Authorization: Basic •••• key=•••• \u{fffd}");
    }

    #[test]
    fn a_wish_to_wait_is_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(wait(&soon).is_some_and(|seconds| (95..=100).contains(&seconds)));
        assert_eq!((wait("soon"), wait("-5")), (None, None));
    }

    /// What one attempt comes to at a server that answers with this status, and what the server saw.
    fn attempt(status: u16, configure: impl FnOnce(&mut UrlConfig)) -> (Outcome, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://of-url:pw-of-url@{}/in", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"body\n") {
                let mut piece = [0; 4096];
                let count = peer.read(&mut piece).unwrap();
                seen.extend_from_slice(&piece[..count]);
            }
            write!(peer, "HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8(seen).unwrap()
        });
        let mut config = UrlConfig::new(url.parse().unwrap());
        configure(&mut config);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let target = UrlTarget::lanes(&config, 1).unwrap().pop().unwrap();
        let outcome = runtime.block_on(target.attempt(&Message::sample()));
        (outcome, server.join().unwrap())
    }

    #[test]
    fn what_is_configured_arrives_beside_our_own_headers() {
        let (outcome, seen) = attempt(500, |config| {
            config.auth = Some(Auth::Bearer(Secret::new("hunter2")));
            config.headers = vec![("x-key".parse().unwrap(), Secret::new("hunter3"))];
        });
        let sent = |line: &str| seen.matches(line).count();
        assert_eq!(sent("\r\nauthorization: Bearer hunter2\r\n"), 1, "{seen}");
        assert_eq!((sent("\r\nx-key: hunter3\r\n"), sent("authorization:")), (1, 1), "{seen}");
        assert_eq!(
            (sent("\r\ncontent-type: message/rfc822\r\n"), sent("\r\nmaildirq-attempt: 1\r\n")),
            (1, 1),
            "{seen}"
        );
        assert!(!format!("{outcome:?}").contains("hunter"), "{outcome:?}");
    }

    #[test]
    fn without_auth_the_url_says_whose_a_request_is() {
        let (_, seen) = attempt(200, |_| ());
        assert!(seen.contains("\r\nauthorization: Basic b2YtdXJsOnB3LW9mLXVybA==\r\n"), "{seen}");
    }

    #[test]
    fn a_target_has_its_own_meanings_of_a_status() {
        for (status, expected) in [(409, "done"), (503, "reject"), (204, "retry"), (500, "retry"), (200, "done")] {
            let (outcome, _) = attempt(status, |config| {
                config.answers = Overrides { done: vec![409..=409], reject: vec![503..=503], retry: vec![204..=204] };
            });
            let became = match &outcome {
                Outcome::Done { .. } => "done",
                Outcome::Reject { .. } => "reject",
                Outcome::Retry { .. } => "retry",
            };
            assert_eq!((became, outcome.status()), (expected, Some(status)));
        }
    }
}
