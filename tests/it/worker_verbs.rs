//! What the commands for people say of a target that is a worker: `send`, `route`, `init`.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::launch::binary;
use crate::support::{Exit, Maildir, Maildirq, Overheard};

const PYTHON: &str = "/usr/bin/python3";
const WORKER: &str = r#"
import json, sys
print('{"type":"ready","version":1}', flush=True)
for line in sys.stdin:
    if (job := json.loads(line))["type"] == "job":
        print(json.dumps({"type": "done", "id": job["id"]}), flush=True)
"#;

/// A folder with a configuration for a worker and a command, the Maildir, and the configuration's text.
fn office() -> (TempDir, Maildir, String) {
    let (home, maildir) = (TempDir::new().unwrap(), Maildir::new());
    fs::write(home.path().join("worker.py"), WORKER).unwrap();
    let toml = format!(
        "maildir = \"{}\"\n[target.app]\nworker = [{PYTHON:?}, 'worker.py']\ndirectory = \"{}\"\nprocesses = 1\n\
         [target.script]\ncommand = ['/bin/true']\n\
         [[route]]\nwhen = {{ to = 'script@*' }}\ntarget = 'script'\n[[route]]\ntarget = 'app'\n",
        maildir.path().display(),
        home.path().display()
    );
    fs::write(home.path().join("maildirq.toml"), &toml).unwrap();
    (home, maildir, toml)
}

/// How it ended, and what it said on standard output and on standard error.
fn said(home: &TempDir, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(binary());
    let output = command.args(words).arg("-c").arg(home.path().join("maildirq.toml")).overheard();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_test_mail_for_a_program_goes_by_the_queue_and_the_refusal_says_so() {
    let (home, _maildir, toml) = office();
    for (target, what) in [("app", "worker"), ("script", "command")] {
        for words in
            [&["send", "--target", target][..], &["send", "--direct", "http://127.0.0.1:9/", "--target", target]]
        {
            let (code, _, error) = said(&home, words);
            assert_eq!(code, Some(64), "{error}");
            let first = format!("the target {target} is a {what}, and --target sends one request to a url\n");
            assert!(error.contains(&first) && error.contains("= try: maildirq send --to ADDR, "), "{error}");
        }
    }
    let watch = Maildirq::watch_config(&toml).start();
    watch.wait_for_event("worker_started");
    for (to, expected) in
        [("ada@example.org", "by the worker of app "), ("script@example.org", "by the command of script ")]
    {
        let (code, out, error) = said(&home, &["send", "--to", to]);
        assert_eq!(code, Some(0), "{out}{error}");
        assert!(out.contains(expected) && out.contains(" It works."), "{out}");
    }
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn the_job_that_is_shown_has_the_path_of_the_file_that_was_given() {
    let (home, _maildir, _) = office();
    let mail = home.path().join("mail.eml");
    for size in [10, 300_000] {
        fs::write(&mail, format!("To: ada@example.org\n\n{}", "x".repeat(size))).unwrap();
        let (code, out, error) = said(&home, &["route", "--payload", mail.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{error}");
        let job: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(job["path"], mail.canonicalize().unwrap().to_str().unwrap(), "{size}");
    }
    let (code, _, error) = said(&home, &["route", "--curl", mail.to_str().unwrap()]);
    assert_eq!(code, Some(64));
    assert!(error.contains("the target app is a program, and gets no request\n  = try: --payload"), "{error}");
}

#[test]
fn init_names_all_that_it_can_begin_with_and_knows_workers() {
    let init = |words: &[&str]| {
        let output = Command::new(binary()).arg("init").args(words).overheard();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, _, error) = init(&[]);
    assert_eq!(code, Some(64));
    assert!(error.contains("--app") && error.contains("--from-qmail"), "{error}");
    let (code, _, error) = init(&["--app", "rails", "--from-qmail", "/etc/.qmail"]);
    assert_eq!(code, Some(64), "{error}");

    let (code, _, error) = init(&["--app", "worker", "--url", "http://127.0.0.1:9/"]);
    assert_eq!(code, Some(64));
    assert!(error.contains("= try: without --url"), "{error}");
    let (code, out, error) = init(&["--app", "worker", "--maildir", "/srv/mail"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("maildir = \"/srv/mail\"\n") && out.contains("worker      = [\"python3\""), "{out}");
}
