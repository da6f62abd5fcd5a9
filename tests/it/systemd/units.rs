//! The units that are shipped, as systemd judges them.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use super::{settings_of, shipped, systemd_analyze};
use crate::support::launch::binary;

const SERVICES: [&str; 3] = ["maildirq.service", "maildirq@.service", "maildirq-drain.service"];

/// The units, with the program where it is here, and these drop-ins of the daemon's.
fn installed(drop_ins: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in SERVICES.into_iter().chain(["maildirq-drain.timer"]) {
        let text = fs::read_to_string(shipped(name)).unwrap();
        fs::write(folder.path().join(name), text.replace("/usr/bin/maildirq", binary())).unwrap();
    }
    let of_daemon = folder.path().join("maildirq.service.d");
    fs::create_dir(&of_daemon).unwrap();
    for name in drop_ins {
        fs::copy(shipped(name), of_daemon.join(name)).unwrap();
    }
    folder
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    for drop_ins in [&[][..], &["commands.conf"], &["users.conf"], &["commands.conf", "users.conf"]] {
        let folder = installed(drop_ins);
        for name in ["maildirq.service", "maildirq@root.service", "maildirq-drain.service", "maildirq-drain.timer"] {
            let unit = folder.path().join(name);
            let Some(verdict) = systemd_analyze(&["verify", "--man=no", unit.to_str().unwrap()]) else { return };
            assert_eq!(verdict, (String::new(), true), "{name} with {drop_ins:?}");
        }
    }
}

#[test]
fn the_units_expose_no_more_than_they_must() {
    let folder = installed(&[]);
    fs::copy(folder.path().join("maildirq@.service"), folder.path().join("maildirq@ada.service")).unwrap();
    for name in ["maildirq.service", "maildirq@ada.service", "maildirq-drain.service"] {
        let unit = folder.path().join(name);
        let judged = systemd_analyze(&["security", "--offline=yes", "--no-pager", unit.to_str().unwrap()]);
        let Some((said, true)) = judged else {
            assert!(judged.is_none(), "{judged:?}");
            return;
        };
        let score = said.lines().find_map(|line| line.split_once("Overall exposure level for ")?.1.split_once(": "));
        let score: f64 = score.unwrap().1.split(' ').next().unwrap().parse().unwrap();
        assert!(score <= 1.5, "{said}");
    }
}

/// Each once.
fn keys<'a>(settings: impl Iterator<Item = &'a (String, String)>) -> Vec<&'a str> {
    settings.map(|(key, _)| key.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Three units, one sandbox: what one of them has and the daemon does not is written down here, and the other way round.
#[test]
fn the_units_differ_only_where_they_have_to() {
    let of = |name| settings_of(name).into_iter().collect::<BTreeSet<_>>();
    let daemon = of("maildirq.service");
    let of_its_own: [(&str, &[&str], &[&str]); 2] = [
        (
            "maildirq@.service",
            &[
                "BindPaths",
                "ExecReload",
                "ExecStart",
                "ExecStartPre",
                "ProtectHome",
                "ReadWritePaths",
                "RuntimeDirectory",
                "User",
            ],
            &[
                "ExecReload",
                "ExecStart",
                "ExecStartPre",
                "Group",
                "ProtectHome",
                "RuntimeDirectory",
                "StateDirectory",
                "StateDirectoryMode",
                "User",
            ],
        ),
        (
            "maildirq-drain.service",
            &["ExecStart", "SuccessExitStatus", "Type"],
            &[
                "ExecReload",
                "ExecStart",
                "ExecStartPre",
                "Restart",
                "RestartPreventExitStatus",
                "RestartSec",
                "RuntimeDirectory",
                "RuntimeDirectoryMode",
                "Type",
                "WatchdogSec",
            ],
        ),
    ];
    for (name, more, less) in of_its_own {
        let unit = of(name);
        assert_eq!(keys(unit.difference(&daemon)), more, "{name} has more");
        assert_eq!(keys(daemon.difference(&unit)), less, "{name} has less");
    }
}

#[test]
fn the_user_and_the_folder_of_a_package_are_those_of_the_unit() {
    let settings = settings_of("maildirq.service");
    let setting = |key: &str| settings.iter().find(|(known, _)| known == key).unwrap().1.as_str();
    assert_eq!((setting("User"), setting("Group"), setting("StateDirectory")), ("maildirq", "maildirq", "maildirq"));
    let read = |path: &str| fs::read_to_string(shipped("..").join(path)).unwrap();
    assert!(read("sysusers.d/maildirq.conf").contains("\nu maildirq - \"Maildir queue\" /var/lib/maildirq\n"));
    let folder = format!("\nd /var/lib/maildirq {} maildirq maildirq -\n", setting("StateDirectoryMode"));
    assert!(read("tmpfiles.d/maildirq.conf").contains(&folder));
}
