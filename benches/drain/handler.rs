//! Handlers that are programs: one for each message, against one that stays.
//!
//! What they were given they note in a file, and what CPU they took: the rest is maildirq's own.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, str};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::endpoint::number_of;

const HANDLER: &str = include_str!("handler.py");

/// How a handler is run.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A Python interpreter for each message.
    Python,
    /// One that stays.
    PythonWorker,
    /// This program, which stays.
    Echo,
    /// `/bin/true` for each message.
    True,
    /// None: mail is taken and given to nobody. What is left is the queue's own work.
    Nobody,
}

/// The folder that handlers work in.
pub struct Handlers {
    dir: PathBuf,
    python: Option<String>,
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
    pub fn new(dir: &Path) -> Result<Self> {
        fs::write(dir.join("handler.py"), HANDLER)?;
        // What `python3` is may be a script that looks for the interpreter, which takes longer than that one itself.
        let told = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let python = told.ok().filter(|told| told.status.success()).map(|told| String::from_utf8(told.stdout));
        let python = python.transpose()?.map(|python| python.trim_end().to_owned());
        Ok(Handlers { dir: dir.to_owned(), python })
    }

    pub fn have_python(&self) -> bool {
        self.python.is_some()
    }

    /// A configuration in which such a handler is the target.
    pub fn config(&self, maildir: &Path, kind: Kind, at_a_time: &str) -> Result<PathBuf> {
        let (script, ledger) = (self.dir.join("handler.py"), self.ledger());
        let (script, ledger) = (script.to_string_lossy(), ledger.to_string_lossy());
        let this = env::current_exe()?.to_string_lossy().into_owned();
        let python = || self.python.as_deref().context("there is no Python");
        let (is_worker, words) = match kind {
            Kind::Python => (false, vec![python()?, &script, &ledger, "once"]),
            Kind::PythonWorker => (true, vec![python()?, &script, &ledger, "stay"]),
            Kind::Echo => (true, vec![&*this, "echo", &ledger]),
            Kind::True => (false, vec!["/bin/true"]),
            Kind::Nobody => (false, vec!["/bin/false"]),
        };
        let (how, limit) = if is_worker { ("worker", "processes") } else { ("command", "concurrency") };
        let route = if matches!(kind, Kind::Nobody) { "[[route]]\ntarget = \"ignore\"\n" } else { "" };
        let path = self.dir.join("handler.toml");
        let target = format!("[target.app]\n{how} = {words:?}\n{limit} = {at_a_time}\n");
        fs::write(&path, format!("maildir = \"{}\"\n{target}{route}", maildir.display()))?;
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

/// A worker that does nothing but read each message. See `docs/workers.md`.
pub fn echo(ledger: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Job<'a> {
        #[serde(borrow)]
        id: Option<&'a str>,
        #[serde(borrow)]
        path: Option<Cow<'a, str>>,
        size: Option<usize>,
    }
    let mut handled = String::new();
    let (mut orders, mut answers) = (io::stdin().lock(), io::stdout());
    writeln!(answers, r#"{{"type":"ready","version":1}}"#)?;
    let (mut line, mut message) = (String::new(), Vec::new());
    while orders.read_line(&mut line)? > 0 {
        if let Job { id: Some(id), path: Some(path), size: Some(size) } = serde_json::from_str(&line)? {
            message.resize(size, 0);
            File::open(&*path)?.read_exact(&mut message)?;
            let number = number_of(&message).context("not a message of this benchmark")?;
            writeln!(handled, "{number} {}", message.len())?;
            writeln!(answers, r#"{{"type":"done","id":"{id}"}}"#)?;
        }
        line.clear();
    }
    // proc(5): the time that this thread, its only one, ran, in nanoseconds.
    let ran = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = ran.split(' ').next().context("schedstat")?.parse()?;
    writeln!(handled, "cpu {}", nanoseconds / 1e3)?;
    // In one piece, so that no line of another process comes in between.
    Ok(File::options().append(true).create(true).open(ledger)?.write_all(handled.as_bytes())?)
}
