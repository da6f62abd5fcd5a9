//! How the way of one message is explained.

use super::subject::Subject;
use crate::config::{Config, TargetKind};
use crate::engine::text::printable;
use crate::engine::{Finding, Route, Sight, Way};
use crate::target::ProgramConfig;
use bytesize::ByteSize;
use serde_json::{Value, json};
use std::io;

/// What mail is called that no route is for.
pub const DEAD: &str = "dead";

/// The route, as one word: its name, or where it leads to.
pub fn way(route: Option<&Route>) -> &str {
    match route {
        None => DEAD,
        Some(route) if route.name.is_empty() => route.way.target(),
        Some(route) => &route.name,
    }
}

/// All of it, for a person.
///
/// # Errors
/// The message cannot be read any more.
pub fn lines(subject: &Subject, config: &Config) -> io::Result<Vec<String>> {
    let sight = Sight::of(&subject.message);
    let mut lines = Vec::new();
    let mut left = config.routes.iter().enumerate().map(|(place, route)| (place + 1, route));
    let names = config.routes.iter().map(|route| route_name(route).chars().count()).max().unwrap_or_default();
    let mut taken = None;
    for (number, route) in left.by_ref() {
        let findings = route.when.explain(&sight)?;
        lines.extend(of_route(&format!("{number:>3}  {:<names$}", route_name(route)), &findings));
        if findings.iter().all(|finding| finding.holds) {
            taken = Some(route);
            break;
        }
    }
    lines.push(match taken {
        None => "→ no route: it would be dead".into(),
        Some(Route { way: Way::Ignore, .. }) => "→ ignore: it would be taken, and go nowhere".into(),
        Some(route) => {
            format!("→ target {}: {}", route.way.target(), destination(route, config).unwrap_or_default())
        }
    });
    let not_tried: Vec<_> = left.map(|(number, route)| format!("{number} {}", route_name(route))).collect();
    if !not_tried.is_empty() {
        lines.push(format!("  not tried: {}", not_tried.join(", ")));
    }
    lines.push(format!("facts: {}", facts(&sight).join(" · ")));
    Ok(lines)
}

fn route_name(route: &Route) -> &str {
    // Without any route in the file there is one without a name.
    if route.name.is_empty() { route.way.target() } else { &route.name }
}

fn of_route(start: &str, findings: &[Finding]) -> Vec<String> {
    if findings.is_empty() {
        return vec![format!("{start}   every message  ✓")];
    }
    let width = findings.iter().map(|finding| finding.condition.chars().count()).max().unwrap_or_default();
    let line = |(place, Finding { condition, holds, found }): (usize, &Finding)| {
        let start = if place == 0 { start.to_owned() } else { " ".repeat(start.chars().count()) };
        let sign = if *holds { '✓' } else { '✗' };
        format!("{start}   {condition:<width$}  {sign} {}", found.as_deref().unwrap_or("(nothing there)"))
    };
    findings.iter().enumerate().map(line).collect()
}

/// What stands behind a target, without its secrets.
fn destination(route: &Route, config: &Config) -> Option<String> {
    let Way::To(name) = &route.way else { return None };
    let target = config.targets.iter().find(|target| *target.name == **name)?;
    Some(match &target.kind {
        TargetKind::Url(url) => url.url.to_string(),
        TargetKind::Command(command) => format!("command {}", words(&command.run)),
        TargetKind::Worker(worker) => format!("worker {}", words(&worker.run)),
    })
}

fn words(run: &ProgramConfig) -> String {
    let program = printable(run.program.as_os_str().as_encoded_bytes());
    let words = std::iter::once(program).chain(run.arguments.iter().map(|word| quoted(word)));
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let shown = printable(word.as_bytes());
    if word.is_empty() || word.contains(char::is_whitespace) { format!("\"{shown}\"") } else { shown }
}

fn facts(sight: &Sight<'_>) -> Vec<String> {
    let message = sight.message;
    let envelope = &message.envelope;
    let shown = |text: &str| printable(text.as_bytes());
    let from = envelope.from.as_deref().map(|from| if from.is_empty() { "<>".into() } else { shown(from) });
    let mut facts = vec![
        format!("kind {}", sight.kind().word()),
        format!("envelope from {}", from.unwrap_or_else(|| "unknown".into())),
        format!("to {}", envelope.to.as_deref().map_or_else(|| "unknown".into(), shown)),
    ];
    facts.extend(envelope.detail.as_deref().map(|detail| format!("detail {}", shown(detail))));
    facts.push(format!("queue {}", message.queue));
    facts.push(format!("size {}", ByteSize::b(message.body.len()).display().iec()));
    facts
}

/// All of it, for a program.
///
/// # Errors
/// As [`lines`].
pub fn json(subject: &Subject, config: &Config) -> io::Result<Value> {
    let message = &subject.message;
    let sight = Sight::of(message);
    let taken = subject.route(&config.routes);
    let mut is_over = false;
    let mut routes = Vec::new();
    for route in &config.routes {
        let findings = if is_over { Vec::new() } else { route.when.explain(&sight)? };
        let conditions = findings.iter().map(
            |Finding { condition, holds, found }| json!({ "condition": condition, "holds": holds, "found": found }),
        );
        let conditions: Vec<_> = conditions.collect();
        let is_taken = taken.is_some_and(|taken| std::ptr::eq(taken, route));
        routes.push(json!({
            "route": route_name(route), "target": route.way.target(), "tried": !is_over, "matches": is_taken,
            "conditions": conditions,
        }));
        is_over |= is_taken;
    }
    Ok(json!({
        "v": 1,
        "mail": subject.given.to_string_lossy(),
        "route": taken.map(route_name),
        "target": taken.map(|route| route.way.target()),
        "destination": taken.and_then(|route| destination(route, config)),
        "routes": routes,
        "from": message.envelope.from,
        "to": message.envelope.to,
        "detail": message.envelope.detail,
        "kind": sight.kind().word(),
        "queue": &*message.queue,
        "size": message.body.len(),
    }))
}
