//! Many failures as the few lines that matter: by target and error, numbers in it aside.

use super::super::Exit;
use super::super::select::short_id;
use super::super::terminal::{Column, Terminal, count, whole_time};
use super::{out, words_of};
use crate::cli::say;
use crate::engine::States;
use crate::engine::text::printable;
use crate::maildir::Record;
use serde_json::json;
use std::collections::HashMap;
use std::time::SystemTime;

/// How many errors are told apart. What an app says is not in our hands, nor how often it says something new.
const MOST: usize = 10_000;
/// What the rest is called.
const OTHERS: &str = "(other errors)";

/// Failures by target and error.
#[derive(Debug, Default)]
pub(super) struct Groups {
    found: HashMap<(String, String), Group>,
}

#[derive(Debug)]
struct Group {
    count: u64,
    /// The error of the first message; None when others say it with other numbers.
    wording: Option<String>,
    first: SystemTime,
    last: SystemTime,
    id: Option<String>,
    example: String,
}

impl Groups {
    pub fn add(&mut self, record: &Record) {
        let tale = record.tale();
        let error = tale.error().unwrap_or_default();
        let mut key = (tale.target().unwrap_or_default().to_owned(), normal(error));
        if self.found.len() >= MOST && !self.found.contains_key(&key) {
            key.1 = OTHERS.into();
        }
        let at = tale.last_failure().map_or_else(|| record.arrived(), |failure| failure.at);
        let first = tale.first_failure().map_or(at, |failure| failure.at);
        let group = self.found.entry(key).or_insert_with(|| Group {
            count: 0,
            wording: Some(error.to_owned()),
            first,
            last: at,
            id: record.id.map(|id| id.to_string()),
            example: short_id(record),
        });
        group.count += 1;
        group.first = group.first.min(first);
        group.last = group.last.max(at);
        if group.wording.as_deref() != Some(error) {
            group.wording = None;
        }
    }

    /// Prints them, the largest first.
    ///
    /// # Errors
    /// It cannot be written; it was told of, and this is how to end.
    pub fn print(self, terminal: &Terminal, as_json: bool, most: usize, states: States) -> Result<(), Exit> {
        let mut groups: Vec<_> = self.found.into_iter().collect();
        groups.sort_by(|(a, one), (b, other)| (other.count, a).cmp(&(one.count, b)));
        let (distinct, total) = (groups.len(), groups.iter().map(|(_, group)| group.count).sum());
        groups.truncate(most);
        if as_json {
            let line = |((target, error), group): ((String, String), Group)| {
                let error = group.wording.unwrap_or(error);
                let (first, last) = (whole_time(group.first), whole_time(group.last));
                let target = Some(target).filter(|target| !target.is_empty());
                let object = json!({ "v": 1, "count": group.count, "target": target, "error": error, "first": first, "last": last, "example": group.id });
                format!("{object}\n")
            };
            return out(&groups.into_iter().map(line).collect::<String>());
        }
        let shown = groups.len();
        let hint =
            groups.first().and_then(|((_, error), group)| hint(group.wording.as_deref().unwrap_or(error), states));
        let row = |((target, error), group): ((String, String), Group)| {
            let target = if target.is_empty() { "-".into() } else { printable(target.as_bytes()) };
            let error = printable(group.wording.unwrap_or(error).as_bytes());
            vec![
                count(group.count),
                target,
                error,
                terminal.since(group.first),
                terminal.since(group.last),
                group.example,
            ]
        };
        let columns = [
            Column::numbers("COUNT"),
            Column::words("TARGET"),
            Column::text("ERROR"),
            Column::numbers("FIRST"),
            Column::numbers("LAST"),
            Column::words("EXAMPLE"),
        ];
        if shown > 0 {
            out(&terminal.table(&columns, &groups.into_iter().map(row).collect::<Vec<_>>()))?;
        }
        if terminal.is_terminal || shown < distinct {
            let mut talk = match total {
                0 => format!("no {} messages", words_of(states)),
                total => format!("{} {} · {distinct} distinct errors", count(total), words_of(states)),
            };
            if shown < distinct {
                talk.push_str(&format!(" · showing {shown} (--all)"));
            }
            say(talk);
            if let Some(hint) = hint {
                say(format_args!("  fixed it?   {hint}"));
            }
        }
        Ok(())
    }
}

/// The command that tries again what has this error, where a word of it will do.
fn hint(error: &str, states: States) -> Option<String> {
    let states: Vec<_> = states.iter().map(crate::engine::State::word).collect();
    let plain = error.split(['"', '\'', '`', '#', '$', '\\', '*', '!', '…']).map(str::trim);
    let longest = plain.filter(|piece| piece.is_ascii()).max_by_key(|piece| piece.len())?;
    (longest.len() > 2).then(|| format!("maildirq retry state:{} error:\"{longest}\"", states.join(",")))
}

/// An error without what is different from message to message: numbers but for a status at the beginning, long
/// hexadecimal words, addresses.
fn normal(error: &str) -> String {
    let mut words = Vec::new();
    for (place, word) in error.split(' ').enumerate() {
        let is_status = place == 0 && word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let is_hex = bare.len() >= 8 && bare.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let has_digit = bare.bytes().any(|byte| byte.is_ascii_digit());
        words.push(if is_status {
            word.to_owned()
        } else if word.contains('@') {
            "…@…".to_owned()
        } else if is_hex && has_digit {
            word.replace(bare, "#")
        } else {
            without_numbers(word)
        });
    }
    words.join(" ")
}

fn without_numbers(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for letter in word.chars() {
        match letter {
            digit if digit.is_ascii_digit() => {
                if !text.ends_with('#') {
                    text.push('#');
                }
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::State;

    #[test]
    fn what_differs_from_message_to_message_is_left_out() {
        for (error, expected) in [
            ("503 Service Unavailable", "503 Service Unavailable"),
            ("timeout after 10s (connected in 3ms)", "timeout after #s (connected in #ms)"),
            ("422 \"no order 1042\"", "422 \"no order #\""),
            ("500 request 5f2c9a7b-11aa-4c3d-9e77-000000000001 failed", "500 request # failed"),
            ("500 (req deadbeef01)", "500 (req #)"),
            ("500 facade added", "500 facade added"),
            ("422 unknown sender <ada@example.com>", "422 unknown sender …@…"),
            ("", ""),
        ] {
            assert_eq!(normal(error), expected);
        }
    }

    #[test]
    fn the_hint_asks_for_what_can_be_asked() {
        let dead: States = [State::Dead].into_iter().collect();
        for (error, expected) in [
            ("500 \"undefined method `id' for nil\"", Some("maildirq retry state:dead error:\"undefined method\"")),
            ("503 Service Unavailable", Some("maildirq retry state:dead error:\"503 Service Unavailable\"")),
            ("$(rm -rf /)", Some("maildirq retry state:dead error:\"(rm -rf /)\"")),
            ("…", None),
        ] {
            assert_eq!(hint(error, dead).as_deref(), expected, "{error}");
        }
    }
}
