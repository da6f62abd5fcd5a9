//! Putting a command line together, with or without strace around it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, PoisonError};

use tempfile::TempDir;

use super::maildir::FORKS;
use super::process::Maildirq;

/// The program under test: the one that was built with the tests, or that of `MAILDIRQ_BIN`, a path from the folder
/// that the tests are run in. What is measured may want one that is optimized.
pub fn binary() -> &'static str {
    static BINARY: LazyLock<String> = LazyLock::new(|| {
        let given =
            env::var("MAILDIRQ_BIN").ok().map(|path| fs::canonicalize(&path).unwrap_or_else(|_| panic!("{path}")));
        given.map_or_else(|| env!("CARGO_BIN_EXE_maildirq").to_owned(), |path| path.to_str().unwrap().to_owned())
    });
    &BINARY
}

/// Whether the program under test is optimized: as that of `MAILDIRQ_BIN` should be, and whatever is built with tests
/// that are.
pub fn is_optimized() -> bool {
    cfg!(not(debug_assertions)) || env::var_os("MAILDIRQ_BIN").is_some()
}

/// A maildirq that does not run yet. It logs JSON unless told otherwise.
pub struct Launch {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    injections: Vec<String>,
    tracing: Option<Vec<OsString>>,
    wrapper: Vec<OsString>,
    log: &'static str,
    home: TempDir,
}

impl Launch {
    pub fn new(verb: &str) -> Launch {
        let (args, home) = (vec![verb.into()], TempDir::new().unwrap());
        let (env, injections, wrapper) = (Vec::new(), Vec::new(), Vec::new());
        Launch { args, env, injections, tracing: None, wrapper, log: "json", home }
    }

    pub fn maildir(self, path: &Path) -> Launch {
        self.arg("--maildir").arg(path)
    }

    pub fn arg(self, arg: impl AsRef<OsStr>) -> Launch {
        self.args([arg])
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Launch {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Launch {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn concurrency(self, count: usize) -> Launch {
        self.args(["--concurrency", &count.to_string()])
    }

    pub fn log_text(mut self) -> Launch {
        self.log = "text";
        self
    }

    /// For a verb that logs nothing.
    pub fn without_log(mut self) -> Launch {
        self.log = "";
        self
    }

    /// Readable by its owner alone, since a configuration may hold secrets.
    pub fn config(self, toml: &str) -> Launch {
        let path = config_file(&self.home);
        write_config(&path, toml);
        self.arg("-c").arg(path)
    }

    /// Runs by way of a program that makes way for it, as `prlimit --nofile=40` does. Not together with strace.
    pub fn by_way_of(mut self, command: &[&str]) -> Launch {
        self.wrapper = command.iter().map(OsString::from).collect();
        self
    }

    /// Runs under strace with `-e inject=` this.
    pub fn inject(mut self, tampering: impl Into<String>) -> Launch {
        self.injections.push(tampering.into());
        self
    }

    /// Runs under strace, which writes down all calls of all threads, with these options of its own.
    pub fn traced(mut self, options: &[impl AsRef<OsStr>]) -> Launch {
        self.tracing = Some(options.iter().map(|option| option.as_ref().to_owned()).collect());
        self
    }

    /// Dies at the n-th call of this name, before it has any effect; strace counts in each thread by itself.
    pub fn killed_at(self, call: &str, nth: usize) -> Launch {
        self.inject(format!("{call}:signal=KILL:when={nth}"))
    }

    /// `when` as strace has it: `3` for the third call, `3+` for that and all later ones.
    pub fn failing(self, call: &str, errno: &str, when: &str) -> Launch {
        self.inject(format!("{call}:error={errno}:when={when}"))
    }

    #[track_caller]
    pub fn start(self) -> Maildirq {
        let mut command = self.command();
        let forking = FORKS.write().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        drop(forking);
        let trace = self.is_traced().then(|| self.trace());
        Maildirq::adopt(child, trace, self.home)
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn run(self) -> Maildirq {
        let maildirq = self.start();
        maildirq.wait();
        maildirq
    }

    fn command(&self) -> Command {
        let mut command = self.program();
        command.args(&self.args);
        if !self.log.is_empty() {
            command.args(["--log", self.log]);
        }
        command.env_remove("RUST_LOG").envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        command
    }

    fn program(&self) -> Command {
        if let Some((wrapper, args)) = self.wrapper.split_first() {
            let mut wrapper = Command::new(wrapper);
            wrapper.args(args).arg(binary());
            return wrapper;
        }
        if !self.is_traced() {
            return Command::new(binary());
        }
        let calls: Vec<_> = self.injections.iter().filter_map(|tampering| tampering.split(':').next()).collect();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(self.trace());
        match &self.tracing {
            Some(options) => strace.args(options),
            None => strace.arg("-e").arg(format!("trace={}", calls.join(","))),
        };
        for tampering in &self.injections {
            strace.arg("-e").arg(format!("inject={tampering}"));
        }
        strace.arg("--").arg(binary());
        strace
    }

    fn is_traced(&self) -> bool {
        self.tracing.is_some() || !self.injections.is_empty()
    }

    fn trace(&self) -> PathBuf {
        self.home.path().join("strace")
    }
}

pub(super) fn config_file(home: &TempDir) -> PathBuf {
    home.path().join("maildirq.toml")
}

/// Readable by its owner alone, since a configuration may hold secrets; and nobody ever reads half of it.
pub fn write_config(path: &Path, toml: &str) {
    let next = path.with_extension("next");
    fs::write(&next, toml).unwrap();
    fs::set_permissions(&next, Permissions::from_mode(0o600)).unwrap();
    fs::rename(next, path).unwrap();
}
