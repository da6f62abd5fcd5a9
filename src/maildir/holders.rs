//! Who holds a message, without changing anything.
//!
//! A command has the message's file as its standard input, and with it the lock. So when maildirq was killed the
//! message stays claimed until the command has ended, and all that inherited the file from it. `/proc` tells
//! who that is; the kernel's own list of locks only tells who took the lock, which may be long gone.

use crate::engine::text::printable;
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
use rustix::param::clock_ticks_per_second;
use rustix::process::getpid;
use rustix::system::sysinfo;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A process that holds a message, or has taken its lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its number.
    pub process: u32,
    /// The name of its program, fit to be shown. Nothing for a process that has ended: then something that it
    /// has started, and that cannot be seen, has the message.
    pub program: Option<String>,
    /// How long it has been running.
    pub age: Option<Duration>,
}

impl Holder {
    /// Whether it is a maildirq at its work.
    pub fn is_maildirq(&self) -> bool {
        self.program.as_deref() == Some(env!("CARGO_PKG_NAME"))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(program) = &self.program else {
            return write!(f, "something that process {}, which has ended, has started", self.process);
        };
        write!(f, "process {} ({program})", self.process)?;
        match self.age {
            Some(age) => write!(f, ", running for {}", humantime::format_duration(Duration::from_secs(age.as_secs()))),
            None => Ok(()),
        }
    }
}

/// A file, whatever it is called: its device and its number there.
type Inode = (u64, u64);

/// Those of these files that somebody holds the lock of, and who, as far as it can be seen: what other users
/// run only root sees. This looks at all open files of all processes. What this process itself holds is left out.
pub fn holders<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<(&'a Path, Vec<Holder>)> {
    let files: Vec<_> = files.into_iter().filter_map(|path| Some((path, inode(path)?))).collect();
    if files.is_empty() {
        return Vec::new();
    }
    let mut found: HashMap<Inode, Vec<Holder>> = files.iter().map(|(_, inode)| (*inode, Vec::new())).collect();
    for process in processes() {
        for inode in locked_by(process, &found) {
            let holders = found.entry(inode).or_default();
            if !holders.iter().any(|known| known.process == process) {
                holders.push(holder(process));
            }
        }
    }
    for (inode, process) in takers() {
        if let Some(holders) = found.get_mut(&inode).filter(|holders| holders.is_empty() && process != us()) {
            holders.push(holder(process));
        }
    }
    let of = |inode| found.get(&inode).filter(|holders| !holders.is_empty()).cloned();
    files.into_iter().filter_map(|(path, inode)| Some((path, of(inode)?))).collect()
}

fn us() -> u32 {
    getpid().as_raw_pid().unsigned_abs()
}

/// Asks no file server: one that does not answer must not hold this up.
fn inode(path: &Path) -> Option<Inode> {
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    Some((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino))
}

/// All processes but this one.
fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|process| *process != us())
}

/// Those of the files whose lock this process has through an open file of its own.
fn locked_by(process: u32, wanted: &HashMap<Inode, Vec<Holder>>) -> Vec<Inode> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let mut locked = Vec::new();
    // What may not be seen is left out.
    for entry in fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
        let Some(inode) = inode(&entry.path()).filter(|inode| wanted.contains_key(inode)) else { continue };
        let info = fs::read_to_string(folder.join("fdinfo").join(entry.file_name())).unwrap_or_default();
        if info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK")) {
            locked.push(inode);
        }
    }
    locked
}

/// Which process took the lock of which file: see `proc_locks(5)`.
fn takers() -> Vec<(Inode, u32)> {
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    list.lines().filter_map(taker).collect()
}

/// "7: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF"
fn taker(line: &str) -> Option<(Inode, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next()? != "FLOCK" {
        return None;
    }
    let process = fields.nth(2)?.parse().ok()?;
    let mut file = fields.next()?.split(':');
    let mut part = || u32::from_str_radix(file.next()?, 16).ok();
    let device = makedev(part()?, part()?);
    Some(((device, file.next()?.parse().ok()?), process))
}

fn holder(process: u32) -> Holder {
    let status = fs::read(format!("/proc/{process}/stat")).ok();
    let (program, age) = status.and_then(|line| parse(&line)).map_or((None, None), |(program, started)| {
        let since_boot = u64::try_from(sysinfo().uptime).unwrap_or_default();
        (Some(program), Some(Duration::from_secs(since_boot).saturating_sub(started)))
    });
    Holder { process, program, age }
}

/// The program of a process, and when it was started, since the machine was: see `proc_pid_stat(5)`. Nothing
/// for one that has ended, and is only not waited for yet.
fn parse(line: &[u8]) -> Option<(String, Duration)> {
    // The name of the program may hold anything, even brackets.
    let (begin, end) = (line.iter().position(|&byte| byte == b'(')?, line.iter().rposition(|&byte| byte == b')')?);
    let program = printable(line.get(begin + 1..end)?);
    let mut fields = str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let ticks: u64 = fields.nth(18)?.parse().ok()?;
    Some((program, Duration::from_secs(ticks / clock_ticks_per_second().max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn lines_of_the_system_are_read_whatever_they_hold() {
        let rest = "1 70 700 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0";
        let ticks = clock_ticks_per_second();
        for (name, shown) in [("sh", "sh"), ("a) Z 1 (b", "a) Z 1 (b"), ("\u{1b}[2J", r"\u{1b}[2J")] {
            let line = format!("7 ({name}) S {rest} {} 9\n", 60 * ticks);
            assert_eq!(parse(line.as_bytes()), Some((shown.to_owned(), Duration::from_mins(1))));
        }
        for line in [&b""[..], b"7 (sh", b")7 (", b"7 (sh)", b"7 (sh) S 1 2 3", b"7 (sh) Z 1 70 700 0 -1 4194560 1 2"] {
            assert_eq!(parse(line), None);
        }
        assert_eq!(taker("7: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF"), Some(((makedev(0xfe, 1), 1234), 4711)));
        for line in ["", "7: FLOCK", "7: POSIX  ADVISORY  WRITE 4711 fe:01:1234 0 EOF", "7: FLOCK A W x fe:01:1 0 EOF"]
        {
            assert_eq!(taker(line), None, "{line}");
        }
    }

    #[test]
    fn whoever_has_inherited_a_lock_holds_it() {
        let _forks = crate::FORKS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let [held, only_open, free] = ["held", "open", "free"].map(|name| folder.path().join(name));
        for path in [&held, &only_open, &free] {
            File::create(path).unwrap().write_all(b"Subject: x\n\n").unwrap();
        }
        let file = File::open(&held).unwrap();
        fs2::FileExt::lock_exclusive(&file).unwrap();
        let all = [&*held, &only_open, &free];
        assert_eq!(holders(all), [], "what we hold ourselves");
        let sleep = |stdin: File| Command::new("sleep").arg("600").stdin(stdin).stdout(Stdio::null()).spawn().unwrap();
        let mut children = [sleep(file), sleep(File::open(&only_open).unwrap())];

        let found = holders(all);

        for child in &mut children {
            child.kill().unwrap();
            assert!(!child.wait().unwrap().success());
        }
        let [(path, by)] = &found[..] else { panic!("{found:?}") };
        let [holder] = &by[..] else { panic!("{by:?}") };
        assert_eq!((*path, holder.process, holder.program.as_deref()), (&*held, children[0].id(), Some("sleep")));
        assert!(holder.age.is_some_and(|age| age < Duration::from_mins(10)), "{holder}");
        let shown = format!("process {} (sleep), running for ", children[0].id());
        assert!(holder.to_string().starts_with(&shown), "{holder}");
        assert_eq!(holders(all), []);
    }
}
