//! What is wrong with the file, and how it is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{APP, check, serving, tells};
use crate::support::{Exit, Launch, Maildir, skipped};

#[test]
fn where_nothing_is_wrong_it_says_so_in_one_line() {
    let maildir = Maildir::in_memory();
    maildir.deliver("Subject: hi\n\nhi\n");
    let toml = serving(&maildir, APP);
    let said = tells(check(&toml).arg("--strict"), Exit::Ok, &["✓ ", ": 1 queue, 1 route, 1 target; nothing wrong"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(tells(check(&toml).arg("--quiet"), Exit::Ok, &[]), "");
    let said: Value = serde_json::from_str(&tells(check(&toml).arg("--json"), Exit::Ok, &[])).unwrap();
    assert_eq!((&said["v"], &said["errors"], &said["warnings"]), (&1.into(), &0.into(), &0.into()), "{said}");
    assert!(said["file"].as_str().unwrap().ends_with("maildirq.toml"));
}

#[test]
fn all_mistakes_of_the_file_are_told_and_the_machine_is_left_for_later() {
    let toml = "maildir = \"/nowhere\"\n[target.app]\nurl = \"http://127.0.0.1/\"\ntimout = \"1s\"\nrate = 3\n";
    let words = [":4:1", "did you mean `timeout`?", ":5:8", "2 errors"];
    let said = tells(check(toml), Exit::Config, &words);
    assert!(!said.contains("there is no Maildir"), "{said}");
    assert!(said.ends_with("\n\n2 errors; the machine is looked at when the file is right"), "{said}");

    let said: Value = serde_json::from_str(&tells(check(toml).arg("--json"), Exit::Config, &[])).unwrap();
    let first = &said["findings"][0];
    assert_eq!((&first["severity"], &first["line"], &first["column"]), (&"error".into(), &4.into(), &1.into()));
    assert_eq!((&said["errors"], first["help"].as_str()), (&2.into(), Some("did you mean `timeout`?")));

    let quiet = check(toml).arg("--quiet").run();
    assert_eq!((quiet.exit(), quiet.stdout().as_str()), (Exit::Config, ""));
    quiet.wait_for_line("unknown key `timout`");
}

#[test]
fn without_a_file_there_is_nothing_to_check() {
    let home = TempDir::new().unwrap();
    let nowhere = |check: Launch| check.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path());
    if Path::new("/etc/maildirq/maildirq.toml").exists() {
        return skipped("this machine has a configuration of its own");
    }
    let without = nowhere(Launch::new("check").without_log()).run();
    assert_eq!((without.exit(), without.stdout().as_str()), (Exit::NoInput, ""));
    without.wait_for_line("there is no configuration file");
    let unreadable = Launch::new("check").without_log().args(["-c", "/nowhere/maildirq.toml"]);
    tells(unreadable, Exit::Config, &["error: cannot read /nowhere/maildirq.toml", "1 error"]);
}

#[test]
fn a_warning_is_a_failure_only_if_that_is_asked_for() {
    let maildir = Maildir::in_memory();
    let toml = serving(&maildir, "[target.app]\nurl = \"http://app.example.org/\"\n");
    let words = ["without encryption", "app.example.org", "= help: use https://", "1 warning"];
    tells(check(&toml), Exit::Ok, &words);
    // 1, by the name that it has for drain.
    tells(check(&toml).arg("--strict"), Exit::SomeDead, &words);
    assert_eq!(tells(check(&toml).arg("--quiet"), Exit::Ok, &[]), "");
}

#[test]
fn a_secret_in_a_file_for_all_to_read_is_refused() {
    let (maildir, home) = (Maildir::in_memory(), TempDir::new().unwrap());
    let path = home.path().join("m.toml");
    fs::write(&path, serving(&maildir, &format!("{APP}auth.bearer = \"hunter2\"\n"))).unwrap();
    for (mode, exit) in [(0o600, Exit::Ok), (0o640, Exit::Ok), (0o644, Exit::Config)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let said =
            tells(Launch::new("check").without_log().arg("-c").arg(&path), exit, &["a secret in the file itself"]);
        let is_refused = said.contains("which everybody can read") && said.contains("= help: chmod 640 /");
        assert_eq!(is_refused, exit == Exit::Config, "{mode:o}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_broad_route_before_a_narrow_one_is_told_of() {
    let maildir = Maildir::in_memory();
    let route = |to: &str| format!("[[route]]\nwhen = {{ to = {to:?} }}\ntarget = \"app\"\n");
    let routes =
        |first: &str, second: &str| format!("{}{}[[route]]\ntarget = \"app\"\n{APP}", route(first), route(second));
    let toml = serving(&maildir, &routes("*@example.org", "sales@example.org"));
    tells(check(&toml), Exit::Ok, &["route 2, `app`, can never match: route 1, `app`, is broader", "1 warning"]);
    let toml = serving(&maildir, &routes("sales@example.org", "*@example.org"));
    tells(check(&toml), Exit::Ok, &["nothing wrong"]);
}
