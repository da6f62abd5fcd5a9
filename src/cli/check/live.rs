//! `--live`: whether targets can be reached, found out without a message.

use super::finding::Finding;
use super::subject::Subject;
use crate::config::{Target, TargetKind};
use crate::target::{Probe, UrlConfig, WorkerConfig, probe, rehearse};
use serde_json::{Value, json};
use std::fmt::Write;
use std::thread;
use std::time::Duration;

/// With fewer days left, somebody has to do something about a certificate.
const SOON: u64 = 14;

/// What came of one target.
pub struct Tried<'a> {
    /// The target's name.
    pub name: &'a str,
    came: Came,
}

/// What came of trying.
enum Came {
    /// It is a command: those are not run.
    NotRun,
    /// An endpoint was called.
    Reached(Result<Probe, String>),
    /// A worker was started, and was ready after this time.
    Ready(Result<Duration, String>),
}

/// Tries all targets at once.
pub fn look<'a>(subject: &Subject<'a>) -> Vec<Tried<'a>> {
    let try_one = |target: &'a Target| match &target.kind {
        TargetKind::Url(endpoint) => Came::Reached(reach(subject, endpoint)),
        TargetKind::Command(_) => Came::NotRun,
        TargetKind::Worker(worker) => Came::Ready(start(subject, worker)),
    };
    thread::scope(|scope| {
        let trying: Vec<_> =
            subject.config.targets.iter().map(|target| (&target.name, scope.spawn(|| try_one(target)))).collect();
        let tried = trying.into_iter().map(|(name, thread)| {
            let came = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Tried { name, came }
        });
        tried.collect()
    })
}

/// As the daemon: a socket may be closed to it that is open to others.
fn reach(subject: &Subject<'_>, endpoint: &UrlConfig) -> Result<Probe, String> {
    subject.as_daemon(|| probe(endpoint)).unwrap_or_else(|error| Err(error.to_string()))
}

/// As the daemon, too: one process of the worker, which is told to end as soon as it is ready.
fn start(subject: &Subject<'_>, worker: &WorkerConfig) -> Result<Duration, String> {
    subject.as_daemon(|| rehearse(worker)).unwrap_or_else(|error| Err(error.to_string()))
}

impl Tried<'_> {
    /// What is wrong with it.
    pub fn finding(&self) -> Option<Finding> {
        let name = self.name;
        match &self.came {
            Came::NotRun | Came::Ready(Ok(_)) => None,
            Came::Ready(Err(why)) => {
                let text = format!("[target.{name}]: the worker does not start: {why}");
                Some(Finding::error(text, format!("correct it, and: maildirq check --live   # {name}")))
            }
            Came::Reached(Err(why)) => {
                let text = format!("[target.{name}]: {why}");
                Some(Finding::error(
                    text,
                    format!("start it, or correct the url, and: maildirq check --live   # {name}"),
                ))
            }
            Came::Reached(Ok(probe)) => {
                let days = probe.tls.as_ref().map(|tls| tls.days).filter(|days| *days < SOON)?;
                let text = format!(
                    "[target.{name}]: the certificate of {} expires in {}",
                    probe.address,
                    super::finding::counted(usize::try_from(days).unwrap_or_default(), "day")
                );
                Some(Finding::warning(text, "renew it on the server"))
            }
        }
    }

    /// "connected in 3 ms, TLS 1.3, certificate valid for 61 days", where it could be reached.
    pub fn success(&self) -> Option<String> {
        let probe = match &self.came {
            Came::NotRun => return Some("a command; it was not run".into()),
            Came::Ready(ready) => return Some(format!("a worker; ready in {}", milliseconds(*ready.as_ref().ok()?))),
            Came::Reached(probe) => probe.as_ref().ok()?,
        };
        let mut text = format!("connected in {}", milliseconds(probe.connected));
        if let Some(tls) = &probe.tls {
            write!(text, ", {}, certificate valid for {} days", tls.version, tls.days).expect("a string takes it");
        }
        Some(text)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let reached = match &self.came {
            Came::Reached(probe) => probe.as_ref().ok(),
            Came::NotRun | Came::Ready(_) => None,
        };
        let ready = match &self.came {
            Came::Ready(ready) => ready.as_ref().ok(),
            Came::NotRun | Came::Reached(_) => None,
        };
        let tls = reached.and_then(|probe| probe.tls.as_ref());
        json!({
            "name": self.name,
            "tried": !matches!(self.came, Came::NotRun),
            "reached": reached.is_some() || ready.is_some(),
            "address": reached.map(|probe| &probe.address),
            "ready_seconds": ready.map(Duration::as_secs_f64),
            "connect_seconds": reached.map(|probe| probe.connected.as_secs_f64()),
            "tls": tls.map(|tls| &tls.version),
            "certificate_days": tls.map(|tls| tls.days),
        })
    }
}

fn milliseconds(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "less than 1 ms".to_owned(),
        milliseconds => format!("{milliseconds} ms"),
    }
}
