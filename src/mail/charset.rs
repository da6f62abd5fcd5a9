//! Bytes in some charset, as text.
//!
//! What a label says is believed where the bytes can be that. Otherwise the bytes tell: hardly any text is
//! valid UTF-8 by chance, and the rest is taken for windows-1252.

use super::legacy::Legacy;
use super::utf7;
use encoding_rs::{Encoding, GB18030, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::memchr;
use std::borrow::Cow;

/// The text that these bytes are, by the charset they are labelled with if any.
///
/// A byte order mark is not part of the text. Bytes that are no text become U+FFFD, but only in a text that
/// is in its charset for the most part; else the text is taken to be in another one.
///
/// Bytes that are UTF-8 already are not copied.
pub(super) fn text<'a>(bytes: &'a [u8], label: Option<&str>) -> Cow<'a, str> {
    if let Some(text) = marked(bytes) {
        return text;
    }
    let declared = label.and_then(Decoder::of);
    let lossy = match declared.map(|decoder| decoder.decode(bytes)) {
        Some((text, false)) => return text,
        lossy => lossy,
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        return escaped_japanese(bytes).unwrap_or(text.into());
    }
    match lossy {
        Some((text, _)) if declared != Some(Decoder::Known(UTF_8)) && is_mostly_right(&text) => text,
        _ if is_mostly_utf8(bytes) => String::from_utf8_lossy(bytes),
        _ => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// Whether each piece of a text in this charset must be decoded by itself: UTF-7 can end within base64, and
/// the next piece would be read as more of it.
pub(super) fn is_utf7(label: &str) -> bool {
    Decoder::of(label) == Some(Decoder::Utf7)
}

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decoder {
    Known(&'static Encoding),
    Utf7,
    /// UTF-16 in the byte order that the text shows: mail programs do not agree on what the label means.
    Utf16,
    Legacy(Legacy),
}

impl Decoder {
    /// How text with this label is decoded. None if the label says nothing: US-ASCII is one that many programs
    /// put on whatever they have.
    fn of(label: &str) -> Option<Self> {
        let label = label.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\''));
        // A language may follow (RFC 2231 section 5), or what some program has run into it.
        let label = label.split(['*', ';', ' ']).next()?;
        let is_one_of = |labels: &[&str]| labels.iter().any(|known| label.eq_ignore_ascii_case(known));
        if is_one_of(&["us-ascii", "ascii", "ansi_x3.4-1968", "us", "x-user-defined"]) {
            None
        } else if is_one_of(&["utf-16", "utf16", "unicode", "ucs-2"]) {
            Some(Decoder::Utf16)
        } else if is_one_of(&["utf-7", "utf7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7", "csunicode11utf7"]) {
            Some(Decoder::Utf7)
        } else if let Some(encoding) = standard(label) {
            Some(Decoder::Known(encoding))
        } else {
            let label = label.to_ascii_lowercase();
            Legacy::of(&label).map(Decoder::Legacy).or_else(|| other(&label).map(Decoder::Known))
        }
    }

    /// The text, and whether some of the bytes are none.
    fn decode(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        let (text, has_errors) = match self {
            Decoder::Known(encoding) => return encoding.decode_without_bom_handling(bytes),
            Decoder::Utf7 => utf7::decode(bytes),
            Decoder::Utf16 => return utf16(bytes),
            Decoder::Legacy(legacy) => legacy.decode(bytes),
        };
        (text.into(), has_errors)
    }
}

/// The encoding that the WHATWG has for a label in any case.
fn standard(label: &str) -> Option<&'static Encoding> {
    // GBK is all of GB18030 here, as is GB2312: what comes in is often more than its label says.
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// The encoding that mail has another label for, given in lower case.
fn other(label: &str) -> Option<&'static Encoding> {
    let usual = label.replace('_', "-");
    standard(&usual).or_else(|| numbered(&usual)).or_else(|| misspelt(&usual))
}

/// An encoding that is named by a number, as `cp1252`, `x-ms932` or `iso88591`.
fn numbered(label: &str) -> Option<&'static Encoding> {
    let (family, number) = label.split_at(label.find(|c: char| c.is_ascii_digit())?);
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    let label = match (family.trim_start_matches("x-").trim_end_matches('-'), digits) {
        ("iso", "8859") => {
            let part = number["8859".len()..].trim_start_matches(['-', ':', '.']);
            format!("iso-8859-{}", part.split(|c: char| !c.is_ascii_digit()).next()?)
        }
        ("iso", _) if digits.starts_with("8859") => format!("iso-8859-{}", &digits["8859".len()..]),
        ("windows" | "win" | "cp" | "ms" | "ibm" | "codepage" | "cswindows", _) => match digits.parse::<u32>().ok()? {
            932 | 943 => "shift_jis".to_owned(),
            936 | 54936 => return Some(GB18030),
            949 | 51949 => "euc-kr".to_owned(),
            950 => "big5".to_owned(),
            51932 => "euc-jp".to_owned(),
            50220..=50222 => "iso-2022-jp".to_owned(),
            65001 => return Some(UTF_8),
            part @ 28591..=28605 => format!("iso-8859-{}", part - 28590),
            page => format!("windows-{page}"),
        },
        _ => return None,
    };
    standard(&label)
}

/// An encoding whose label goes on where it should end, or lacks a dash.
fn misspelt(label: &str) -> Option<&'static Encoding> {
    let squeezed: String = label.trim_start_matches("x-").chars().filter(char::is_ascii_alphanumeric).collect();
    [
        ("utf8", "utf-8"),
        ("iso2022jp", "iso-2022-jp"),
        ("shiftjis", "shift_jis"),
        ("sjis", "shift_jis"),
        ("eucjp", "euc-jp"),
        ("euckr", "euc-kr"),
        ("ksc5601", "euc-kr"),
        ("euccn", "gb18030"),
        ("gb2312", "gb18030"),
        ("gb18030", "gb18030"),
        ("gbk", "gb18030"),
        ("big5", "big5"),
        ("euctw", "big5"),
        ("koi8u", "koi8-u"),
        ("koi8", "koi8-r"),
        ("tis620", "tis-620"),
        ("latin1", "windows-1252"),
        ("latin2", "iso-8859-2"),
        ("macroman", "macintosh"),
    ]
    .into_iter()
    .find(|(start, _)| squeezed.starts_with(start))
    .and_then(|(_, label)| standard(label))
}

/// The text behind a byte order mark, if it is what the mark says.
fn marked(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let (encoding, length) = Encoding::for_bom(bytes)?;
    encoding.decode_without_bom_handling_and_without_replacement(&bytes[length..])
}

/// UTF-16 without a byte order mark: ASCII shows which byte comes first. Text that is all ASCII is no UTF-16.
fn utf16(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let nulls_at = |offset| bytes.iter().skip(offset).step_by(2).filter(|&&byte| byte == 0).count();
    let (first, second) = (nulls_at(0), nulls_at(1));
    if first + second == 0 && bytes.is_ascii() {
        return (Cow::default(), true);
    }
    let encoding = if second > first { UTF_16LE } else { UTF_16BE };
    encoding.decode_without_bom_handling(bytes)
}

/// ISO-2022-JP (RFC 1468), if these bytes have its escape sequences.
fn escaped_japanese(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let has_escapes = memchr(b'\x1b', bytes).is_some();
    let has_escapes =
        has_escapes && bytes.windows(3).any(|three| matches!(three, b"\x1b$B" | b"\x1b$@" | b"\x1b(J" | b"\x1b(I"));
    has_escapes.then(|| ISO_2022_JP.decode_without_bom_handling_and_without_replacement(bytes))?
}

/// Whether there are several right characters beyond ASCII for each wrong one.
fn is_mostly_right(text: &str) -> bool {
    let beyond = text.chars().filter(|c| !c.is_ascii()).count();
    let wrong = text.chars().filter(|&c| c == char::REPLACEMENT_CHARACTER).count();
    beyond >= 5 * wrong
}

/// Whether more speaks for UTF-8 than against it: its characters beyond ASCII, and those cut off, against
/// bytes that cannot be in it.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut right, mut wrong) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        right += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        match chunk.invalid().len() {
            0 => {}
            1 => wrong += 1,
            _ => right += 1,
        }
    }
    right > 0 && right >= wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_charset_is_believed_where_it_can_be() {
        for (label, bytes, expected) in [
            ("utf-8", "grüße".as_bytes(), "grüße"),
            ("ISO-8859-1", b"gr\xfc\xdfe \x80", "grüße €"),
            ("iso8859_15", b"\xa4", "€"),
            ("iso88592", b"\xb1", "ą"),
            ("windows-1251", b"\xcf\xf0\xe8", "При"),
            ("win1251", b"\xcf\xf0\xe8", "При"),
            ("windows-1252http-equivcontent-type", b"\x80", "€"),
            ("koi8-r", b"\xf0\xd2\xc9", "При"),
            ("KOI8-U", b"\xa4", "є"),
            ("iso-2022-jp", b"\x1b$B%F%9%H\x1b(B", "テスト"),
            ("ISO-2022-JP-MS", b"\x1b$B%F%9%H\x1b(B", "テスト"),
            ("Shift_JIS", b"\x83e\x83X\x83g", "テスト"),
            ("cp932", b"\x83e\x83X\x83g", "テスト"),
            ("euc-jp", b"\xa5\xc6\xa5\xb9\xa5\xc8", "テスト"),
            ("euc-kr", b"\xc7\xd1", "한"),
            ("ks_c_5601-1987", b"\xc7\xd1", "한"),
            ("gb2312", b"\xd6\xd0\x81\x30\x81\x30", "中\u{80}"),
            ("GB18030", b"\x95\x32\x82\x36", "𠀀"),
            ("cp936", b"\xd6\xd0", "中"),
            ("big5", b"\xa4\xa4", "中"),
            ("utf-7", b"Hi Mom -+Jjo--!", "Hi Mom -☺-!"),
            ("utf-16", b"\xfe\xff\x00a", "a"),
            ("utf-16", b"a\0b\0", "ab"),
            ("utf-16", b"\0a\0b", "ab"),
            ("utf-16", b"plain", "plain"),
            ("cp850", b"\x81", "ü"),
            ("utf-8*en", "é".as_bytes(), "é"),
            ("'utf8'", "é".as_bytes(), "é"),
            ("utf8mb4", "é".as_bytes(), "é"),
            ("macintosh", b"\x8e", "é"),
            ("tis620", b"\xa1", "ก"),
        ] {
            assert_eq!(text(bytes, Some(label)), expected, "{label}");
        }
    }

    #[test]
    fn a_label_that_says_nothing_or_lies_does_no_harm() {
        for label in
            [None, Some("us-ascii"), Some("unknown-8bit"), Some("x-unknown"), Some(""), Some("utf-8"), Some("*")]
        {
            assert_eq!(text("é".as_bytes(), label), "é", "{label:?}");
            assert_eq!(text(b"caf\xe9", label), "café", "{label:?}");
            assert_eq!(text(b"", label), "", "{label:?}");
        }
        assert_eq!(text("grüße".as_bytes(), Some("big5")), "grüße");
        assert_eq!(text("日本".as_bytes(), Some("iso-2022-jp")), "日本");
        assert_eq!(text("日本".as_bytes(), Some("iso-2022-kr")), "日本");
        assert_eq!(text(b"a\x1b$B%F\x1b(Bb", None), "aテb");
        assert_eq!(text(b"a\x1b[1m", None), "a\x1b[1m");
    }

    #[test]
    fn a_byte_order_mark_is_believed_and_taken_off() {
        for label in [None, Some("utf-8"), Some("iso-8859-1")] {
            assert_eq!(text(b"\xef\xbb\xbf\xc3\xa9", label), "é");
            assert_eq!(text(b"\xff\xfea\0", label), "a");
        }
        assert_eq!(text(b"a\xef\xbb\xbf", None), "a\u{feff}");
    }

    #[test]
    fn a_few_wrong_bytes_do_not_turn_the_whole_text_into_another() {
        assert_eq!(text(b"\xc3\xa9\xc3\xa9\xff", Some("utf-8")), "éé\u{fffd}");
        assert_eq!(text(b"cut \xe2\x82", Some("utf-8")), "cut \u{fffd}");
        assert_eq!(text(b"\xe9t\xe9 \xc3\xa9", Some("utf-8")), "été Ã©");
        let cut = b"\x83e\x83X\x83g\x83e\x83X\x83g\x83";
        assert_eq!(text(cut, Some("shift_jis")), "テストテスト\u{fffd}");
        assert_eq!(text(b"caf\xe9 ol\xe9", Some("shift_jis")), "café olé");
    }
}
