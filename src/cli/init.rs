//! `init`: the configuration for an application that is known, as plain TOML.

use super::{Exit, complain, print};
use crate::config::Address;
use clap::ValueEnum;
use reqwest::Url;
use toml::Value;

/// What stands in the files for what everybody has another of.
const MAILDIR: &str = "/var/lib/maildirq/support";

/// Print a configuration for Rails, Django, Discourse, …
///
/// Asks nothing and changes nothing: it prints the few lines of TOML that make an application
/// take mail as it is, without a line of it changed. Secrets are named, not contained.
///
/// Example: maildirq init --app rails > maildirq.toml
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The application, or what it is written with
    #[arg(long, value_name = "APP")]
    app: App,
    /// Where it is; to one without a path the usual path of the application is added
    #[arg(long, value_name = "URL", value_parser = address)]
    url: Option<String>,
    /// The Maildir that mail is taken from
    #[arg(long, value_name = "DIR", default_value = MAILDIR)]
    maildir: String,
}

fn address(text: &str) -> Result<String, String> {
    text.parse::<Address>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Prints it.
pub fn run(args: &Args) -> Exit {
    if !args.maildir.starts_with('/') {
        complain("--maildir: the path of a Maildir begins with /: a daemon has no home");
        return Exit::Usage;
    }
    print(config(args.app, args.url.as_deref(), &args.maildir)).err().unwrap_or(Exit::Ok)
}

/// The configuration for an application, with what is other than usual put in its place.
fn config(app: App, url: Option<&str>, maildir: &str) -> String {
    let text = app.config().replacen(&quoted(MAILDIR), &quoted(maildir), 1);
    match url {
        None => text,
        Some(url) => {
            let usual = usual_url(&text);
            text.replacen(&quoted(&usual), &quoted(&with_path(url, &usual)), 1)
        }
    }
}

fn usual_url(config: &str) -> String {
    let table: toml::Table = config.parse().expect("the files of applications are tested");
    let url = &table["target"]["app"]["url"];
    url.as_str().expect("the files of applications are tested").to_owned()
}

/// The URL, with the path of the usual one where it has none.
fn with_path(given: &str, usual: &str) -> String {
    let usual = path_of(usual);
    if path_of(given) != "/" || usual == "/" {
        return given.to_owned();
    }
    match Url::parse(given) {
        _ if given.starts_with("unix:") => format!("{}:{usual}", given.strip_suffix(":/").unwrap_or(given)),
        Ok(mut url) => {
            url.set_path(&usual);
            url.into()
        }
        Err(_) => given.to_owned(),
    }
}

/// The path of an address, with its query.
fn path_of(address: &str) -> String {
    if let Some(socket) = address.strip_prefix("unix:") {
        return socket.split_once(":/").map_or_else(|| "/".to_owned(), |(_, path)| format!("/{path}"));
    }
    let url = Url::parse(address).ok();
    let query = url.as_ref().and_then(Url::query).map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.as_ref().map_or("/", Url::path))
}

/// A string, as TOML has it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

macro_rules! apps {
    ($($(#[doc = $doc:literal])+ $name:ident = $file:literal $(or $alias:literal)?;)+) => {
        /// An application, or what it is written with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        enum App {
            $($(#[doc = $doc])+ $(#[value(alias = $alias)])? $name),+
        }

        impl App {
            /// The configuration for it, as it stands in the repository.
            fn config(self) -> &'static str {
                match self {
                    $(App::$name => include_str!(concat!("../../deploy/apps/", $file, ".toml"))),+
                }
            }
        }
    };
}

apps! {
    /// Rails with Action Mailbox
    Rails = "rails";
    /// Django, a view of your own
    Django = "django";
    /// Django with django-anymail
    Anymail = "anymail";
    /// Laravel with laravel-mailbox
    Laravel = "laravel";
    /// Node: Express, Fastify, …
    Node = "node" or "express";
    /// Python: `FastAPI`
    Fastapi = "fastapi";
    /// Perl: Mojolicious
    Perl = "perl" or "mojolicious";
    /// PHP without a framework
    Php = "php";
    /// Python: gunicorn behind a unix socket
    Gunicorn = "gunicorn";
    /// Ruby: Puma behind a unix socket
    Puma = "puma";
    /// Perl: Starman behind a unix socket
    Starman = "starman";
    /// Discourse
    Discourse = "discourse";
    /// Redmine
    Redmine = "redmine";
    /// What takes mail from Mailgun's routes
    Mailgun = "mailgun";
    /// What takes mail from Postmark's inbound webhook
    Postmark = "postmark";
    /// Anything that takes JSON
    Json = "json";
    /// Anything that parses mail itself
    Raw = "raw";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SecretFile, TargetKind, World};
    use std::ffi::OsString;
    use std::io;
    use std::path::Path;

    /// A world in which every variable is set to what a secret can be.
    struct Rich;

    impl World for Rich {
        fn variable(&self, _: &str) -> Option<OsString> {
            Some("whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=".into())
        }

        fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
            Err(io::Error::other(format!("nobody should need {}", path.display())))
        }

        fn is_program(&self, _: &Path) -> bool {
            false
        }
    }

    fn url(text: &str) -> (Config, String) {
        let reading = Config::parse(text.as_bytes(), Path::new("maildirq.toml"), &Rich)
            .unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(reading.warnings, [], "{text}");
        let TargetKind::Url(target) = &reading.config.targets[0].kind else { panic!("{text} is not for a url") };
        let url = target.url.to_string();
        (reading.config, url)
    }

    #[test]
    fn every_application_has_a_configuration_that_is_right() {
        for app in App::value_variants() {
            let (_, usual) = url(&config(*app, None, MAILDIR));
            let (other, elsewhere) = url(&config(*app, Some("http://127.0.0.1:3000"), "/home/ada/\"Mail\"dir"));
            assert_eq!(elsewhere, format!("http://127.0.0.1:3000{}", path_of(&usual)), "{app:?}");
            assert_eq!(other.queues[0].maildirs, [crate::config::Maildirs::One("/home/ada/\"Mail\"dir".into())]);
        }
    }

    #[test]
    fn a_path_that_is_given_is_kept() {
        for (given, expected) in [
            ("https://x.example.com/mail", "https://x.example.com/mail"),
            ("https://x.example.com/?a=b", "https://x.example.com/?a=b"),
            ("https://x.example.com/", "https://x.example.com/in"),
            ("https://x.example.com", "https://x.example.com/in"),
            ("unix:/run/app.sock", "unix:/run/app.sock:/in"),
            ("unix:/run/app.sock:/", "unix:/run/app.sock:/in"),
            ("unix:/run/app.sock:/mail", "unix:/run/app.sock:/mail"),
            ("unix:/run/app.sock:/?a=b", "unix:/run/app.sock:/?a=b"),
        ] {
            assert_eq!(with_path(given, "https://app.example.com/in"), expected);
            assert_eq!(with_path(given, "unix:/run/other.sock:/in"), expected);
            assert_eq!(with_path(given, "unix:/run/other.sock"), given, "there is no usual path");
        }
    }
}
