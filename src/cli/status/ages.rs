//! How old waiting mail is, by queue and target: the shape of a backlog, as Postfix's qshape(1) has it.

use super::Args;
use crate::cli::select::{told, views};
use crate::cli::terminal::{Column, Terminal, count};
use crate::cli::{Exit, print};
use crate::engine::States;
use crate::engine::text::printable;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// The ages up to which mail is counted in a column, in minutes: each twice the one before.
const LIMITS: [u64; 9] = [5, 10, 20, 40, 80, 160, 320, 640, 1280];
const TITLES: [&str; LIMITS.len() + 1] =
    ["<5m", "<10m", "<20m", "<40m", "<80m", "<160m", "<320m", "<640m", "<1280m", "older"];
/// Whose target nobody knows before it is routed.
const UNTRIED: &str = "(not tried yet)";

/// Prints it.
///
/// # Errors
/// A Maildir cannot be read; it was told of, and this is how to end.
pub(super) fn run(args: &Args) -> Result<Exit, Exit> {
    let config = args.file.read_places()?;
    let terminal = Terminal::of_stdout(args.colour.color);
    let mut shape: BTreeMap<(String, String), [u64; LIMITS.len() + 1]> = BTreeMap::new();
    let views = views(&config, |_| true)?;
    for view in views.iter() {
        for record in view.records(States::WAITING).map_err(|error| told(&error))? {
            let record = record.map_err(|error| told(&error))?;
            let age = terminal.now.duration_since(record.arrived()).unwrap_or_default();
            let column = LIMITS.iter().position(|limit| age < Duration::from_mins(*limit)).unwrap_or(LIMITS.len());
            let target = record.tale().target().map_or_else(|| UNTRIED.into(), |target| printable(target.as_bytes()));
            shape.entry((record.queue().to_owned(), target)).or_default()[column] += 1;
        }
    }
    if args.json {
        let line = |((queue, target), ages): ((String, String), [u64; TITLES.len()])| {
            let target = Some(target).filter(|target| target != UNTRIED);
            let object = json!({ "v": 1, "queue": queue, "target": target, "total": ages.iter().sum::<u64>(), "limits_minutes": LIMITS, "counts": ages });
            format!("{object}\n")
        };
        return print(shape.into_iter().map(line).collect::<String>()).map(|()| views.end(Exit::Ok));
    }
    let mut columns = vec![Column::words("QUEUE"), Column::text("TARGET"), Column::numbers("TOTAL")];
    columns.extend(TITLES.map(Column::numbers));
    let shown = |number: u64| if terminal.is_terminal { count(number) } else { number.to_string() };
    let row = |((queue, target), ages): ((String, String), [u64; TITLES.len()])| {
        let numbers = std::iter::once(ages.iter().sum()).chain(ages).map(shown);
        [queue, target].into_iter().chain(numbers).collect()
    };
    print(terminal.table(&columns, &shape.into_iter().map(row).collect::<Vec<_>>())).map(|()| views.end(Exit::Ok))
}
