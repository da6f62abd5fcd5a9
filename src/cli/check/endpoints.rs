//! Trap: mail that leaves this machine for all to read.

use super::finding::Finding;
use super::subject::Subject;
use crate::config::TargetKind;

/// Looks at where mail is sent to, without any connection.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let exposed = subject.config.targets.iter().filter_map(|target| match &target.kind {
        TargetKind::Url(endpoint) if endpoint.url.is_exposed() => Some((&target.name, &endpoint.url)),
        _ => None,
    });
    let warning = |(name, url)| {
        let text = format!("[target.{name}]: mail leaves this machine without encryption, for {url}");
        Finding::warning(text, "use https://")
    };
    exposed.map(warning).collect()
}
