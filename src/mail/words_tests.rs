use super::*;

fn check(cases: &[(&[u8], &str)]) {
    for (value, text) in cases {
        assert_eq!(decode(value), *text, "{}", value.escape_ascii());
    }
}

#[test]
fn words_are_decoded_by_their_charset() {
    check(&[
        (b"=?utf-8?Q?gr=C3=BC=c3=9fe?=", "grüße"),
        (b"=?UTF-8?b?w6k=?=", "é"),
        (b"=?iso-8859-1?q?a_b=5F=E9?=", "a b_é"),
        (b"=?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?=", "テスト"),
        (b"=?Shift_JIS?B?g2WDWINn?=", "テスト"),
        (b"=?EUC-KR?B?x9E=?=", "한"),
        (b"=?gb2312?Q?=D6=D0?=", "中"),
        (b"=?koi8-r?Q?=F0=D2=C9?=", "При"),
        (b"=?windows-1251?Q?=CF=F0=E8?=", "При"),
        (b"=?cp850?Q?=81?=", "ü"),
        (b"=?utf-7?Q?Hi_+Jjo-?=", "Hi ☺"),
        (b"=?utf-8*en?Q?=C3=A9?=", "é"),
        (b"=?utf-8?Q??=", ""),
    ]);
}

#[test]
fn blanks_between_words_go_and_those_beside_text_stay() {
    check(&[
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?Q?a?=\r\n\t =?koi8-r?B?YmI=?=", "abb"),
        (b"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
        (b"x  =?utf-8?Q?a?=  y =?utf-8?Q?b?=", "x  a  y b"),
        (b"x=?utf-8?Q?a?=y", "xay"),
        (b"one\r\n two\n\tthree", "one two\tthree"),
        (b"  a\r\n ", "a"),
        (b"\"=?utf-8?Q?a?=\" (=?utf-8?Q?b?=)", "\"a\" (b)"),
    ]);
}

#[test]
fn words_split_within_a_character_or_without_escapes_are_joined_first() {
    check(&[
        (b"=?utf-8?B?w6?= =?UTF-8?B?qQ==?=", "é"),
        (b"=?utf-8?Q?=C3?= =?UTF-8?Q?=A9?=", "é"),
        (b"=?utf-8?B?4oI=?= =?utf-8?Q?=AC?=", "€"),
        (b"=?gb2312?Q?=D6?=\n =?gb2312?Q?=D0?=", "中"),
        (b"=?iso-2022-jp?B?GyRCJUY=?= =?iso-2022-jp?B?JTklSBsoQg==?=", "テスト"),
        (b"=?utf-7?Q?+AOk?= =?utf-7?Q?+AOk-?=", "éé"),
    ]);
}

#[test]
fn broken_words_are_decoded_as_far_as_they_go() {
    check(&[
        (b"=?utf-8?B?YWI?=", "ab"),
        (b"=?utf-8?B?YW!!I=?=", "ab"),
        (b"=?utf-8?B?YQ==Yg==?=", "ab"),
        (b"=?utf-8?Q?a b = =4 =zz?c?=", "a b = =4 =zz?c"),
        ("=?utf-8?Q?é_=C3=A9?=".as_bytes(), "é é"),
        (b"=?us-ascii?Q?=C3=A9?=", "é"),
        (b"=?x-unknown?Q?=C3=A9?=", "é"),
        (b"=?nonsense?Q?=E9?=", "é"),
        (b"=?utf-8?Q?caf=E9?=", "café"),
    ]);
}

#[test]
fn what_is_no_word_stays() {
    check(&[
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"=?utf-8?Q?a", "=?utf-8?Q?a"),
        (b"=??Q?a?=", "=??Q?a?="),
        (b"=?utf 8?Q?a?=", "=?utf 8?Q?a?="),
        (b"=?utf-8?Q?open =?utf-8?Q?b?=", "=?utf-8?Q?open b"),
        (b"=?=?utf-8?Q?a?=", "=?a"),
        (b"1 + 1 =? 2 ?=", "1 + 1 =? 2 ?="),
        (b"", ""),
    ]);
}

#[test]
fn raw_8_bit_text_is_read_beside_words_and_alone() {
    check(&[
        ("é =?utf-8?Q?=C3=A9?= é".as_bytes(), "é é é"),
        (b"caf\xe9", "café"),
        (b"\x1b$B%F%9%H\x1b(B", "テスト"),
        ("日本".as_bytes(), "日本"),
        (b"caf\xe9 =?utf-8?Q?=C3=A9?=", "café é"),
    ]);
}

#[test]
fn a_value_is_one_line_without_control_characters() {
    check(&[
        (b"=?utf-8?Q?a=0D=0ABcc:=0Ab=00=1B=7F=09c?=", "a Bcc: b\tc"),
        (b"=?utf-8?Q?a=E2=80=A8b=C2=85c=C2=9Bd?=", "a b cd"),
        (b"a\0b\rc", "abc"),
        (b"=?utf-8?Q?=0A_a_=0A?=", "a"),
    ]);
}

#[test]
fn each_character_is_looked_at_closely_that_may_not_stay() {
    for character in ('\0'..=char::MAX).map(String::from) {
        // What stands before it is taken out.
        let closely = one_line(format!("\u{1}{character}").into());
        assert_eq!(is_one_line(&character), closely == character, "{}", character.escape_unicode());
    }
}

#[test]
fn hostile_values_are_read_to_their_end() {
    // Were the time the square of the length, this would take hours.
    let piece = |text: &str| text.repeat((1 << 18) / text.len());
    for value in [
        piece("=?"),
        piece("=?a?q?"),
        piece("x=?a?q?"),
        piece("=?a?q? "),
        piece("x=?a?q?") + " =?a",
        piece("=?a?q?x?="),
        piece("=?a?q?x?= =?b?q?x?= "),
        format!("=?utf-8?q?{}?=", piece("=")),
        format!("=?utf-8?b?{}?=", piece("=")),
        piece("\r\n "),
    ] {
        assert!(decode(value.as_bytes()).len() <= value.len(), "{}", &value[..12]);
    }
}
