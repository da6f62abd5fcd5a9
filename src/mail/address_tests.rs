use super::*;

/// A value, with the names and addresses in it.
type Case<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);

fn check(cases: &[Case<'_>]) {
    for (value, expected) in cases {
        let found = mailboxes(value);
        let found: Vec<(&str, &str)> =
            found.iter().map(|found| (found.name.as_deref().unwrap_or_default(), found.address.as_str())).collect();
        assert_eq!(found, *expected, "{}", value.escape_ascii());
    }
}

#[test]
fn addresses_and_names_are_found() {
    check(&[
        (b" ada@example.com", &[("", "ada@example.com")]),
        (b"Ada Lovelace <ada@example.com>", &[("Ada Lovelace", "ada@example.com")]),
        (b"\"Lovelace, Ada\" <a@b>, c@d", &[("Lovelace, Ada", "a@b"), ("", "c@d")]),
        (br#""Ada \"x\" \\" <a@b>"#, &[(r#"Ada "x" \"#, "a@b")]),
        (b"J. R. <a@b>", &[("J. R.", "a@b")]),
        (b"Ada   L\r\n\t M <a@b>", &[("Ada L M", "a@b")]),
        (b"<a@b>", &[("", "a@b")]),
        (b"<\"a\tb\"@c>", &[("", "\"a b\"@c")]),
        (b"\"A\tB\" <a@b>, <c@d> (C\tD)", &[("A B", "a@b"), ("C D", "c@d")]),
        (b"\"\" <a@b>", &[("", "a@b")]),
        (b"a@b, a@b", &[("", "a@b"), ("", "a@b")]),
    ]);
}

#[test]
fn names_are_decoded_after_the_list_is_taken_apart() {
    check(&[
        (b"=?utf-8?Q?Doe=2C_J=C3=B6?= <a@b>", &[("Doe, Jö", "a@b")]),
        (b"\"=?utf-8?Q?Doe=2C_J?=\" <a@b>", &[("Doe, J", "a@b")]),
        (b"=?utf-8?Q?Doe, (J\"?= <a@b>, c@d", &[("Doe, (J\"", "a@b"), ("", "c@d")]),
        (b"=?utf-8?B?w6k=?= =?utf-8?Q?=C3=A9?= x <a@b>", &[("éé x", "a@b")]),
        (b"=?iso-2022-jp?B?GyRCJUY=?=\r\n =?iso-2022-jp?B?JTklSBsoQg==?= <a@b>", &[("テスト", "a@b")]),
        ("Jö <jö@exämple.com>".as_bytes(), &[("Jö", "jö@exämple.com")]),
        (b"J\xf6 <a@b>", &[("Jö", "a@b")]),
        (b"=?utf-8?Q?a=0D=0Ab=00?= <a@b>", &[("a b", "a@b")]),
    ]);
}

#[test]
fn comments_are_names_where_there_are_none() {
    check(&[
        (b"ada@example.com (Ada)", &[("Ada", "ada@example.com")]),
        (b"(Ada) a@b", &[("Ada", "a@b")]),
        (b"a@b () (=?utf-8?Q?=C3=A9?=)", &[("é", "a@b")]),
        (b"<a@b> (Ada (the \\) first))", &[("Ada (the ) first)", "a@b")]),
        (b"Ada (x) L <a@b> (y)", &[("Ada L", "a@b")]),
        (b"a(x)@(y)b (Ada, L)", &[("x", "a@b")]),
        (b"MAILER-DAEMON (Mail Delivery System)", &[("Mail Delivery System", "MAILER-DAEMON")]),
    ]);
}

#[test]
fn groups_are_flattened() {
    check(&[
        (b"undisclosed-recipients:;", &[]),
        (b"\"Undisclosed\": ;", &[]),
        (b"Team: a@b, C <c@d>; e@f", &[("", "a@b"), ("C", "c@d"), ("", "e@f")]),
        (b"A: a@b;, B: c@d;", &[("", "a@b"), ("", "c@d")]),
        (b"mailto:a@b", &[("", "a@b")]),
    ]);
}

#[test]
fn quoted_and_odd_addresses_stay_as_they_are() {
    check(&[
        (b"\"a b\"@c", &[("", "\"a b\"@c")]),
        (b"Ada <\"a, b\"@c>", &[("Ada", "\"a, b\"@c")]),
        (b"\"Ada\" \"a b\"@c", &[("Ada", "\"a b\"@c")]),
        (b"<@x,@y:a@b>, c@d", &[("", "a@b"), ("", "c@d")]),
        (b"a@[IPv6:2001::1], b@[127.0.0.1]", &[("", "a@[IPv6:2001::1]"), ("", "b@[127.0.0.1]")]),
        (b"a@b@c", &[("", "a@b@c")]),
        (b"root", &[("", "root")]),
        (b"Ada <root>", &[("Ada", "root")]),
        (b"'a@b'", &[("", "'a@b'")]),
    ]);
}

#[test]
fn broken_lists_are_read_as_far_as_they_go() {
    check(&[
        (b"a@b; c@d;", &[("", "a@b"), ("", "c@d")]),
        (b", a@b,,c@d,", &[("", "a@b"), ("", "c@d")]),
        (b"Ada <a@b, Bob <c@d>", &[("Ada", "a@b"), ("Bob", "c@d")]),
        (b"Ada <a@b> Bob <c@d>", &[("Ada", "a@b"), ("Bob", "c@d")]),
        (b"<a@b><c@d>", &[("", "a@b"), ("", "c@d")]),
        (b"Ada <a@b", &[("Ada", "a@b")]),
        (b"Ada a@b>", &[("Ada", "a@b")]),
        (b"<<a@b>>", &[("", "a@b")]),
        (b"<a@b> junk", &[("", "a@b")]),
        (b"Ada Lovelace ada@b", &[("Ada Lovelace", "ada@b")]),
        (b"J. R. a@b", &[("J. R.", "a@b")]),
        (b"a@b Ada", &[("Ada", "a@b")]),
        (b"a@b c@d", &[("", "a@b"), ("", "c@d")]),
        (b"a @ b . c", &[("", "a@b.c")]),
        (b"Ada < a @ b . c >", &[("Ada", "a@b.c")]),
        (b"<mailto:a@b>", &[("", "a@b")]),
        (b"\"a@b\"", &[("", "a@b")]),
        (b"Ada <>", &[("Ada", "")]),
        (b"<>", &[]),
        (b"Foo [x] <a@b>", &[("Foo [x]", "a@b")]),
        (b"Re: [x: y] <a@b>", &[("y]", "a@b")]),
        (b"5\" disk <a@b>", &[("5\" disk", "a@b")]),
        (b"(open <a@b>", &[("(open", "a@b")]),
        (b"", &[]),
        (b" ,;:<>@", &[]),
        (b"@", &[("", "@")]),
    ]);
}

#[test]
fn hostile_lists_are_read_to_their_end() {
    // Were the time the square of the length, this would take hours.
    let piece = |text: &str| text.repeat((1 << 18) / text.len());
    for value in [
        piece("a,"),
        piece("a "),
        piece("a@"),
        piece("a@ "),
        piece("<"),
        piece("<a>"),
        piece("("),
        piece("()"),
        piece("\"\\\""),
        piece("\"a\""),
        piece("<@a,"),
        piece(":"),
        piece("=?a?q?"),
        piece("=?a?q?x?= "),
        piece(" "),
    ] {
        assert!(mailboxes(value.as_bytes()).len() <= LIMIT);
    }
}
