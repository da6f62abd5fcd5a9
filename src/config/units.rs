//! Durations and sizes as people write them: `"10s"`, `"3d"`, `"25MB"`, `"64KiB"`.

use serde::{Deserialize, Deserializer, de::Error};
use std::time::Duration;

/// Longer waits make no sense, and would not fit every clock.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// A duration in the configuration.
pub(super) struct Span(pub Duration);

/// A number of bytes in the configuration.
pub(super) struct Size(pub u64);

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

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let span = parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)?;
        if span.is_zero() || span > LONGEST {
            return Err(D::Error::custom("a duration here is longer than nothing, and at most ten years"));
        }
        Ok(Span(span))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parse_size(&String::deserialize(from)?).map(Size).map_err(D::Error::custom)
    }
}

pub(super) fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<reqwest::Url>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}
