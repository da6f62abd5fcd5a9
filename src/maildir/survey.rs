//! Counting what waits, without changing anything.

use super::claim::in_new;
use super::layout::{Layout, OpenError, STORY, is_empty, read_folder, stat};
use super::names::{delivered_at, id_of_name};
use super::search::modified;
use super::story::due_by_mtime;
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::ops::Add;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

/// What waits in a Maildir.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that may be taken now.
    pub due: u64,
    /// Messages that wait for a retry.
    pub later: u64,
    /// When the oldest of both came.
    pub oldest: Option<SystemTime>,
}

impl Add for Waiting {
    type Output = Waiting;

    fn add(self, other: Waiting) -> Waiting {
        Waiting {
            due: self.due + other.due,
            later: self.later + other.later,
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
        }
    }
}

/// Counts what waits in the Maildir at `path`, without changing anything.
///
/// # Errors
/// It is no Maildir, or cannot be read.
pub fn survey(path: &Path, since: Option<SystemTime>) -> Result<Waiting, OpenError> {
    let (root, queue) = Layout::look(path)?;
    let now = SystemTime::now();
    let mut waiting = Waiting::default();
    // Where no queue was ever, there is no folder for them.
    let queue = queue.filter(|_| !is_empty(&root, STORY).unwrap_or(false));
    for entry in read_folder(&root, "new").map_err(OpenError::io(path, "new"))? {
        let entry = entry.map_err(OpenError::io(path, "new"))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name.as_bytes().starts_with(b".") || !is_file(&root, name, entry.file_type()) {
            continue;
        }
        let came = delivered_at(name).or_else(|| modified(&root, name));
        if since.is_some_and(|since| came.is_some_and(|came| came < since)) {
            continue;
        }
        let due = queue.and_then(|queue| due_by_mtime(&root, id_of_name(&queue, name)));
        match due {
            Some(due) if due > now => waiting.later += 1,
            _ => waiting.due += 1,
        }
        waiting.oldest = waiting.oldest.into_iter().chain(came).min();
    }
    Ok(waiting)
}

/// Not every file system tells in its folders what is a file.
fn is_file(root: &OwnedFd, name: &OsStr, told: FileType) -> bool {
    match told {
        FileType::Unknown => {
            stat(root, &*in_new(name)).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file())
        }
        kind => kind.is_file(),
    }
}
