//! Becoming the Maildir's owner when started as root.
//!
//! What root makes in a Maildir its owner could neither lock nor remove. So a process that is root
//! gives that up, for good, before it touches anything.

use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::io;
use std::path::Path;

/// Where this process is root, it becomes the owner of `path`, for good. Must be called before
/// there is a second thread: Linux keeps credentials per thread.
///
/// # Errors
/// `path` cannot be looked at, or the kernel does not let go of the privilege.
pub fn become_owner(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let stat = match statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => stat,
        // That there is nothing here, whoever opens it says better.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    if user.is_root() {
        return Ok(());
    }
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}
