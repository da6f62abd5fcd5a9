//! `maildirq gen`, and the map that the program prints of itself.

use crate::support::launch::binary;
use crate::support::{Launch, Overheard};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).overheard()
}

fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && talk.is_empty(), "{arguments:?}: {talk}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains('\u{1b}'), "{arguments:?}: {said:?}");
    said
}

fn in_repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What is printed as it lies in the repository.
const SHIPPED: &[(&str, &str)] = &[
    ("systemd", "deploy/systemd/maildirq.service"),
    ("systemd --commands", "deploy/systemd/commands.conf"),
    ("systemd --users", "deploy/systemd/users.conf"),
    ("systemd --template", "deploy/systemd/maildirq@.service"),
    ("systemd --drain", "deploy/systemd/maildirq-drain.service"),
    ("systemd --timer", "deploy/systemd/maildirq-drain.timer"),
    ("systemd --sysusers", "deploy/sysusers.d/maildirq.conf"),
    ("systemd --tmpfiles", "deploy/tmpfiles.d/maildirq.conf"),
    ("alerts", "deploy/prometheus/alerts.yml"),
    ("alerts --tests", "deploy/prometheus/alerts_test.yml"),
    ("alerts --scrape", "deploy/prometheus/scrape.yml"),
];

#[test]
fn each_file_for_systemd_and_prometheus_is_shipped() {
    for folder in ["systemd", "sysusers.d", "tmpfiles.d", "prometheus"] {
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder)).unwrap() {
            let path = format!("deploy/{folder}/{}", file.unwrap().file_name().to_str().unwrap());
            assert!(SHIPPED.iter().any(|(_, shipped)| *shipped == path), "`maildirq gen` does not know {path}");
        }
    }
    assert_eq!(run(&["gen", "systemd", "--commands", "--users"]).status.code(), Some(64));
}

#[test]
fn without_arguments_there_is_a_map_on_one_screen() {
    let map = said(&[]);
    assert!(map.lines().count() <= 24 && map.lines().all(|line| line.chars().count() <= 80), "{map}");
    assert_eq!(map, said(&["--help"]));
    for verb in ["watch", "drain", "deliver", "route", "send", "demo", "gen"] {
        assert!(map.contains(&format!("  {verb} ")), "{verb} is not in\n{map}");
    }
    let wrong = run(&["wacht"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("'watch'"));
}

#[test]
fn the_repository_holds_what_is_generated() {
    assert_eq!(said(&["gen", "config"]), in_repository("deploy/maildirq.toml"));
    assert_eq!(said(&["gen", "docs"]), in_repository("docs/configuration.md"));
    assert_eq!(said(&["gen", "payload"]), in_repository("docs/payload.schema.json"));
    for (arguments, path) in SHIPPED {
        let arguments: Vec<_> = ["gen"].into_iter().chain(arguments.split(' ')).collect();
        assert_eq!(said(&arguments), in_repository(path));
    }
}

#[test]
fn the_sample_configuration_is_read_when_the_three_lines_are_uncommented() {
    let sample = said(&["gen", "config"]);
    let three = sample.lines().filter_map(|line| line.strip_prefix("#   ")).collect::<Vec<_>>();
    assert_eq!(three.len(), 3, "{sample}");
    let folder = tempfile::tempdir().unwrap();
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(folder.path().join("m").join(part)).unwrap();
    }
    let maildir = folder.path().join("m");
    let toml = three.join("\n").replace("/var/lib/maildirq/support", maildir.to_str().unwrap());
    let toml = format!("{toml}\n{sample}");
    let drained = Launch::new("drain").config(&toml).run();
    assert_eq!(drained.exit(), crate::support::Exit::Ok, "{:?}", drained.lines());
}

#[test]
fn the_schema_is_json_and_knows_the_tables() {
    let schema: serde_json::Value = serde_json::from_str(&said(&["gen", "schema"])).unwrap();
    for key in ["maildir", "queue", "route", "target"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn each_shell_gets_completions_that_it_can_read() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef maildirq"),
        ("fish", "complete -c maildirq"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let text = said(&["gen", "completions", shell]);
        assert!(text.contains(word) && text.contains("drain"), "{shell}: {text}");
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), said(&["gen", "completions", "bash"])).unwrap();
    let checked = Command::new("bash").arg("-n").arg(script.path()).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    assert_eq!(run(&["gen", "completions", "tcsh"]).status.code(), Some(64));
    assert_eq!(run(&["gen"]).status.code(), Some(64));
}

#[test]
fn the_manual_has_a_page_for_each_command_and_one_for_the_file() {
    let page = said(&["gen", "man"]);
    assert!(page.contains(".TH maildirq 1") && page.contains("maildirq\\-watch(1)"), "{page}");
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("share/man");
    assert_eq!(said(&["gen", "man", folder.to_str().unwrap()]), "");
    assert_eq!(fs::read_to_string(folder.join("maildirq.1")).unwrap(), page);
    for (name, words) in [
        ("maildirq-watch.1", "\\-\\-since"),
        ("maildirq-deliver.1", "RFC 3463"),
        ("maildirq-gen-completions.1", "powershell"),
        ("maildirq.toml.5", ".SH [TARGET.NAME.RETRY]"),
    ] {
        let page = fs::read_to_string(folder.join(name)).unwrap();
        assert!(page.contains(words), "{name} does not have {words}:\n{page}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o400)).unwrap();
    let failed = run(&["gen", "man", file.join("man").to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(74));
    assert!(String::from_utf8(failed.stderr).unwrap().contains("cannot write manual pages into"));
}
