//! Real applications, each a program in a language of its own: see `tests/apps`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use super::client;
use super::leaks;
use super::maildir::FORKS;

/// A framework takes its time on a loaded machine.
const START: Duration = Duration::from_mins(1);

/// Ends when dropped, with its whole process group; and should the tests be killed, it ends with its standard input.
pub struct Program {
    child: Child,
    _stdin: ChildStdin,
    port: u16,
    home: TempDir,
}

impl Program {
    /// Runs a file of `tests/apps`, with a folder of its own as its argument. It prints its port when it listens.
    #[track_caller]
    pub fn start<V: AsRef<OsStr>>(interpreter: &Path, app: &str, env: &[(&str, V)]) -> Program {
        assert!(interpreter.exists(), "{} is not installed (tests/run installs it)", interpreter.display());
        let home = TempDir::new().unwrap();
        let mut command = Command::new(interpreter);
        command.arg(in_the_tests("apps").join(app)).arg(home.path());
        command.envs(env.iter().map(|(name, value)| (name, value))).env("PYTHONDONTWRITEBYTECODE", "1");
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(said_in(&home)).unwrap());
        let forking = FORKS.write().unwrap_or_else(PoisonError::into_inner);
        let mut child = command.spawn().unwrap();
        drop(forking);
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let mut program = Program { child, _stdin: stdin, port: 0, home };
        program.port = first_line(stdout).and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| {
            panic!("{app} does not start (tests/run installs what it needs):\n{}", program.said());
        });
        program
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it answers to a GET, as JSON.
    #[track_caller]
    pub fn told(&self, path: &str) -> Value {
        let (status, body) = client::get(&self.url(path));
        assert_eq!(status, 200, "{path}: {}{}", String::from_utf8_lossy(&body), self.said());
        serde_json::from_slice(&body).unwrap()
    }

    /// Its log.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(said_in(&self.home)).unwrap()).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of a program\n{}", self.said());
        }
        leaks::assert_none_in("the log of a program", self.said().as_bytes());
    }
}

/// One program for all tests that run at the same time; it ends with the last of them.
pub struct Shared(Mutex<Weak<Program>>);

impl Shared {
    pub const fn new() -> Shared {
        Shared(Mutex::new(Weak::new()))
    }

    #[track_caller]
    pub fn get_or(&self, start: impl FnOnce() -> Program) -> Arc<Program> {
        // Where one could not start it, the next may try.
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let program = Arc::new(start());
            *running = Arc::downgrade(&program);
            program
        })
    }
}

/// Debian's, whose packages are what the Ruby applications use.
pub fn ruby() -> PathBuf {
    "/usr/bin/ruby".into()
}

/// With the packages that the Python applications use.
pub fn python() -> PathBuf {
    installed("venv/bin/python")
}

/// What `tests/run` has fetched.
pub fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tests").join(name)
}

/// A file or folder beside these tests.
pub fn in_the_tests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn said_in(home: &TempDir) -> PathBuf {
    home.path().join("said")
}

fn first_line(from: impl Read + Send + 'static) -> Option<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        if BufReader::new(from).read_line(&mut line).is_ok_and(|length| length > 0) {
            // Whoever asked may have lost patience.
            let _ = tell.send(line);
        }
    });
    told.recv_timeout(START).ok()
}
