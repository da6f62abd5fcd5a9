//! UTF-7 (RFC 2152), in which some Microsoft programs wrote mail.

use super::transfer::Transfer;

/// The text, and whether something in it is no UTF-7.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    let mut text = String::with_capacity(bytes.len());
    let mut has_errors = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'+' => {
                let length = after.iter().take_while(|byte| is_base64(**byte)).count();
                let (run, after) = after.split_at(length);
                rest = after.strip_prefix(b"-").unwrap_or(after);
                if run.is_empty() && after.starts_with(b"-") {
                    text.push('+');
                } else {
                    has_errors |= run.is_empty() || !push_run(run, &mut text);
                }
            }
            0x80.. => {
                has_errors = true;
                text.push(char::REPLACEMENT_CHARACTER);
            }
            ascii => text.push(char::from(*ascii)),
        }
    }
    (text, has_errors)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Decodes UTF-16 in base64, and tells whether all of it is that.
fn push_run(run: &[u8], text: &mut String) -> bool {
    let bytes = Transfer::Base64.unwrap(run);
    let (units, rest) = bytes.as_chunks::<2>();
    let mut is_right = rest.is_empty();
    for character in char::decode_utf16(units.iter().copied().map(u16::from_be_bytes)) {
        is_right &= character.is_ok();
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    is_right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_utf16_are_decoded() {
        for (bytes, expected) in [
            ("", ""),
            ("A+ImIDkQ.", "A≢Α."),
            ("Hi Mom -+Jjo--!", "Hi Mom -☺-!"),
            ("+ZeVnLIqe-", "日本語"),
            ("1 +- 1", "1 + 1"),
            ("+2D3eAA-", "\u{1f600}"),
            ("+AGE", "a"),
        ] {
            assert_eq!(decode(bytes.as_bytes()), (expected.to_owned(), false), "{bytes}");
        }
    }

    #[test]
    fn what_is_no_utf7_is_told() {
        for bytes in [&b"a+"[..], b"+ b", b"+AGEA-", b"+2D0-", b"\xe9"] {
            assert!(decode(bytes).1, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn many_runs_take_time_in_proportion() {
        // Decoders that touch all that is left of their output for each run took minutes.
        assert_eq!(decode("+AGE-".repeat(1_000_000).as_bytes()), ("a".repeat(1_000_000), false));
    }
}
