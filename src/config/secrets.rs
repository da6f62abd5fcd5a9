//! Secrets: looked up where a reference says, checked, and never repeated in what is said of them.

use super::item::{Item, visible_text};
use super::keys::{AUTH, BEARER, CREDENTIAL, ENV, FILE, HEADERS, KEYS, PASSWORD, Place};
use super::remark::Note;
use super::walk::{Table, nearest};
use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Where systemd puts credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A text that may be a secret.
pub(super) struct Resolved {
    pub text: String,
    /// Whether it came from elsewhere, and so must not be shown.
    pub is_reference: bool,
}

/// What a string says, or what a reference leads to.
pub(super) fn resolve(item: &Item<'_>) -> Option<Resolved> {
    if let Some(text) = item.as_text() {
        return checked(item, text.to_owned()).map(|text| Resolved { text, is_reference: false });
    }
    let table = if item.is_table() { item.table(Place::Secret)? } else { return item.wrong_type() };
    let given = [&ENV, &FILE, &CREDENTIAL].map(|key| table.item(key));
    let text = match given {
        [Some(name), None, None] => of_variable(item, &name)?,
        [None, Some(path), None] => of_file(item, Path::new(path.text()?))?,
        [None, None, Some(name)] => of_credential(item, &name)?,
        _ => {
            let help = "{ env = \"NAME\" }, { file = \"/PATH\" } or { credential = \"NAME\" }";
            item.walk.note(
                Note::absence("a reference says one of `env`, `file` and `credential`")
                    .at(item.span.clone())
                    .help(help),
            );
            return None;
        }
    };
    if text.is_empty() {
        return item.refuse("what the reference leads to is empty");
    }
    checked(item, text).map(|text| Resolved { text, is_reference: true })
}

/// As [`resolve`], for what is a secret in any case.
pub(super) fn resolve_secret(item: &Item<'_>) -> Option<String> {
    let resolved = resolve(item)?;
    if !resolved.is_reference {
        warn_of_plain_text(item);
    }
    Some(resolved.text)
}

/// What is said of a secret that the file itself holds.
pub const PLAIN_SECRET: &str = "a secret in the file itself";

/// Notes that whoever reads the file knows the secret.
pub(super) fn warn_of_plain_text(item: &Item<'_>) {
    let help = "{ credential = \"NAME\" }, { file = \"/PATH\" } or { env = \"NAME\" } keep it out";
    item.walk.note(Note::warning(PLAIN_SECRET).at(item.span.clone()).help(help));
}

fn checked(item: &Item<'_>, text: String) -> Option<String> {
    if text.contains(['\r', '\n', '\0']) {
        return item.refuse("it has a line break or a NUL byte in it");
    }
    Some(text)
}

fn lost<T>(item: &Item<'_>, text: String, help: impl Into<String>) -> Option<T> {
    item.walk.note(Note::error(text).at(item.span.clone()).help(help));
    None
}

fn of_variable(item: &Item<'_>, name: &Item<'_>) -> Option<String> {
    let name = visible_text(name)?;
    let help = format!("under systemd prefer {{ credential = \"{}\" }} + LoadCredential=", name.to_lowercase());
    match item.walk.world.variable(&name).map(OsString::into_string) {
        Some(Ok(text)) if text.is_empty() => lost(item, format!("environment variable {name} is empty"), help),
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => lost(item, format!("environment variable {name} is not UTF-8 text"), help),
        None => lost(item, format!("environment variable {name} is not set"), help),
    }
}

fn of_credential(item: &Item<'_>, name: &Item<'_>) -> Option<String> {
    let name = name.parsed(|name| {
        let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', ':']);
        if is_name {
            Ok(name.to_owned())
        } else {
            Err("the name of a credential is that of a file, without folders".into())
        }
    })?;
    let shown = crate::engine::text::printable(name.as_bytes());
    let Some(folder) = item.walk.world.variable(CREDENTIALS) else {
        let help = format!(
            "it is for systemd: LoadCredential={shown}:/PATH in the unit; elsewhere use {{ file = \"/PATH\" }}"
        );
        return lost(item, format!("there is no credential {shown}: ${CREDENTIALS} is not set"), help);
    };
    of_file(item, &PathBuf::from(folder).join(name))
}

fn of_file(item: &Item<'_>, path: &Path) -> Option<String> {
    let shown = crate::engine::text::printable(path.as_os_str().as_encoded_bytes());
    if !path.is_absolute() {
        return lost(item, format!("the path of a secret file begins with /, not as {shown}"), "a daemon has no home");
    }
    let file = match item.walk.world.secret_file(path) {
        Ok(file) => file,
        Err(error) => {
            let help = "is the file there, and may the user that maildirq runs as read it?";
            return lost(item, format!("cannot read the secret file {shown}: {error}"), help);
        }
    };
    let trouble = match file.mode {
        mode if mode & 0o004 != 0 => Some("read"),
        mode if mode & 0o022 != 0 => Some("changed"),
        _ => None,
    };
    if let Some(trouble) = trouble {
        let by = if trouble == "read" { "everybody" } else { "others than its owner" };
        let text = format!("the secret file {shown} can be {trouble} by {by}");
        item.walk.note(Note::warning(text).at(item.span.clone()).help(format!("chmod 600 {shown}")));
    }
    let Ok(mut text) = OsString::from_vec(file.contents).into_string() else {
        return lost(item, format!("the secret file {shown} is not UTF-8 text"), "a secret is one line of text");
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return lost(item, format!("the secret file {shown} is empty"), "a secret is one line of text");
    }
    Some(text)
}

/// The places of `text` that are not to be shown, going by what was read of it: values of headers and of
/// `auth`, and what a URL says of user, password and query.
pub(super) fn hidden(text: &str, tree: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    hide_in_table(text, tree, false, &mut found);
    found
}

fn hide_in_table(text: &str, table: &DeTable<'_>, is_secret: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let is_secret = match &**key.get_ref() {
            "env" | "file" | "credential" | "basic" => false,
            name => is_secret || is_secretive(name),
        };
        hide_in_value(text, value.get_ref(), value.span(), is_secret, found);
    }
}

/// Whether what stands under this key, which may be a slip of the pen, is nobody's business.
fn is_secretive(name: &str) -> bool {
    let secretive = [AUTH.name, HEADERS.name, PASSWORD.name, BEARER.name];
    let is_other = KEYS.iter().any(|key| key.name == name) && !secretive.contains(&name);
    !is_other && nearest(name, secretive.into_iter().chain(["token", "secret"])).is_some()
}

fn hide_in_value(text: &str, value: &DeValue<'_>, span: Range<usize>, is_secret: bool, found: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => hide_in_table(text, table, is_secret, found),
        DeValue::Array(list) => {
            for element in list {
                hide_in_value(text, element.get_ref(), element.span(), is_secret, found);
            }
        }
        _ if is_secret => found.push(span),
        DeValue::String(_) => found.extend(secrets_of_url(text, span)),
        _ => {}
    }
}

/// Where a URL in this place has user, password and query.
fn secrets_of_url(text: &str, span: Range<usize>) -> Vec<Range<usize>> {
    let written = &text[span.clone()];
    let Some(scheme) = written.find("://") else { return Vec::new() };
    let authority = scheme + 3;
    let rest = &written[authority..];
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold a slash that should have been written as %2F.
    let user = rest[..host_end].rfind('@').or_else(|| rest.rfind('@')).map(|at| authority..authority + at);
    let quoted = written.len().saturating_sub(1);
    let query = rest.find('?').map(|at| authority + at + 1..quoted).filter(|query| !query.is_empty());
    user.into_iter().chain(query).map(|part| span.start + part.start..span.start + part.end).collect()
}

/// The table that holds what proves whose a request is.
pub(super) fn user(table: &Table<'_>, key: &'static super::keys::Key) -> Option<String> {
    table.optional(key, |item| {
        item.parsed(|user| {
            if user.contains(':') || user.chars().any(char::is_control) {
                return Err("the name of a user has no colon and no control characters (RFC 7617)".into());
            }
            Ok(user.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_secret_is_found_wherever_it_stands() {
        for (text, hidden_parts) in [
            ("[target.a]\nauth = { basic = \"u\", password = \"p1\" }", &["\"p1\""][..]),
            ("[target.a]\natuh = { basic = \"u\", pasword = \"p1\" }", &["\"p1\""]),
            ("[target.a.auth]\nbearer = { env = \"NAME\" }", &[]),
            ("[target.a.headers]\nApi-Key = \"k\"\nX = [\"l\", 7]", &["\"k\"", "\"l\"", "7"]),
            ("url = \"https://u:p@host/in?key=k\"", &["u:p", "key=k"]),
            ("url = 'http://u:p/q@host/'", &["u:p/q"]),
            ("proxy = \"http://host/\"", &[]),
            ("maildir = \"/var/mail\"", &[]),
            ("[target.a]\nbreaker = { after = 3 }", &[]),
            ("[target.a]\nurl = \"http://x/\"\nconcurrency = 3", &[]),
            ("[[route]]\nwhen = { header = { X-Spam = \"YES\" } }", &[]),
        ] {
            let tree = DeTable::parse(text).unwrap();
            let found: Vec<_> = hidden(text, tree.get_ref()).into_iter().map(|part| &text[part]).collect();
            assert_eq!(found, hidden_parts, "{text}");
        }
    }
}
