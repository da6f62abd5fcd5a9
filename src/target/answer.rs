//! What an HTTP status and an exit code mean: two tables, the same here and in `docs/answers.md`.

use crate::engine::{Blame, Outcome};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What becomes of a message that was answered with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is taken.
    Done,
    /// It is refused for good.
    Reject,
    /// It is tried again; any message would have been answered so, because something is set up
    /// wrongly.
    Misconfigured,
    /// It is tried again, and this is whose failure it was.
    Retry(Blame),
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The answers, as people write them.
    pub answers: &'static str,
    matches: fn(u16) -> bool,
    /// What they mean.
    pub meaning: Meaning,
    /// Why.
    pub because: &'static str,
}

/// What an HTTP status means; the first row that matches counts.
pub const TABLE: &[Row] = &[
    Row {
        answers: "2xx",
        matches: |status| (200..300).contains(&status),
        meaning: Meaning::Done,
        because: "the app has taken it",
    },
    Row {
        answers: "406, 413, 422",
        matches: |status| matches!(status, 406 | 413 | 422),
        meaning: Meaning::Reject,
        because: "the app will not take this message, however often it is asked",
    },
    Row {
        answers: "429",
        matches: |status| status == 429,
        meaning: Meaning::Retry(Blame::Endpoint),
        because: "the app is busy",
    },
    Row {
        answers: "3xx, 401, 403, 404, 405, 410, 415",
        matches: |status| (300..400).contains(&status) || matches!(status, 401 | 403 | 404 | 405 | 410 | 415),
        meaning: Meaning::Misconfigured,
        because: "the URL, the credentials or the app's set-up; redirects are not followed",
    },
    Row {
        answers: "other 4xx",
        matches: |status| (400..500).contains(&status),
        meaning: Meaning::Retry(Blame::Message),
        because: "an answer about this message",
    },
    Row {
        answers: "anything else",
        matches: |_| true,
        meaning: Meaning::Retry(Blame::Unclear),
        because: "the app has failed, over this message or altogether",
    },
];

/// What an exit code means, as qmail-command(8) has it; the first row that matches counts.
pub const EXIT_TABLE: &[Row] = &[
    Row {
        answers: "0, 99",
        matches: |code| matches!(code, 0 | 99),
        meaning: Meaning::Done,
        because: "the program has taken it",
    },
    Row {
        answers: "64, 65, 70, 76, 77, 78, 100, 112",
        matches: |code| matches!(code, 64 | 65 | 70 | 76..=78 | 100 | 112),
        meaning: Meaning::Reject,
        because: "the program will not take this message, however often it is run",
    },
    Row {
        answers: "126, 127",
        matches: |code| matches!(code, 126 | 127),
        meaning: Meaning::Misconfigured,
        because: "what a shell says when it cannot run a program",
    },
    Row {
        answers: "75, 111 and any other",
        matches: |_| true,
        meaning: Meaning::Retry(Blame::Message),
        because: "an answer about this message",
    },
];

/// Answers that mean something else to one target than to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// These say that it has taken the message.
    pub done: Vec<RangeInclusive<u16>>,
    /// These say that it will never take it.
    pub reject: Vec<RangeInclusive<u16>>,
    /// These say that it may take it later.
    pub retry: Vec<RangeInclusive<u16>>,
}

impl Overrides {
    /// What an answer means here, where it usually means this.
    pub fn over(&self, answer: u16, usual: Meaning) -> Meaning {
        let lists = |list: &[RangeInclusive<u16>]| list.iter().any(|range| range.contains(&answer));
        match usual {
            _ if lists(&self.done) => Meaning::Done,
            _ if lists(&self.reject) => Meaning::Reject,
            Meaning::Done | Meaning::Reject if lists(&self.retry) => Meaning::Retry(Blame::Message),
            usual => usual,
        }
    }
}

impl Meaning {
    /// The outcome of an attempt that was answered so. The reason, where one is needed, is the answer, and what was
    /// `said` beside it where anything was; both are fit to be shown.
    pub(super) fn outcome(
        self,
        answer: u16,
        name: impl Display,
        said: impl FnOnce() -> String,
        after: Option<Duration>,
    ) -> Outcome {
        let reason = |hint: &str| {
            let said = said();
            let separator = if said.is_empty() { "" } else { ": " };
            format!("{name}{hint}{separator}{said}")
        };
        let status = Some(answer);
        match self {
            Meaning::Done => Outcome::Done { status },
            Meaning::Reject => Outcome::Reject { status, reason: reason("") },
            Meaning::Misconfigured => {
                let reason = reason(" (looks like configuration)");
                Outcome::Retry { blame: Blame::Endpoint, status, reason, after }
            }
            Meaning::Retry(blame) => Outcome::Retry { blame, status, reason: reason(""), after },
        }
    }
}

/// What a status means.
pub fn meaning(status: u16) -> Meaning {
    look_up(TABLE, status)
}

/// What an exit code means.
pub fn exit_meaning(code: u16) -> Meaning {
    look_up(EXIT_TABLE, code)
}

fn look_up(table: &[Row], answer: u16) -> Meaning {
    table.iter().find(|row| (row.matches)(answer)).expect("the last row matches everything").meaning
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        for (statuses, expected) in [
            (&[200u16, 201, 202, 204, 206, 299][..], Meaning::Done),
            (&[406, 413, 422], Meaning::Reject),
            (&[429], Meaning::Retry(Blame::Endpoint)),
            (&[300, 301, 302, 303, 304, 307, 308, 399, 401, 403, 404, 405, 410, 415], Meaning::Misconfigured),
            (
                &[400, 402, 407, 408, 409, 411, 412, 414, 416, 417, 418, 421, 423, 425, 428, 431, 451, 499],
                Meaning::Retry(Blame::Message),
            ),
            (&[100, 199, 500, 501, 502, 503, 504, 507, 511, 599, 600, 999], Meaning::Retry(Blame::Unclear)),
        ] {
            for &status in statuses {
                assert_eq!(meaning(status), expected, "{status}");
            }
        }
    }

    #[test]
    fn every_exit_code_has_its_meaning() {
        for code in 0..=255 {
            let expected = match code {
                0 | 99 => Meaning::Done,
                100 | 64 | 65 | 70 | 76 | 77 | 78 | 112 => Meaning::Reject,
                126 | 127 => Meaning::Misconfigured,
                _ => Meaning::Retry(Blame::Message),
            };
            assert_eq!(exit_meaning(code), expected, "{code}");
        }
    }

    #[test]
    fn a_target_may_have_its_own_meanings() {
        let own =
            Overrides { done: vec![409..=409, 1..=1], reject: vec![500..=599, 410..=410], retry: vec![200..=422] };
        for (answer, usual, expected) in [
            (409, meaning(409), Meaning::Done),
            (1, exit_meaning(1), Meaning::Done),
            (503, meaning(503), Meaning::Reject),
            (410, meaning(410), Meaning::Reject),
            (204, meaning(204), Meaning::Retry(Blame::Message)),
            (422, meaning(422), Meaning::Retry(Blame::Message)),
            (404, meaning(404), Meaning::Misconfigured),
            (400, meaning(400), Meaning::Retry(Blame::Message)),
            (429, meaning(429), Meaning::Retry(Blame::Endpoint)),
            (75, exit_meaning(75), Meaning::Retry(Blame::Message)),
        ] {
            assert_eq!(own.over(answer, usual), expected, "{answer}");
            assert_eq!(Overrides::default().over(answer, usual), usual, "{answer}");
        }
    }

    #[test]
    fn the_reason_is_the_answer_and_what_was_said() {
        let reason =
            |meaning: Meaning, said: &str| meaning.outcome(7, "7 Seven", || said.into(), None).reason().to_owned();
        for (meaning, said, expected) in [
            (Meaning::Done, "thanks", ""),
            (Meaning::Reject, "", "7 Seven"),
            (Meaning::Reject, "no", "7 Seven: no"),
            (Meaning::Misconfigured, "", "7 Seven (looks like configuration)"),
            (Meaning::Misconfigured, "no", "7 Seven (looks like configuration): no"),
            (Meaning::Retry(Blame::Unclear), "no", "7 Seven: no"),
        ] {
            assert_eq!(reason(meaning, said), expected, "{meaning:?}");
        }
    }

    #[test]
    fn the_documentation_has_the_same_tables() {
        let page = include_str!("../../docs/answers.md");
        for row in TABLE.iter().chain(EXIT_TABLE) {
            let meaning = match row.meaning {
                Meaning::Done => "done",
                Meaning::Reject => "dead",
                Meaning::Misconfigured => "retry, \"looks like configuration\" | the endpoint",
                Meaning::Retry(Blame::Endpoint) => "retry | the endpoint",
                Meaning::Retry(Blame::Message) => "retry | the message",
                Meaning::Retry(_) => "retry | unclear",
            };
            let written = format!("| {} | {meaning}", row.answers);
            assert!(page.contains(&written), "docs/answers.md lacks: {written}");
            assert!(page.contains(&format!("| {} |", row.because)), "docs/answers.md lacks: {}", row.because);
        }
    }
}
