//! Trap: a pause that nobody remembers.

use super::finding::{Finding, shown};
use super::subject::Subject;
use crate::engine::text::printable;
use crate::maildir::{Pause, pauses};

/// Looks for markers. What cannot be read is told of elsewhere.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for home in &subject.maildirs {
        for Pause { target, marker, since, .. } in pauses(&home.path).unwrap_or_default() {
            let is_known = subject.config.targets.iter().any(|known| *known.name == *target);
            let marker = shown(&marker);
            let target = printable(target.as_encoded_bytes());
            let text = if is_known {
                let since = humantime::format_rfc3339_seconds(since);
                format!("the target {target} is paused since {since} for mail in {}: it waits", shown(&home.path))
            } else {
                format!("{marker} pauses nothing: there is no target {target}")
            };
            findings.push(Finding::warning(text, format!("rm {marker}")));
        }
    }
    findings
}
