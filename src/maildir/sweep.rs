//! Stories whose message is gone.
//!
//! A crash between a message's removal and that of its story leaves an orphan. One that is over an
//! hour old, and whose message is in none of the queue's folders, is removed.

use super::layout::{DEAD, DONE, Layout, STORY, TRASH, read_folder, stat};
use super::names::id_of_file;
use super::story;
use crate::engine::Id;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

/// The age at which an orphan is sure to be one.
const ORPHAN_AGE: Duration = Duration::from_hours(1);

/// Removes orphans. Returns how many.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn sweep(layout: &Layout, now: SystemTime) -> io::Result<usize> {
    let mut orphans = old_stories(layout, now)?;
    if orphans.is_empty() {
        return Ok(0);
    }
    for folder in ["new", "cur"].into_iter().map(String::from).chain(ours()) {
        for name in names(layout, &folder)? {
            let path = [OsStr::new(&folder), &*name].join(OsStr::new("/"));
            let Ok(found) = stat(layout.root(), &*path) else { continue };
            let id =
                id_of_file(&layout.queue, &name, found.st_size.unsigned_abs(), (found.st_mtime, found.st_mtime_nsec));
            if orphans.remove(&id) && folder == "cur" {
                let file = crate::engine::text::printable(name.as_bytes());
                tracing::warn!(event = "taken_by_a_mail_client", %id, file, "it is in cur/ now and will not be delivered; move it back to new/ if it should be");
            }
        }
    }
    // Whoever brings a message back meanwhile, from a folder not yet seen into one that was, adds to its story.
    let still_old = old_stories(layout, now)?;
    orphans.retain(|id| still_old.contains(id));
    for &id in &orphans {
        story::remove(layout.root(), id)?;
    }
    Ok(orphans.len())
}

fn ours() -> impl Iterator<Item = String> {
    [DEAD, DONE, TRASH].into_iter().flat_map(|folder| [format!("{folder}/new"), format!("{folder}/cur")])
}

fn old_stories(layout: &Layout, now: SystemTime) -> io::Result<HashSet<Id>> {
    let mut old = HashSet::new();
    for name in names(layout, STORY)? {
        let Some(id) = name.to_str().and_then(Id::parse) else { continue };
        let Ok(found) = stat(layout.root(), story::path(id)) else { continue };
        // The mtime is a due time and may lie ahead; the ctime is when the story last changed.
        let changed = story::system_time(found.st_ctime, found.st_ctime_nsec);
        if now.duration_since(changed).unwrap_or_default() > ORPHAN_AGE {
            old.insert(id);
        }
    }
    Ok(old)
}

/// The names in a folder; none where there is no such folder.
pub(super) fn names(layout: &Layout, folder: &str) -> io::Result<Vec<OsString>> {
    let opened = match read_folder(layout.root(), folder) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(layout.error(folder, error)),
    };
    let mut names = Vec::new();
    for entry in opened {
        let entry = entry.map_err(|error| layout.error(folder, error))?;
        let name = entry.file_name().to_bytes();
        if !name.starts_with(b".") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}
