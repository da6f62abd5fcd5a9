//! The lines that the loop logs: each where it is decided, once.

use super::gate::Health;
use super::message::Message;
use super::outcome::{Outcome, Settlement};
use super::route::Destination;
use super::text::printable;
use std::time::Duration;
use tracing::{error, info, warn};

/// One line for an attempt; for a message that is set aside, one of level ERROR.
pub(super) fn log_attempt(
    message: &Message,
    destination: &Destination,
    outcome: &Outcome,
    settlement: &Settlement,
    took: Duration,
) {
    if let Outcome::Unavailable { .. } = outcome {
        // Nothing was attempted. That its target is down is told of once.
        return;
    }
    let dur_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let reason = match settlement {
        Settlement::Dead { note } => &note.reason,
        _ => outcome.reason(),
    };
    macro_rules! line {
        ($level:ident, $event:literal, $outcome:literal, $due:expr) => {
            $level!(
                event = $event,
                id = %message.id,
                queue = &*message.queue,
                maildir = message.place.as_deref(),
                file = message.name,
                route = Some(&*message.route).filter(|route| !route.is_empty()),
                target = &*destination.name,
                "try" = message.attempt(),
                outcome = $outcome,
                status = outcome.status(),
                dur_ms,
                due = $due,
                // Looked for only where the line is written.
                message_id = message.header().get("message-id").map(printable),
                reason,
            )
        };
    }
    match settlement {
        Settlement::Done => line!(info, "attempt", "done", None::<String>),
        Settlement::Retry { due, .. } => {
            line!(warn, "attempt", "retry", Some(humantime::format_rfc3339_millis(*due).to_string()));
        }
        Settlement::Park { .. } => line!(warn, "attempt", "retry", None::<String>),
        Settlement::Dead { .. } => line!(error, "dead", "dead", None::<String>),
        Settlement::Release => {}
    }
}

/// One line for a message that is taken because a route says so.
pub(super) fn log_ignored(message: &Message) {
    info!(
        event = "ignored",
        id = %message.id,
        queue = &*message.queue,
        maildir = message.place.as_deref(),
        file = message.name,
        route = &*message.route,
        outcome = "done",
        message_id = message.header().get("message-id").map(printable),
        "taken, as its route has it"
    );
}

/// One line for a message that no route is for.
pub(super) fn log_unrouted(message: &Message) {
    error!(
        event = "dead",
        id = %message.id,
        queue = &*message.queue,
        maildir = message.place.as_deref(),
        file = message.name,
        to = message.envelope.to.as_deref().map(|to| printable(to.as_bytes())),
        outcome = "dead",
        message_id = message.header().get("message-id").map(printable),
        reason = "no route",
    );
}

/// One line for a message whose route cannot be told.
pub(super) fn log_unreadable(message: &Message, settlement: &Settlement) {
    let Settlement::Retry { due, note, .. } = settlement else { return };
    warn!(
        event = "unreadable",
        id = %message.id,
        queue = &*message.queue,
        maildir = message.place.as_deref(),
        file = message.name,
        "try" = message.attempt(),
        outcome = "retry",
        due = humantime::format_rfc3339_millis(*due).to_string(),
        reason = note.reason,
    );
}

/// One line for a target that goes down or comes back.
pub(super) fn log_health(destination: &Destination, health: Health, reason: &str) {
    let target = &*destination.name;
    match health {
        Health::Down => {
            warn!(event = "target_down", target, reason, "it is probed; mail for it waits and is not charged");
        }
        Health::Recovering => info!(event = "target_recovering", target, "it is given more step by step"),
        Health::Up => info!(event = "target_up", target),
    }
}
