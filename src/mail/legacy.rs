//! Charsets of old mail that the WHATWG encodings, and so `encoding_rs`, leave out.

use encoding_rs::{EUC_KR, Encoding, GB18030};

/// A charset that only old mail is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Legacy {
    /// A DOS code page: the characters of the bytes from 0x80 on.
    Dos(&'static str),
    /// ISO-2022-KR (RFC 1557).
    Iso2022Kr,
    /// HZ (RFC 1843).
    Hz,
}

const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                     αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀\
                     ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";
const CP852: &str = "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀\
                     ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{ad}˝˛ˇ˘§÷¸°¨˙űŘř■\u{a0}";

impl Legacy {
    /// The charset of this label, in lower case.
    pub fn of(label: &str) -> Option<Self> {
        Some(match label {
            "cp437" | "ibm437" | "437" => Legacy::Dos(CP437),
            "cp850" | "ibm850" | "850" | "cp858" | "ibm00858" => Legacy::Dos(CP850),
            "cp852" | "ibm852" | "852" => Legacy::Dos(CP852),
            "iso-2022-kr" | "csiso2022kr" => Legacy::Iso2022Kr,
            "hz-gb-2312" | "hz" => Legacy::Hz,
            _ => return None,
        })
    }

    /// The text that these bytes are, and whether some of them are none.
    pub fn decode(self, bytes: &[u8]) -> (String, bool) {
        let (eight_bit, encoding): (_, &'static Encoding) = match self {
            Legacy::Dos(upper) => return (dos(bytes, upper), false),
            Legacy::Iso2022Kr => (unshift_korean(bytes), EUC_KR),
            Legacy::Hz => (unshift_chinese(bytes), GB18030),
        };
        let (text, has_errors) = encoding.decode_without_bom_handling(&eight_bit);
        (text.into_owned(), has_errors)
    }
}

fn dos(bytes: &[u8], upper: &str) -> String {
    let upper: Vec<char> = upper.chars().collect();
    let character = |&byte: &u8| match byte.checked_sub(0x80) {
        Some(above) => upper.get(usize::from(above)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
        None => char::from(byte),
    };
    bytes.iter().map(character).collect()
}

/// ISO-2022-KR as EUC-KR: what stands between SO and SI has its eighth bit set.
fn unshift_korean(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut is_korean = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            0x1b if after.starts_with(b"$)C") => rest = &after[3..],
            0x0e => is_korean = true,
            0x0f => is_korean = false,
            b'\n' => {
                is_korean = false;
                plain.push(b'\n');
            }
            0x21..=0x7e if is_korean => plain.push(byte | 0x80),
            _ => plain.push(*byte),
        }
    }
    plain
}

/// HZ as GBK: what stands between `~{` and `~}` has its eighth bit set.
fn unshift_chinese(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut is_chinese = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        if let (b'~', Some(escaped @ (b'{' | b'}' | b'~' | b'\n'))) = (byte, after.first()) {
            rest = &after[1..];
            match escaped {
                b'~' => plain.push(b'~'),
                b'\n' => {}
                brace => is_chinese = *brace == b'{',
            }
            continue;
        }
        is_chinese &= *byte != b'\n';
        plain.push(if is_chinese && byte.is_ascii_graphic() { byte | 0x80 } else { *byte });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        for table in [CP437, CP850, CP852] {
            assert_eq!(table.chars().count(), 128);
        }
    }

    #[test]
    fn old_charsets_are_read() {
        for (label, bytes, text) in [
            ("cp437", &b"caf\x82 \xe1"[..], "café ß"),
            ("cp850", b"\x84\x94\x81\xe1\xd5 1\x9b", "äöüßı 1ø"),
            ("cp852", b"\xa9\x88", "ęł"),
            ("iso-2022-kr", b"\x1b$)C\x0e>H3g\x0f hi \x0eGQ\x0f", "안녕 hi 한"),
            ("iso-2022-kr", b"\x0eGQ\nab", "한\nab"),
            ("hz-gb-2312", b"This ~{<:Ky2;S{#,NpJ)l6HK!#~} ok~~", "This 己所不欲，勿施於人。 ok~"),
        ] {
            assert_eq!(Legacy::of(label).unwrap().decode(bytes), (text.to_owned(), false), "{label}");
        }
        assert_eq!(Legacy::of("utf-8"), None);
        assert!(Legacy::Hz.decode(b"~{<").1);
        assert_eq!(Legacy::Iso2022Kr.decode(b"\x1b$\x0e\x0f~").0, "\x1b$~");
    }
}
