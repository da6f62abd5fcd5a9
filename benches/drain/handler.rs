//! Handlers that are programs: a Python interpreter for each message, against one that stays.
//!
//! What they were given they note in a file, and what CPU they took: the rest is maildirq's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

const HANDLER: &str = include_str!("handler.py");

/// The folder that handlers work in.
pub struct Handlers {
    dir: PathBuf,
    python: String,
}

/// What handlers noted.
#[derive(Default)]
pub struct Noted {
    /// Messages, different messages, and their bytes, as the receiver tells it.
    pub arrived: String,
    /// The CPU time that workers say they took, in microseconds.
    pub cpu: f64,
}

impl Handlers {
    /// None where there is no Python.
    pub fn new(dir: &Path) -> Result<Option<Self>> {
        fs::write(dir.join("handler.py"), HANDLER)?;
        // What `python3` is may be a script that looks for the interpreter, which takes longer than that one itself.
        let told = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let python = told.ok().filter(|told| told.status.success()).map(|told| String::from_utf8(told.stdout));
        let python = python.transpose()?.map(|python| python.trim_end().to_owned());
        Ok(python.map(|python| Handlers { dir: dir.to_owned(), python }))
    }

    /// A configuration in which a program is the target: `kind` is `command` or `worker`.
    pub fn config(&self, maildir: &Path, kind: &str, at_a_time: &str) -> Result<PathBuf> {
        let (how, limit) = if kind == "worker" { ("stay", "processes") } else { ("once", "concurrency") };
        let (script, ledger) = (self.dir.join("handler.py"), self.ledger());
        let words =
            [&*self.python, &script.to_string_lossy(), &ledger.to_string_lossy(), how].map(|word| format!("{word:?}"));
        self.write(maildir, &format!("[target.app]\n{kind} = [{}]\n{limit} = {at_a_time}\n", words.join(", ")))
    }

    /// A configuration that takes mail and gives it to nobody: what is left is the queue's own work.
    pub fn nobody(&self, maildir: &Path) -> Result<PathBuf> {
        let unused = "[target.app]\nurl = \"http://127.0.0.1:1/\"\n";
        self.write(maildir, &format!("{unused}[[route]]\ntarget = \"ignore\"\n"))
    }

    fn write(&self, maildir: &Path, rest: &str) -> Result<PathBuf> {
        let path = self.dir.join("handler.toml");
        fs::write(&path, format!("maildir = \"{}\"\n{rest}", maildir.display()))?;
        Ok(path)
    }

    fn ledger(&self) -> PathBuf {
        self.dir.join("handled")
    }

    /// What was noted since the last time.
    pub fn noted(&self, messages: usize) -> Result<Noted> {
        let ledger = fs::read_to_string(self.ledger()).unwrap_or_default();
        let (mut seen, mut count, mut bytes, mut cpu) = (vec![false; messages], 0, 0, 0.0);
        for line in ledger.lines() {
            let (what, number) = line.split_once(' ').context("a line of the handlers' ledger")?;
            if what == "cpu" {
                cpu += number.parse::<f64>()?;
                continue;
            }
            count += 1;
            bytes += number.parse::<usize>()?;
            if let Some(seen) = seen.get_mut(what.parse::<usize>()?) {
                *seen = true;
            }
        }
        if !ledger.is_empty() {
            fs::remove_file(self.ledger())?;
        }
        let different = seen.iter().filter(|seen| **seen).count();
        Ok(Noted { arrived: format!("{count} {different} {bytes}"), cpu })
    }
}
