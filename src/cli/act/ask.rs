//! What is meant, and the question whether to go on.

use super::super::terminal::{span, whole_time};
use super::super::{Exit, complain, say};
use super::{Chosen, Verb, Which, told_of};
use crate::engine::text::printable_within;
use crate::maildir::Record;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{IsTerminal, Write as _, stderr, stdin};
use std::time::SystemTime;

/// So many messages are acted on without a question.
const FEW: usize = 25;
/// How many of them are shown before a question.
const SAMPLE: usize = 3;

/// Whether a person wants it, where that has to be asked.
///
/// # Errors
/// Nobody is there to be asked; it was told of, and this is how to end.
pub(super) fn may_go_on(chosen: &[Chosen], as_of: SystemTime, which: &Which, verb: &Verb<'_>) -> Result<bool, Exit> {
    let count = chosen.len();
    if count <= FEW || which.yes {
        return Ok(true);
    }
    let title = verb.title;
    if !stdin().is_terminal() || !stderr().is_terminal() {
        complain(format_args!(
            "{count} messages match, and nobody is here to be asked\n  = try: --yes, or --dry-run to see which"
        ));
        return Err(Exit::Usage);
    }
    say(page(chosen, as_of, SAMPLE, which, verb).trim_end());
    let asked = write!(stderr(), "{title} all {count} now? [y/N] ").and_then(|()| stderr().flush());
    let mut answer = String::new();
    // A terminal that is gone says no.
    let answered = asked.and_then(|()| stdin().read_line(&mut answer));
    Ok(answered.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What is meant, at most so many of them.
pub(super) fn page(chosen: &[Chosen], as_of: SystemTime, most: usize, which: &Which, verb: &Verb<'_>) -> String {
    let mut page = String::new();
    if which.json || which.quiet {
        for one in chosen.iter().take(most) {
            let (result, why) = match told_of(one.would(verb)) {
                ("done", _) => ("would", None),
                (left, why) => (left, Some(why)),
            };
            let (id, state) = (one.id(), one.record.state.word());
            if which.json {
                let line =
                    json!({ "v": 1, "id": id, "state": state, "act": verb.name, "result": result, "reason": why });
                let _ = writeln!(page, "{line}");
            } else if why.is_none() {
                let _ = writeln!(page, "{}", id.unwrap_or_else(|| one.short()));
            }
        }
        return page;
    }
    let count = chosen.len();
    let matched = if count == 1 { "1 message matches".into() } else { format!("{count} messages match") };
    let _ = writeln!(page, "{matched}, as of {}", whole_time(as_of));
    for one in chosen.iter().take(most) {
        let _ = writeln!(page, "  {}", line(one, as_of));
    }
    if let (more @ 1.., Some(oldest)) = (count.saturating_sub(most), chosen.first()) {
        let _ = writeln!(page, "  … {more} more · oldest {}", age(&oldest.record, as_of));
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for one in chosen {
        let (_, why) = told_of(one.would(verb));
        if !why.is_empty() {
            *left.entry(why).or_default() += 1;
        }
    }
    for (why, count) in left {
        let _ = writeln!(page, "  {count} would be left as they are: {why}");
    }
    page
}

fn line(chosen: &Chosen, now: SystemTime) -> String {
    let record = &chosen.record;
    let (summary, tale) = (record.summary(), record.tale());
    let from = summary.author().or_else(|| summary.envelope.from.clone()).unwrap_or_default();
    let short = |text: &str, width| printable_within(text.as_bytes(), width);
    let mut line = format!(
        "{}  {:<7}{:>7}  {:<24}  {:<30}",
        chosen.short(),
        record.state,
        age(record, now),
        short(&from, 23),
        short(summary.subject.as_deref().unwrap_or_default(), 29),
    );
    for text in [tale.target(), tale.error()].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(&short(text, 40));
    }
    line.trim_end().to_owned()
}

/// How long ago it came.
fn age(record: &Record, now: SystemTime) -> String {
    span(now.duration_since(record.arrived()).unwrap_or_default())
}
