//! Making bytes of strangers fit to be shown: in a log line, on a terminal, in a reason.
//!
//! File names, answers of an application and header fields are all written by somebody else. What
//! is not a harmless character is written as an escape, so that nothing is lost and nothing acts.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest text that a log field or a reason keeps, in characters.
pub const SHOWN: usize = 256;

/// `bytes` as one line of printable text, at most [`SHOWN`] characters and an ellipsis.
///
/// Control characters, bidirectional overrides, line separators and bytes that are not UTF-8
/// become `\n`, `\u{202e}` or `\xff`; a backslash stays as it is.
pub fn printable(bytes: &[u8]) -> String {
    printable_within(bytes, SHOWN)
}

/// The same, at most `most` characters and an ellipsis.
pub fn printable_within(bytes: &[u8], most: usize) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.len() <= most
        && is_plain(text)
    {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(bytes.len().min(most));
    let mut left = most;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                shown.push('…');
                return shown;
            }
            left -= 1;
            push_harmless(&mut shown, character);
        }
        for byte in chunk.invalid() {
            if left == 0 {
                shown.push('…');
                return shown;
            }
            left -= 1;
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A time as RFC 3339 has it, in UTC, to the millisecond. What lies outside of the years 1970 to 9999 is shown as their
/// end: a file may have any time.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(within_rfc3339(time)).to_string()
}

/// The time itself, or what is nearest to it of those that RFC 3339 can show.
pub fn within_rfc3339(time: SystemTime) -> SystemTime {
    const END: Duration = Duration::from_secs(253_402_300_799);
    UNIX_EPOCH + time.duration_since(UNIX_EPOCH).unwrap_or_default().min(END)
}

/// Whether `text` holds nothing that [`printable`] would spell out.
pub fn is_harmless(text: &str) -> bool {
    is_plain(text) || !text.chars().any(|c| c.is_control() || reorders_text(c))
}

/// Whether these are letters, digits and signs of ASCII, as in most text: that is seen many bytes at a time.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |is_plain, byte| is_plain & matches!(byte, b' '..=b'~'))
}

fn push_harmless(shown: &mut String, character: char) {
    match character {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        c if c.is_control() || reorders_text(c) => {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
        c => shown.push(c),
    }
}

/// Line and paragraph separators, bidirectional controls, and the byte-order mark.
fn reorders_text(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_act_on_a_terminal_is_spelled_out() {
        for (given, shown) in [
            (&b"plain text"[..], "plain text"),
            (b"two\nlines\r\tend", r"two\nlines\r\tend"),
            (b"\x1b]0;title\x07", r"\u{1b}]0;title\u{7}"),
            ("safe \u{202e}exe.gpj".as_bytes(), r"safe \u{202e}exe.gpj"),
            (b"caf\xe9", r"caf\xe9"),
            ("café".as_bytes(), "café"),
            ("c1 \u{9b}31m".as_bytes(), r"c1 \u{9b}31m"),
        ] {
            assert_eq!(printable(given), shown);
        }
    }

    #[test]
    fn any_time_can_be_shown() {
        let day = Duration::from_hours(24);
        for (time, shown) in [
            (UNIX_EPOCH + Duration::from_millis(1_795_332_450_307), "2026-11-22T07:27:30.307Z"),
            (UNIX_EPOCH - day, "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + day * 10_000_000, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(time), shown);
        }
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let shown = printable(&vec![b'a'; 10_000]);
        assert_eq!(shown.chars().count(), SHOWN + 1);
        assert!(shown.ends_with('…'));
        assert_eq!(printable(&vec![0xff; 10_000]).matches("\\xff").count(), SHOWN);
    }
}
