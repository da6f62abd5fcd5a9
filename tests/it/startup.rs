//! What cannot work is said at the start: what is wrong, where, and what to do; and nothing is touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Exit, Launch, Maildir, skipped};

const URL: &str = "http://127.0.0.1:9/mail";

/// Both verbs, for they must not differ in this.
#[track_caller]
fn refuses(setup: impl Fn(Launch) -> Launch, exit: Exit, words: &[&str]) {
    for verb in ["watch", "drain"] {
        let maildirq = setup(Launch::new(verb)).log_text().run();
        let said = maildirq.lines().join("\n");
        for word in words {
            assert!(said.contains(word), "{verb} does not say {word:?}:\n{said}");
        }
        assert_eq!(maildirq.exit(), exit, "{verb}:\n{said}");
        assert_eq!(maildirq.stdout(), "");
    }
}

/// All that is under a folder, sorted.
fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let folders: Vec<_> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
    paths.extend(folders.iter().flat_map(|folder| everything_in(folder)));
    paths.sort();
    paths
}

#[test]
fn what_is_no_maildir_is_called_so_and_left_as_it_was() {
    type Make = fn(&Path) -> std::io::Result<()>;
    let cases: [(Make, &[&str]); 6] = [
        (|_| Ok(()), &["there is no Maildir at", "never creates"]),
        (|path| fs::write(path, "From me\n"), &["is not a Maildir", "it is a file"]),
        (|path| fs::create_dir(path), &["there is no Maildir at", "/Mail/new does not exist"]),
        (|path| fs::create_dir_all(path.join("cur")), &["there is no Maildir at", "/Mail/new does not exist"]),
        (|path| fs::create_dir(path).and_then(|()| fs::write(path.join("new"), "")), &["new is not a folder"]),
        (|path| std::os::unix::fs::symlink("nowhere", path), &["there is no Maildir at"]),
    ];
    for (make, words) in cases {
        let home = TempDir::new().unwrap();
        let path = home.path().join("Mail");
        make(&path).unwrap();
        let before = everything_in(home.path());
        refuses(|launch| launch.maildir(&path).args(["--post", URL]), Exit::Config, words);
        assert_eq!(everything_in(home.path()), before, "something was made");
    }
}

/// T39
#[test]
fn a_maildir_that_is_not_ours_to_write_is_refused_with_advice() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    for (mode, folder) in [(0o555, "new"), (0o000, "new"), (0o555, "")] {
        let maildir = Maildir::new();
        maildir.give_to(NOBODY);
        let mail = maildir.deliver("From: ada@example.org\n\nHello\n");
        fs::set_permissions(maildir.path().join(folder), Permissions::from_mode(mode)).unwrap();
        refuses(
            |launch| launch.maildir(maildir.path()).args(["--post", URL]),
            Exit::Disk,
            &["cannot work in", folder, "Permission denied", "= try: run maildirq as", "uid 65534"],
        );
        assert!(maildir.message(mail).exists());
    }
}

#[test]
fn a_wrong_flag_is_a_matter_of_usage() {
    let maildir = Maildir::new();
    let path = maildir.path().to_str().unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--maildir", path], &["--post", "Usage"]),
        (&["--post", URL], &["--maildir", "Usage"]),
        (&["--maildir", path, "--post", "app:3000"], &["--post", "http://", "app:"]),
        (&["--maildir", path, "--post", "not a url"], &["--post", "not a URL", "looks like"]),
        (&["--maildir", path, "--post", URL, "--concurrency", "0"], &["--concurrency", "0"]),
        (&["--maildir", path, "--post", URL, "--since", "yesterday"], &["--since", "looks like \"10s\""]),
        (&["--maildir", path, "--post", URL, "--mailbox", "x"], &["--mailbox", "Usage"]),
    ];
    let before = everything_in(maildir.path());
    for (flags, words) in cases {
        refuses(|launch| launch.args(flags), Exit::Usage, words);
    }
    let words = ["no configuration file", "/etc/maildirq/maildirq.toml", "--maildir PATH --post URL", "-c FILE"];
    refuses(|launch| launch.env("MAILDIRQ_CONFIG", ""), Exit::NoInput, &words);
    refuses(|launch| launch.config("").maildir(maildir.path()), Exit::Usage, &["--config", "cannot be used with"]);
    assert_eq!(everything_in(maildir.path()), before, "something was made");
}

#[test]
fn a_mistake_in_the_configuration_is_pointed_at() {
    let cases: [(&str, &[&str]); 7] = [
        ("maildir = \"/m\"\n[target.app]\nurl = \"ftp://app/\"\n", &[".toml:3:7", "^^^^", "not \"ftp:\""]),
        ("maildir = \"/m\"\nresan = \"1s\"\n", &[".toml:2:1", "^^^^^", "unknown key `resan`", "`rescan`"]),
        ("maildir = \"/m\"\nrescan = \"soon\"\n", &[".toml:2:10", "^^^^^^", "looks like \"10s\""]),
        ("maildir = \"/m\"\ndone = \"burn\"\n", &[".toml:2:8", "^^^^^^", "\"remove\"", "\"keep\""]),
        ("maildir = \"/m\"\n[target.app]\n", &[".toml:2:", "url"]),
        ("maildir = \"/m\"\n", &["there is no target", "[target.app]"]),
        ("maildir = /m\n", &[".toml:1:11"]),
    ];
    for (toml, words) in cases {
        refuses(|launch| launch.config(toml), Exit::Config, &[words, &["maildirq.toml"]].concat());
    }
    refuses(|launch| launch.args(["-c", "/nowhere/maildirq.toml"]), Exit::Config, &["cannot read", "/nowhere/"]);
}

#[test]
fn a_damaged_id_is_not_replaced() {
    let maildir = Maildir::new();
    fs::create_dir(maildir.path().join("maildirq")).unwrap();
    for damaged in ["", "maildirq 2 00112233445566778899aabbccddeeff\n", "maildirq 1 0011\n"] {
        let id = maildir.path().join("maildirq/id");
        fs::write(&id, damaged).unwrap();
        refuses(
            |launch| launch.maildir(maildir.path()).args(["--post", URL]),
            Exit::Config,
            &["maildirq/id", "restore it from a backup"],
        );
        assert_eq!(fs::read_to_string(id).unwrap(), damaged);
    }
}
