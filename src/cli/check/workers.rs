//! Trap: workers that cannot get at the mail. A command gets it opened; a worker opens it itself, by its path.

use super::finding::{Finding, shown, word};
use super::subject::{Home, Subject, User, as_user};
use crate::config::{Config, Maildirs, Queue, TargetKind};
use crate::engine::{Condition, Fact, Route, Test};
use crate::target::Account;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Looks at the Maildirs of each worker with the eyes of its user.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    if !geteuid().is_root() {
        // Then its user is who we are, or cannot be had, which is told of elsewhere.
        return Vec::new();
    }
    let mut found = Vec::new();
    for target in &subject.config.targets {
        let TargetKind::Worker(worker) = &target.kind else { continue };
        let Some(account) = &worker.run.account else { continue };
        for home in subject.maildirs.iter().filter(|home| gets_mail_of(&target.name, home, subject.config)) {
            found.extend(about(&target.name, account, home));
        }
    }
    found
}

fn about(target: &str, account: &Account, home: &Home) -> Option<Finding> {
    let user = User { uid: account.uid, gid: account.gid };
    let some_mail = some_message(home);
    // That it cannot be taken on is told of with the program.
    let denied = as_user(user, || denied(&home.path, some_mail.as_deref())).ok()??;
    let text = format!(
        "[target.{target}]: user {}, as which the worker runs, cannot read the mail that it is given by its path: {} is closed to it",
        account.name,
        shown(&denied)
    );
    let (maildir, gid) = (word(&home.path), account.gid);
    let help = format!(
        "chgrp -R {gid} {maildir} && chmod -R g+rX,g+s {maildir}   # x for the folders above, and let who delivers write mail that its group may read; or run maildirq itself as {}",
        account.name
    );
    Some(Finding::error(text, help))
}

/// What of a Maildir is closed to this thread, that a worker needs.
fn denied(maildir: &Path, message: Option<&Path>) -> Option<PathBuf> {
    let new = maildir.join("new");
    let needed = [(&*new, Access::EXEC_OK)].into_iter().chain(message.map(|message| (message, Access::READ_OK)));
    let is_denied = |path, access| accessat(CWD, path, access, AtFlags::empty()) == Err(rustix::io::Errno::ACCESS);
    needed.into_iter().find(|(path, access)| is_denied(*path, *access)).map(|(path, _)| path.to_owned())
}

/// A message that waits, seen as root.
fn some_message(home: &Home) -> Option<PathBuf> {
    let mut entries = fs::read_dir(home.path.join("new")).ok()?.flatten();
    let is_message = |entry: &fs::DirEntry| !entry.file_name().as_bytes().starts_with(b".");
    entries.find(is_message).map(|entry| entry.path())
}

/// Whether some mail of this Maildir can come to this target.
fn gets_mail_of(target: &str, home: &Home, config: &Config) -> bool {
    let is_of = |queue: &Queue| {
        queue.maildirs.iter().any(|maildirs| match maildirs {
            Maildirs::One(path) => *path == home.path,
            Maildirs::Matching(_) => maildirs.found().unwrap_or_default().contains(&home.path),
        })
    };
    let can_come = |queue: &Queue, route: &Route| {
        route.way.target() == target && route.when.conditions().iter().all(|condition| may_hold(condition, &queue.name))
    };
    config.queues.iter().filter(|queue| is_of(queue)).any(|queue| {
        let mut routes = config.routes.iter();
        config.routes.is_empty() || routes.any(|route| can_come(queue, route))
    })
}

fn may_hold(condition: &Condition, queue: &str) -> bool {
    match (&condition.fact, &condition.test) {
        (Fact::Queue, Test::Text(patterns)) => patterns.iter().any(|pattern| pattern.matches(queue.as_bytes())),
        _ => true,
    }
}
