//! Trap: Maildirs that cannot be served.

use super::finding::{Finding, shown, word};
use super::subject::{Home, Subject, User};
use crate::config::Maildirs;
use crate::maildir::{OpenError, inspect};
use crate::wire;
use rustix::process::geteuid;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Looks at each Maildir as a whole.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(error @ OpenError::Twice { .. }) = wire::places(subject.config) {
        found.push(Finding::from(&error));
    }
    let is_there = |path: &Path| subject.maildirs.iter().any(|home| home.path == path) || path.exists();
    for path in subject.named().filter(|path| !is_there(path)) {
        found.extend(inspect(path).iter().map(Finding::from));
    }
    found.extend(of_several_owners(&subject.maildirs));
    for home in &subject.maildirs {
        found.extend(troubles(home));
        found.extend(about_tmp(home));
    }
    found.extend(globs_without_maildirs(subject));
    found
}

fn troubles(home: &Home) -> Vec<Finding> {
    match home.as_daemon(|| inspect(&home.path)) {
        Ok(errors) => errors.iter().map(|error| trouble(home, error)).collect(),
        Err(error) => vec![Finding::from(&error)],
    }
}

fn trouble(home: &Home, error: &OpenError) -> Finding {
    let (OpenError::Io { path, error: denied, .. }, daemon) = (error, home.daemon()) else {
        return Finding::from(error);
    };
    if denied.kind() != io::ErrorKind::PermissionDenied {
        return Finding::from(error);
    }
    let text = format!("uid {}, as which maildirq runs, cannot work in {}: {denied}", daemon.uid, shown(path));
    let owner = path.metadata().map_or(home.owner.uid, |found| found.uid());
    Finding::error(
        text,
        match owner {
            owner if owner == daemon.uid => format!("chmod u+rwx {}", word(path)),
            owner => {
                format!("run maildirq as uid {owner}, or: chown -R {}:{} {}", daemon.uid, daemon.gid, word(&home.path))
            }
        },
    )
}

/// Whoever delivers needs `tmp/`, and to get from there to `new/` in one step.
fn about_tmp(home: &Home) -> Option<Finding> {
    let [tmp, new] = ["tmp", "new"].map(|part| home.path.join(part));
    let (path, User { uid, gid }) = (shown(&tmp), home.owner);
    match (tmp.metadata(), new.metadata()) {
        (Ok(tmp_found), Ok(new_found)) if tmp_found.dev() != new_found.dev() => Some(Finding::error(
            format!("{path} is not on the file system of new/, so nobody can deliver from there in one step"),
            format!("umount {}   # tmp/ must be a plain folder beside new/", word(&tmp)),
        )),
        (Err(error), Ok(_)) if error.kind() == io::ErrorKind::NotFound => Some(Finding::warning(
            format!("there is no {path}: nobody can deliver here"),
            format!("install -d -m 700 -o {uid} -g {gid} {}", word(&tmp)),
        )),
        _ => None,
    }
}

fn of_several_owners(maildirs: &[Home]) -> Option<Finding> {
    let (first, others) = maildirs.split_first().filter(|_| geteuid().is_root())?;
    let other = others.iter().find(|other| other.owner.uid != first.owner.uid)?;
    let owners = [first, other].map(|home| (home.path.clone(), home.owner.uid));
    Some(Finding::from(&OpenError::Owners { owners }))
}

fn globs_without_maildirs(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for queue in &subject.config.queues {
        for maildirs in &queue.maildirs {
            let Maildirs::Matching(pattern) = maildirs else { continue };
            let there = match maildirs.found() {
                Ok(there) => there,
                Err(error) => {
                    found.push(Finding::from(&error));
                    continue;
                }
            };
            if there.is_empty() {
                let text = format!("the queue {}: there is no Maildir like {}", queue.name, shown(Path::new(pattern)));
                let help = "a Maildir has new/, cur/ and tmp/; one that is made later will be found";
                found.push(Finding::warning(text, help));
            }
        }
    }
    found
}
