//! Which processes are our children. The system keeps a list of them for each thread: see `proc_tid_children(5)`.

use rustix::io::Errno;
use rustix::process::{Pid, getpid};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};

/// Those of all our threads.
pub(super) fn of_all_threads() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(thread?.path().join("children")) {
            Ok(list) => found.extend(listed(&list)),
            // A thread that has ended leaves its children to another.
            Err(error) if error.kind() == ErrorKind::NotFound || is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Those of the thread that asks.
pub(super) fn of_this_thread() -> io::Result<Vec<Pid>> {
    Ok(listed(&fs::read_to_string("/proc/thread-self/children")?).collect())
}

/// Whether our first thread has any, at one moment: whoever comes and goes meanwhile does not matter.
pub(super) fn has_first_thread_any() -> io::Result<bool> {
    let mut list = File::open(format!("/proc/self/task/{}/children", getpid()))?;
    Ok(list.read(&mut [0])? > 0)
}

fn listed(list: &str) -> impl Iterator<Item = Pid> {
    list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
}

/// Whether an error says that a process or a thread is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}
