//! A message on one page, for a person.

use super::super::mail;
use super::super::select::handle;
use super::super::terminal::{Terminal, Tone, span};
use super::attempts;
use crate::config::Config;
use crate::engine::text::{printable, printable_within};
use crate::engine::{Route, State};
use crate::maildir::{Record, Summary};
use bytesize::ByteSize;
use std::fmt::Write;

/// The longest text of a header that is shown, in characters.
const LONG: usize = 500;

/// The page.
pub(super) fn of(record: &Record, config: &Config, terminal: &Terminal) -> String {
    let mut page = head(record);
    page.push('\n');
    let _ = writeln!(page, "{}", paint(record, terminal, &state(record, config, terminal)));
    let is_there = |name: &&str| config.targets.iter().any(|target| target.name == *name);
    if let Some(target) = record.tale().chosen_target().filter(is_there) {
        let _ = writeln!(page, "  route    chosen by hand  →  {}", printable(target.as_bytes()));
    } else if let Some((route, target)) = route_of(record, config) {
        let _ = writeln!(page, "  route    {}  →  {}", printable(route.as_bytes()), printable(target.as_bytes()));
    // Where the configuration has mistakes, no route is known.
    } else if !config.routes.is_empty() && matches!(record.state, State::New | State::Running | State::Retry) {
        let _ = writeln!(page, "  route    none: it will be set aside");
    }
    let tale = record.tale();
    if let Some(fault) = &tale.fault {
        let _ = writeln!(page, "  its story cannot be read: {}", printable(fault.as_bytes()));
    }
    if !tale.chapters.is_empty() {
        let _ = write!(page, "\n{}", attempts::table(tale, terminal));
    }
    let _ = write!(page, "\n  {}\n", terminal.paint(Tone::Quiet, &next(record)));
    page
}

fn head(record: &Record) -> String {
    let shown = |text: &Option<String>| {
        text.as_deref().map_or_else(|| "-".into(), |text| printable_within(text.as_bytes(), LONG))
    };
    let Summary { envelope, from, to, subject, kind, .. } = record.summary();
    let sender = match envelope.from.as_deref() {
        Some("") => "<>".into(),
        _ => shown(&envelope.from),
    };
    let size = record.size().map_or_else(|| "gone".into(), |size| ByteSize::b(size).display().iec().to_string());
    let attached = if record.has_attachment() == Some(true) { ", with attachments" } else { "" };
    let file = printable_within(record.path().as_os_str().as_encoded_bytes(), usize::MAX);
    let id = record.id.map_or_else(|| "none: no maildirq was ever here".into(), |id| id.to_string());
    format!(
        "{}\n  from     {}   envelope {sender}\n  to       {}   envelope {}\n  kind     {}   size {size}{attached}\n  id       {id}\n  queue    {}\n  file     {file}\n",
        shown(subject),
        shown(from),
        shown(to),
        shown(&envelope.to),
        kind.map_or("-", |kind| kind.word()),
        record.queue(),
    )
}

fn paint(record: &Record, terminal: &Terminal, text: &str) -> String {
    match record.state {
        State::Dead => terminal.paint(Tone::Bad, text),
        State::Retry => terminal.paint(Tone::Warning, text),
        State::Done => terminal.paint(Tone::Good, text),
        _ => text.to_owned(),
    }
}

/// What has become of it, in a sentence.
fn state(record: &Record, config: &Config, terminal: &Terminal) -> String {
    let tale = record.tale();
    let age = span(terminal.now.duration_since(record.arrived()).unwrap_or_default());
    let told = match record.state {
        State::New => format!("waiting for its first try; it came {age} ago"),
        State::Running => format!("a process works on it; it came {age} ago"),
        State::Retry => waits(record, config, terminal),
        State::Dead => {
            let reason = tale.error().map_or_else(|| "nothing tells why".into(), |reason| printable(reason.as_bytes()));
            let at = tale.last_failure().map(|failure| terminal.now.duration_since(failure.at).unwrap_or_default());
            let at = at.map_or_else(String::new, |ago| format!(", {} ago", span(ago)));
            format!("set aside after {} tries{at}: {reason}", tale.tries())
        }
        State::Done => format!("its target has it; it came {age} ago"),
        State::Trash => format!("a person has dropped it; it came {age} ago"),
        State::Opened => {
            "a mail client has opened it, so it is not delivered; move it back to new/ if it should be".into()
        }
    };
    format!("{} {}: {told}", record.state.sign(), record.state)
}

fn waits(record: &Record, config: &Config, terminal: &Terminal) -> String {
    let tale = record.tale();
    let policy = tale.target().and_then(|name| config.targets.iter().find(|target| target.name == name));
    let policy = policy.map(|target| &target.retry);
    let tries = tale.tries();
    let mut told = match policy.and_then(|policy| policy.attempts) {
        _ if tries == 0 => "to be tried".into(),
        Some(most) => format!("try {tries} of {most} failed"),
        None => format!("try {tries} failed"),
    };
    match record.due().map(|due| due.duration_since(terminal.now)) {
        Some(Ok(left)) => told.push_str(&format!(" · next in {}", span(left))),
        _ => told.push_str(" · due now"),
    }
    let charged = tale.attempts().find(|chapter| chapter.is_charged);
    let give_up = policy.and_then(|policy| policy.give_up);
    if let Some((since, give_up)) = charged.map(|chapter| chapter.at).zip(give_up) {
        let left = give_up.saturating_sub(terminal.now.duration_since(since).unwrap_or_default());
        told.push_str(&format!(" · given up in {}", span(left)));
    }
    told
}

/// Its route and where that leads to, by the configuration as it is now.
pub(super) fn route_of(record: &Record, config: &Config) -> Option<(String, String)> {
    let queue = config.queues.iter().find(|queue| queue.name == record.queue())?;
    let mail = mail::open(&record.path()).ok()?;
    let message = mail::message(mail, queue, None, None);
    let route = Route::first_for(&config.routes, &message).ok()??;
    let target = route.way.target().to_owned();
    Some((if route.name.is_empty() { target.clone() } else { route.name.to_string() }, target))
}

/// The commands that are likely to come next.
fn next(record: &Record) -> String {
    let id = handle(record);
    match record.state {
        State::Dead | State::Trash | State::Retry => {
            format!("maildirq retry {id} · show {id} --curl · show {id} --text")
        }
        _ => format!("maildirq show {id} --text · show {id} --curl · route {id}"),
    }
}
