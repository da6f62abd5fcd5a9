//! What a worker target runs: a program that stays, and the folder that it works in.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::leaks;
use super::maildir::Maildir;
use super::wait::{SOON, wait_for};

/// Says what the protocol wants, and does `work(job)` for each job, which returns the answer.
const PROTOCOL: &str = r#"
import ctypes, json, os, signal, sys, time

channel = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

def say(**line):
    channel.write(json.dumps(line) + "\n")

def note(name, text):
    with open(name, "a") as file:
        file.write(f"{text}\n")

def there(name):
    return os.path.exists(name)

def await_file(name):
    deadline = time.monotonic() + 30
    while not there(name) and time.monotonic() < deadline:
        time.sleep(0.01)

def subject(job):
    with open(job["path"], "rb") as mail:
        return next(line for line in mail if line.startswith(b"Subject: "))[9:].strip().decode()

def boot():
    pass

def work(job):
    pass

"#;
const LOOP: &str = r#"

boot()
note("pids", os.getpid())
say(type="ready", version=1)
for line in sys.stdin:
    job = json.loads(line)
    if job["type"] == "job":
        say(**{"type": "done", "id": job["id"], **(work(job) or {})})
"#;

/// A worker in Python, of which a test gives `boot` and `work`.
pub struct Worker {
    home: TempDir,
}

impl Worker {
    pub fn new(code: &str) -> Worker {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        fs::write(home.path().join("worker.py"), format!("{PROTOCOL}{code}{LOOP}")).unwrap();
        Worker { home }
    }

    /// The target, with these lines of TOML for its settings.
    pub fn target(&self, name: &str, settings: &str) -> String {
        let home = self.home.path().display();
        format!(
            "[target.{name}]\nworker = ['python3', '{home}/worker.py']\ndirectory = '{home}'\n\
             environment = {{ PYTHONDONTWRITEBYTECODE = '1' }}\n{settings}\n"
        )
    }

    /// A configuration of one Maildir and this target.
    pub fn config(&self, maildir: &Maildir, settings: &str) -> String {
        format!("maildir = '{}'\n{}", maildir.path().display(), self.target("app", settings))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The lines that it has noted in this file so far.
    pub fn notes(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The same, once there are so many.
    #[track_caller]
    pub fn wait_for_notes(&self, name: &str, count: usize) -> Vec<String> {
        wait_for(format!("{count} lines in {name}"), SOON, || {
            Some(self.notes(name)).filter(|notes| notes.len() >= count)
        })
    }

    /// The numbers of the processes that were ready so far.
    pub fn pids(&self) -> Vec<String> {
        self.notes("pids")
    }

    /// Makes an empty file in its folder, for which it may wait.
    pub fn give(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    pub fn take_away(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }
}

impl Drop for Worker {
    /// Nobody tells a program what is for the app alone.
    fn drop(&mut self) {
        leaks::assert_none_below(self.home.path());
    }
}
