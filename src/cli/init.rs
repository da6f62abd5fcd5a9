//! `init`: the configuration for an application that is known, for a worker, or for the commands of a `.qmail` file,
//! as plain TOML.

mod dot_qmail;
mod qmail;

use super::{Exit, complain, print};
use crate::config::Address;
use clap::{ArgGroup, ValueEnum};
use reqwest::Url;
use std::path::PathBuf;
use toml::Value;

/// What stands in the files for what everybody has another of.
const MAILDIR: &str = "/var/lib/maildirq/support";

/// Print a configuration for Rails, Django, Discourse, …
///
/// Asks nothing and changes nothing: it prints the few lines of TOML that make an application
/// take mail as it is, without a line of it changed. Secrets are named, not contained.
/// For a worker they name its program, which is in docs/recipes or docs/workers.md.
/// From a .qmail file it makes what runs the commands of that file as qmail does.
///
/// Example: maildirq init --app rails > maildirq.toml
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, group(ArgGroup::new("source").required(true).args(["app", "from_qmail"])))]
pub struct Args {
    /// The application, or what it is written with
    #[arg(long, value_name = "APP")]
    app: Option<App>,
    /// The .qmail file whose commands are to be run
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    from_qmail: Option<PathBuf>,
    /// Where it is; to one without a path the usual path of the application is added
    #[arg(long, value_name = "URL", value_parser = address)]
    url: Option<String>,
    /// The Maildir that mail is taken from [default: /var/lib/maildirq/support, or one in the home of a
    /// .qmail file]
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    maildir: Option<String>,
}

fn address(text: &str) -> Result<String, String> {
    text.parse::<Address>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Prints it.
pub fn run(args: &Args) -> Exit {
    let maildir = args.maildir.as_deref();
    if maildir.is_some_and(|maildir| !maildir.starts_with('/')) {
        complain("--maildir: the path of a Maildir begins with /: a daemon has no home");
        return Exit::Usage;
    }
    match (&args.from_qmail, args.app) {
        (Some(file), _) => qmail::run(file, maildir),
        (None, Some(app)) => {
            let Some(config) = config(app, args.url.as_deref(), maildir.unwrap_or(MAILDIR)) else {
                complain("--url: a worker has none: it is given mail without HTTP\n  = try: without --url");
                return Exit::Usage;
            };
            print(config).err().unwrap_or(Exit::Ok)
        }
        (None, None) => unreachable!("the parser wants one of them"),
    }
}

/// The configuration for an application, with what is other than usual put in its place; nothing where a URL is
/// given to what has none.
fn config(app: App, url: Option<&str>, maildir: &str) -> Option<String> {
    let text = app.config().replacen(&quoted(MAILDIR), &quoted(maildir), 1);
    let Some(url) = url else { return Some(text) };
    let usual = usual_url(&text)?;
    Some(text.replacen(&quoted(&usual), &quoted(&with_path(url, &usual)), 1))
}

fn usual_url(config: &str) -> Option<String> {
    let table: toml::Table = config.parse().expect("the files of applications are tested");
    Some(table["target"]["app"].get("url")?.as_str()?.to_owned())
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
                    $(App::$name => include_str!(concat!("../../deploy/", $file, ".toml"))),+
                }
            }
        }
    };
}

apps! {
    /// Rails with Action Mailbox
    Rails = "apps/rails";
    /// Django, a view of your own
    Django = "apps/django";
    /// Django with django-anymail
    Anymail = "apps/anymail";
    /// Laravel with laravel-mailbox
    Laravel = "apps/laravel";
    /// Node: Express, Fastify, …
    Node = "apps/node" or "express";
    /// Python: `FastAPI`
    Fastapi = "apps/fastapi";
    /// Perl: Mojolicious
    Perl = "apps/perl" or "mojolicious";
    /// PHP without a framework
    Php = "apps/php";
    /// Python: gunicorn behind a unix socket
    Gunicorn = "apps/gunicorn";
    /// Ruby: Puma behind a unix socket
    Puma = "apps/puma";
    /// Perl: Starman behind a unix socket
    Starman = "apps/starman";
    /// Discourse
    Discourse = "apps/discourse";
    /// Redmine
    Redmine = "apps/redmine";
    /// What takes mail from Mailgun's routes
    Mailgun = "apps/mailgun";
    /// What takes mail from Postmark's inbound webhook
    Postmark = "apps/postmark";
    /// Anything that takes JSON
    Json = "apps/json";
    /// Anything that parses mail itself
    Raw = "apps/raw";
    /// Rails with Action Mailbox, by a worker
    RailsWorker = "workers/rails-worker";
    /// Django, by a worker
    DjangoWorker = "workers/django-worker";
    /// A worker in Perl, Ruby, Python, Node, PHP or shell
    Worker = "workers/worker";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SecretFile, TargetKind, World};
    use std::ffi::OsString;
    use std::io;
    use std::path::Path;

    /// A world in which every variable is set to what a secret can be, and every program is there.
    struct Rich;

    impl World for Rich {
        fn variable(&self, name: &str) -> Option<OsString> {
            (name != "PATH").then(|| "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=".into())
        }

        fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
            Err(io::Error::other(format!("nobody should need {}", path.display())))
        }

        fn is_program(&self, _: &Path) -> bool {
            true
        }
    }

    fn read(text: &str) -> Config {
        // The folder of an application has to be there.
        let text = text.replace("\"/srv/app\"", "\"/\"");
        let reading = Config::parse(text.as_bytes(), Path::new("maildirq.toml"), &Rich)
            .unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(reading.warnings, [], "{text}");
        reading.config
    }

    #[test]
    fn every_application_has_a_configuration_that_is_right() {
        let elsewhere = "/home/ada/\"Mail\"dir";
        let mut workers = Vec::new();
        for app in App::value_variants() {
            let usual = read(&config(*app, None, elsewhere).unwrap());
            assert_eq!(usual.queues[0].maildirs, [crate::config::Maildirs::One(elsewhere.into())]);
            let with_url = config(*app, Some("http://127.0.0.1:3000"), MAILDIR).map(|text| read(&text));
            match (&usual.targets[0].kind, with_url.as_ref().map(|config| &config.targets[0].kind)) {
                (TargetKind::Url(usual), Some(TargetKind::Url(other))) => {
                    let expected = format!("http://127.0.0.1:3000{}", path_of(&usual.url.to_string()));
                    assert_eq!(other.url.to_string(), expected, "{app:?}");
                }
                (TargetKind::Worker(_), None) => workers.push(*app),
                _ => panic!("{app:?}"),
            }
        }
        assert_eq!(workers, [App::RailsWorker, App::DjangoWorker, App::Worker]);
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
