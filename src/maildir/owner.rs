//! Becoming the Maildir's owner when started as root.
//!
//! What root makes in a Maildir its owner could neither lock nor remove. So a process that is root
//! gives that up, for good, before it touches anything.

use super::layout::OpenError;
use rustix::fs::{AtFlags, CWD, Stat, statat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::path::Path;

/// Where this process is root, it becomes the owner of all these Maildirs, for good. Must be called
/// before there is a second thread: Linux keeps credentials per thread.
///
/// # Errors
/// They belong to more than one user, cannot be looked at, or the kernel does not let go of the
/// privilege.
pub fn become_owner(maildirs: &[&Path]) -> Result<(), OpenError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let mut owner: Option<(&Path, Stat)> = None;
    for &path in maildirs {
        let found = match statat(CWD, path, AtFlags::empty()) {
            Ok(found) => found,
            // That there is nothing here, whoever opens it says better.
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(error) => return Err(OpenError::io(path, "")(error)),
        };
        match &owner {
            None => owner = Some((path, found)),
            Some((first, other)) if other.st_uid != found.st_uid => {
                let owners = [(first.to_path_buf(), other.st_uid), (path.to_owned(), found.st_uid)];
                return Err(OpenError::Owners { owners });
            }
            Some(_) => {}
        }
    }
    let Some((path, found)) = owner.filter(|(_, found)| found.st_uid != 0) else { return Ok(()) };
    let (user, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    let become_them = || -> Result<(), Errno> {
        set_thread_groups(&[group])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    become_them().map_err(OpenError::io(path, ""))
}
