//! The world of somebody who only wants to know where mail goes.
//!
//! Secrets and programs are there for the daemon: credentials of systemd are in no other process, and
//! a CI server has none of them. What a configuration says of routes can be told without.

use crate::config::{Process, SecretFile, World};
use crate::target::Account;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

/// Stands for every secret that is not known here; it will do for a URL, a token and a header.
const UNKNOWN: &str = "https://not-known-here.invalid/";

/// As the world of this process, but nothing is missing.
#[derive(Clone, Copy, Debug)]
pub struct Bystander;

impl World for Bystander {
    fn variable(&self, name: &str) -> Option<OsString> {
        let usual = match name {
            "PATH" => None,
            "CREDENTIALS_DIRECTORY" => Some("/run/credentials/maildirq.service"),
            _ => Some(UNKNOWN),
        };
        Process.variable(name).filter(|value| !value.is_empty()).or_else(|| usual.map(OsString::from))
    }

    fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
        Process.secret_file(path).or_else(|_| Ok(SecretFile { contents: UNKNOWN.into(), mode: 0o600 }))
    }

    fn has_secrets(&self) -> bool {
        false
    }

    fn is_folder(&self, _: &Path) -> bool {
        true
    }

    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        let unknown = || Account { name: name.to_owned(), uid: u32::MAX, gid: u32::MAX, home: "/".into() };
        Process.account(name).map(|account| account.or_else(|| Some(unknown())))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Process.group(name).map(|group| group.or(Some(u32::MAX)))
    }

    fn is_program(&self, path: &Path) -> bool {
        // Of a name that is looked for in PATH the real program counts, if there is one.
        let paths = Process.variable("PATH").unwrap_or_default();
        let is_known = |name: &OsStr| env::split_paths(&paths).any(|folder| Process.is_program(&folder.join(name)));
        Process.is_program(path) || (path.is_absolute() && !path.file_name().is_some_and(is_known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn without_any_secret_the_routes_are_known() {
        let toml = r#"
            maildir = "/m"
            [[route]]
            target = "app"
            [target.app]
            url = { env = "MAILDIRQ_SURELY_UNSET" }
            auth = { basic = "maildirq", password = { credential = "surely-none" } }
            headers = { Api-Key = { file = "/nowhere/key" } }
            on_dead = ["/nowhere/page"]
            sign = [{ env = "MAILDIRQ_SURELY_UNSET" }]
            client_certificate = "/nowhere/client.pem"
            client_key = "/nowhere/client.key"
        "#;
        let reading = Config::parse(toml.as_bytes(), Path::new("maildirq.toml"), &Bystander).unwrap();
        assert_eq!(&*reading.config.routes[0].name, "app");
    }
}
