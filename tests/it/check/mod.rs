//! `check`: what is wrong is told before mail finds out, and nothing is touched.

mod file;
mod live;
mod machine;
mod maildirs;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Exit, Launch, skipped};

const NOBODY: u32 = 65534;
const APP: &str = "[target.app]\nurl = \"http://127.0.0.1:9/mail\"\n";

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skipped("only root can become somebody else");
    }
    is_root
}

fn check(toml: &str) -> Launch {
    Launch::new("check").without_log().config(toml)
}

/// A configuration with this Maildir and these other lines.
fn serving(maildir: impl AsRef<Path>, rest: &str) -> String {
    format!("maildir = \"{}\"\n{rest}", maildir.as_ref().display())
}

/// Ends like this, with all of these words on standard output and nothing beside it.
#[track_caller]
fn tells(check: Launch, exit: Exit, words: &[&str]) -> String {
    let maildirq = check.run();
    let said = maildirq.stdout();
    for word in words {
        assert!(said.contains(word), "not said: {word:?}\n{said}");
    }
    assert_eq!((maildirq.exit(), maildirq.lines()), (exit, vec![]), "{said}");
    said
}

fn executable(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}
