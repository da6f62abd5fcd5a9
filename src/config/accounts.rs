//! The users and groups of this machine, and those of a configuration.

use super::{Config, Target, TargetKind};
use crate::target::{Account, ProgramConfig};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long `getent` may take: a directory service that does not answer must not hold up a start for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether `getent` has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// No line of a list is longer, in bytes.
const LINE_LIMIT: u64 = 64 * 1024;
/// The exit code of `getent` for a name that it does not find: see `getent(1)`.
const NOT_FOUND: i32 = 2;

impl Target {
    /// The program that it runs, where it runs one.
    pub fn program(&self) -> Option<&ProgramConfig> {
        match &self.kind {
            TargetKind::Command(command) => Some(&command.run),
            TargetKind::Worker(worker) => Some(&worker.run),
            TargetKind::Url(_) => None,
        }
    }
}

impl Config {
    /// The numbers of all users and groups that its programs run as, where that is said.
    pub fn accounts(&self) -> Vec<(u32, u32)> {
        let accounts = self.targets.iter().filter_map(|target| target.program()?.account.as_ref());
        accounts.map(|account| (account.uid, account.gid)).collect()
    }
}

/// A user of this machine, by name; the group is the user's own. See `passwd(5)`.
///
/// # Errors
/// It cannot be found out.
pub(super) fn account(name: &str) -> io::Result<Option<Account>> {
    look_up("passwd", name, |fields| match fields {
        [_, _, uid, gid, _, home, ..] => {
            Some(Account { name: name.to_owned(), uid: number(uid)?, gid: number(gid)?, home: home.into() })
        }
        _ => None,
    })
}

/// The number of a group of this machine, by name. See `group(5)`.
///
/// # Errors
/// It cannot be found out.
pub(super) fn group(name: &str) -> io::Result<Option<u32>> {
    look_up("group", name, |fields| number(fields.get(2)?))
}

/// The highest number stands for nobody: see `chown(2)`.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

/// The first line of this name in a list of `/etc`, else in whatever else the machine has its users from
/// (`nsswitch.conf(5)`).
fn look_up<T>(list: &str, name: &str, read: impl Fn(&[&str]) -> Option<T>) -> io::Result<Option<T>> {
    let find = |text: &str| {
        let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.filter(|fields| fields[0] == name).find_map(|fields| read(&fields))
    };
    // What would be another field, another line or a flag is no name. A number, which getent takes for one, is
    // none either: what is found has another name.
    let is_name = !name.is_empty() && !name.contains([':', '\n', '\0']) && !name.starts_with(['-', '+']);
    if !is_name {
        return Ok(None);
    }
    // Comments of other charsets stand in it now and then.
    let text = match fs::read(format!("/etc/{list}")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    match find(&text) {
        Some(found) => Ok(Some(found)),
        None => Ok(find(&ask("getent", list, name)?)),
    }
}

/// What `getent` says of a name; nothing where there is no such program, as in small containers.
fn ask(program: &str, list: &str, name: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args([list, name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    // It is one line, which the pipe holds.
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            let reason = format!("`{program} {list} {name}` does not answer within {PATIENCE:?}");
            return Err(io::Error::new(ErrorKind::TimedOut, reason));
        }
        thread::sleep(LOOK_AGAIN);
    };
    let mut said = String::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(LINE_LIMIT).read_to_string(&mut said)?;
    }
    match status.code() {
        Some(0) => Ok(said),
        Some(NOT_FOUND) => Ok(String::new()),
        _ => Err(io::Error::other(format!("`{program} {list} {name}` failed: {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        let _forks = crate::FORKS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let root = Account { name: "root".into(), uid: 0, gid: 0, home: "/root".into() };
        assert_eq!(account("root").unwrap(), Some(root));
        assert_eq!(group("root").unwrap(), Some(0));
        for nobody in ["maildirq-surely-none", "", "-s", "+root", "root:x", "root\nroot", "ro\0ot"] {
            assert_eq!((account(nobody).unwrap(), group(nobody).unwrap()), (None, None), "{nobody:?}");
        }
    }

    #[test]
    fn other_lists_than_the_files_are_asked_and_need_not_be_there() {
        let _forks = crate::FORKS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(ask("getent", "passwd", "root").unwrap().starts_with("root:"));
        assert_eq!(ask("getent", "passwd", "maildirq-surely-none").unwrap(), "");
        assert_eq!(ask("maildirq-surely-no-getent", "passwd", "root").unwrap(), "");
        // It fails, which says nothing of the name.
        let error = ask("false", "passwd", "root").unwrap_err().to_string();
        assert!(error.contains("`false passwd root` failed"), "{error}");
    }

    #[test]
    fn the_number_of_nobody_is_none() {
        for (text, expected) in [("0", Some(0)), ("4294967294", Some(4_294_967_294)), ("4294967295", None), ("x", None)]
        {
            assert_eq!(number(text), expected);
        }
    }
}
