//! Trap: a pause that nobody remembers.

use super::super::terminal::whole_time;
use super::finding::{Finding, shown};
use super::subject::Subject;
use crate::engine::text::printable;
use crate::maildir::{Pause, pauses};
use std::fmt::Write;

/// Looks for markers. What cannot be read is told of elsewhere.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for home in &subject.maildirs {
        for pause in pauses(&home.path).unwrap_or_default() {
            let is_known = subject.config.targets.iter().any(|known| *known.name == *pause.target);
            let (marker, target) = (shown(&pause.marker), printable(pause.target.as_encoded_bytes()));
            findings.push(if is_known {
                let text = format!(
                    "the target {target} is paused {} for mail in {}: it waits",
                    told(&pause),
                    shown(&home.path)
                );
                Finding::warning(text, format!("maildirq resume {target}"))
            } else {
                let text = format!("{marker} pauses nothing: there is no target {target}");
                Finding::warning(text, format!("rm {marker}"))
            });
        }
    }
    findings
}

/// Since when, until when, by whom and why, as far as that is known.
fn told(pause: &Pause) -> String {
    let mut told = format!("since {}", whole_time(pause.since));
    let until = pause.until.map(|until| format!(" until {}", whole_time(until)));
    told.push_str(&until.unwrap_or_default());
    for (word, text) in [("by", &pause.by), ("for the reason", &pause.reason)] {
        if !text.is_empty() {
            let _ = write!(told, " {word} {}", printable(text.as_bytes()));
        }
    }
    told
}
