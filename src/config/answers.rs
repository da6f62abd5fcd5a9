//! What a file says of a target's answers.

use super::item::Item;
use super::keys::{ANSWERS, ANSWERS_DONE, ANSWERS_REJECT, ANSWERS_RETRY, Place};
use super::walk::Table;
use crate::engine::text::printable;
use crate::target::Overrides;
use std::ops::RangeInclusive;

/// What a target answers with.
#[derive(Clone, Copy)]
pub(super) enum Answers {
    Statuses,
    ExitCodes,
}

impl Answers {
    fn all(self) -> RangeInclusive<u16> {
        match self {
            Answers::Statuses => 100..=599,
            Answers::ExitCodes => 0..=255,
        }
    }

    /// Reads `409`, `450-459`, `4xx`.
    fn parse(self, text: &str) -> Result<RangeInclusive<u16>, String> {
        let (looks_like, all) = match self {
            Answers::Statuses => ("a status is 409, \"4xx\" or \"500-599\"", self.all()),
            Answers::ExitCodes => ("an exit code is 75 or \"64-78\"", self.all()),
        };
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|number| all.contains(number));
        let hundred = text.strip_suffix("xx").filter(|_| matches!(self, Answers::Statuses));
        let range = match (hundred, text.split_once('-')) {
            (Some(hundred), _) => number(&format!("{hundred}00")).map(|first| first..=first + 99),
            (None, Some((first, last))) => number(first).zip(number(last)).map(|(first, last)| first..=last),
            (None, None) => number(text).map(|number| number..=number),
        };
        let range = range.filter(|range| !range.is_empty());
        range.ok_or_else(|| format!("{looks_like}, from {} to {}", all.start(), all.end()))
    }
}

/// The answers that mean something else than usual.
pub(super) fn read(target: &Table<'_>, answers: Answers) -> Overrides {
    let Some(table) = target.optional(&ANSWERS, |item| item.table(Place::Answers)) else { return Overrides::default() };
    let mut taken = Vec::new();
    let mut list = |key: &'static super::keys::Key| {
        let mut ranges = Vec::new();
        for item in table.optional(key, Item::elements).unwrap_or_default() {
            let Some(range) = codes(&item, answers) else { continue };
            let twice = taken.iter().find(|(list, other)| *list != key.name && overlap(other, &range));
            if let Some((list, _)) = twice {
                item.refuse::<()>(format_args!("this is in `{list}`, too"));
            }
            taken.push((key.name, range.clone()));
            ranges.push(range);
        }
        ranges
    };
    Overrides { done: list(&ANSWERS_DONE), reject: list(&ANSWERS_REJECT), retry: list(&ANSWERS_RETRY) }
}

fn overlap(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

fn codes(item: &Item<'_>, answers: Answers) -> Option<RangeInclusive<u16>> {
    let text = match (item.as_text(), item.as_number()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) => number.to_string(),
        // Below nothing, or no number at all.
        (None, None) => return item.wrong_type(),
    };
    answers.parse(&text).map_or_else(|error| item.refuse(printable(error.as_bytes())), Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbers_ranges_and_hundreds() {
        for (text, statuses, exit_codes) in [
            ("409", Some(409..=409), None),
            ("99", None, Some(99..=99)),
            ("64-78", None, Some(64..=78)),
            ("450-459", Some(450..=459), None),
            ("4xx", Some(400..=499), None),
            ("0", None, Some(0..=0)),
            ("255", Some(255..=255), Some(255..=255)),
            ("600", None, None),
            ("6xx", None, None),
            ("xx", None, None),
            ("459-450", None, None),
            ("-1", None, None),
            ("", None, None),
            ("70000", None, None),
        ] {
            assert_eq!(Answers::Statuses.parse(text).ok(), statuses, "{text}");
            assert_eq!(Answers::ExitCodes.parse(text).ok(), exit_codes, "{text}");
        }
    }
}
