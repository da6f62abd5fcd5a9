use super::*;
use crate::mail::split::tree;

fn plain_of(mail: &[u8]) -> Text<'_> {
    plain(&tree(mail, 0).unwrap())
}

#[test]
fn text_is_decoded_and_its_lines_put_right() {
    for (header, body, expected) in [
        ("", &b"caf\xc3\xa9"[..], "café"),
        ("", b"caf\xe9", "café"),
        ("Content-Type: text/plain; charset=koi8-r\n", b"\xf0\xd2\xc9", "При"),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64 \n", b"w6k=", "é"),
        ("Content-Transfer-Encoding: quoted-printable\n", b"a=\nb=C3=A9", "abé"),
        ("", b"a\r\nb\rc\n\r\n", "a\nb\nc\n\n"),
        ("", b"a\0b", "a\u{fffd}b"),
        ("Content-Type: text/plain; format=flowed\n", b"a \r\nb\r\n", "a b\n"),
        ("Content-Type: text/plain; format=Flowed; DelSp=Yes\n", b"a \nb\n", "ab\n"),
        ("Content-Type: text/plain; format=fixed\n", b"a \nb\n", "a \nb\n"),
    ] {
        let mail = [header.as_bytes(), b"\n", body].concat();
        assert_eq!(plain_of(&mail).text, expected, "{header:?}");
    }
}

#[test]
fn html_tells_its_charset_where_the_header_does_not() {
    for (parameter, html_text, expected) in [
        ("", "<meta charset=koi8-r>", "П"),
        ("", "<META HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=KOI8-R\">", "П"),
        ("", "<meta charset = 'koi8-r' >", "П"),
        ("; charset=windows-1252", "<meta charset=koi8-r>", "ð"),
        ("", "<meta charset=\"\">", "ð"),
        ("", "<meta charset=utf-16>", "ð"),
        ("", "charset=koi8-r", "ð"),
        ("", "<meta>", "ð"),
    ] {
        let mail = [format!("Content-Type: text/html{parameter}\n\n{html_text}").as_bytes(), b"\xf0"].concat();
        assert_eq!(html(&tree(&mail, 0).unwrap()).text, format!("{html_text}{expected}"));
    }
    let far = [b"Content-Type: text/html\n\n", &*b" ".repeat(1024), b"<meta charset=koi8-r>\xf0"].concat();
    assert!(html(&tree(&far, 0).unwrap()).text.ends_with('ð'), "it stands where no browser looks");
}

#[test]
fn long_text_is_cut_between_characters() {
    let long = "é".repeat(TEXT_LIMIT);
    let utf16: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = data_encoding::BASE64_MIME.encode(&utf16);
    for mail in [
        format!("\na{long}"),
        format!("\n{}", "é\n".repeat(TEXT_LIMIT)),
        format!("Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n{encoded}"),
    ] {
        let Text { text, is_cut } = plain_of(mail.as_bytes());
        assert!(is_cut && text.len() <= TEXT_LIMIT && text.len() > TEXT_LIMIT - 4, "{}: {}", &mail[..50], text.len());
        assert!(text.contains('é') && !text.contains('\u{fffd}'));
    }
    let fits = format!("\n{}", "a".repeat(TEXT_LIMIT));
    assert!(!plain_of(fits.as_bytes()).is_cut);
}
