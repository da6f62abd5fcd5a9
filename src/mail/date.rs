//! Dates (RFC 5322 section 3.3), also as mail programs write them beside the standard.

use super::syntax::{Token, Tokens, content, unfold};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::Offset;

/// The longest date that is read, in bytes.
const LIMIT: usize = 200;
/// 1 January 1900, in seconds: no mail is older (RFC 5322 section 3.3), but some has a year that is cut off.
const EARLIEST: i64 = -2_208_988_800;
/// The day of the week is not looked at: where it is wrong, the date is right.
const STANDARD: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The moment that a raw `Date` value names. None if it is not clear which.
///
/// A zone that is missing or that nobody knows counts as UTC, as RFC 5322 section 4.3 has it.
pub(super) fn date(value: &[u8]) -> Option<Timestamp> {
    let text = plain(value).filter(|text| text.len() <= LIMIT)?;
    let is_mail = |found: &Timestamp| found.as_second() >= EARLIEST;
    let standard = STANDARD.parse_timestamp(&text).ok().filter(is_mail);
    let iso = || text.parse().ok().filter(is_mail);
    standard.or_else(iso).or_else(|| Parts::read(&text)?.timestamp())
}

/// The value without folds, comments and quotes.
fn plain(value: &[u8]) -> Option<String> {
    let mut plain = Vec::new();
    for token in Tokens::of(&unfold(value)) {
        match token {
            Token::Letters(letters) => plain.extend_from_slice(letters),
            Token::Byte(byte) => plain.push(byte),
            Token::Comment(_) => plain.push(b' '),
            Token::Quoted(written) => plain.extend(content(written)),
            Token::Word(_) => return None,
        }
    }
    String::from_utf8(plain.trim_ascii().to_vec()).ok()
}

/// The parts of a date, in whatever order they come.
#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    time: Option<Time>,
    is_afternoon: Option<bool>,
    zone: Option<Offset>,
    /// The zone by a number, which counts if there is a name as well.
    offset: Option<Offset>,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let mut parts = Parts::default();
        for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            parts.word(word)?;
        }
        Some(parts)
    }

    fn timestamp(self) -> Option<Timestamp> {
        let date = Date::new(self.year?, self.month?, self.day?).ok()?;
        let time = self.time?;
        let hour = match (self.is_afternoon, time.hour()) {
            (None, hour) => hour,
            (Some(is_afternoon), hour @ 1..=12) => hour % 12 + if is_afternoon { 12 } else { 0 },
            (Some(_), _) => return None,
        };
        let time = time.with().hour(hour).build().ok()?;
        let offset = self.offset.or(self.zone).unwrap_or(Offset::UTC);
        offset.to_timestamp(DateTime::from_parts(date, time)).ok()
    }

    /// Takes a word in. None if it cannot stand in a date; other words that say nothing are passed over, as the
    /// day of the week in any language.
    fn word(&mut self, word: &str) -> Option<()> {
        let first = word.bytes().next()?;
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            self.number(word)
        } else if first.is_ascii_digit() && self.time.is_none() && is_time(word) {
            self.clock(word)
        } else if first.is_ascii_digit() {
            self.joined(word)
        } else if matches!(first, b'+' | b'-') && self.time.is_some() {
            self.offset = self.offset.or(Some(offset(word)?));
            Some(())
        } else {
            self.name(word);
            Some(())
        }
    }

    fn number(&mut self, digits: &str) -> Option<()> {
        if self.day.is_none() && digits.len() <= 2 {
            self.day = Some(digits.parse().ok()?);
        } else if self.year.is_none() {
            self.year = Some(year(digits)?);
        } else if self.time.is_some() && self.offset.is_none() && digits.len() == 4 {
            self.offset = Some(offset(&format!("+{digits}"))?);
        }
        Some(())
    }

    /// `2-Nov-2025`, `2025-11-02`. Of two-digit numbers nobody can tell which is the day.
    fn joined(&mut self, word: &str) -> Option<()> {
        let parts: Vec<&str> = word.splitn(4, ['-', '/', '.']).collect();
        match parts[..] {
            [day, month, year] if month_of(month).is_some() => {
                self.month = month_of(month);
                self.number(day)?;
                self.number(year)
            }
            [year, month, day] if year.len() == 4 => {
                self.number(year)?;
                self.month = Some(month.parse().ok()?);
                self.number(day)
            }
            _ => None,
        }
    }

    /// `14:02`, `14:02:09.5`, `14.02.09`, with a zone or `pm` run into it.
    fn clock(&mut self, word: &str) -> Option<()> {
        let end = word.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(word.len());
        let (clock, rest) = word.split_at(end);
        let separator = if clock.contains(':') { ':' } else { '.' };
        let mut parts = clock.split(separator);
        let hour = small(parts.next()?)?;
        let minute = small(parts.next()?)?;
        let second = match parts.next() {
            Some(seconds) => small(seconds.split('.').next()?)?,
            None => 0,
        };
        // A leap second is as good as the one before it.
        self.time = Some(Time::new(hour, minute, if second == 60 { 59 } else { second }, 0).ok()?);
        if parts.next().is_some() {
            return None;
        }
        if rest.is_empty() { Some(()) } else { self.word(rest) }
    }

    fn name(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "am" | "a.m." if self.time.is_some() => self.is_afternoon = Some(false),
            "pm" | "p.m." if self.time.is_some() => self.is_afternoon = Some(true),
            _ if self.month.is_none() && month_of(&word).is_some() => self.month = month_of(&word),
            _ => {
                let (name, number) = word.split_at(word.find(['+', '-']).unwrap_or(word.len()));
                self.zone = self.zone.or_else(|| zone(name));
                if zone(name).is_some() {
                    self.offset = self.offset.or_else(|| offset(number));
                }
            }
        }
    }
}

fn is_time(word: &str) -> bool {
    let is_short = |parts: std::str::Split<'_, char>| parts.take(4).all(|part| matches!(part.len(), 1 | 2));
    word.contains(':') || word.matches('.').count() == 2 && is_short(word.split('.'))
}

fn small(digits: &str) -> Option<i8> {
    if digits.len() <= 2 { digits.parse().ok() } else { None }
}

/// A year that can have lost its century (RFC 5322 section 4.3).
fn year(digits: &str) -> Option<i16> {
    match digits.parse().ok()? {
        short @ 0..50 => Some(short + 2000),
        short @ 50..1000 => Some(short + 1900),
        full @ 1900..10_000 => Some(full),
        _ => None,
    }
}

/// The month of this name, which may be cut off after three letters.
fn month_of(name: &str) -> Option<i8> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| name.len() >= 3 && month.starts_with(&name))?;
    i8::try_from(at + 1).ok()
}

/// The zones that have a meaning everywhere (RFC 5322 section 4.3).
fn zone(name: &str) -> Option<Offset> {
    let hours = match name {
        "utc" | "ut" | "gmt" | "z" => 0,
        "edt" => -4,
        "est" | "cdt" => -5,
        "cst" | "mdt" => -6,
        "mst" | "pdt" => -7,
        "pst" => -8,
        _ => return None,
    };
    Some(Offset::constant(hours))
}

/// `+0200`, `+02:00`, `+2`.
fn offset(written: &str) -> Option<Offset> {
    let sign = if written.starts_with('-') { -1 } else { 1 };
    let digits = written.strip_prefix(['+', '-'])?.replacen(':', "", 1);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = match digits.len() {
        1 | 2 if is_number => (digits.as_str(), "0"),
        length @ (3 | 4) if is_number => digits.split_at(length - 2),
        _ => return None,
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = sign * (hours * 3600 + minutes * 60);
    (hours < 24 && minutes < 60).then(|| Offset::from_seconds(seconds).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(&str, &str)]) {
        for (value, expected) in cases {
            let found = date(value.as_bytes()).map(|found| found.to_string());
            assert_eq!(found.as_deref(), Some(*expected), "{value}");
        }
    }

    #[test]
    fn dates_of_the_standard_are_read() {
        check(&[
            ("Sun, 2 Nov 2025 14:02:09 +0100", "2025-11-02T13:02:09Z"),
            (" 2 Nov 2025 14:02 -0030 (half)\r\n", "2025-11-02T14:32:00Z"),
            ("Sun,\r\n 02 Nov 2025 14:02:09 GMT", "2025-11-02T14:02:09Z"),
            ("2 Nov 25 14:02:09 EST", "2025-11-02T19:02:09Z"),
            ("2 Nov 99 14:02:09 PDT", "1999-11-02T21:02:09Z"),
            ("2 Nov 105 14:02:09 UT", "2005-11-02T14:02:09Z"),
            ("2 (two) Nov (11) 2025 14 (h) : 02 : 09 Z", "2025-11-02T14:02:09Z"),
            ("2 Nov 2025 14:02:60 -0000", "2025-11-02T14:02:59Z"),
            ("2 Nov 2025 14:02:09 B", "2025-11-02T14:02:09Z"),
        ]);
    }

    #[test]
    fn dates_beside_the_standard_are_read_where_they_are_clear() {
        check(&[
            ("Mon, 2 Nov 2025 14:02:09 +0100", "2025-11-02T13:02:09Z"),
            ("Dim 2 Nov 2025 14:02:09 +0100", "2025-11-02T13:02:09Z"),
            ("Sunday, 2 November 2025 14:02:09 +0100", "2025-11-02T13:02:09Z"),
            ("Sun, 2 Sept. 2025 14:02:09 +0000", "2025-09-02T14:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 GMT+0200", "2025-11-02T12:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 GMT +0200", "2025-11-02T12:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 +02:00", "2025-11-02T12:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 UTC-2", "2025-11-02T16:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09+0100", "2025-11-02T13:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 +100", "2025-11-02T13:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 0200", "2025-11-02T12:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 \"GMT\"", "2025-11-02T14:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 +0100 CET", "2025-11-02T13:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09", "2025-11-02T14:02:09Z"),
            ("Sun, 2 Nov 2025 14:02:09 CEST", "2025-11-02T14:02:09Z"),
            ("Sun, 2 Nov 2025 2:2:9.123 +0000", "2025-11-02T02:02:09Z"),
            ("Sun, 2 Nov 2025 14.02.09 +0000", "2025-11-02T14:02:09Z"),
            ("Sun, 2 Nov 0025 14:02:09 +0000", "2025-11-02T14:02:09Z"),
            ("Sun Nov  2 14:02:09 2025", "2025-11-02T14:02:09Z"),
            ("Sun Nov  2 14:02:09 EST 2025", "2025-11-02T19:02:09Z"),
            ("Nov 2, 2025 2:02:09 PM", "2025-11-02T14:02:09Z"),
            ("Nov 2, 2025 12:02am -0100", "2025-11-02T01:02:00Z"),
            ("Sunday, 02-Nov-25 14:02:09 GMT", "2025-11-02T14:02:09Z"),
            ("2025-11-02T14:02:09+01:00", "2025-11-02T13:02:09Z"),
            ("2025-11-02 14:02:09 +0100", "2025-11-02T13:02:09Z"),
            ("2025/11/02 14:02:09Z", "2025-11-02T14:02:09Z"),
        ]);
    }

    #[test]
    fn what_is_not_clear_is_no_date() {
        for value in [
            "",
            "yesterday",
            "Sun, 2 Nov 2025",
            "Sun, 2 Nov 2025 25:02:09 +0000",
            "Sun, 2 Nov 2025 24:00:00 +0000",
            "Sun, 2 Nov 2025 14:60:00 +0000",
            "Sun, 2 Nov 2025 14:02:09 +9999",
            "Sun, 2 Nov 2025 14:02:09 +1260",
            "Sun, 2 Nov 2025 13:02:09:00 +0000",
            "Sun, 2 Nov 2025 13:02:09 pm",
            "Sun, 31 Feb 2025 14:02:09 +0000",
            "Sun, 0 Nov 2025 14:02:09 +0000",
            "Sun, 2 Nov 1600 14:02:09 +0000",
            "Sun, 2 Nov 99999 14:02:09 +0000",
            "11/02/2025 14:02:09",
            "02.11.25 14:02:09 +0100",
            "14:02:09 +0000",
            "1762092129",
            "=?utf-8?Q?Sun, 2 Nov 2025 14:02:09 +0000?=",
            "Sun, 2 N\u{f6}v 2025 14:02:09 +0000",
        ] {
            assert_eq!(date(value.as_bytes()), None, "{value}");
        }
        assert_eq!(date(format!("2 Nov 2025 14:02:09 +0000{}x", " ".repeat(LIMIT)).as_bytes()), None);
        assert_eq!(date(b"2 Nov 2025 14:02:09 \xff"), None);
    }
}
