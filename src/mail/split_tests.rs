use super::*;
use std::fmt::Write;

/// The tree as one line: `multipart/mixed[text/plain(Hi), …]`.
fn shape(part: &Part<'_>) -> String {
    if part.parts.is_empty() {
        return format!("{}({})", part.media_type, String::from_utf8_lossy(part.raw));
    }
    let inner: Vec<_> = part.parts.iter().map(shape).collect();
    format!("{}[{}]", part.media_type, inner.join(", "))
}

#[track_caller]
fn assert_shapes(cases: &[(&str, &str)]) {
    for (mail, expected) in cases {
        assert_eq!(shape(&tree(mail.as_bytes(), 0).unwrap()), *expected, "{mail:?}");
        let crlf = mail.replace('\n', "\r\n");
        let as_lf = shape(&tree(crlf.as_bytes(), 0).unwrap()).replace("\r\n", "\n");
        assert_eq!(as_lf, *expected, "{crlf:?}");
    }
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\n\n";

#[test]
fn a_mail_without_parts_is_a_leaf() {
    assert_shapes(&[
        ("", "text/plain()"),
        ("\n", "text/plain()"),
        ("Subject: x\n\nHi\n", "text/plain(Hi\n)"),
        ("Subject: x\n", "text/plain()"),
        ("Subject: x", "text/plain()"),
        ("Just text\nand: more\n\nof it", "text/plain(Just text\nand: more\n\nof it)"),
        ("Subject: x\nno blank line\nTo: y\n", "text/plain(no blank line\nTo: y\n)"),
        ("From ada Thu\nContent-Type: TEXT/HTML; charset=x\n\nHi", "text/html(Hi)"),
        ("\nSubject: x\n\nHi", "text/plain(Subject: x\n\nHi)"),
        ("Content-Type: text/html\nContent-Type: text/csv\n\nHi", "text/html(Hi)"),
    ]);
}

#[test]
fn a_type_that_is_none_is_text_unless_it_is_a_file() {
    assert_shapes(&[
        ("Content-Type: text\n\nHi", "text/plain(Hi)"),
        ("Content-Type: \n\nHi", "text/plain(Hi)"),
        ("Content-Type: a/b/c\n\nHi", "text/plain(Hi)"),
        ("Content-Type: pdf; name=a.pdf\n\nHi", "application/octet-stream(Hi)"),
        ("Content-Type: pdf\nContent-Disposition: attachment\n\nHi", "application/octet-stream(Hi)"),
        ("Content-Disposition: attachment\n\nHi", "text/plain(Hi)"),
    ]);
}

#[test]
fn parts_stand_between_delimiters() {
    for (body, expected) in [
        ("preamble\n--b\n\none\n--b\n\ntwo\n\n--b--\nepilogue\n", "text/plain(one), text/plain(two\n)"),
        ("--b\n\none\n--b \t\n\ntwo\n--b-- \n", "text/plain(one), text/plain(two)"),
        ("--b\n\none\n--b\n\nno end\n", "text/plain(one), text/plain(no end\n)"),
        ("--b\n\none\n--b--", "text/plain(one)"),
        ("--b\n\none\n--b", "text/plain(one)"),
        ("--b\n\n--b\n--b\n\n\n--b--", "text/plain(), text/plain()"),
        ("--b\nContent-Type: text/html\n\none\n--b--", "text/html(one)"),
        ("--b\nContent-Type: text/html\n--b--", "text/html()"),
        ("--b\nno header\n--b--", "text/plain(no header)"),
        ("--b\n\n--bc\n--b--b\n--b-\n --b\n--B\n--b--", "text/plain(--bc\n--b--b\n--b-\n --b\n--B)"),
        ("--b\n\none\n--b--\n--b\n\nbehind the end\n", "text/plain(one)"),
        ("--b\nContent-Type: message/rfc822\n\nSubject: x\n\n--c\n--b--", "message/rfc822(Subject: x\n\n--c)"),
    ] {
        assert_shapes(&[(&format!("{MIXED}{body}"), &format!("multipart/mixed[{expected}]"))]);
    }
}

#[test]
fn multiparts_stand_in_each_other() {
    let inner = |boundary: &str, body: &str| {
        format!("{MIXED}--b\nContent-Type: multipart/alternative; boundary=\"{boundary}\"\n\n{body}")
    };
    for (mail, expected) in [
        (inner("c", "--c\n\none\n--c--\n--b\n\ntwo\n--b--"), "multipart/alternative[text/plain(one)], text/plain(two)"),
        // One boundary begins with the other.
        (
            inner("bb", "--bb\n\none\n--bb--\n--b\n\ntwo\n--b--"),
            "multipart/alternative[text/plain(one)], text/plain(two)",
        ),
        // The end of the inner one is missing.
        (inner("c", "--c\n\none\n--b\n\ntwo\n--b--"), "multipart/alternative[text/plain(one)], text/plain(two)"),
        (inner("c", "--c\n\none\n--b--\n--c\n\nlate"), "multipart/alternative[text/plain(one)]"),
        // Both have the same boundary.
        (inner("b", "--b\n\none\n--b--\n--b\n\ntwo\n--b--"), "multipart/alternative[text/plain(one)], text/plain(two)"),
    ] {
        assert_shapes(&[(&mail, &format!("multipart/mixed[{expected}]"))]);
    }
}

#[test]
fn the_parts_of_a_digest_are_mails() {
    let mail = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nHi\n--b\nContent-Type: text/plain\n\nHo\n--b--";
    assert_shapes(&[(mail, "multipart/digest[message/rfc822(Subject: x\n\nHi), text/plain(Ho)]")]);
}

#[test]
fn a_multipart_that_is_none_is_text() {
    assert_shapes(&[
        ("Content-Type: multipart/mixed\n\n--b\n\nHi", "text/plain(--b\n\nHi)"),
        ("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nHi", "text/plain(--\n\nHi)"),
        ("Content-Type: multipart/mixed; boundary=b\n\nHi\n", "text/plain(Hi\n)"),
        ("Content-Type: multipart/mixed; boundary=b\n\nHi\n--b--\n", "text/plain(Hi)"),
        ("Content-Type: multipart/mixed; boundary=b\n--b\n\nHi\n--b--\n", "multipart/mixed[text/plain(Hi)]"),
        ("Content-Type: multipart/mixed; boundary=b\n\n", "multipart/mixed()"),
    ]);
}

#[test]
fn boundaries_are_taken_as_they_are_meant() {
    for (parameter, line) in [
        ("boundary=\"b \"", "--b"),
        ("boundary=\"a b: c\"", "--a b: c"),
        ("boundary=a:b", "--a:b"),
        ("BOUNDARY=\"=_?'()+/\"", "--=_?'()+/"),
        ("charset=x;\n\tboundary*0=\"a\";\n\tboundary*1=\"b\"", "--ab"),
    ] {
        let mail = format!("Content-Type: Multipart/Mixed; {parameter}\n\n{line}\nX: 1\n{line}\n\nHi\n{line}--\n");
        assert_shapes(&[(&mail, "multipart/mixed[text/plain(), text/plain(Hi)]")]);
    }
}

#[test]
fn depth_and_number_are_bounded() {
    let mut deep = String::new();
    for level in 0..100_000 {
        write!(deep, "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n").unwrap();
    }
    let root = tree(deep.as_bytes(), 0).unwrap();
    let mut depth = 0;
    let mut part = &root;
    while let Some(inner) = part.parts.first() {
        depth += 1;
        part = inner;
    }
    assert_eq!((depth, &*part.media_type), (20, "multipart/mixed"));
    assert!(part.raw.len() > deep.len() - 2000, "what is deeper is there as it is");

    let many = |parts: usize| format!("{MIXED}{}", "--b\n\n".repeat(parts));
    assert_eq!(tree(many(999).as_bytes(), 0).unwrap().parts.len(), 999);
    assert_eq!(tree(many(1000).as_bytes(), 0).unwrap_err().to_string(), "it has more than 1000 parts");
}

#[test]
fn long_mails_are_split_to_their_end() {
    let nested = |boundary: &str| {
        let header =
            |level| format!("Content-Type: multipart/mixed; boundary=\"{boundary}{level}\"\n\n--{boundary}{level}\n");
        (10..30).map(header).collect::<String>()
    };
    // Were the time the square of the length, this would take hours.
    for mail in [
        format!("{}{}", nested("b"), "--b\n".repeat(1_000_000)),
        format!("{}{}", nested(&"b".repeat(5_000)), format!("--{}\n", "b".repeat(5_000)).repeat(500)),
        format!("{MIXED}--b{}", " ".repeat(4_000_000)),
        format!("{MIXED}--b\n{}", "X: 1\n".repeat(1_000_000)),
        format!("Content-Type: multipart/mixed{}\n\n", "; a=b".repeat(1_000_000)),
    ] {
        assert!(tree(mail.as_bytes(), 0).is_ok());
    }
}
