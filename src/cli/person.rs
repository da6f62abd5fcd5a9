//! Who is at the keyboard, and when they mean.

use super::terminal::whole_time;
use crate::config::parse_duration;
use crate::engine::text::printable_within;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use rustix::process::getuid;
use std::env;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, SystemTime};

/// The longest name that is written down, in characters.
const NAME_LIMIT: usize = 64;

/// The name of the person, for those who ask later who it was: behind `sudo`, too.
pub fn name() -> String {
    let known = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let found = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(known);
    let found = found.map(|name| printable_within(name.as_encoded_bytes(), NAME_LIMIT));
    found.unwrap_or_else(|| format!("uid {}", getuid().as_raw()))
}

/// Reads a point in time: `03:00` (the next one, by this machine's clock), `2026-11-22 03:00`, RFC 3339, or how long
/// from now (`2h`).
///
/// # Errors
/// It is none, or has gone by; the text says what one looks like.
pub fn parse_moment(text: &str) -> Result<SystemTime, String> {
    let now = Zoned::now();
    let time = moment(text, &now).ok_or_else(|| {
        "a time looks like \"03:00\", \"2026-11-22 03:00\", \"2026-11-22T03:00:00Z\" or, from now, \"2h\"".to_owned()
    })?;
    if time < SystemTime::from(now.timestamp()) {
        return Err(format!("that is in the past: it is {} now", whole_time(now.timestamp().into())));
    }
    Ok(time)
}

fn moment(text: &str, now: &Zoned) -> Option<SystemTime> {
    if let Ok(wait) = parse_duration(text) {
        return SystemTime::from(now.timestamp()).checked_add(wait);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.into());
    }
    let zone = now.time_zone();
    // A date without a time would be taken for its midnight.
    if let (true, Ok(time)) = (text.contains(':'), text.parse::<DateTime>()) {
        return Some(time.to_zoned(zone.clone()).ok()?.timestamp().into());
    }
    let time: Time = if text.contains(':') { text.parse().ok()? } else { return None };
    let today = now.date().to_datetime(time).to_zoned(zone.clone()).ok()?;
    let next = if today > *now {
        today
    } else {
        now.date().checked_add(1.day()).ok()?.to_datetime(time).to_zoned(zone.clone()).ok()?
    };
    Some(next.timestamp().into())
}

/// A point in time as a person on a terminal reads it, by this machine's clock: `17:40`, or `16 Nov` where it is
/// days away. Elsewhere RFC 3339.
pub fn shown(time: SystemTime) -> String {
    if !stdout().is_terminal() {
        return whole_time(time);
    }
    let Ok(time) = Timestamp::try_from(time) else { return "never".into() };
    let away = time.duration_since(Timestamp::now()).unsigned_abs();
    let zoned = time.to_zoned(TimeZone::system());
    let form = if away < Duration::from_hours(20) { "%H:%M" } else { "%-d %b" };
    zoned.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_by_is_refused() {
        assert!(parse_moment("2020-01-01T00:00:00Z").unwrap_err().contains("in the past"));
        assert!(parse_moment("2h").is_ok());
    }

    #[test]
    fn a_moment_is_the_next_one_of_that_name() {
        let now: Zoned = "2026-11-22T22:30:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, expected) in [
            ("03:00", Some("2026-11-23T02:00:00Z")),
            ("22:31", Some("2026-11-22T21:31:00Z")),
            ("22:30", Some("2026-11-23T21:30:00Z")),
            ("2026-12-01 08:15", Some("2026-12-01T07:15:00Z")),
            ("2026-12-01T08:15:00Z", Some("2026-12-01T08:15:00Z")),
            ("2h", Some("2026-11-22T23:30:00Z")),
            ("2026-12-01", None),
            ("3", None),
            ("25:00", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = expected.map(|time| SystemTime::from(time.parse::<Timestamp>().unwrap()));
            assert_eq!(moment(text, &now), expected, "{text}");
        }
    }
}
