use super::*;

fn name(value: &[u8]) -> Option<String> {
    let params = Params::read(value);
    assert_eq!(params.value, "attachment", "{}", value.escape_ascii());
    params.get("filename").map(str::to_owned)
}

fn check(cases: &[(&[u8], &str)]) {
    for (value, expected) in cases {
        let value = [b"attachment; ", *value].concat();
        assert_eq!(name(&value).as_deref(), Some(*expected), "{}", value.escape_ascii());
    }
}

#[test]
fn the_value_is_in_lower_case_and_parameters_are_found() {
    for (value, expected, charset) in [
        (" Text/Plain; Charset=UTF-8", "text/plain", Some("UTF-8")),
        ("text / plain ;\r\n\tcharset = \"utf-8\" ;", "text/plain", Some("utf-8")),
        ("text/plain (hi; there); charset=us-ascii (Plain text)", "text/plain", Some("us-ascii")),
        ("text/plain charset=utf-8", "text/plain", Some("utf-8")),
        ("text/plain; format=flowed charset=utf-8", "text/plain", Some("utf-8")),
        ("text/plain; name=\"a\" charset=utf-8", "text/plain", Some("utf-8")),
        ("text/plain; charset", "text/plain", None),
        ("text/plain; charset=", "text/plain", Some("")),
        ("text/plain;;; =x; charset=a; charset=b", "text/plain", Some("a")),
        ("charset=utf-8", "", Some("utf-8")),
        ("text", "text", None),
        ("text/html garbage", "text/html", None),
        ("", "", None),
    ] {
        let params = Params::read(value.as_bytes());
        assert_eq!((params.value.as_str(), params.get("charset")), (expected, charset), "{value}");
    }
}

#[test]
fn names_of_files_are_read_however_they_are_written() {
    check(&[
        (b"filename=a.pdf", "a.pdf"),
        (b"FileName = \"a; b.pdf\"; x=y", "a; b.pdf"),
        (b"filename=my file.pdf; size=3", "my file.pdf"),
        (b"filename=my file (1).pdf", "my file (1).pdf"),
        (b"filename=scan(1).pdf", "scan(1).pdf"),
        (b"filename=a=b.pdf", "a=b.pdf"),
        (b"filename=a.pdf size=3", "a.pdf"),
        (br#"filename="a \"b\" \\.pdf""#, r#"a "b" \.pdf"#),
        (br#"filename="C:\mail\a.pdf""#, r"C:\mail\a.pdf"),
        (b"filename=\"open.pdf; size=3", "open.pdf"),
        (b"filename=\"caf\xe9.pdf\"", "café.pdf"),
        ("filename=\"é.pdf\"".as_bytes(), "é.pdf"),
        (b"filename=\"=?utf-8?Q?=C3=A9=3B_b.pdf?=\"", "é; b.pdf"),
        (b"filename==?utf-8?Q?=C3=A9;_b.pdf?=", "é; b.pdf"),
        (b"filename=\"=?utf-8?B?w6k=?=\r\n =?utf-8?Q?.pdf?=\"", "é.pdf"),
        (b"filename=\"a\"; filename=\"b\"", "a"),
    ]);
}

#[test]
fn extended_values_and_continuations_are_put_together() {
    check(&[
        (b"filename*=utf-8'en'%e2%82%AC%20a.pdf", "€ a.pdf"),
        (b"filename*=iso-8859-1''%E9", "é"),
        (b"filename*=\"utf-8''%C3%A9\"", "é"),
        (b"filename*=%C3%A9%zz%", "é%zz%"),
        (b"filename*=UTF-8''it's", "it's"),
        (b"filename*=utf-8''a%0D%0Ab", "a b"),
        (b"filename*0=a; filename*1=\"b c\"; filename*2=.pdf", "ab c.pdf"),
        (b"filename*1=b; filename*0=a", "ab"),
        (b"filename*1=a; filename*2=b", "ab"),
        (b"filename*0=a; filename*2=c", "a"),
        (b"filename*0*=utf-8''%C3; filename*1*=%A9; filename*2=%41", "é%41"),
        (b"filename*0=a; filename*1*=utf-8''%C3; filename*2*=%A9; filename*3*=b''c", "aéb''c"),
        (b"filename*0=a; filename*1*=utf-8''%C3; filename*2*=%A9; filename*3*=b''c", "aéb''c"),
        (b"filename*0=\"=?utf-8?Q?=C3\"; filename*1=\"=A9?=\"", "é"),
        (b"filename*10=k; filename*9=j; filename*0=a; filename*1=b", "ab"),
        (b"filename=plain; filename*=utf-8''%C3%A9", "é"),
        (b"filename=plain; filename*0*=utf-8''%C3; filename*1*=%A9", "é"),
        (b"filename*0=a; filename*0=b", "a"),
        (b"filename*=utf-8''ext; filename*0=a", "ext"),
    ]);
}

#[test]
fn a_boundary_is_not_decoded() {
    let params = Params::read(b"multipart/mixed; boundary=\"=?utf-8?Q?a?=\"");
    assert_eq!(params.get("boundary"), Some("=?utf-8?Q?a?="));
}

#[test]
fn what_is_no_number_is_no_section() {
    let params = Params::read(b"attachment; filename*x=a; filename*99999999=b; *=c; filename**=d");
    assert_eq!(params.params, []);
}

#[test]
fn hostile_values_are_read_to_their_end() {
    // Were the time the square of the length, this would take hours.
    let piece = |text: &str| text.repeat((1 << 18) / text.len());
    for value in [
        piece(";"),
        piece("a="),
        piece(" name="),
        piece("\""),
        piece("("),
        piece("() "),
        piece("x=\"\\\";"),
        piece("=?a?q?"),
        piece("a*0=b;"),
        (0..100_000).fold(String::new(), |value, number| value + &format!("a*{number}=b;")),
    ] {
        let params = Params::read(format!("text/plain;{value}").as_bytes());
        assert!(params.params.len() <= LIMIT);
    }
}
