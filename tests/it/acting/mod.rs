//! What a person does to mail: beside a running daemon, beside a stopped one, to many, and killed in the midst of it.

mod killed;
mod many;
mod pausing;
mod verbs;

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Exit, Launch, Maildir, Maildirq};

/// A configuration for this Maildir whose one target is this URL.
fn config(maildir: &Maildir, url: &str) -> String {
    config_with(maildir, url, "")
}

fn config_with(maildir: &Maildir, url: &str, more: &str) -> String {
    let path = maildir.path().display();
    let retry = "retry = { min_delay = '1h', max_delay = '1h' }";
    format!(
        "maildir = '{path}'\n[[route]]\ntarget = 'app'\n[target.app]\nurl = '{url}'\n{retry}\n[target.archive]\nurl = '{url}/archive'\n{more}\n"
    )
}

/// A verb with these words, separated by blanks.
fn act(toml: &str, words: &str) -> Launch {
    let mut words = words.split(' ');
    let verb = words.next().expect("a verb");
    Launch::new(verb)
        .config(toml)
        .without_log()
        .args(words)
        .env("USER", "ada")
        .env("LOGNAME", "ada")
        .env("SUDO_USER", "")
}

/// Does it, and returns how it ended and what it printed.
#[track_caller]
fn done(toml: &str, words: &str) -> (Exit, String) {
    let ended = act(toml, words).run();
    (ended.exit(), ended.stdout())
}

/// Where each mail of these subjects is: the folder of its file. Each is in one place.
#[track_caller]
fn places(maildir: &Maildir) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    for folder in ["new", "cur", ".maildirq.dead/new", ".maildirq.trash/new", ".maildirq.done/new"] {
        for (name, subject) in mails(&maildir.path().join(folder)) {
            let before = places.insert(subject.clone(), folder.to_owned());
            assert_eq!(before, None, "{subject} ({name}) is in two places");
        }
    }
    places
}

fn mails(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let subject = |text: &str| Some(text.split_once("Subject: ")?.1.lines().next()?.to_owned());
    entries
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), subject(&text).expect("a mail with a subject"))
        })
        .collect()
}

fn mail(subject: &str) -> String {
    format!("From: ada@example.com\nSubject: {subject}\n\nhi\n")
}

/// The log of a daemon that has begun its work.
fn watch(toml: &str) -> Maildirq {
    let watch = Maildirq::watch_config(toml).start();
    watch.wait_for_event("ready");
    watch
}
