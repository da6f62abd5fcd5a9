//! Addresses as programs want them: not quoted, and in their parts.
//!
//! In the lines that an MTA writes on top of a message a local part may be a quoted string (RFC 5322 section
//! 3.2.4). qmail-command(8) and Postfix's pipe(8) tell addresses as they are meant: without the quotation.

use crate::engine::Envelope;
use std::borrow::Cow;

/// The recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    /// The whole address.
    pub address: String,
    /// What stands before the delimiter in the local part, or all of that.
    pub user: String,
    /// What stands behind the delimiter, if there is one.
    pub extension: Option<String>,
}

impl Recipient {
    /// That of this envelope, if it is known.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let written = envelope.to.as_deref()?;
        let local = split(written).0;
        let inside = inside_quotes(local);
        let plain = |text: &str| if inside.is_some() { without_escapes(text) } else { text.to_owned() };
        let extension = envelope.detail.as_deref().map(|detail| match inside {
            Some(_) => detail.strip_suffix('"').unwrap_or(detail),
            None => detail,
        });
        let local = inside.unwrap_or(local);
        let user = extension.and_then(|extension| before_delimiter(local, extension)).unwrap_or(local);
        Some(Recipient { address: unquoted(written).into_owned(), user: plain(user), extension: extension.map(plain) })
    }

    /// The part before the `@`.
    pub fn local(&self) -> &str {
        split(&self.address).0
    }

    /// The part behind the `@`.
    pub fn host(&self) -> Option<&str> {
        split(&self.address).1
    }
}

/// What is left of a local part without its extension and the character before that.
fn before_delimiter<'a>(local: &'a str, extension: &str) -> Option<&'a str> {
    let mut user = local.strip_suffix(extension)?.chars();
    user.next_back()?;
    Some(user.as_str())
}

/// The address with its local part as it is meant.
pub(super) fn unquoted(address: &str) -> Cow<'_, str> {
    let (local, host) = split(address);
    match (inside_quotes(local).map(without_escapes), host) {
        (None, _) => address.into(),
        (Some(local), None) => local.into(),
        (Some(local), Some(host)) => format!("{local}@{host}").into(),
    }
}

/// The address with its local part quoted where it has to be, as qmail does it: also where it holds anything
/// but ASCII.
pub(super) fn quoted(address: &str) -> Cow<'_, str> {
    let (local, host) = split(address);
    let is_atom = |part: &str| !part.is_empty() && part.bytes().all(is_atom_text);
    if address.is_empty() || local.split('.').all(is_atom) {
        return address.into();
    }
    let mut quoted = String::from('"');
    for character in local.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    if let Some(host) = host {
        quoted.push('@');
        quoted.push_str(host);
    }
    quoted.into()
}

fn split(address: &str) -> (&str, Option<&str>) {
    address.rsplit_once('@').map_or((address, None), |(local, host)| (local, Some(host)))
}

fn inside_quotes(local: &str) -> Option<&str> {
    local.strip_prefix('"')?.strip_suffix('"')
}

/// A backslash makes what follows it ordinary.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

/// `atext` (RFC 5322 section 3.2.3).
fn is_atom_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_out_of_its_quotation_and_put_back() {
        for (written, meant) in [
            ("ada@example.com", "ada@example.com"),
            ("ada", "ada"),
            ("", ""),
            (r#""two words"@example.com"#, "two words@example.com"),
            (r#""a\"b\\c"@example.com"#, r#"a"b\c@example.com"#),
            (r#""a@b"@example.com"#, "a@b@example.com"),
            (r#""two words""#, "two words"),
            (r#"""@example.com"#, "@example.com"),
            (r#"".a"@example.com"#, ".a@example.com"),
            (r#""a..b"@example.com"#, "a..b@example.com"),
            (r#""é"@example.com"#, "é@example.com"),
            ("a.b!#$%&'*+-/=?^_`{|}~@example.com", "a.b!#$%&'*+-/=?^_`{|}~@example.com"),
        ] {
            assert_eq!((&*unquoted(written), &*quoted(meant)), (meant, written));
        }
        for odd in [r#""@example.com"#, r#"a"b@example.com"#, r#""a@example.com"#, "é@example.com"] {
            assert_eq!(unquoted(odd), odd);
        }
        assert_eq!(unquoted(r#""a\"@example.com"#), "a@example.com", "a backslash before nothing");
    }

    #[test]
    fn a_recipient_is_told_in_its_parts() {
        for (to, detail, user, local, host, extension) in [
            ("ada@example.org", None, "ada", "ada", Some("example.org"), None),
            ("ada+a+b@example.org", Some("a+b"), "ada", "ada+a+b", Some("example.org"), Some("a+b")),
            ("ada+@example.org", Some(""), "ada", "ada+", Some("example.org"), Some("")),
            ("+a@example.org", Some("a"), "", "+a", Some("example.org"), Some("a")),
            ("ada-7", Some("7"), "ada", "ada-7", None, Some("7")),
            (
                r#""a b+c \"d"@example.org"#,
                Some(r#"c \"d""#),
                "a b",
                r#"a b+c "d"#,
                Some("example.org"),
                Some(r#"c "d"#),
            ),
            (r#""a\+b"@example.org"#, Some(r#"b""#), "a", "a+b", Some("example.org"), Some("b")),
            ("ada@example.org", Some("strange"), "ada", "ada", Some("example.org"), Some("strange")),
        ] {
            let detail = detail.map(str::to_owned);
            let recipient = Recipient::of(&Envelope { from: None, to: Some(to.into()), detail }).unwrap();
            let told = (&*recipient.user, recipient.local(), recipient.host(), recipient.extension.as_deref());
            assert_eq!(told, (user, local, host, extension), "{to}");
        }
        assert_eq!(Recipient::of(&Envelope::default()), None);
    }
}
