//! Who is measured, and how each is started.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::Bench;
use crate::handler::Kind;

pub const CEILING: &str = "ceiling";
pub const PROMISES: &str = "with promises";
pub const MAILDIRQ: &str = "maildirq drain";
pub const JSON: &str = "the same, as json";
pub const ECHO: &str = "Rust worker";
pub const PREFORK: &str = "Perl, as of 2011";
pub const SPAWN: &str = "spawn /bin/true";
pub const TRUE: &str = "command: true";
pub const CURL: &str = "curl per message";
pub const PYTHON: &str = "python3 per mail";
pub const WORKER: &str = "python3 worker";
pub const NOBODY: &str = "no target";

/// Who drains, and how many messages.
pub type Job = (&'static str, usize);

const SCRIPT: &str = include_str!("prefork.pl");

/// What the design of 2011 lacks here.
pub fn why_no_prefork() -> Option<&'static str> {
    let modules = ["-MParallel::Prefork", "-MLinux::Inotify2", "-MFurl", "-e1"];
    let is_there = Command::new("perl").args(modules).output().is_ok_and(|perl| perl.status.success());
    (!is_there).then_some("it needs libparallel-prefork-perl, liblinux-inotify2-perl and libfurl-perl")
}

impl Bench {
    pub fn command(&self, peer: &str, maildir: &Path) -> Result<Command> {
        let address = &self.receiver.address;
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--signal=KILL", "300"]);
        // By cargo's every program would look for its libraries in places where they are not. Ours starts programs with
        // an environment of its own, so it would be spared what bare spawning is not.
        command.env_remove("LD_LIBRARY_PATH");
        if peer == MAILDIRQ {
            command.arg(maildirq()).arg("drain").arg("--maildir").arg(maildir);
            command.args(["--post", &format!("http://{address}/"), "--concurrency", &self.connections]);
        } else if let Some(config) = self.config(peer, maildir)? {
            command.arg(maildirq()).arg("drain").arg("--config").arg(config);
        } else if peer == PREFORK {
            let script = self.dir.path().join("prefork.pl");
            fs::write(&script, SCRIPT)?;
            command.arg("perl").arg(script).arg(maildir);
            command.args([&format!("http://{address}/"), &self.connections, "once"]);
        } else {
            command.arg(env::current_exe()?).arg(peer).arg(maildir.join("new")).args([address, &self.connections]);
        }
        Ok(command)
    }

    fn config(&self, peer: &str, maildir: &Path) -> Result<Option<PathBuf>> {
        let kind = match peer {
            JSON => return self.json_config(maildir).map(Some),
            PYTHON => Kind::Python,
            WORKER => Kind::PythonWorker,
            ECHO => Kind::Echo,
            TRUE => Kind::True,
            NOBODY => Kind::Nobody,
            _ => return Ok(None),
        };
        self.handlers.config(maildir, kind, &self.connections).map(Some)
    }

    fn json_config(&self, maildir: &Path) -> Result<PathBuf> {
        let path = self.dir.path().join("json.toml");
        let (address, connections) = (&self.receiver.address, &self.connections);
        let target = format!("url = \"http://{address}/\"\nformat = \"json\"\nconcurrency = {connections}\n");
        fs::write(&path, format!("maildir = \"{}\"\n[target.app]\n{target}", maildir.display()))?;
        Ok(path)
    }
}

/// `MAILDIRQ_BIN`: another build, to compare.
fn maildirq() -> OsString {
    env::var_os("MAILDIRQ_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_maildirq").into())
}
