//! Reading `new/` in bounded bites.
//!
//! A folder of a million messages is read as a stream, and no faster than messages are taken, so
//! that memory stays bounded; within what is read, the oldest goes first.

use super::claim::{in_new, odd_name};
use super::layout::{Layout, STORY, is_empty, read_folder, stat};
use super::names::{delivered_at, id_of_name};
use super::story::{due_by_mtime, system_time};
use crate::engine::Id;
use rustix::fs::{Dir, FileType};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

/// How many names are read at a time.
const BITE: usize = 1024;

/// A search through `new/` under way.
pub(super) struct Search {
    folder: Dir,
    has_stories: bool,
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The id that its name alone gives.
    pub id: Id,
    pub name: OsString,
    /// What it is, where that is known to be no regular file.
    pub odd: Option<&'static str>,
}

impl Search {
    /// Begins at the beginning.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn begin(layout: &Layout) -> io::Result<Self> {
        let root = layout.root();
        // Whether any message was ever tried that is still there: if not, none has to be looked at for when it is due.
        let has_stories = !is_empty(root, STORY).map_err(|error| layout.error(STORY, error))?;
        let folder = read_folder(root, "new").map_err(|error| layout.error("new", error))?;
        Ok(Search { folder, has_stories })
    }

    /// The next files; None at the end. Names with a leading dot are no messages (maildir(5)).
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn bite(&mut self, layout: &Layout) -> io::Result<Option<Vec<Found>>> {
        let mut found = Vec::new();
        let mut is_at_end = true;
        for entry in self.folder.by_ref().take(BITE) {
            is_at_end = false;
            let entry = entry.map_err(|error| layout.error("new", error))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let odd = match entry.file_type() {
                FileType::RegularFile | FileType::Unknown => None,
                kind => Some(odd_name(kind)),
            };
            found.push(Found { id: id_of_name(&layout.queue, name), name: name.to_owned(), odd });
        }
        Ok((!is_at_end).then_some(found))
    }

    /// When a message waits for, as far as its name tells.
    pub(super) fn due(&self, layout: &Layout, id: Id) -> Option<SystemTime> {
        if self.has_stories { due_by_mtime(layout.root(), id) } else { None }
    }
}

/// When the message with this name came.
pub(super) fn came(layout: &Layout, name: &OsStr) -> SystemTime {
    delivered_at(name).or_else(|| modified(layout.root(), name)).unwrap_or_else(SystemTime::now)
}

pub(super) fn modified(root: impl AsFd, name: &OsStr) -> Option<SystemTime> {
    let found = stat(root, &*in_new(name)).ok()?;
    Some(system_time(found.st_mtime, found.st_mtime_nsec))
}
