//! `--live`: whether targets can be reached, found out without a message.

use super::finding::Finding;
use super::subject::Subject;
use crate::config::{Target, TargetKind};
use crate::target::{Probe, UrlConfig, probe};
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
    /// None where it is no endpoint, but a command: those are not run.
    probe: Option<Result<Probe, String>>,
}

/// Tries all targets at once.
pub fn look<'a>(subject: &Subject<'a>) -> Vec<Tried<'a>> {
    let try_one = |target: &'a Target| match &target.kind {
        TargetKind::Url(endpoint) => Some(reach(subject, endpoint)),
        TargetKind::Command(_) => None,
    };
    thread::scope(|scope| {
        let trying: Vec<_> =
            subject.config.targets.iter().map(|target| (&target.name, scope.spawn(|| try_one(target)))).collect();
        let tried = trying.into_iter().map(|(name, thread)| {
            let probe = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Tried { name, probe }
        });
        tried.collect()
    })
}

/// As the daemon: a socket may be closed to it that is open to others.
fn reach(subject: &Subject<'_>, endpoint: &UrlConfig) -> Result<Probe, String> {
    subject.as_daemon(|| probe(endpoint)).unwrap_or_else(|error| Err(error.to_string()))
}

impl Tried<'_> {
    /// What is wrong with it.
    pub fn finding(&self) -> Option<Finding> {
        let name = self.name;
        match self.probe.as_ref()? {
            Err(why) => {
                let text = format!("[target.{name}]: {why}");
                Some(Finding::error(
                    text,
                    format!("start it, or correct the url, and: maildirq check --live   # {name}"),
                ))
            }
            Ok(probe) => {
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
        let Some(probe) = &self.probe else { return Some("a command; it was not run".into()) };
        let probe = probe.as_ref().ok()?;
        let mut text = format!("connected in {}", milliseconds(probe.connected));
        if let Some(tls) = &probe.tls {
            write!(text, ", {}, certificate valid for {} days", tls.version, tls.days).expect("a string takes it");
        }
        Some(text)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let reached = self.probe.as_ref().and_then(|probe| probe.as_ref().ok());
        let tls = reached.and_then(|probe| probe.tls.as_ref());
        json!({
            "name": self.name,
            "tried": self.probe.is_some(),
            "reached": reached.is_some(),
            "address": reached.map(|probe| &probe.address),
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
