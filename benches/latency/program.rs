//! Who takes the messages.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::Result;

use crate::post::Post;

const PREFORK: &str = include_str!("../drain/prefork.pl");

/// A program that is started, and given a Maildir and an endpoint.
pub struct Program {
    pub name: &'static str,
    command: fn(&Post) -> Result<Command>,
}

/// Ends with this.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // It has ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// All that can be started here; the first is what the others are held against.
pub fn all() -> Vec<Program> {
    let mut all =
        vec![Program { name: "least program", command: least }, Program { name: "maildirq watch", command: maildirq }];
    let modules = ["-MParallel::Prefork", "-MLinux::Inotify2", "-MFurl", "-e1"];
    if Command::new("perl").args(modules).output().is_ok_and(|perl| perl.status.success()) {
        all.push(Program { name: "Perl, as of 2011", command: prefork });
    } else {
        println!("SKIPPED, Perl as of 2011: see `cargo bench --bench drain` for what it needs\n");
    }
    all
}

impl Program {
    /// Starts it, and waits until it has taken the message that lies there.
    pub fn start(&self, post: &mut Post) -> Result<Running> {
        let mut command = (self.command)(post)?;
        let running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        post.next()?;
        Ok(running)
    }
}

fn least(post: &Post) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("least").arg(post.maildir().join("new")).arg(&post.address);
    Ok(command)
}

/// `MAILDIRQ_BIN`: another build, to compare.
#[expect(clippy::unnecessary_wraps, reason = "the others can fail")]
fn maildirq(post: &Post) -> Result<Command> {
    let program = env::var_os("MAILDIRQ_BIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_maildirq")));
    let mut command = Command::new(program);
    command.arg("watch").arg("--maildir").arg(post.maildir()).args(["--post", &format!("http://{}/", post.address)]);
    Ok(command)
}

fn prefork(post: &Post) -> Result<Command> {
    let script = post.maildir().join("prefork.pl");
    fs::write(&script, PREFORK)?;
    let mut command = Command::new("perl");
    command.arg(script).arg(post.maildir()).args([&format!("http://{}/", post.address), "8"]);
    Ok(command)
}
