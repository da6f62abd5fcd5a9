//! A server of a recipe, with a folder in place of `/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::recipes::handlers::rows;
use crate::recipes::{MAIL, drain, file, said_by};
use crate::support::program::{Program, python};
use crate::support::{Exit, Launch, Maildir, SOON, wait_for};

/// A server with the app, and the unit, of a recipe.
pub struct Recipe {
    /// Of its page and of its unit, and for `maildirq init --app`.
    pub name: &'static str,
    /// What lies in its working directory, and where that is in the repository.
    files: &'static [(&'static str, &'static str)],
    /// What has been kept in the folder that is its own, by id.
    kept: fn(&Path) -> BTreeMap<String, String>,
}

pub const GUNICORN: Recipe = Recipe {
    name: "gunicorn",
    files: &[("inbound_mail.py", "deploy/apps/gunicorn_app.py"), ("venv", "target/tests/venv")],
    kept: texts_of_rows,
};

pub const PUMA: Recipe = Recipe {
    name: "puma",
    files: &[("config.ru", "deploy/apps/puma.ru"), ("puma.rb", "deploy/apps/puma.rb")],
    kept: texts_of_files,
};

pub const STARMAN: Recipe =
    Recipe { name: "starman", files: &[("inbound-mail.psgi", "deploy/apps/starman.psgi")], kept: texts_of_rows };

/// A server that runs.
pub struct Server {
    pub recipe: &'static Recipe,
    program: Option<Program>,
    pub root: TempDir,
    pub maildir: Maildir,
}

/// How it starts and ends.
impl Server {
    pub fn start(recipe: &'static Recipe) -> Server {
        Server::start_with(recipe, &[])
    }

    /// With something else in the place of something in its unit.
    pub fn start_with(recipe: &'static Recipe, edits: &[(&str, &str)]) -> Server {
        let mut server = Server { recipe, program: None, root: TempDir::new().unwrap(), maildir: Maildir::new() };
        server.start_again(edits);
        server
    }

    pub fn start_again(&mut self, edits: &[(&str, &str)]) {
        let files: BTreeMap<_, _> = self.recipe.files.iter().map(|(name, path)| (name, file(path))).collect();
        let edits: BTreeMap<_, _> = edits.iter().copied().collect();
        let env = [
            ("ROOT", self.root.path().to_str().unwrap().to_owned()),
            ("UNIT", file(&format!("deploy/apps/{}.service", self.recipe.name))),
            ("FILES", json!(files).to_string()),
            ("EDITS", json!(edits).to_string()),
        ];
        self.program = Some(Program::start(&python(), "recipes/unit.py", &env));
    }

    pub fn kill9(&mut self) {
        self.program = None;
    }

    fn pid(&self) -> Pid {
        let pid = fs::read_to_string(self.root.path().join("pid")).unwrap();
        Pid::from_raw(pid.parse().unwrap()).unwrap()
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.program.as_ref().expect("it runs").said()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The processes that it has made, and that live.
    pub fn processes(&self) -> BTreeSet<i32> {
        let parent = self.pid().as_raw_nonzero().to_string();
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        all.filter(|pid| state_and_parent(*pid).is_some_and(|(state, of)| state != 'Z' && of == parent)).collect()
    }

    pub fn two_processes(&self) -> BTreeSet<i32> {
        wait_for("two processes", SOON, || Some(self.processes()).filter(|found| found.len() == 2))
    }
}

/// Where things are.
impl Server {
    pub fn socket(&self) -> PathBuf {
        self.root.path().join("run/inbound-mail/app.sock")
    }

    pub fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("var/lib/inbound-mail")
    }

    pub fn database(&self) -> PathBuf {
        self.folder().join("mail.sqlite3")
    }

    pub fn kept(&self) -> BTreeMap<String, String> {
        (self.recipe.kept)(&self.folder())
    }

    #[track_caller]
    pub fn kept_texts(&self) -> BTreeSet<String> {
        let kept = self.kept();
        let texts: BTreeSet<_> = kept.values().cloned().collect();
        assert_eq!(texts.len(), kept.len(), "one has two ids");
        texts
    }
}

/// What every test does with it.
impl Server {
    /// One of many, whose text is returned.
    pub fn deliver(&self, number: usize) -> String {
        let text = format!("This is mail {number}.\n");
        self.maildir.deliver(format!("From: Ada <ada@example.com>\nTo: support@example.org\n\n{text}"));
        text
    }

    pub fn drain(&self) -> Launch {
        drain(self.recipe.name, &self.url(), &self.maildir)
    }

    #[track_caller]
    pub fn takes_all(&self) {
        let drain = self.drain().arg("--wait-retries").run();
        assert_eq!((drain.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
    }

    #[track_caller]
    pub fn waits(&self, why: &str) {
        let name = self.maildir.deliver(MAIL);
        let drain = self.drain().run();
        assert_eq!((drain.exit(), self.maildir.waiting()), (Exit::SomeWait, vec![name]));
        self.said(&drain.wait_for_event("attempt"), why);
    }

    /// What is said stands in the recipe, where the server has no other folder in place of `/`.
    #[track_caller]
    pub fn said(&self, attempt: &Value, why: &str) {
        let reason = attempt["reason"].as_str().unwrap().replace(self.root.path().to_str().unwrap(), "");
        assert!(reason.contains(why), "{reason}");
        said_by(self.recipe.name, &json!({ "reason": reason }));
    }
}

/// Nobody else can write to a database of `SQLite`, until it is dropped.
pub struct Lock(Child);

impl Lock {
    pub fn on(database: &Path) -> Lock {
        const HOLD: &str = "import sqlite3, sys\n\
            database = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            database.execute('BEGIN EXCLUSIVE')\n\
            print('locked', flush=True)\n\
            sys.stdin.read()";
        let mut command = Command::new(python());
        command.args(["-c", HOLD]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("it is piped")).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Lock(holder)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of a process, as proc(5) has it; the name in between may contain anything.
pub fn state_and_parent(pid: i32) -> Option<(char, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.to_owned()))
}

fn texts_of_rows(folder: &Path) -> BTreeMap<String, String> {
    let text = |message: Value| message["text"].as_str().expect("each has a text").to_owned();
    rows(folder, "inbound_mail").into_iter().map(|(id, message)| (id, text(message))).collect()
}

fn texts_of_files(folder: &Path) -> BTreeMap<String, String> {
    let kept = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let id = path.file_name().unwrap().to_str().unwrap().strip_suffix(".eml").expect("nothing else is there");
        let mail = fs::read_to_string(&path).unwrap();
        (id.to_owned(), mail.split_once("\n\n").expect("a header and a text").1.to_owned())
    });
    kept.collect()
}
