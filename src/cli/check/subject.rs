//! What is checked, and with whose eyes.

use crate::config::{Config, Maildirs};
use crate::maildir::{OpenError, Place, become_owner};
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

/// A configuration without mistakes, on this machine.
pub struct Subject<'a> {
    /// The file that it is from.
    pub file: &'a Path,
    /// What it says.
    pub config: &'a Config,
    /// Whether a secret stands in the file itself.
    pub has_plain_secret: bool,
    /// Its Maildirs, as far as they are there.
    pub maildirs: Vec<Home>,
}

/// A Maildir that is there.
#[derive(Clone, Debug)]
pub struct Home {
    /// Where.
    pub path: PathBuf,
    /// Whose.
    pub owner: User,
}

/// A user, with the group that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl User {
    fn of_this_process() -> User {
        User { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }
}

impl<'a> Subject<'a> {
    /// What this file says, and the Maildirs that it names and finds.
    pub fn new(file: &'a Path, config: &'a Config, has_plain_secret: bool) -> Self {
        let mut known = BTreeSet::new();
        let all = config.queues.iter().flat_map(|queue| &queue.maildirs).flat_map(|maildirs| match maildirs {
            Maildirs::One(path) => vec![path.clone()],
            // That it cannot be found out is told of where globs are looked at.
            Maildirs::Matching(_) => maildirs.found().unwrap_or_default(),
        });
        let there = all.filter_map(|path| {
            let found = path.metadata().ok()?;
            let is_new = known.insert((found.dev(), found.ino()));
            is_new.then(|| Home { owner: User { uid: found.uid(), gid: found.gid() }, path })
        });
        Subject { file, config, has_plain_secret, maildirs: there.collect() }
    }

    /// The paths of all Maildirs that are named, there or not.
    pub fn named(&self) -> impl Iterator<Item = &PathBuf> {
        let all = self.config.queues.iter().flat_map(|queue| &queue.maildirs);
        all.filter_map(|maildirs| match maildirs {
            Maildirs::One(path) => Some(path),
            Maildirs::Matching(_) => None,
        })
    }

    /// Who maildirq will be: started as root, the owner of the Maildirs.
    pub fn daemon(&self) -> User {
        self.maildirs.first().map_or_else(User::of_this_process, Home::daemon)
    }

    /// Looks at something with the daemon's eyes.
    ///
    /// # Errors
    /// This process cannot become who the daemon will be.
    pub fn as_daemon<T: Send>(&self, look: impl FnOnce() -> T + Send) -> Result<T, OpenError> {
        match self.maildirs.first() {
            Some(home) => as_owner(&home.path, &self.config.accounts(), look),
            None => Ok(look()),
        }
    }
}

/// Looks at something with the eyes of this user, where this process is root, else with its own.
///
/// # Errors
/// This process cannot become that user.
pub fn as_user<T: Send>(user: User, look: impl FnOnce() -> T + Send) -> rustix::io::Result<T> {
    if !geteuid().is_root() {
        return Ok(look());
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    on_a_thread(move || {
        set_thread_groups(&[gid])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Ok(look())
    })
}

/// As whoever owns this Maildir. Programs can be started as these others.
fn as_owner<T: Send>(maildir: &Path, others: &[(u32, u32)], look: impl FnOnce() -> T + Send) -> Result<T, OpenError> {
    let places = [Place { path: maildir.to_owned(), was_found: false }];
    on_a_thread(|| become_owner(&places, others).map(|()| look()))
}

/// Linux keeps credentials per thread: what this one gives up, the others still have.
fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(act).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Home {
    /// Who will work on this Maildir.
    pub fn daemon(&self) -> User {
        if geteuid().is_root() { self.owner } else { User::of_this_process() }
    }

    /// Looks at something with the eyes of whoever will work on this Maildir.
    ///
    /// # Errors
    /// This process cannot become who that is.
    pub fn as_daemon<T: Send>(&self, look: impl FnOnce() -> T + Send) -> Result<T, OpenError> {
        as_owner(&self.path, &[], look)
    }
}
