//! What a daemon tells of itself: over its own socket in a Maildir, and over HTTP where the configuration says so.

use crate::config::{Config, Listen, TargetKind, Web};
use crate::control::{self, Events, Hour, QueueStatus, Status, TargetStatus, Tell};
use crate::engine::text::rfc3339;
use crate::engine::{Engine, Health, Observer};
use crate::maildir::{MaildirQueue, Stock};
use crate::metrics::{Metrics, Scene, TargetScene};
use crate::secret::Secret;
use crate::web::{self, Bound, Inside};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// For so long what folders hold is not looked at again.
const FRESH: Duration = Duration::from_secs(5);
/// How long until a place is tried again that could not be listened on.
const AGAIN: Duration = Duration::from_secs(10);

/// Who looks on for the sake of those who ask.
#[derive(Default)]
pub(super) struct Onlookers {
    hour: Arc<Hour>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
}

impl Onlookers {
    /// All of them as one.
    pub fn as_one(&self) -> Arc<dyn Observer> {
        let all: Vec<Arc<dyn Observer>> = vec![
            Arc::<Hour>::clone(&self.hour),
            Arc::<Events>::clone(&self.events),
            Arc::<Metrics>::clone(&self.metrics),
        ];
        Arc::new(all)
    }
}

/// What there is to tell.
struct Known {
    engine: Arc<Engine>,
    queue: Arc<MaildirQueue>,
    onlookers: Onlookers,
    since: SystemTime,
    facts: Mutex<Facts>,
    stocks: Mutex<Option<(Instant, Vec<Stock>)>>,
}

/// What a reload changes.
#[derive(Default)]
struct Facts {
    read: Option<SystemTime>,
    failed: Option<String>,
    queues: Vec<String>,
    http: BTreeSet<String>,
    token: Option<Secret>,
}

/// The outlets of a daemon.
pub(super) struct Outlets {
    known: Arc<Known>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    control: Option<(PathBuf, JoinHandle<()>)>,
    web: Option<(Listen, JoinHandle<()>)>,
}

/// What a new configuration needs, made ready before anything is changed.
pub(super) enum Next {
    /// Nothing is listened on.
    Nothing,
    /// What is listened on already.
    Same,
    /// This place, if it can be had now.
    Other(Listen, io::Result<Bound>),
}

/// Waits until this place can be listened on: mail does not wait for that.
async fn have(listen: &Listen, mut bound: io::Result<Bound>) -> Bound {
    let mut complaint = String::new();
    loop {
        match bound {
            Ok(bound) => {
                let place = bound.place().unwrap_or_else(|| listen.clone());
                tracing::info!(event = "web", listen = %place, "metrics, and whether it is alive and ready");
                return bound;
            }
            Err(error) => {
                let reason = error.to_string();
                if reason != complaint {
                    tracing::error!(
                        event = "web_failed",
                        listen = %listen,
                        reason,
                        "mail goes on, and this is tried again every 10 s: end who listens there, or give [web] another `listen`"
                    );
                }
                complaint = reason;
            }
        }
        sleep(AGAIN).await;
        bound = web::bind(listen);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outlets {
    /// Outlets that are still closed.
    pub fn new(engine: Arc<Engine>, queue: Arc<MaildirQueue>, onlookers: Onlookers) -> Self {
        let known = Known {
            engine,
            queue,
            onlookers,
            since: SystemTime::now(),
            facts: Mutex::default(),
            stocks: Mutex::default(),
        };
        Outlets { known: Arc::new(known), open: Mutex::default() }
    }

    /// Makes ready what this configuration wants to be listened on.
    pub fn prepare(&self, web: Option<&Web>) -> Next {
        let Some(Web { listen, .. }) = web else { return Next::Nothing };
        if lock(&self.open).web.as_ref().is_some_and(|(open, task)| open == listen && !task.is_finished()) {
            return Next::Same;
        }
        Next::Other(listen.clone(), web::bind(listen))
    }

    /// Tells by this configuration from now on.
    pub fn open(&self, config: &Config, next: Next) {
        let is_http = |kind: &TargetKind| matches!(kind, TargetKind::Url(_));
        let http = config.targets.iter().filter(|target| is_http(&target.kind)).map(|target| target.name.clone());
        *lock(&self.known.facts) = Facts {
            read: Some(SystemTime::now()),
            failed: None,
            queues: config.queues.iter().map(|queue| queue.name.clone()).collect(),
            http: http.collect(),
            token: config.web.as_ref().and_then(|web| web.token.clone()),
        };
        let metrics = &self.known.onlookers.metrics;
        metrics.turn_on(config.web.is_some());
        metrics.know(&self.known.targets());
        self.open_web(next);
        self.open_control();
    }

    fn open_web(&self, next: Next) {
        let mut open = lock(&self.open);
        if matches!(next, Next::Same) {
            return;
        }
        if let Some((_, task)) = open.web.take() {
            task.abort();
        }
        if let Next::Other(listen, bound) = next {
            let inside: Arc<dyn Inside> = Arc::<Known>::clone(&self.known);
            let place = listen.clone();
            let serving = async move {
                let bound = have(&place, bound).await;
                web::serve(bound, inside).await;
            };
            open.web = Some((listen, tokio::spawn(serving)));
        }
    }

    /// Listens in a Maildir that is served, where it does not already. Mail goes on where that cannot be.
    pub fn open_control(&self) {
        let paths = self.known.queue.paths();
        let mut open = lock(&self.open);
        if open.control.as_ref().is_some_and(|(maildir, task)| paths.contains(maildir) && !task.is_finished()) {
            return;
        }
        if let Some((_, task)) = open.control.take() {
            task.abort();
        }
        let Some(maildir) = paths.into_iter().next() else { return };
        match control::bind(&maildir) {
            Ok(bound) => {
                let tell: Arc<dyn Tell> = Arc::<Known>::clone(&self.known);
                let serving = async {
                    if let Err(error) = control::serve(bound, tell).await {
                        tracing::warn!(event = "control_failed", reason = %error);
                    }
                };
                open.control = Some((maildir, tokio::spawn(serving)));
            }
            Err(error) => {
                let maildir = crate::engine::text::printable(maildir.as_os_str().as_encoded_bytes());
                tracing::warn!(event = "control_failed", maildir, reason = %error, "nobody can ask how it stands; mail goes on");
            }
        }
    }

    /// Remembers why a reload failed.
    pub fn reload_failed(&self, reason: &str) {
        lock(&self.known.facts).failed = Some(reason.to_owned());
    }
}

impl Drop for Outlets {
    fn drop(&mut self) {
        let open = lock(&self.open);
        open.control.iter().for_each(|(_, task)| task.abort());
        open.web.iter().for_each(|(_, task)| task.abort());
    }
}

impl Known {
    fn targets(&self) -> Vec<TargetScene> {
        let (now, paused) = (Instant::now(), self.queue.paused_targets());
        let facts = lock(&self.facts);
        let routes = self.engine.routes();
        let target = |destination: &Arc<crate::engine::Destination>| {
            let standing = destination.standing(now);
            TargetScene {
                name: destination.name.to_string(),
                is_up: standing.health != Health::Down,
                is_paused: paused.contains(&*destination.name),
                busy: standing.busy,
                limit: standing.limit,
                is_http: facts.http.contains(&*destination.name),
            }
        };
        routes.destinations().map(target).collect()
    }

    fn stocks(&self) -> Vec<Stock> {
        let mut known = lock(&self.stocks);
        match &*known {
            Some((looked, stocks)) if looked.elapsed() < FRESH => stocks.clone(),
            _ => {
                let stocks = self.queue.stocks();
                *known = Some((Instant::now(), stocks.clone()));
                stocks
            }
        }
    }
}

impl Tell for Known {
    fn status(&self) -> Status {
        let (now, paused) = (Instant::now(), self.queue.paused_targets());
        let hour = &self.onlookers.hour;
        let routes = self.engine.routes();
        let target = |destination: &Arc<crate::engine::Destination>| {
            let (standing, hour) = (destination.standing(now), hour.target(&destination.name, now));
            let state = match standing.health {
                Health::Up => "ok",
                Health::Down => "down",
                Health::Recovering => "recovering",
            };
            let is_down = standing.health == Health::Down;
            TargetStatus {
                name: destination.name.to_string(),
                state: state.into(),
                since: hour.changed.as_ref().map(|(at, _)| rfc3339(*at)),
                reason: hour.changed.map(|(_, reason)| reason).filter(|_| is_down),
                next_probe: standing.next_probe.map(|wait| wait.as_secs_f64()),
                paused: paused.contains(&*destination.name),
                busy: standing.busy as u64,
                limit: standing.limit as u64,
                done: hour.done,
                failed: hour.failed,
                per_minute: hour.per_minute,
                p50: hour.p50,
                p95: hour.p95,
            }
        };
        let queue = |name: &String| {
            let hour = hour.queue(name, now);
            let (done, failed, p95, found_late) = (hour.done, hour.failed, hour.p95, hour.found_late);
            QueueStatus { name: name.clone(), done, failed, p95, found_late }
        };
        let facts = lock(&self.facts);
        Status {
            v: control::VERSION,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            since: rfc3339(self.since),
            config_read: facts.read.map(rfc3339).unwrap_or_default(),
            reload_failed: facts.failed.clone(),
            watching: if self.queue.is_watched() { "inotify" } else { "search" }.into(),
            not_claiming: self.engine.not_claiming(),
            maildirs: self.queue.len() as u64,
            targets: routes.destinations().map(target).collect(),
            queues: facts.queues.iter().map(queue).collect(),
        }
    }

    fn events(&self) -> &Arc<Events> {
        &self.onlookers.events
    }
}

impl Inside for Known {
    fn metrics(&self) -> Result<String, String> {
        let is_reloaded = lock(&self.facts).failed.is_none();
        let scene = Scene { stocks: self.stocks(), targets: self.targets(), is_reloaded };
        self.onlookers.metrics.render(&scene, SystemTime::now())
    }

    fn not_ready(&self) -> Option<String> {
        self.engine.not_claiming()
    }

    fn token(&self) -> Option<Secret> {
        lock(&self.facts).token.clone()
    }
}
