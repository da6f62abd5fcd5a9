//! A message that is done and gone, as the history has it.

use super::super::list::past_json;
use super::super::select::{nothing, past_meant, told};
use super::super::terminal::{Terminal, Tone, span};
use super::super::{Exit, complain, print};
use super::{Args, What};
use crate::engine::State;
use crate::engine::text::printable;
use crate::maildir::{DoneMail, View};
use std::sync::Arc;
use std::time::Duration;

/// Shows it, where the history of one of these Maildirs tells of it.
///
/// # Errors
/// There is none, or several; it was told of, and this is how to end.
pub(super) fn show(args: &Args, views: &[Arc<View>], terminal: &Terminal) -> Result<Exit, Exit> {
    let found = past_meant(views, &args.id).map_err(|error| told(&error))?;
    let [done] = &found[..] else {
        if found.is_empty() {
            return Err(nothing(views, &args.id));
        }
        let ids: String = found.iter().map(|done| format!("\n  {}  done", printable(done.id.as_bytes()))).collect();
        complain(format_args!("`{}` may be any of these:{ids}", printable(args.id.as_bytes())));
        return Err(Exit::Usage);
    };
    let What { text, raw, headers, parts, payload, curl } = args.what;
    if text || raw || headers || parts || payload || curl || args.attempt.is_some() {
        complain("its target has it, and nothing of it was kept but what show tells without this flag");
        return Err(Exit::NoInput);
    }
    let text = if args.json { format!("{}\n", past_json(done)) } else { sheet(done, terminal) };
    print(text).map(|()| Exit::Ok)
}

fn sheet(done: &DoneMail, terminal: &Terminal) -> String {
    let shown = |text: &str| printable(text.as_bytes());
    let known = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), shown);
    let status = done.status.map_or_else(String::new, |status| format!("{status} "));
    let took = span(Duration::from_millis(done.ms));
    let state = format!(
        "{} {}: {} took it at {}: {status}in {took}, at try {}",
        State::Done.sign(),
        State::Done,
        shown(&done.target),
        shown(&done.at),
        done.attempt
    );
    format!(
        "{}\n  envelope from  {}\n  envelope to    {}\n  message-id     {}\n  arrived        {}\n  size           {} bytes\n  id             {}\n  queue          {}\n\n{}\n",
        known(&done.subject),
        known(&done.from),
        known(&done.to),
        known(&done.message_id),
        shown(&done.arrived),
        done.size,
        shown(&done.id),
        shown(&done.queue),
        terminal.paint(Tone::Good, &state),
    )
}
