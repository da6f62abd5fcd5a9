//! What a command target runs: a script of sh, and the folder that it works in.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use tempfile::TempDir;

use super::delivery::Delivery;
use super::digest::sha256;
use super::leaks;
use super::ledger::number_in;
use super::maildir::Maildir;
use super::wait::{SOON, wait_for};

/// How long a script may wait for what never comes, in tenths of a second.
const PATIENCE: u32 = 300;

/// The folder is anybody's, for whoever maildirq runs as.
pub struct Script {
    home: TempDir,
}

impl Script {
    /// A script that begins in its own folder. `await FILE` waits there for a file to appear; `tell FILE` writes
    /// what it reads, and no part of it is ever seen.
    pub fn new(text: &str) -> Script {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        let script = format!(
            "cd '{}' || exit 111\n\
             await() {{ left={PATIENCE}; while ! test -e \"$1\" && test $((left -= 1)) -gt 0; do sleep 0.1; done; }}\n\
             tell() {{ cat >\".$1.$$\" && mv \".$1.$$\" \"$1\"; }}\n\
             {text}\n",
            home.path().display()
        );
        fs::write(home.path().join(".script"), script).unwrap();
        Script { home }
    }

    /// As a list of TOML, for `command =`.
    pub fn command(&self) -> String {
        self.command_of("/bin/sh")
    }

    /// The same, run by another shell.
    pub fn command_of(&self, shell: &str) -> String {
        format!("['{shell}', '{}']", self.path(".script").display())
    }

    /// A configuration of one Maildir and one target that runs this, with these lines of TOML for its settings.
    pub fn config(&self, maildir: &Maildir, settings: &str) -> String {
        let (path, command) = (maildir.path().display(), self.command());
        format!("maildir = '{path}'\n[target.app]\ncommand = {command}\n{settings}\n")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What it has told so far in this file, or nothing.
    pub fn told(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }

    /// The same as a line of text, once it is there.
    #[track_caller]
    pub fn wait_for(&self, name: &str) -> String {
        let told = wait_for(format!("the script to tell {name}"), SOON, || self.told(name));
        String::from_utf8(told).unwrap().trim_end().to_owned()
    }

    /// Makes an empty file in its folder, for which it may wait.
    pub fn give(&self, name: &str) {
        File::create(self.path(name)).unwrap();
    }

    /// The messages that it has copied, each into a file whose name begins with the id and a dot.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.files().iter().map(|name| self.delivery(name)).collect()
    }

    fn delivery(&self, name: &str) -> Delivery {
        let mail = self.told(name).expect("it is listed");
        Delivery {
            id: name.split('.').next().unwrap_or_default().to_owned(),
            attempt: None,
            ledger: number_in(&mail),
            sha256: sha256(&mail),
            status: 200,
            connection: 0,
            at: SystemTime::now(),
        }
    }

    /// The files that it has told, sorted.
    pub fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().expect("plain names")).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

impl Drop for Script {
    /// Nobody tells a program what is for the app alone.
    fn drop(&mut self) {
        leaks::assert_none_below(self.home.path());
    }
}
