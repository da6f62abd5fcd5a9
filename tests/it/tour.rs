//! What a newcomer tries first: the demo, the samples, the help.

use crate::support::launch::binary;
use crate::support::{App, Exit, Maildir, Maildirq, Overheard};
use maildirq::config::{Config, SecretFile, World};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(binary()).args(arguments).overheard();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_demo_loses_nothing_and_leaves_nothing_behind() {
    let room = tempfile::tempdir().unwrap();
    let output = Command::new(binary()).args(["demo", "--headless"]).env("TMPDIR", room.path()).overheard();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("✓ 120 mails in · 118 done · 2 dead on purpose · 0 lost"), "{said}");
    assert_eq!(said.lines().count(), 1);
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
}

#[test]
fn the_samples_go_through_byte_for_byte() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mail");
    let mut expected = Vec::new();
    for entry in fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        let mail = Stdio::from(File::open(&path).unwrap());
        let deliver = Command::new(binary()).arg("deliver").arg(maildir.path()).stdin(mail).overheard();
        assert!(deliver.status.success(), "{}", path.display());
        expected.push(fs::read(path).unwrap());
    }
    assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok);
    let mut arrived: Vec<_> = app.requests().into_iter().map(|request| request.body).collect();
    arrived.sort();
    expected.sort();
    assert!(expected.len() >= 5 && arrived == expected);
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in ["watch", "drain", "deliver", "check", "route", "send", "demo", "gen"] {
        let (code, said) = run(&[verb, "--help"]);
        assert_eq!(code, 0, "{verb}");
        assert!(said.contains(&format!("maildirq {verb}")) && said.contains("Example: "), "{verb}:\n{said}");
    }
    assert_eq!(run(&["--version"]), (0, format!("maildirq {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_test_that_the_readme_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut named = 0;
    for link in readme.split("[`").skip(1).filter_map(|rest| rest.split_once(')')) {
        let Some((name, path)) = link.0.split_once("`](") else { continue };
        if Path::new(path).extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(source.contains(&format!("fn {name}(")), "{path} has no test {name}");
        named += 1;
    }
    assert!(named >= 10, "each promise is linked to its test");
}

/// A machine on which nothing is missing.
struct Complete;

impl World for Complete {
    fn variable(&self, name: &str) -> Option<OsString> {
        Some(if name == "CREDENTIALS_DIRECTORY" { "/run/credentials".into() } else { "sesame".into() })
    }

    fn secret_file(&self, _: &Path) -> io::Result<SecretFile> {
        Ok(SecretFile { contents: "sesame".into(), mode: 0o600 })
    }

    fn is_program(&self, _: &Path) -> bool {
        true
    }

    fn is_folder(&self, _: &Path) -> bool {
        true
    }
}

#[test]
fn every_configuration_that_a_page_shows_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, least) in [("README.md", 2), ("docs/configuration.md", 2)] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let mut shown = 0;
        for block in blocks {
            let reading = Config::parse(block.as_bytes(), Path::new(page), &Complete);
            let reading = reading.unwrap_or_else(|error| panic!("{page}:\n{block}\n{error}"));
            assert!(reading.warnings.is_empty(), "{page}:\n{block}\n{}", reading.warnings[0].rendered);
            shown += 1;
        }
        assert!(shown >= least, "{page} shows {shown}");
    }
}
