//! A running maildirq, and everything it says.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use serde_json::Value;
use tempfile::TempDir;

use super::launch::{Launch, config_file, write_config};
use super::leaks;
use super::wait::{SOON, comes_true, wait_for, wait_until};

/// Killed when dropped, with its whole process group.
pub struct Maildirq {
    child: Child,
    stdout: Heard,
    stderr: Heard,
    /// What strace writes, if it runs under strace.
    trace: Option<PathBuf>,
    home: TempDir,
}

impl Maildirq {
    pub fn watch(maildir: impl AsRef<Path>, post: &str) -> Launch {
        Launch::new("watch").maildir(maildir.as_ref()).args(["--post", post])
    }

    pub fn drain(maildir: impl AsRef<Path>, post: &str) -> Launch {
        Launch::new("drain").maildir(maildir.as_ref()).args(["--post", post])
    }

    /// With these lines of TOML for the settings of the target.
    pub fn watch_with(maildir: impl AsRef<Path>, post: &str, settings: &str) -> Launch {
        Maildirq::watch_config(&config(maildir.as_ref(), post, settings))
    }

    /// With these lines of TOML for the settings of the target.
    pub fn drain_with(maildir: impl AsRef<Path>, post: &str, settings: &str) -> Launch {
        Maildirq::drain_config(&config(maildir.as_ref(), post, settings))
    }

    pub fn watch_config(toml: &str) -> Launch {
        Launch::new("watch").config(toml)
    }

    pub fn drain_config(toml: &str) -> Launch {
        Launch::new("drain").config(toml)
    }

    pub(super) fn adopt(mut child: Child, trace: Option<PathBuf>, home: TempDir) -> Maildirq {
        let stdout = Heard::listen(child.stdout.take().expect("it is piped"));
        let stderr = Heard::listen(child.stderr.take().expect("it is piped"));
        Maildirq { child, stdout, stderr, trace, home }
    }

    pub fn signal(&self, signal: Signal) {
        // strace blocks the signals that it gets; what it runs is in the same group.
        let send = if self.trace.is_some() { kill_process_group } else { kill_process };
        send(self.pid(), signal).unwrap();
    }

    /// Where its configuration is, if it has one.
    pub fn config_file(&self) -> PathBuf {
        config_file(&self.home)
    }

    /// Another configuration in place of the one that it has, and SIGHUP.
    pub fn hang_up_with(&self, toml: &str) {
        write_config(&self.config_file(), toml);
        self.signal(Signal::HUP);
    }

    /// The same, and waits until it is in force.
    #[track_caller]
    pub fn reload(&self, toml: &str) {
        let before = self.events("reloaded").len();
        self.hang_up_with(toml);
        self.wait_for_events("reloaded", before + 1);
    }

    /// The same for one that is refused; returns why.
    #[track_caller]
    pub fn refuse_to_reload(&self, toml: &str) -> String {
        write_config(&self.config_file(), toml);
        self.refuse_to_hang_up()
    }

    /// SIGHUP, while there is nothing good to read; returns what is said of it.
    #[track_caller]
    pub fn refuse_to_hang_up(&self) -> String {
        let before = self.events("reload_failed").len();
        self.signal(Signal::HUP);
        let refused = self.wait_for_events("reload_failed", before + 1).pop().expect("one more");
        refused["reason"].as_str().expect("a reason").to_owned()
    }

    /// SIGKILL for the process alone, as the OOM killer does it; what it started lives on.
    #[track_caller]
    pub fn kill9(&self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// SIGKILL for the process and all that it started, as systemd does it.
    #[track_caller]
    pub fn kill9_group(&self) {
        kill_process_group(self.pid(), Signal::KILL).unwrap();
        self.wait();
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub fn stop(&self) -> Exit {
        self.signal(Signal::TERM);
        self.exit()
    }

    #[track_caller]
    pub fn exit(&self) -> Exit {
        self.wait().into()
    }

    #[track_caller]
    pub fn wait(&self) -> ExitStatus {
        self.wait_within(SOON)
    }

    #[track_caller]
    pub fn wait_within(&self, deadline: Duration) -> ExitStatus {
        let status = wait_for("the end of maildirq", deadline, || self.status());
        // A grandchild may hold the pipes open; the process itself has said all by now.
        comes_true(Duration::from_secs(1), || self.stderr.is_over() && self.stdout.is_over());
        status
    }

    pub fn is_running(&self) -> bool {
        self.status().is_none()
    }

    /// It stays a zombie until it is dropped: so its number, which is also its group's, is nobody else's.
    fn status(&self) -> Option<ExitStatus> {
        let only_look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let end = waitid(WaitId::Pid(self.pid()), only_look).unwrap()?;
        let wait_status = end.exit_status().map(|code| code << 8).or_else(|| end.terminating_signal());
        wait_status.map(ExitStatus::from_raw)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// What it said.
impl Maildirq {
    /// The lines on stderr so far.
    pub fn lines(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// The same as JSON, which every line has to be.
    #[track_caller]
    pub fn log_lines(&self) -> Vec<Value> {
        self.lines().iter().map(|line| parse(line)).collect()
    }

    /// The log lines of this event so far.
    #[track_caller]
    pub fn events(&self, event: &str) -> Vec<Value> {
        self.log_lines().into_iter().filter(|line| line["event"] == event).collect()
    }

    /// The first log line of this event.
    #[track_caller]
    pub fn wait_for_event(&self, event: &str) -> Value {
        self.wait_for_events(event, 1).remove(0)
    }

    #[track_caller]
    pub fn wait_for_events(&self, event: &str, count: usize) -> Vec<Value> {
        self.hear(&format!("{count} log lines with event {event:?}"), || {
            let found = self.events(event);
            (found.len() >= count).then_some(found)
        })
    }

    /// The first line on stderr that contains this text.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        self.hear(&format!("a line with {text:?} on stderr"), || {
            self.lines().into_iter().find(|line| line.contains(text))
        })
    }

    /// Waits no longer than there is somebody who could say it.
    #[track_caller]
    fn hear<T>(&self, what: &str, listen: impl Fn() -> Option<T>) -> T {
        wait_for(what, SOON, || {
            let was_all = self.stderr.is_over();
            let heard = listen();
            assert!(heard.is_some() || !was_all, "maildirq ended without {what}");
            heard
        })
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What strace wrote.
    pub fn trace(&self) -> String {
        let trace = self.trace.as_ref().expect("it runs under strace");
        fs::read_to_string(trace).unwrap()
    }

    /// How many calls strace has tampered with; a kill is not marked, but it is how the process ended.
    pub fn injections(&self) -> usize {
        self.trace().matches("(INJECTED)").count()
    }
}

/// How it feels, where it does not run under strace.
impl Maildirq {
    pub fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// The open files whose name has this in it; one that is gone may still be open.
    pub fn open_files_with(&self, text: &str) -> usize {
        let links = fs::read_dir(self.proc("fd")).unwrap().map(|link| link.unwrap().path());
        // A file may be closed meanwhile.
        links.filter_map(|link| fs::read_link(link).ok()).filter(|name| name.to_string_lossy().contains(text)).count()
    }

    pub fn threads(&self) -> u64 {
        self.status_field("Threads:")
    }

    /// Kilobytes of memory at this moment.
    pub fn memory(&self) -> u64 {
        self.status_field("VmRSS:")
    }

    /// Kilobytes of memory at the worst moment so far.
    pub fn peak_memory(&self) -> u64 {
        self.status_field("VmHWM:")
    }

    /// Bytes that it has had written so far: to files, sockets, and its log.
    pub fn written(&self) -> u64 {
        number(&fs::read_to_string(self.proc("io")).unwrap(), "wchar:")
    }

    /// What it has used of the CPU so far, in user and system time; also after its end.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // Its name may hold anything but ends at the last parenthesis: see proc(5).
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number of ticks")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Whose files it may touch.
    pub fn uid(&self) -> u32 {
        self.status_field("Uid:").try_into().expect("a user id")
    }

    /// Whether each of its threads has been stopped by SIGSTOP, or will be as soon as the disk has answered.
    pub fn stands_still(&self) -> bool {
        let threads = fs::read_dir(self.proc("task")).unwrap().map(|thread| thread.unwrap().path());
        let told = threads.map(|path| fs::read_to_string(path.join("status")).unwrap_or_default());
        let states = told.filter_map(|status| Some(status.split_once("\nState:\t")?.1.chars().next()));
        states.into_iter().all(|state| matches!(state, Some('T' | 'D')))
    }

    /// How often its threads of this name have gone to sleep so far; of all threads for "".
    pub fn naps(&self, thread: &str) -> u64 {
        let threads = fs::read_dir(self.proc("task")).unwrap().map(|thread| thread.unwrap().path());
        // A thread may end meanwhile.
        let named =
            threads.filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with(thread)));
        let told = named.filter_map(|path| fs::read_to_string(path.join("status")).ok());
        told.map(|status| number(&status, "voluntary_ctxt_switches:")).sum()
    }

    /// Until its threads of this name have gone to sleep, and have heard of nothing for a while.
    #[track_caller]
    pub fn wait_until_it_rests(&self, thread: &str) {
        const A_WHILE: Duration = Duration::from_millis(200);
        wait_until(format!("{thread:?} threads rest"), SOON, || {
            let naps = self.naps(thread);
            !comes_true(A_WHILE, || self.naps(thread) != naps)
        });
    }

    fn status_field(&self, name: &str) -> u64 {
        number(&fs::read_to_string(self.proc("status")).unwrap(), name)
    }

    pub(super) fn proc(&self, file: &str) -> PathBuf {
        ["/proc", &self.child.id().to_string(), file].iter().collect()
    }
}

impl Drop for Maildirq {
    fn drop(&mut self) {
        let end = self.status().map(Exit::from);
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- stderr of maildirq\n{}", self.stderr.text());
        }
        // L7, for all that were not killed by the test.
        let is_in_order = end.is_none_or(|exit| exit.is_documented() || exit == Exit::Signal(9));
        assert!(is_in_order || thread::panicking(), "maildirq ended, and that is documented nowhere: {end:?}");
        leaks::assert_none_in("standard error of maildirq", self.stderr.text().as_bytes());
        leaks::assert_none_in("standard output of maildirq", self.stdout.text().as_bytes());
    }
}

fn config(maildir: &Path, url: &str, settings: &str) -> String {
    format!("maildir = \"{}\"\n[target.app]\nurl = {url:?}\n{settings}\n", maildir.display())
}

/// How a maildirq ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// Something went dead during this drain.
    SomeDead,
    /// Some mail waits for a retry.
    SomeWait,
    Usage,
    NoInput,
    Bug,
    Disk,
    Config,
    Code(i32),
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(0), _) => Exit::Ok,
            (Some(1), _) => Exit::SomeDead,
            (Some(64), _) => Exit::Usage,
            (Some(66), _) => Exit::NoInput,
            (Some(70), _) => Exit::Bug,
            (Some(74), _) => Exit::Disk,
            (Some(75), _) => Exit::SomeWait,
            (Some(78), _) => Exit::Config,
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.expect("neither exited nor killed")),
        }
    }
}

/// What came through a pipe, line by line.
struct Heard {
    lines: Arc<Mutex<Vec<String>>>,
    listener: JoinHandle<()>,
}

impl Heard {
    fn listen(pipe: impl Read + Send + 'static) -> Heard {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let listener = thread::spawn({
            let lines = lines.clone();
            move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
                }
            }
        });
        Heard { lines, listener }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    fn is_over(&self) -> bool {
        self.listener.is_finished()
    }
}

/// A number in a status file of proc(5).
fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("a log line is not JSON, {error}: {line:?}"))
}
