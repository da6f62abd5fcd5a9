//! What is asked, line by line.

use serde::{Deserialize, Serialize};

/// The longest line that is read of somebody who asks, in bytes.
pub(super) const LONGEST: usize = 4096;

/// A request: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    /// The version that the asker speaks.
    pub v: u32,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// How it stands: one line is answered, and more may be asked.
    Status,
    /// What happens from now on, a line each, until one of both goes away.
    Tail,
}

/// The answer to what is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// The version of the line.
    pub v: u32,
    /// Why.
    pub error: String,
}

impl Refusal {
    /// As a line.
    pub fn line(error: impl Into<String>) -> String {
        let refusal = Refusal { v: super::VERSION, error: error.into() };
        serde_json::to_string(&refusal).expect("it holds nothing that JSON cannot") + "\n"
    }
}

/// What this line asks.
///
/// # Errors
/// It is not understood; the text says why.
pub(super) fn parse(line: &[u8]) -> Result<Ask, String> {
    let request: Request =
        serde_json::from_slice(line).map_err(|_| "a request is {\"v\":1,\"ask\":\"status\"} or \"tail\"".to_owned())?;
    if request.v == super::VERSION { Ok(request.ask) } else { Err(format!("version {} is not spoken here", request.v)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_or_refused_with_the_reason() {
        for (line, expected) in [
            (r#"{"v":1,"ask":"status"}"#, Ok(Ask::Status)),
            (r#"{"ask":"tail","v":1,"later":[]}"#, Ok(Ask::Tail)),
            (r#"{"v":2,"ask":"tail"}"#, Err("version 2")),
            (r#"{"v":1,"ask":"stop"}"#, Err("a request is")),
            ("GET / HTTP/1.1", Err("a request is")),
            ("", Err("a request is")),
            ("[[[[[[[[", Err("a request is")),
        ] {
            match (parse(line.as_bytes()), expected) {
                (Ok(ask), Ok(expected)) => assert_eq!(ask, expected, "{line}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{line}: {error}"),
                (got, _) => panic!("{line}: {got:?}"),
            }
        }
    }
}
