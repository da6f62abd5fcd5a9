//! The toy app: takes mail over HTTP, keeps books of it, and fails now and then.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use mailparse::MailHeaderMap;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the app has seen.
#[derive(Clone, Debug, Default)]
pub struct Books {
    accepted: BTreeMap<u32, u64>,
    failed: u64,
}

impl Books {
    /// How many mails were taken.
    pub fn accepted(&self) -> u64 {
        self.accepted.len() as u64
    }

    /// How often this mail was taken.
    pub fn times_accepted(&self, number: u32) -> u64 {
        self.accepted.get(&number).copied().unwrap_or_default()
    }

    /// How many requests were told to come again.
    pub fn failed(&self) -> u64 {
        self.failed
    }
}

/// The app, running for as long as it lives.
pub struct ToyApp {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<io::Result<()>>,
}

struct Shared {
    refused: Vec<u32>,
    books: Mutex<Books>,
    changed: Notify,
}

impl ToyApp {
    /// Starts the app on a free port of this machine only.
    pub async fn start(refused: impl Into<Vec<u32>>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { refused: refused.into(), books: Mutex::default(), changed: Notify::new() });
        let router = Router::new().route("/", post(take)).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(ToyApp { address, shared, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The books as they are now.
    pub fn books(&self) -> Books {
        self.shared.books().clone()
    }

    /// Waits until something has come, but not for long: what was refused comes to rest later.
    pub async fn changed(&self) {
        let _ = timeout(Duration::from_millis(50), self.shared.changed.notified()).await;
    }
}

impl Drop for ToyApp {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number that a mail of the demo carries.
pub fn number_of(mail: &[u8]) -> Option<u32> {
    let (headers, _) = mailparse::parse_headers(mail).ok()?;
    headers.get_first_value("X-Demo")?.trim().parse().ok()
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, mail: Bytes) -> (StatusCode, &'static str) {
    let is_first_try = headers.get("maildirq-attempt").is_some_and(|attempt| attempt == "1");
    let answer = match number_of(&mail) {
        Some(number) if shared.refused.contains(&number) => (StatusCode::UNPROCESSABLE_ENTITY, "I do not want this"),
        Some(number) if number % 4 == 0 && is_first_try => {
            shared.books().failed += 1;
            (StatusCode::SERVICE_UNAVAILABLE, "I have dropped my database")
        }
        Some(number) => {
            *shared.books().accepted.entry(number).or_default() += 1;
            (StatusCode::NO_CONTENT, "")
        }
        None => (StatusCode::BAD_REQUEST, "this is not a mail of the demo"),
    };
    shared.changed.notify_one();
    answer
}
