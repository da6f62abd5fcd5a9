//! The recipes of `docs/recipes`: their text is what stands in `deploy/apps`, and it does what they say.

mod handlers;
mod services;
mod sockets;
mod workers;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::launch::binary;
use crate::support::program::{Program, python};
use crate::support::{Launch, Maildir, Maildirq, Overheard};

const MAIL: &str = "From: Ada <ada@example.com>\nTo: support@example.org\nSubject: =?utf-8?q?caf=C3=A9?=\n\nHello\n";

const PAGES: [&str; 15] = [
    "anymail",
    "discourse",
    "django",
    "django-worker",
    "express",
    "fastapi",
    "gunicorn",
    "laravel",
    "mojolicious",
    "php",
    "puma",
    "rails",
    "rails-worker",
    "redmine",
    "starman",
];

#[test]
fn every_recipe_has_the_same_parts() {
    let parts = ["## Goal", "## Paste", "## Prove it", "## What goes wrong", "## Undo"];
    for name in PAGES {
        let page = page(name);
        let found: Vec<_> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, parts, "docs/recipes/{name}.md");
        assert!(page.contains("\nmaildirq send "), "docs/recipes/{name}.md proves nothing");
        assert!(page.contains(" reason=\""), "docs/recipes/{name}.md has no line of the log");
    }
    let index = page("README");
    let mut files: Vec<_> =
        fs::read_dir(in_the_repository("docs/recipes")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let mut expected: Vec<_> =
        ["README"].iter().chain(&PAGES).map(|name| OsString::from(format!("{name}.md"))).collect();
    expected.sort();
    assert_eq!(files, expected);
    for name in PAGES {
        assert!(index.contains(&format!("]({name}.md)")), "docs/recipes/README.md does not know {name}.md");
    }
}

#[test]
fn what_is_to_be_pasted_stands_in_the_files_that_the_tests_run() {
    let mut files: BTreeMap<_, _> = ["deploy/apps", "deploy/workers"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(in_the_repository(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (fs::read_to_string(&path).unwrap(), path))
        .collect();
    for name in PAGES {
        let page = page(name);
        for (language, text) in blocks(&page) {
            if !["toml", "python", "js", "perl", "php", "ruby", "systemd"].contains(&language) {
                continue;
            }
            assert!(files.remove(text).is_some(), "docs/recipes/{name}.md has what no file in deploy/apps is:\n{text}");
        }
    }
    let mut left: Vec<_> = files.values().map(|path| path.file_name().unwrap()).collect();
    // Those of docs/workers.md: see worker_examples.rs.
    left.retain(|name| !name.as_encoded_bytes().starts_with(b"worker."));
    left.sort();
    assert_eq!(left, ["json.toml", "mailgun.toml", "postmark.toml", "raw.toml"], "only these are for no application");
}

/// The language and the text of each block of code.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// What `maildirq init` prints for an application.
fn init(app: &str, url: &str, maildir: &Maildir) -> String {
    let mut command = Command::new(binary());
    command.args(["init", "--app", app, "--url", url, "--maildir"]).arg(maildir.path());
    let output = command.overheard();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn drain(app: &str, url: &str, maildir: &Maildir) -> Launch {
    Maildirq::drain_config(&init(app, url, maildir))
}

/// What a recipe says.
fn page(name: &str) -> String {
    read(&format!("docs/recipes/{name}.md"))
}

fn read(path: &str) -> String {
    fs::read_to_string(in_the_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn in_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// As a recipe proves that it works: one command.
fn prove(app: &str, url: &str, maildir: &Maildir) -> Launch {
    let send = Launch::new("send").without_log().config(&init(app, url, maildir));
    send.args(["--target", "app", "--sample", "big"])
}

/// A program that gets a free port in its command.
fn by_command(command: &Value, env: &[(&str, &str)]) -> Program {
    let command = command.to_string();
    Program::start(&python(), "recipes/run.py", &[&[("COMMAND", &*command)], env].concat())
}

fn file(path: &str) -> String {
    in_the_repository(path).to_str().unwrap().to_owned()
}

/// What goes wrong stands in the recipe as it stands in the log.
#[track_caller]
fn said_by(name: &str, attempt: &Value) {
    let (page, reason) = (page(name), attempt["reason"].as_str().unwrap());
    let is_known = page.split("reason=\"").skip(1).filter_map(|rest| rest.split_once("\"\n")).any(|(known, _)| {
        // What follows is the application's own page.
        known.strip_suffix("…").map_or(known == reason, |start| reason.starts_with(start.trim_end_matches(": ")))
    });
    assert!(is_known, "docs/recipes/{name}.md does not know {reason}");
}
