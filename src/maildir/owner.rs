//! Becoming the Maildir's owner when started as root.
//!
//! What root makes in a Maildir its owner could neither lock nor remove. So a process that is root gives that
//! up before it touches anything: for good, or, where programs are to run as others still, but for a way back
//! that only those programs take between fork and exec.

use super::layout::OpenError;
use super::places::Place;
use rustix::fs::{AtFlags, CWD, Stat, statat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::path::Path;

/// Where this process is root, it becomes the owner of all these Maildirs. Those that a glob has found only
/// count where none is named, and then the first of them; what belongs to others cannot be worked on. Must be
/// called before there is a second thread: Linux keeps credentials per thread.
///
/// It is for good, unless somebody in `others` (user and group numbers, as whom programs are to run) is not
/// that owner: then root is kept as the saved user id, see `credentials(7)`, and `CAP_KILL` to end such
/// programs. Whatever is executed has neither.
///
/// # Errors
/// Named ones belong to more than one user, cannot be looked at, or the kernel does not let go of the
/// privilege.
pub fn become_owner(maildirs: &[Place], others: &[(u32, u32)]) -> Result<(), OpenError> {
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
    let keeps_root = others.iter().any(|other| *other != (stat.st_uid, stat.st_gid));
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let become_them = || -> Result<(), Errno> {
        set_thread_groups(&[group])?;
        set_thread_res_gid(group, group, group)?;
        if !keeps_root {
            return set_thread_res_uid(user, user, user);
        }
        set_thread_res_uid(user, user, Uid::ROOT)?;
        let mut sets = capabilities(None)?;
        sets.effective = sets.permitted & CapabilitySet::KILL;
        set_capabilities(None, sets)
    };
    become_them().map_err(OpenError::io(path, ""))
}
