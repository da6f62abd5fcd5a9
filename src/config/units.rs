//! Durations, sizes and rates as people write them: `"10s"`, `"3d"`, `"25MB"`, `"64KiB"`, `"10/s"`.

use crate::engine::Rate;
use std::time::Duration;

/// Longer waits make no sense, and would not fit every clock.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// Reads a duration.
///
/// # Errors
/// It is none; the text says what one looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a duration looks like \"10s\", \"5m\", \"2h\" or \"3d\""))
}

/// Reads a number of bytes: KB is a thousand, KiB is 1,024.
///
/// # Errors
/// It is none; the text says what one looks like.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let size: Result<bytesize::ByteSize, _> = text.parse();
    size.map(|size| size.as_u64()).map_err(|error| format!("{error}; a size looks like \"25MB\" or \"64KiB\""))
}

/// Reads a duration that something can wait for.
pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(check_wait)
}

/// Whether this is a duration that something can wait for.
pub(super) fn check_wait(wait: Duration) -> Result<Duration, String> {
    if wait.is_zero() || wait > LONGEST {
        return Err("a duration here is longer than nothing, and at most ten years".into());
    }
    Ok(wait)
}

/// Reads how long something may go on; None is forever.
pub(super) fn parse_lifetime(text: &str) -> Result<Option<Duration>, String> {
    if text == "forever" { Ok(None) } else { parse_wait(text).map(Some) }
}

/// Reads a number of bytes that something fits into.
pub(super) fn parse_room(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| if size == 0 { Err("a size here is more than nothing".into()) } else { Ok(size) })
}

/// Reads how many attempts may begin in a time.
pub(super) fn parse_rate(text: &str) -> Result<Rate, String> {
    let wrong = || "a rate looks like \"10/s\", \"100/m\", \"1000/h\" or \"5000/d\"".to_owned();
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let time = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => Duration::from_hours(24),
        _ => return Err(wrong()),
    };
    let count = count.trim().parse().map_err(|_| wrong())?;
    Rate::new(count, time).ok_or_else(|| format!("{}, with at least one attempt in the time", wrong()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_longer_than_nothing_and_not_endless() {
        for (text, expected) in [
            ("10s", Ok(Duration::from_secs(10))),
            ("3d", Ok(Duration::from_hours(72))),
            ("1m 30s", Ok(Duration::from_secs(90))),
            ("0s", Err("longer than nothing")),
            ("100y", Err("at most ten years")),
            ("soon", Err("a duration looks like")),
            ("10", Err("a duration looks like")),
        ] {
            match (parse_wait(text), expected) {
                (Ok(wait), Ok(expected)) => assert_eq!(wait, expected, "{text}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        assert_eq!(parse_lifetime("forever"), Ok(None));
    }

    #[test]
    fn a_size_counts_in_thousands_or_in_1024s() {
        for (text, expected) in [("25MB", Some(25_000_000)), ("64KiB", Some(65_536)), ("0B", None), ("big", None)] {
            assert_eq!(parse_room(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (text, count, seconds) in [("10/s", 10, 1), ("100 / m", 100, 60), ("7/h", 7, 3600), ("1/d", 1, 86_400)] {
            assert_eq!(parse_rate(text).ok(), Rate::new(count, Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "10", "0/s", "-1/s", "1.5/s", "10/sec", "/s", "9999999999/s", "4000000000/s"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
