//! What arrived at the app, in memory and as a line of its log.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::digest::sha256;
use super::http::{Request, is_accepting};
use super::ledger;

/// One request that arrived whole, and what the app answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: String,
    pub attempt: Option<u32>,
    /// The number of a [`ledger`] mail.
    pub ledger: Option<u64>,
    pub sha256: String,
    pub status: u16,
    pub connection: usize,
    pub at: SystemTime,
}

impl Delivery {
    pub(super) fn new(request: &Request, status: u16, connection: usize) -> Delivery {
        Delivery {
            id: request.id().to_owned(),
            attempt: request.attempt(),
            ledger: ledger::number_in(&request.body),
            sha256: sha256(&request.body),
            status,
            connection,
            at: SystemTime::now(),
        }
    }

    pub fn is_accepted(&self) -> bool {
        is_accepting(self.status)
    }

    pub(super) fn to_json(&self) -> Value {
        let at = self.at.duration_since(UNIX_EPOCH).expect("after 1970");
        json!({
            "id": self.id,
            "attempt": self.attempt,
            "ledger": self.ledger,
            "sha256": self.sha256,
            "status": self.status,
            "connection": self.connection,
            "at_us": u64::try_from(at.as_micros()).expect("before the year 586524"),
        })
    }

    fn from_json(line: &Value) -> Option<Delivery> {
        let number = |name: &str| line[name].as_u64();
        Some(Delivery {
            id: line["id"].as_str()?.to_owned(),
            attempt: number("attempt").and_then(|attempt| attempt.try_into().ok()),
            ledger: number("ledger"),
            sha256: line["sha256"].as_str()?.to_owned(),
            status: number("status")?.try_into().ok()?,
            connection: number("connection")?.try_into().ok()?,
            at: UNIX_EPOCH + Duration::from_micros(number("at_us")?),
        })
    }
}

/// The deliveries that an app has logged.
pub fn read_log(path: impl AsRef<Path>) -> Vec<Delivery> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| parse_line(line).unwrap_or_else(|| panic!("in the app's log: {line}"))).collect()
}

fn parse_line(line: &str) -> Option<Delivery> {
    Delivery::from_json(&serde_json::from_str(line).ok()?)
}
