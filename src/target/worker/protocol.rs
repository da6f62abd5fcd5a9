//! What a worker says, and what that means. Version 1.

use crate::engine::text::printable;
use crate::engine::{Blame, Outcome};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::time::Duration;

/// The version of the protocol that is spoken here.
pub(super) const VERSION: u64 = 1;
/// The longest line that a worker may say, in bytes.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// The first line that a worker is told.
pub(super) fn hello(target: &str) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let hello = json!({ "type": "hello", "version": VERSION, "maildirq": version, "target": target });
    format!("{hello}\n").into_bytes()
}

/// A line of a worker. What else is in it is ignored.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    version: Option<u64>,
    /// In seconds.
    after: Option<f64>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    outage: Option<bool>,
}

/// Whether a line says that the worker is ready.
///
/// # Errors
/// It says something else: the reason why the start has failed.
pub(super) fn ready(line: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<Line<'_>>(line) {
        Ok(Line { kind, version: Some(VERSION), .. }) if kind == "ready" => Ok(()),
        Ok(Line { kind, version: Some(version), .. }) if kind == "ready" => {
            Err(format!("it speaks version {version} of the protocol, maildirq {VERSION}"))
        }
        _ => Err(format!("before it was ready it said on standard output: {}", printable(line))),
    }
}

/// What a line means as the answer to the job of this id.
///
/// # Errors
/// It is no such answer.
pub(super) fn answer(line: &[u8], id: &str) -> Result<Outcome, Breach> {
    let Ok(said) = serde_json::from_slice::<Line<'_>>(line) else { return Err(Breach::by(line)) };
    let is_answer = matches!(&*said.kind, "done" | "retry" | "reject");
    match said.id.as_deref() {
        Some(asked) if asked == id => {}
        Some(_) if is_answer => return Err(Breach { is_of_another: true, ..Breach::by(line) }),
        _ => return Err(Breach::by(line)),
    }
    let because = |what: &str| match said.reason.as_deref().map(str::trim) {
        None | Some("") => what.to_owned(),
        Some(reason) => format!("{what}: {}", printable(reason.as_bytes())),
    };
    match &*said.kind {
        "done" => Ok(Outcome::Done { status: None }),
        "reject" => Ok(Outcome::Reject { status: None, reason: because("reject") }),
        "retry" => {
            let (blame, what) =
                if said.outage == Some(true) { (Blame::Endpoint, "outage") } else { (Blame::Message, "retry") };
            Ok(Outcome::Retry { blame, status: None, reason: because(what), after: said.after.and_then(wait) })
        }
        _ => Err(Breach::by(line)),
    }
}

/// A wait of so many seconds. One that makes no sense is as good as none; one beyond all bounds is cut later.
fn wait(seconds: f64) -> Option<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(wait) => Some(wait),
        Err(_) if seconds > 0.0 => Some(Duration::MAX),
        Err(_) => None,
    }
}

/// How a worker broke the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Breach {
    /// What it did, in a line that may be shown.
    pub what: String,
    /// Whether it answered, but to another job: that says nothing of this one.
    pub is_of_another: bool,
}

impl Breach {
    /// By saying this.
    pub fn by(line: &[u8]) -> Self {
        Breach::of(format!("it said: {}", printable(line)))
    }

    /// By doing this.
    pub fn of(what: impl Into<String>) -> Self {
        Breach { what: what.into(), is_of_another: false }
    }

    /// As the reason of a failure.
    pub fn reason(&self) -> String {
        format!("the worker broke the protocol: {}", self.what)
    }

    /// What it means for the message that the worker had.
    pub fn outcome(&self) -> Outcome {
        let blame = if self.is_of_another { Blame::Endpoint } else { Blame::Unclear };
        Outcome::Retry { blame, status: None, reason: self.reason(), after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefghijklmnopqrstuvwxyz";

    fn said(rest: &str) -> Result<Outcome, Breach> {
        answer(format!("{{\"id\":\"{ID}\",{rest}}}").as_bytes(), ID)
    }

    #[test]
    fn hello_is_one_line() {
        let hello = String::from_utf8(hello("a\"b")).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("{{\"type\":\"hello\",\"version\":1,\"maildirq\":\"{version}\",\"target\":\"a\\\"b\"}}\n");
        assert_eq!(hello, expected);
    }

    #[test]
    fn only_ready_in_our_version_is_ready() {
        for (line, expected) in [
            (r#"{"type":"ready","version":1}"#, Ok(())),
            (" {\"version\":1,\"pid\":7,\"type\":\"ready\"} \r", Ok(())),
            (r#"{"type":"ready","version":2}"#, Err("it speaks version 2 of the protocol, maildirq 1")),
            (r#"{"type":"ready"}"#, Err(r#"before it was ready it said on standard output: {"type":"ready"}"#)),
            ("=> Booting", Err("before it was ready it said on standard output: => Booting")),
            ("", Err("before it was ready it said on standard output: ")),
            ("\u{1b}[1m", Err(r"before it was ready it said on standard output: \u{1b}[1m")),
        ] {
            assert_eq!(ready(line.as_bytes()), expected.map_err(str::to_owned), "{line}");
        }
    }

    #[test]
    fn every_answer_has_its_outcome() {
        let retry = |blame, reason: &str, after: Option<Duration>| Outcome::Retry {
            blame,
            status: None,
            reason: reason.into(),
            after,
        };
        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        let (message, endpoint) = (Blame::Message, Blame::Endpoint);
        for (rest, expected) in [
            (r#""type":"done""#, Outcome::Done { status: None }),
            (r#""type":"done","reason":null,"took":{"ms":[1]}"#, Outcome::Done { status: None }),
            (r#""type":"reject","reason":"spam\n""#, Outcome::Reject { status: None, reason: "reject: spam".into() }),
            (r#""type":"reject""#, Outcome::Reject { status: None, reason: "reject".into() }),
            (r#""type":"retry""#, retry(message, "retry", None)),
            (r#""type":"retry","after":60,"reason":"busy""#, retry(message, "retry: busy", seconds(60.0))),
            (r#""type":"retry","after":0.25,"reason":"a\u0007b""#, retry(message, r"retry: a\u{7}b", seconds(0.25))),
            (r#""type":"retry","after":0,"reason":"""#, retry(message, "retry", seconds(0.0))),
            (r#""type":"retry","after":-5"#, retry(message, "retry", None)),
            (r#""type":"retry","after":1e300"#, retry(message, "retry", Some(Duration::MAX))),
            (r#""type":"retry","outage":false"#, retry(message, "retry", None)),
            (r#""type":"retry","outage":true,"reason":"no database""#, retry(endpoint, "outage: no database", None)),
        ] {
            assert_eq!(said(rest), Ok(expected), "{rest}");
        }
    }

    #[test]
    fn everything_else_is_a_breach() {
        for line in [
            "",
            "done",
            "null",
            "[]",
            "{}",
            "{\"type\":\"done\"",
            &format!("{{\"id\":\"{ID}\"}}"),
            &format!("{{\"type\":\"finished\",\"id\":\"{ID}\"}}"),
            &format!("{{\"type\":\"ready\",\"version\":1,\"id\":\"{ID}\"}}"),
            r#"{"type":"done"}"#,
            r#"{"type":"done","id":null}"#,
            r#"{"type":"done","id":7}"#,
            r#"{"type":"ready","version":1}"#,
            &format!("{{\"type\":\"retry\",\"id\":\"{ID}\",\"after\":\"60\"}}"),
            &format!("{{\"type\":\"retry\",\"id\":\"{ID}\",\"after\":1e999}}"),
            &format!("{{\"type\":\"done\",\"id\":\"{ID}\",\"type\":\"reject\"}}"),
            &format!("{{\"type\":\"done\",\"id\":\"{ID}\"}}{{\"type\":\"done\"}}"),
            &"[".repeat(100_000),
        ] {
            let breach = answer(line.as_bytes(), ID).unwrap_err();
            assert!(!breach.is_of_another && breach.what.len() < 1100, "{line}");
            assert!(matches!(breach.outcome(), Outcome::Retry { blame: Blame::Unclear, .. }));
        }
        let latin1 = [b"{\"type\":\"done\",\"id\":\"\xe9\"}".as_slice(), b"\xff"];
        assert!(latin1.iter().all(|line| answer(line, ID).is_err()));
        assert_eq!(Breach::by(b"a\tb").reason(), r"the worker broke the protocol: it said: a\tb");
    }

    #[test]
    fn an_answer_to_another_job_says_nothing_of_this_one() {
        let breach = answer(br#"{"type":"done","id":"zzz"}"#, ID).unwrap_err();
        assert!(matches!(breach.outcome(), Outcome::Retry { blame: Blame::Endpoint, .. }), "{breach:?}");
    }
}
