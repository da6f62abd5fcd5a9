//! What an HTTP status means: one table, the same here and in `docs/answers.md`.

use crate::engine::Blame;

/// What becomes of a message that was answered with a status.
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

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The statuses, as people write them.
    pub statuses: &'static str,
    matches: fn(u16) -> bool,
    /// What they mean.
    pub meaning: Meaning,
    /// Why.
    pub because: &'static str,
}

/// The table; the first row that matches counts.
pub const TABLE: &[Row] = &[
    Row {
        statuses: "2xx",
        matches: |status| (200..300).contains(&status),
        meaning: Meaning::Done,
        because: "the app has taken it",
    },
    Row {
        statuses: "406, 413, 422",
        matches: |status| matches!(status, 406 | 413 | 422),
        meaning: Meaning::Reject,
        because: "the app will not take this message, however often it is asked",
    },
    Row {
        statuses: "429",
        matches: |status| status == 429,
        meaning: Meaning::Retry(Blame::Endpoint),
        because: "the app is busy",
    },
    Row {
        statuses: "3xx, 401, 403, 404, 405, 410, 415",
        matches: |status| (300..400).contains(&status) || matches!(status, 401 | 403 | 404 | 405 | 410 | 415),
        meaning: Meaning::Misconfigured,
        because: "the URL, the credentials or the app's set-up; redirects are not followed",
    },
    Row {
        statuses: "other 4xx",
        matches: |status| (400..500).contains(&status),
        meaning: Meaning::Retry(Blame::Message),
        because: "an answer about this message",
    },
    Row {
        statuses: "anything else",
        matches: |_| true,
        meaning: Meaning::Retry(Blame::Unclear),
        because: "the app has failed, over this message or altogether",
    },
];

/// What a status means.
pub fn meaning(status: u16) -> Meaning {
    TABLE.iter().find(|row| (row.matches)(status)).expect("the last row matches everything").meaning
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
    fn the_documentation_has_the_same_table() {
        let page = include_str!("../../docs/answers.md");
        for row in TABLE {
            let meaning = match row.meaning {
                Meaning::Done => "done",
                Meaning::Reject => "dead",
                Meaning::Misconfigured => "retry, \"looks like configuration\" | the endpoint",
                Meaning::Retry(Blame::Endpoint) => "retry | the endpoint",
                Meaning::Retry(Blame::Message) => "retry | the message",
                Meaning::Retry(_) => "retry | unclear",
            };
            let written = format!("| {} | {meaning}", row.statuses);
            assert!(page.contains(&written), "docs/answers.md lacks: {written}");
            assert!(page.contains(row.because), "docs/answers.md lacks: {}", row.because);
        }
    }
}
