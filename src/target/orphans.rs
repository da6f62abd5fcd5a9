//! What a command leaves running: found, ended, and taken off the process table.
//!
//! A process whose parent ends becomes the child of the nearest *subreaper* above it. That is us, so
//! nothing that a command starts gets away from us, whatever it forks. Among our children those of a
//! command are told by their process group or, where they have left that, by a mark in their environment:
//! the id of the message, or what a worker has in its place. All others belong to somebody else and are left
//! alone; for that reason there is no `waitpid(-1)` here.

use super::children::{self, is_gone};
use super::privilege::with_all_privileges;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, waitpid,
};
use rustix::thread::gettid;
use signal_hook::consts::SIGCHLD;
use signal_hook::flag;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::str::SplitAsciiWhitespace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The main processes that did not end even when killed, which somebody has to take off the process
/// table some day. While it is locked nobody else does so, hence no number of a process is used anew
/// between finding the process and signalling it.
static UNDEAD: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// The main processes of all commands that run: nobody's orphans, and not to be looked at as such.
static MAINS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Read while a main process is started, until it is known as one, and while one is taken off the process table;
/// written while orphans are looked for. Else a look might find a main process that nobody knows yet, and take it
/// for an orphan; or miss an orphan, which the system leaves out of its list of our children where one before it is
/// taken off meanwhile.
///
/// Read as well while somebody has a glance whether there is anything to look for, so that glances and starts do not
/// wait for one another. A glance is at the main processes of its own thread, of which none comes or goes meanwhile:
/// other threads take one of them off while it is written only.
static COMING_AND_GOING: RwLock<()> = RwLock::new(());

fn mains() -> MutexGuard<'static, BTreeSet<i32>> {
    MAINS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes this process the one to which all orphans below it come.
///
/// Where it was started with SIGCHLD ignored it listens to that from now on: ignoring it would lose exit codes.
pub(super) fn adopt() -> io::Result<()> {
    // Where that cannot be told it does no harm.
    if is_ignored(SIGCHLD).unwrap_or(true) {
        flag::register(SIGCHLD, Arc::default())?;
    }
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Whether a signal does nothing here, by the mask that `proc_pid_status(5)` tells of.
fn is_ignored(signal: i32) -> io::Result<bool> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    Ok(mask.ok_or_else(|| cannot_tell("which signals are ignored"))? >> (signal - 1) & 1 == 1)
}

/// Takes off the process table what programs that still run have left behind and what has ended since.
pub(super) fn take_off_ended() -> io::Result<()> {
    let mut undead = UNDEAD.lock().unwrap_or_else(PoisonError::into_inner);
    let _nobody_comes_or_goes = COMING_AND_GOING.write().unwrap_or_else(PoisonError::into_inner);
    undead.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    let Some(us) = Process::read(getpid()) else { return Err(cannot_tell("what group we are in")) };
    let mut children = children::of_all_threads()?;
    let mains = mains();
    children.retain(|pid| !mains.contains(&pid.as_raw_pid()));
    drop(mains);
    for pid in children {
        if Process::read(pid).is_some_and(|process| process.has_ended && !process.is_like(&us)) {
            take_off(pid)?;
        }
    }
    Ok(())
}

/// The processes that a command started, its main process aside.
pub(super) struct Orphans {
    /// The main process, which also names the process group. It must not have been waited for.
    main: Pid,
    /// The thread that has started it.
    thread: Pid,
    mark: String,
    asked: HashSet<Pid>,
}

impl Orphans {
    /// Starts a main process. `mark` is a variable of its environment, with its value, by which all that it
    /// starts is known.
    pub(super) fn of(command: &mut Command, mark: String) -> io::Result<(Child, Self)> {
        let starting = COMING_AND_GOING.read().unwrap_or_else(PoisonError::into_inner);
        let child = command.process_group(0).spawn()?;
        let orphans = Orphans::new(Pid::from_child(&child), mark);
        drop(starting);
        Ok((child, orphans))
    }

    fn new(main: Pid, mark: String) -> Self {
        mains().insert(main.as_raw_pid());
        Orphans { main, thread: gettid(), mark, asked: HashSet::new() }
    }

    /// Sends a signal to the group.
    pub(super) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        ignore_gone(kill_process_group(self.main, signal))
    }

    /// Asks all that have become our children and are not in the group to end, each of them once.
    ///
    /// Returns how many were found; those that had ended already are counted a last time, for they
    /// may have left children of their own, which the next look will find.
    pub(super) fn ask(&mut self) -> io::Result<usize> {
        self.end(Signal::TERM)
    }

    /// As [`Orphans::ask`], but kills.
    pub(super) fn kill(&mut self) -> io::Result<usize> {
        self.signal_group(Signal::KILL)?;
        self.end(Signal::KILL)
    }

    /// Takes the main process, which has ended, off the process table.
    pub(super) fn take_off_main(&self, child: &mut Child) -> io::Result<ExitStatus> {
        self.while_nobody_looks(|| child.wait())
    }

    /// Takes the main process off the process table: now, where it has ended, or else whoever ends orphans when it has.
    pub(super) fn leave_main(&self, mut child: Child) {
        // An error is that somebody else has waited for it.
        if self.while_nobody_looks(|| matches!(child.try_wait(), Ok(None))) {
            UNDEAD.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
    }

    /// Where the thread that has started the main process may be having a glance, it is kept from that, too.
    fn while_nobody_looks<T>(&self, act: impl FnOnce() -> T) -> T {
        if self.thread == gettid() {
            let _nobody_looks = COMING_AND_GOING.read().unwrap_or_else(PoisonError::into_inner);
            act()
        } else {
            let _nobody_looks = COMING_AND_GOING.write().unwrap_or_else(PoisonError::into_inner);
            act()
        }
    }

    fn end(&mut self, signal: Signal) -> io::Result<usize> {
        if self.are_none() {
            self.asked.clear();
            return Ok(0);
        }
        let mut undead = UNDEAD.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_comes_or_goes = COMING_AND_GOING.write().unwrap_or_else(PoisonError::into_inner);
        // An error is that somebody else has waited for it.
        undead.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        // Read as for every other process: a session or group from outside our PID namespace is 0 to us.
        let Some(us) = Process::read(getpid()) else { return Err(cannot_tell("what group we are in")) };
        let mut found = 0;
        let adopted = self.adopted()?;
        // Who was taken off meanwhile is asked no more: his number may be another's soon.
        self.asked.retain(|pid| adopted.contains(pid));
        for pid in adopted {
            let Some(process) = Process::read(pid) else { continue };
            let is_in_group = process.group == self.main.as_raw_pid();
            if process.has_ended {
                // Nothing tells any more whose it was. But what is of another session or group than
                // ours, only commands leave behind.
                if is_in_group || self.asked.contains(&pid) || !process.is_like(&us) {
                    found += 1;
                    take_off(pid)?;
                    self.asked.remove(&pid);
                }
            } else if is_in_group {
                found += 1;
                self.asked.insert(pid);
            } else if let Some(is_marked) = self.is_marked(pid) {
                found += usize::from(is_marked);
                if is_marked && (self.asked.insert(pid) || signal == Signal::KILL) {
                    ignore_gone(kill_process(pid, signal))?;
                }
            } else {
                found += 1;
            }
        }
        Ok(found)
    }

    /// Whether a glance shows that the main process, which has ended, has left nothing behind. It keeps nobody waiting,
    /// and is all that most commands need.
    ///
    /// By the time that a process can be waited for, all that it has left behind is our children, or below them. These
    /// children are on the list of our first thread, which lives as long as we do, or of the thread that has started
    /// the main process:
    ///
    /// - whoever loses its parent comes to the first thread of ours (`find_new_reaper` in Linux, since 3.19), or to the
    ///   one that has started the main process (before);
    /// - whoever a main process clones with `CLONE_PARENT` has the parent of that: the thread that has started it.
    ///
    /// The latter list is read first: whoever is not there then never will be, while its children may come to the first
    /// thread whenever one that is there ends. The main process has to be on it, or else /proc tells nothing; and
    /// nobody but main processes may be.
    fn are_none(&self) -> bool {
        if self.thread != gettid() || !UNDEAD.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return false;
        }
        let _nobody_looks = COMING_AND_GOING.read().unwrap_or_else(PoisonError::into_inner);
        let Ok(children) = children::of_this_thread() else { return false };
        let has_only_mains = {
            let mains = mains();
            children.iter().all(|pid| mains.contains(&pid.as_raw_pid()))
        };
        let is_first = self.thread == getpid();
        has_only_mains
            && children.contains(&self.main)
            && (is_first || matches!(children::has_first_thread_any(), Ok(false)))
    }

    /// Whether a process has the mark. Nothing where that will only be known in a moment:
    /// a process that is just about to become another program has no environment yet, and one
    /// that is just about to end has none any more.
    fn is_marked(&self, pid: Pid) -> Option<bool> {
        if self.asked.contains(&pid) {
            return Some(true);
        }
        // What another user runs cannot be read, nor could we end it, unless we have kept root for that.
        let read = |name: &str| with_all_privileges(|| fs::read(format!("/proc/{pid}/{name}")));
        let environment = || match read("environ") {
            // Newer kernels say so of a process that ends; older ones, that its environment is empty.
            Err(error) if is_gone(&error) => None,
            Err(_) => Some(Vec::new()),
            Ok(environment) => Some(environment),
        };
        let program = || read("stat").ok().as_deref().and_then(program_at);
        let has_mark = |variables: &[u8]| variables.split(|&byte| byte == 0).any(|one| one == self.mark.as_bytes());
        if has_mark(&environment()?) {
            return Some(true);
        }
        // It has none where it had the same program all the while: else what was read may be a part, or nothing.
        let before = program()?;
        let is_marked = has_mark(&environment()?);
        (is_marked || program() == Some(before)).then_some(is_marked)
    }

    /// Our children but for main processes.
    fn adopted(&self) -> io::Result<Vec<Pid>> {
        let mut children = children::of_all_threads()?;
        let is_told = children.contains(&self.main);
        let mains = mains();
        children.retain(|pid| !mains.contains(&pid.as_raw_pid()));
        drop(mains);
        if !is_told {
            return Err(cannot_tell("which processes are our children"));
        }
        Ok(children)
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        mains().remove(&self.main.as_raw_pid());
    }
}

/// What the system tells of a process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    has_ended: bool,
    group: i32,
    session: i32,
}

impl Process {
    /// Whether it is of the same session and group.
    fn is_like(&self, other: &Self) -> bool {
        (self.session, self.group) == (other.session, other.group)
    }

    /// Nothing for a process that is gone.
    fn read(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = behind_name(line)?;
        let has_ended = matches!(fields.next()?, "Z" | "X");
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        Some(Process { has_ended, group, session })
    }
}

/// The fields of a stat file behind the name of the program, which may hold anything, even brackets: see
/// `proc_pid_stat(5)`.
fn behind_name(line: &[u8]) -> Option<SplitAsciiWhitespace<'_>> {
    let behind = line.iter().rposition(|&byte| byte == b')')? + 1;
    Some(str::from_utf8(&line[behind..]).ok()?.split_ascii_whitespace())
}

/// Where the code and the stack of a process begin in its memory, by its stat file: no two programs have both at the
/// same place. Nothing while it has no program: it is about to become another one, which has its environment by the
/// time that this is known; or it is about to end.
fn program_at(line: &[u8]) -> Option<(u64, u64)> {
    let mut fields = behind_name(line)?;
    let code = fields.nth(23)?.parse().ok().filter(|start| *start != 0)?;
    let stack = fields.nth(1)?.parse().ok()?;
    Some((code, stack))
}

fn cannot_tell(what: &str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, format!("/proc does not tell {what}"))
}

/// Takes a process that has ended off the process table.
fn take_off(pid: Pid) -> io::Result<()> {
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        // Somebody else has done so.
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn ignore_gone(sent: rustix::io::Result<()>) -> io::Result<()> {
    match sent {
        // What belongs to another user stays; that it does is noticed by its being found again.
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "orphans_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "glance_tests.rs"]
mod glance_tests;
