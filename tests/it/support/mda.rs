//! `maildirq deliver` as an MTA runs it: a mail on standard input, an exit code as the answer.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::launch::binary;
use super::leaks;

/// A delivery that has not begun.
pub struct Mda {
    command: Command,
    trace: Option<TempDir>,
}

/// How a delivery ended.
#[derive(Debug)]
pub struct Answered {
    pub code: Option<i32>,
    /// What an MTA would quote in a bounce.
    pub output: String,
    /// The calls that were to be traced, a line each.
    pub trace: String,
}

impl Mda {
    pub fn new() -> Mda {
        Mda::run_by(Command::new(binary()))
    }

    pub fn into(maildir: impl AsRef<Path>) -> Mda {
        Mda::new().arg(maildir.as_ref())
    }

    /// Started by a shell, which has done something to its descriptors first: `<&-`, `2>&-`.
    pub fn with_descriptors(redirections: &str) -> Mda {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirections}"), binary()]);
        Mda::run_by(shell)
    }

    /// Under strace, with these options; descriptors are shown with their paths.
    pub fn traced(options: &[&str]) -> Mda {
        let trace = TempDir::new().unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-y", "-o"]).arg(trace.path().join("strace"));
        strace.args(options.iter().flat_map(|option| ["-e", *option])).arg("--").arg(binary());
        Mda { trace: Some(trace), ..Mda::run_by(strace) }
    }

    fn run_by(mut command: Command) -> Mda {
        command.arg("deliver");
        Mda { command, trace: None }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Mda {
        self.command.arg(arg);
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Mda {
        self.command.args(args);
        self
    }

    /// Hands the mail over, and waits for the answer.
    #[track_caller]
    pub fn deliver(mut self, mail: impl AsRef<[u8]>) -> Answered {
        let mail = mail.as_ref();
        let piped = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut stdin = child.stdin.take().expect("it is piped");
        let output = thread::scope(|scope| {
            // It may answer before it has read all, and not want the rest.
            scope.spawn(move || stdin.write_all(mail).ok());
            child.wait_with_output().unwrap()
        });
        let said = [output.stdout, output.stderr].concat();
        leaks::assert_none_in("the answer of a delivery", &said);
        let trace = self.trace.map(|folder| fs::read_to_string(folder.path().join("strace")).unwrap());
        Answered {
            code: output.status.code(),
            output: String::from_utf8_lossy(&said).into_owned(),
            trace: trace.unwrap_or_default(),
        }
    }
}

impl Answered {
    /// It said yes, and nothing more.
    #[track_caller]
    pub fn is_yes(&self) {
        assert_eq!((self.code, self.output.as_str()), (Some(0), ""));
    }

    /// It said "not now", in the form that Postfix wants.
    #[track_caller]
    pub fn is_not_now(&self) {
        assert_eq!(self.code, Some(75), "{}", self.output);
        assert!(self.output.starts_with("4."), "an enhanced status code comes first: {:?}", self.output);
    }

    /// It said "never", in the form that Postfix wants.
    #[track_caller]
    pub fn is_never(&self) {
        assert_eq!(self.code, Some(77), "{}", self.output);
        assert!(self.output.starts_with("5.3.4 "), "an enhanced status code comes first: {:?}", self.output);
    }
}
