//! What a file says of what is told over HTTP, and of what is kept of mail that is gone.

use super::Retention;
use super::item::{Item, duration};
use super::keys::{HISTORY, HISTORY_SIZE, KEEP, LISTEN, Place, TOKEN, TRASH, WEB};
use super::remark::Note;
use super::secrets::resolve_secret;
use super::units::{parse_lifetime, parse_room};
use super::walk::Table;
use crate::engine::text::printable;
use crate::secret::Secret;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What is told over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// Where it is listened.
    pub listen: Listen,
    /// What `/metrics` must be asked with.
    pub token: Option<Secret>,
}

/// Where HTTP is listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket of this machine, by its path.
    Unix(PathBuf),
}

impl Listen {
    /// Whether others than this machine may get there.
    pub fn is_public(&self) -> bool {
        match self {
            // An IPv4 address may be written as an IPv6 one.
            Listen::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Listen::Unix(_) => false,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => write!(f, "http://{address}"),
            Listen::Unix(path) => write!(f, "unix:{}", printable(path.as_os_str().as_encoded_bytes())),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
            return if is_path {
                Ok(Listen::Unix(path.into()))
            } else {
                Err("the path of a socket begins with /".into())
            };
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Listen::Tcp((Ipv4Addr::LOCALHOST, port).into()));
        }
        let wrong =
            |_| "it is an address and a port such as \"127.0.0.1:8026\" or \"[::1]:8026\", or unix:/SOCKET".into();
        text.parse().map(Listen::Tcp).map_err(wrong)
    }
}

/// What is told over HTTP, if anything.
pub(super) fn read(top: &Table<'_>) -> Option<Web> {
    let table = top.item(&WEB)?.table(Place::Web)?;
    let listen = table.setting(&LISTEN, listen);
    let token = table.item(&TOKEN);
    if listen.is_public() && token.is_none() {
        let place = table.item(&LISTEN).map_or(table.span.clone(), |item| item.span);
        let text = format!("{listen} can be reached from other machines, and [web] has no `token`");
        let help = format!(
            "listen on {}; or behind a proxy on unix:/SOCKET; or say token = {}",
            LISTEN.default.unwrap_or_default(),
            TOKEN.example
        );
        top.walk.note(Note::error(text).at(place).help(help));
    }
    Some(Web { listen, token: token.and_then(|item| bearer(&item)) })
}

fn listen(item: &Item<'_>) -> Option<Listen> {
    item.parsed(str::parse)
}

fn bearer(item: &Item<'_>) -> Option<Secret> {
    let token = resolve_secret(item)?;
    // RFC 6750 section 2.1 allows even less.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return item.refuse("a token is visible ASCII without spaces");
    }
    Some(Secret::new(token))
}

/// What is kept of mail that is done or dropped.
pub(super) fn retention(top: &Table<'_>) -> Retention {
    let Some(table) = top.item(&KEEP).and_then(|item| item.table(Place::Keep)) else { return Retention::default() };
    Retention {
        history: table.optional(&HISTORY, duration),
        history_size: table.setting(&HISTORY_SIZE, |item| item.parsed(parse_room)),
        trash: table.setting(&TRASH, |item| item.parsed(parse_lifetime)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Key;
    use crate::config::tests::remarks;
    use crate::config::walk::usual;

    #[test]
    fn what_is_listened_on_is_an_address_or_a_socket() {
        for (text, shown, is_public) in [
            ("127.0.0.1:8026", "http://127.0.0.1:8026", false),
            ("127.3.2.1:80", "http://127.3.2.1:80", false),
            ("localhost:8026", "http://127.0.0.1:8026", false),
            ("[::1]:8026", "http://[::1]:8026", false),
            ("[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:8026", "http://0.0.0.0:8026", true),
            ("[::]:8026", "http://[::]:8026", true),
            ("192.0.2.7:8026", "http://192.0.2.7:8026", true),
            ("unix:/run/maildirq/web.sock", "unix:/run/maildirq/web.sock", false),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_public()), (shown, is_public), "{text}");
        }
        for wrong in ["", "8026", ":8026", "localhost", "app.example.com:80", "unix:web.sock", "unix:/", "127.0.0.1"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_others_can_reach_needs_a_token() {
        for (web, refused) in [
            ("listen = \"0.0.0.0:8026\"", true),
            ("listen = \"0.0.0.0:8026\"\ntoken = \"0123456789\"", false),
            ("listen = \"127.0.0.1:8026\"", false),
            ("", false),
        ] {
            let remarks = remarks(&format!("[web]\n{web}\n"));
            let refusal = remarks.iter().find(|remark| remark.text.contains("from other machines"));
            assert_eq!(refusal.is_some(), refused, "{web}: {remarks:?}");
            if let Some(refusal) = refusal {
                assert_eq!(refusal.line, Some(2));
                let help = refusal.help.as_deref().unwrap_or_default();
                assert!(["127.0.0.1:8026", "unix:/", "token = {"].iter().all(|way| help.contains(way)), "{help}");
            }
        }
    }

    #[test]
    fn the_default_retention_is_what_the_table_of_keys_says() {
        let said = |key: &'static Key| key.default;
        assert_eq!(
            usual(&HISTORY_SIZE, said(&HISTORY_SIZE), |item| item.parsed(parse_room)),
            Retention::default().history_size
        );
        assert_eq!(usual(&TRASH, said(&TRASH), |item| item.parsed(parse_lifetime)), Retention::default().trash);
        assert_eq!((said(&HISTORY), Retention::default().history), (None, None));
    }
}
