//! Which message a person means, and whether it still is what they have seen.

use super::super::layout::{DEAD, Layout, TRASH, stat};
use super::super::mark::Mark;
use super::super::names::id_of_file;
use super::super::story;
use super::{Acted, Folder, Operator};
use crate::engine::Id;
use rustix::fs::{FileType, Mode, OFlags, Stat, openat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A message as it was when somebody looked at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// From the Maildir.
    path: PathBuf,
    id: Id,
    file: Mark,
    story: Option<Mark>,
}

/// A message under a person's lock, which is given up with this.
#[derive(Debug)]
pub(super) struct Held {
    pub path: PathBuf,
    pub id: Id,
    pub folder: Folder,
    pub ctime: (i64, u64),
    _file: File,
}

impl Held {
    /// The folder it lies in, from the Maildir.
    pub(super) fn folder_path(&self) -> OsString {
        self.path.parent().unwrap_or(Path::new("")).into()
    }
}

impl Seen {
    /// Its id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// When the status of its file was last changed.
    pub(super) fn changed(&self) -> SystemTime {
        self.file.changed()
    }

    /// Whether it, or its story, has changed after this moment. What a clock says that was ahead is no such change.
    pub fn has_changed_since(&self, moment: SystemTime) -> bool {
        let now = SystemTime::now();
        let marks = [Some(self.file), self.story].into_iter().flatten();
        marks.map(Mark::changed).any(|changed| changed > moment && changed <= now)
    }
}

impl Operator {
    /// What the message at this path, in this Maildir, is now. None where there is none.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn see(&self, path: &Path) -> io::Result<Option<Seen>> {
        see(&self.layout, path.strip_prefix(self.layout.path()).unwrap_or(path))
    }
}

/// What the message at this path, from the Maildir, is now. None where there is none.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn see(layout: &Layout, path: &Path) -> io::Result<Option<Seen>> {
    let Some(found) = look(layout, path)? else { return Ok(None) };
    if !FileType::from_raw_mode(found.st_mode).is_file() {
        return Ok(None);
    }
    let id = id(layout, path, &found);
    let story = look(layout, Path::new(&story::path(id)))?;
    Ok(Some(Seen { path: path.to_owned(), id, file: Mark::of(&found), story: story.as_ref().map(Mark::of) }))
}

/// Takes the lock of a message, if it is to be had and the message is what was seen.
///
/// # Errors
/// It cannot be found out.
pub(super) fn hold(layout: &Layout, seen: &Seen) -> io::Result<Result<Held, Acted>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(layout.root(), &seen.path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(Err(Acted::Changed)),
        Err(error) => return Err(layout.error(&seen.path, error)),
    };
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
            return Ok(Err(Acted::InHand));
        }
        Err(error) => return Err(layout.error(&seen.path, error)),
    }
    // By their names, for the file that was opened may have another one by now.
    let found = look(layout, &seen.path)?.map(|found| Mark::of(&found));
    let told = look(layout, Path::new(&story::path(seen.id)))?.map(|found| Mark::of(&found));
    let opened = Mark::of(&rustix::fs::fstat(&file)?);
    if found != Some(seen.file) || opened != seen.file || told != seen.story {
        return Ok(Err(Acted::Changed));
    }
    let folder = folder_of(&seen.path);
    Ok(Ok(Held { path: seen.path.clone(), id: seen.id, folder, ctime: opened.ctime, _file: file }))
}

fn look(layout: &Layout, path: &Path) -> io::Result<Option<Stat>> {
    match stat(layout.root(), path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(layout.error(path, error)),
    }
}

fn id(layout: &Layout, path: &Path, found: &Stat) -> Id {
    let name = path.file_name().unwrap_or_default();
    id_of_file(&layout.queue, name, found.st_size.unsigned_abs(), (found.st_mtime, found.st_mtime_nsec))
}

fn folder_of(path: &Path) -> Folder {
    let is_in = |folder: &str| path.starts_with(folder);
    match () {
        () if is_in("new") => Folder::New,
        () if is_in(DEAD) => Folder::Dead,
        () if is_in(TRASH) => Folder::Trash,
        () => Folder::Aside,
    }
}
