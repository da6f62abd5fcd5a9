//! What only `unsafe` code can ask of the system: here is all of it.
//!
//! Three things are asked that no crate makes safe.
//!
//! **Whether a file is open for writing anywhere.** `F_SETLEASE` of fcntl(2) tells.
//!
//! **To do something in a new process before it becomes its program.** Between fork and exec a child has one thread
//! and a copy of all our memory, as it was at that moment: a lock that another thread held stays locked for ever, the
//! allocator's among them. So the steps make system calls only, by way of `rustix`, which does nothing beside; all
//! that they need was made before, and nothing of it is dropped there.
//!
//! **To wait for a descriptor that tokio has no type for.** Tokio cannot know that it stays what it is meanwhile.

#![allow(unsafe_code)]

use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, FdFlags, dup2, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, chdir, getpid, getppid, getrlimit, set_parent_process_death_signal,
    setrlimit,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{Interest, unix::AsyncFd};

/// The number that a program knows its lease by.
const LEASE: RawFd = 3;
/// Errors of Linux are smaller, so that the step has its place above them: see `errno(3)`.
const ERRORS: i32 = 1 << 12;

/// Takes a read lease on a file, and gives it back.
///
/// # Errors
/// It is open for writing somewhere (`EAGAIN`), or leases are not to be had for it.
pub(crate) fn try_read_lease(file: &File) -> Result<(), Errno> {
    set_lease(file, libc::F_RDLCK)?;
    // The lease was only the question. Giving it back cannot fail for its holder.
    let _ = set_lease(file, libc::F_UNLCK);
    Ok(())
}

fn set_lease(file: &File, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and F_SETLEASE takes an
    // integer; no memory is handed over.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)) }
}

/// A descriptor that can be waited for until there is something to read, within a runtime of tokio's with its I/O.
///
/// # Errors
/// It is of a kind that cannot be waited for, or the system has no memory left.
pub(crate) fn wait_for_reading(descriptor: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: an `OwnedFd` is open, and the same, until the last who has it drops it, and the `AsyncFd` has it.
    unsafe { Ok(AsyncFd::register_with_interest(descriptor, Interest::READABLE)?) }
}

/// What a new process does before it becomes its program, in this order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Becomes its file descriptor 3. It is open here until the command is dropped.
    pub lease: Option<OwnedFd>,
    /// Who it becomes. It has no other groups, as qmail and Postfix do it.
    pub user: Option<(Uid, Gid)>,
    /// Its working directory, which it enters as who it has become.
    pub directory: Option<CString>,
    /// How much memory it may have (the address space), in bytes; never more than we.
    pub memory: Option<u64>,
    /// How much CPU time it may take, in seconds; never more than we.
    pub cpu: Option<u32>,
    /// How many files it may have open; never more than our hard limit.
    pub open_files: Option<u64>,
    /// It is killed when the *thread* ends that starts it, and so when we do. Where it runs as somebody else
    /// the kernel lets us do that only with `CAP_KILL`.
    pub dies_with_us: bool,
}

/// A step that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Lease = 1,
    Account,
    Directory,
    Limits,
    Parent,
}

impl Step {
    /// In their order.
    const ALL: [Step; 5] = [Step::Lease, Step::Account, Step::Directory, Step::Limits, Step::Parent];

    /// In the child. An error gets to us as a number, for that is all that the standard library hands on. So
    /// the number of the step is put above that of the error.
    fn taken(self, result: rustix::io::Result<()>) -> io::Result<()> {
        result.map_err(|error| io::Error::from_raw_os_error(self as i32 * ERRORS + error.raw_os_error()))
    }

    /// The step that failed, and why, where an error of starting a program comes from one.
    pub fn behind(error: &io::Error) -> Option<(Step, io::Error)> {
        let code = error.raw_os_error()?;
        let step = Self::ALL.into_iter().find(|&step| step as i32 == code / ERRORS)?;
        Some((step, io::Error::from_raw_os_error(code % ERRORS)))
    }

    /// What starting a program fails with at each of them.
    #[cfg(test)]
    pub fn all_failing(why: Errno) -> [io::Error; 5] {
        Self::ALL.map(|step| step.taken(Err(why)).unwrap_err())
    }
}

impl Steps {
    /// Has them taken by every process that this command starts.
    ///
    /// # Errors
    /// There is no file descriptor to give.
    pub fn are_taken_by(self, command: &mut Command) -> io::Result<()> {
        let Steps { lease, user, directory, memory, cpu, open_files, dies_with_us } = self;
        let lease = lease.map(Lease::new).transpose()?;
        let parent = dies_with_us.then(getpid);
        // It has what is ours, or a limit is told for it: a memory dump would lay mail about.
        let is_limited = memory.is_some() || cpu.is_some() || lease.is_some() || user.is_some() || dies_with_us;
        let steps = move || {
            if let Some(lease) = &lease {
                Step::Lease.taken(lease.put_in_place())?;
            }
            if let Some((user, group)) = user {
                Step::Account.taken(become_user(user, group))?;
            }
            if let Some(directory) = &directory {
                Step::Directory.taken(chdir(directory.as_c_str()))?;
            }
            if is_limited {
                Step::Limits.taken(limit(memory, cpu))?;
            }
            if let Some(open_files) = open_files {
                let maximum = getrlimit(Resource::Nofile).maximum;
                let current = Some(maximum.map_or(open_files, |maximum| maximum.min(open_files)));
                Step::Limits.taken(setrlimit(Resource::Nofile, Rlimit { current, maximum }))?;
            }
            if let Some(parent) = parent {
                // A change of user undoes it, so it comes last.
                Step::Parent.taken(die_with(parent))?;
            }
            Ok(())
        };
        // SAFETY: the steps make system calls and nothing else, on what they own. They neither allocate nor
        // lock nor panic: an error is made of a number, and nothing that they own is dropped in the child.
        unsafe { command.pre_exec(steps) };
        Ok(())
    }
}

/// In the child, which is one thread.
fn become_user(user: Uid, group: Gid) -> rustix::io::Result<()> {
    set_thread_res_uid(None, Uid::ROOT, None)?;
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)
}

/// What becomes file descriptor 3.
struct Lease {
    file: OwnedFd,
    /// The file that has the number here. In the child it is overwritten.
    there: (u64, u64),
}

impl Lease {
    /// The standard library tells of a failed start through a pipe, and that must not have the number. So it is
    /// taken for good as soon as it is free.
    fn new(file: OwnedFd) -> io::Result<Self> {
        let there = loop {
            let placeholder = fcntl_dupfd_cloexec(File::open("/dev/null")?, LEASE)?;
            if placeholder.as_raw_fd() == LEASE {
                let _kept_open = placeholder.into_raw_fd();
            }
            match identity(number_three()) {
                // Another thread had it, and has closed it since.
                Err(Errno::BADF) => {}
                there => break there?,
            }
        };
        Ok(Lease { file, there })
    }

    /// In the child.
    fn put_in_place(&self) -> rustix::io::Result<()> {
        if self.file.as_raw_fd() == LEASE {
            return fcntl_setfd(&self.file, FdFlags::empty());
        }
        // Since we have looked another thread may have closed what was there, and the pipe have come instead.
        match identity(number_three()) {
            // Nothing is there, so the pipe is not.
            Err(Errno::BADF) => {}
            there => {
                if there? != self.there && is_pipe_or_socket(number_three())? {
                    return Err(Errno::BUSY);
                }
            }
        }
        // SAFETY: nothing in the child uses what has this number, and it is not closed here.
        let mut three = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(LEASE) });
        dup2(&self.file, &mut three)
    }
}

fn number_three() -> BorrowedFd<'static> {
    // SAFETY: it is looked at in a system call, which fails where it is closed.
    unsafe { BorrowedFd::borrow_raw(LEASE) }
}

fn identity(file: impl AsFd) -> rustix::io::Result<(u64, u64)> {
    let stat = fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn is_pipe_or_socket(file: impl AsFd) -> rustix::io::Result<bool> {
    Ok(matches!(FileType::from_raw_mode(fstat(file)?.st_mode), FileType::Fifo | FileType::Socket))
}

/// In the child. Never raises what holds for us.
fn limit(memory: Option<u64>, cpu: Option<u32>) -> rustix::io::Result<()> {
    if let Some(bytes) = memory {
        lower(Resource::As, bytes, bytes)?;
    }
    if let Some(seconds) = cpu {
        // SIGXCPU at the first, SIGKILL at the second: see `getrlimit(2)`.
        lower(Resource::Cpu, u64::from(seconds), u64::from(seconds) + 1)?;
    }
    // A memory dump would lay mail about.
    lower(Resource::Core, 0, 0)
}

fn lower(resource: Resource, soft: u64, hard: u64) -> rustix::io::Result<()> {
    let maximum = getrlimit(resource).maximum.map_or(hard, |present| present.min(hard));
    setrlimit(resource, Rlimit { current: Some(soft.min(maximum)), maximum: Some(maximum) })
}

/// In the child.
fn die_with(parent: Pid) -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever ended before that sent nothing.
    if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH) }
}
