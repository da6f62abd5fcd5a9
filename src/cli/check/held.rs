//! Trap: mail that somebody holds who is no maildirq: most often what a command has left behind that outlived its
//! maildirq.

use super::finding::{Finding, shown};
use super::subject::{Home, Subject};
use crate::maildir::{Holder, holders};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// No more messages of a Maildir are looked at.
const LOOKED_AT: usize = 10_000;

/// Looks who holds mail that waits, with the eyes of this process: root sees them all.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let messages: Vec<_> = subject.maildirs.iter().flat_map(messages_of).collect();
    let held = holders(messages.iter().map(PathBuf::as_path)).into_iter();
    held.filter(|(_, by)| !by.iter().any(Holder::is_maildirq)).map(|(path, by)| about(path, &by)).collect()
}

/// That `new/` cannot be read is told of with the Maildir itself.
fn messages_of(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path.join("new")).into_iter().flatten().flatten();
    let messages = entries.filter(|entry| !entry.file_name().as_bytes().starts_with(b"."));
    messages.take(LOOKED_AT).map(|entry| entry.path()).collect()
}

fn about(path: &Path, by: &[Holder]) -> Finding {
    let all: Vec<_> = by.iter().map(ToString::to_string).collect();
    let text = format!("{} is claimed by {}", shown(path), all.join(" and by "));
    let living: Vec<_> =
        by.iter().filter(|holder| holder.program.is_some()).map(|holder| holder.process.to_string()).collect();
    let help = if living.is_empty() {
        "fuser -v, as root, may show who that is; the message is tried again when it has ended".to_owned()
    } else {
        format!("kill {}   # unless it is at its work; the message is tried again when it has ended", living.join(" "))
    };
    Finding::warning(text, help)
}
