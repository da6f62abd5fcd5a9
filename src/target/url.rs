//! The `url` target: POSTs a message to an HTTP endpoint.

use super::address::Address;
use super::answer::{Overrides, meaning};
use super::client::{AGENT, Answer, Client, SendError};
use super::headers::{Auth, fixed_headers, secrets};
use super::request::{Contents, Recipe, make_room};
use super::sign::signing_key;
use super::tls::{ClientCertificate, tls_config};
use crate::engine::text::printable;
use crate::engine::{Blame, BoxFuture, Leaving, Message, Outcome, Target};
use crate::payload::{Format, Payload, PayloadError};
use crate::secret::Secret;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

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
    recipe: Arc<Recipe>,
    /// What an answer must not bring into a log: an application's error page may show the request.
    secrets: Arc<[Secret]>,
    client: Client,
}

impl UrlTarget {
    /// As many targets as there are lanes; they share what is costly to make.
    ///
    /// # Errors
    /// There are no CA certificates to verify a server by, the proxy makes no sense, or a header
    /// cannot be sent.
    pub fn lanes(config: &UrlConfig, lanes: usize) -> anyhow::Result<Vec<Box<dyn Target>>> {
        let template = template(config)?;
        let tls = config.url.is_tls().then(|| tls_config(config.client_certificate.as_ref())).transpose()?;
        let recipe = Arc::new(config.recipe()?);
        let secrets: Arc<[Secret]> = secrets(config, template.headers()).into();
        let lane = || -> anyhow::Result<Box<dyn Target>> {
            let template = template.try_clone().expect("it has no body yet");
            let client = Client::new(config, tls.as_ref(), template)?;
            let (config, recipe, secrets) = (config.clone(), Arc::clone(&recipe), Arc::clone(&secrets));
            Ok(Box::new(UrlTarget { config, recipe, secrets, client }))
        };
        (0..lanes).map(|_| lane()).collect()
    }

    /// What would be sent for a message now, of which nothing is.
    ///
    /// # Errors
    /// The message cannot be read, or a header cannot be sent.
    pub fn preview(config: &UrlConfig, message: &Message) -> anyhow::Result<Preview> {
        let template = template(config)?;
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

    /// Sends the message, and says what came of it.
    async fn send(&self, message: &Message, contents: &Contents) -> Outcome {
        let limit = self.config.timeout;
        match answer_within(limit, self.client.send(contents, message)).await {
            Ok(Ok(answer)) => judge(answer, &self.config.answers, &self.secrets).await,
            Ok(Err(error)) => self.failure(&error),
            Err(_) => Outcome::Retry {
                blame: Blame::Unclear,
                status: None,
                reason: format!("no answer from {} within {}", self.config.url, humantime::format_duration(limit)),
                after: None,
            },
        }
    }

    fn failure(&self, error: &SendError) -> Outcome {
        let root = printable(error.root().as_bytes());
        let (blame, reason) = if error.is_ours() {
            (Blame::Ourselves, root)
        } else if error.is_connect() {
            (Blame::Endpoint, format!("cannot connect to {}: {root}", self.config.url))
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
fn template(config: &UrlConfig) -> anyhow::Result<reqwest::Request> {
    // reqwest wants a provider even where there is no TLS. One that is set already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().tls_certs_only([]).no_proxy().build()?;
    // What the URL says of user and password goes into a header here.
    let mut template = builder.post(config.url.url.clone()).build()?;
    template.headers_mut().extend(fixed_headers(config)?);
    make_room(template.headers_mut());
    Ok(template)
}

/// What an answer means. The status is enough for that; of the rest only a little is read, to keep
/// the connection usable and to say why.
async fn judge(answer: Answer, answers: &Overrides, secrets: &[Secret]) -> Outcome {
    let status = answer.status();
    let after = retry_after(answer.headers());
    let said = rest_of(answer).await;
    let said = || printable(hide(&said, secrets).trim_ascii().as_bytes());
    let meaning = answers.over(status.as_u16(), meaning(status.as_u16()));
    meaning.outcome(status.as_u16(), status, said, after)
}

/// An answer without what it repeats of our secrets.
fn hide(said: &[u8], secrets: &[Secret]) -> String {
    let said = String::from_utf8_lossy(said).into_owned();
    secrets.iter().fold(said, |said, secret| said.replace(secret.reveal(), "••••"))
}

/// The beginning of an answer's body.
async fn rest_of(mut answer: Answer) -> Vec<u8> {
    let mut said = Vec::new();
    let reading = async {
        let mut length = 0;
        while let Some(piece) = answer.chunk().await {
            length += piece.len();
            if said.len() < 1024 {
                said.extend_from_slice(&piece[..piece.len().min(1024)]);
            }
            if length > ANSWER_LIMIT {
                break;
            }
        }
        answer.end();
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

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
