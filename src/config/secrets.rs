//! Secrets: looked up where a reference says, checked, and never repeated in what is said of them.

use super::item::{Item, visible_text};
use super::keys::{
    AUTH, BEARER, CREDENTIAL, ENV, ENVIRONMENT, FIELDS, FILE, HEADERS, KEYS, PASSWORD, Place, SIGN, SIGNING_KEY,
};
use super::remark::Note;
use super::walk::{Table, nearest};
use super::world::for_all_to_see;
use crate::engine::text::printable;
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
    resolve_reference(item, &table)
}

/// What a reference leads to, which stands in this table.
pub(super) fn resolve_reference(item: &Item<'_>, table: &Table<'_>) -> Option<Resolved> {
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
    if resolved.text.is_empty() {
        return item.refuse("a secret is not empty");
    }
    if !resolved.is_reference {
        tell_of_plain_text(item);
    }
    Some(resolved.text)
}

/// What is said of a secret that the file itself holds.
pub const PLAIN_SECRET: &str = "a secret in the file itself";

/// Notes that whoever reads the file knows the secret.
pub(super) fn tell_of_plain_text(item: &Item<'_>) {
    let help = "{ credential = \"NAME\" }, { file = \"/PATH\" } or { env = \"NAME\" } keep it out";
    let (world, file) = (item.walk.world, item.walk.file);
    let note = if world.is_for_all_to_see(file) {
        let help = format!("chmod 640 {}; {help}", printable(file.as_os_str().as_encoded_bytes()));
        Note::error(format!("{PLAIN_SECRET}, which everybody can read")).help(help)
    } else {
        Note::warning(PLAIN_SECRET).help(help)
    };
    item.walk.note(note.at(item.span.clone()));
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
    let help = format!(
        "set it where maildirq is started; under systemd prefer {{ credential = \"{}\" }} + LoadCredential=",
        name.to_lowercase()
    );
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
    let shown = printable(name.as_bytes());
    let Some(folder) = item.walk.world.variable(CREDENTIALS) else {
        let help = format!(
            "it is for systemd: LoadCredential={shown}:/PATH in the unit; elsewhere use {{ file = \"/PATH\" }}"
        );
        return lost(item, format!("there is no credential {shown}: ${CREDENTIALS} is not set"), help);
    };
    of_file(item, &PathBuf::from(folder).join(name))
}

fn of_file(item: &Item<'_>, path: &Path) -> Option<String> {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    let contents = contents_of(item, path, true)?;
    let Ok(mut text) = OsString::from_vec(contents).into_string() else {
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

/// What is in a file, which nobody else should be able to change, nor to read where it is secret.
pub(super) fn contents_of(item: &Item<'_>, path: &Path, is_secret: bool) -> Option<Vec<u8>> {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    let what = if is_secret { "secret file" } else { "file" };
    if !path.is_absolute() {
        return lost(item, format!("the path of a {what} begins with /, not as {shown}"), "a daemon has no home");
    }
    let file = match item.walk.world.secret_file(path) {
        Ok(file) => file,
        Err(error) => {
            let help = "is the file there, and may the user that maildirq runs as read it?";
            return lost(item, format!("cannot read the {what} {shown}: {error}"), help);
        }
    };
    let help = format!("chmod {} {shown}", if is_secret { "600" } else { "644" });
    // Whoever only wants to know where mail goes does not have to keep it.
    if is_secret && for_all_to_see(file.mode) && item.walk.world.has_secrets() {
        return lost(item, format!("the {what} {shown} can be read by everybody"), help);
    }
    if file.mode & 0o022 != 0 {
        let text = format!("the {what} {shown} can be changed by others than its owner");
        item.walk.note(Note::warning(text).at(item.span.clone()).help(help));
    }
    Some(file.contents)
}

/// The places of `text` that are not to be shown, going by what was read of it: values of headers and of
/// `auth`, and what a URL says of user, password and query.
pub(super) fn hidden(text: &str, tree: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    hide_in_table(text, tree, Holds::Other, &mut found);
    found
}

/// What a part of the file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Other,
    Secret,
    /// Secrets under names of the user's, which may be those of keys.
    NamedSecrets,
}

fn hide_in_table(text: &str, table: &DeTable<'_>, holds: Holds, found: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let is_shown = holds != Holds::NamedSecrets && ["env", "file", "credential", "basic", "mail"].contains(&name);
        let holds = match holds {
            _ if is_shown => Holds::Other,
            Holds::Other if is_like(name, &[HEADERS.name, FIELDS.name, ENVIRONMENT.name]) => Holds::NamedSecrets,
            Holds::Other if !is_secretive(name) => Holds::Other,
            _ => Holds::Secret,
        };
        hide_in_value(text, value.get_ref(), value.span(), holds, found);
    }
}

/// Whether what stands under this key is nobody's business.
fn is_secretive(name: &str) -> bool {
    is_like(name, &[AUTH.name, PASSWORD.name, BEARER.name, SIGN.name, SIGNING_KEY.name, "token", "secret"])
}

/// Whether a key is one of these, or a slip of the pen for one.
fn is_like(name: &str, keys: &[&str]) -> bool {
    let is_other = KEYS.iter().any(|key| key.name == name) && !keys.contains(&name);
    !is_other && nearest(name, keys.iter().copied()).is_some()
}

fn hide_in_value(text: &str, value: &DeValue<'_>, span: Range<usize>, holds: Holds, found: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => hide_in_table(text, table, holds, found),
        DeValue::Array(list) => {
            for element in list {
                hide_in_value(text, element.get_ref(), element.span(), holds, found);
            }
        }
        _ if holds != Holds::Other => found.push(span),
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
            (
                "[target.a]\nsign = [\"whsec_1\", { env = \"K\" }]\nfields = { k = \"f\", e = { mail = \"raw\" } }",
                &["\"f\"", "\"whsec_1\""],
            ),
            ("[target.a.fields]\nfile = \"f\"\nmail = \"m\"\nenv = { env = \"E\" }", &["\"f\"", "\"m\""]),
            ("headers = { basic = \"b\", X = { file = \"/f\" } }", &["\"b\""]),
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
