//! Becoming the Maildir's owner when started as root.
//!
//! What root makes in a Maildir its owner could neither lock nor remove. So a process that is root
//! gives that up, for good, before it touches anything.

use super::layout::OpenError;
use super::places::Place;
use rustix::fs::{AtFlags, CWD, Stat, statat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::path::Path;

/// Where this process is root, it becomes the owner of all these Maildirs, for good. Those that a glob
/// has found only count where none is named, and then the first of them; what belongs to others cannot
/// be worked on. Must be called before there is a second thread: Linux keeps credentials per thread.
///
/// # Errors
/// Named ones belong to more than one user, cannot be looked at, or the kernel does not let go of the
/// privilege.
pub fn become_owner(maildirs: &[Place]) -> Result<(), OpenError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (found, named): (Vec<_>, Vec<_>) = maildirs.iter().partition(|place| place.was_found);
    let mut owner: Option<(&Path, Stat)> = None;
    for Place { path, was_found } in named.into_iter().chain(found) {
        let stat = match statat(CWD, path, AtFlags::empty()) {
            Ok(stat) => stat,
            // That there is nothing here, whoever opens it says better.
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(error) => return Err(OpenError::io(path, "")(error)),
        };
        match &owner {
            None => owner = Some((path, stat)),
            Some((first, other)) if !was_found && other.st_uid != stat.st_uid => {
                let owners = [(first.to_path_buf(), other.st_uid), (path.clone(), stat.st_uid)];
                return Err(OpenError::Owners { owners });
            }
            Some(_) => {}
        }
    }
    let Some((path, stat)) = owner.filter(|(_, stat)| stat.st_uid != 0) else { return Ok(()) };
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let become_them = || -> Result<(), Errno> {
        set_thread_groups(&[group])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    become_them().map_err(OpenError::io(path, ""))
}
