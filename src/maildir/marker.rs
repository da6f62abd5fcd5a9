//! What stands in the marker of a pause: who, until when, and why. An empty one, as `touch` makes it, pauses
//! without an end; so does whatever cannot be read.

use super::layout::{OURS, OpenError, PAUSED, make_folder, open_root, stat};
use super::story::{rfc3339, rfc3339_option, system_time};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, ftruncate, openat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::SystemTime;

/// How much of a marker is read, in bytes.
const LIMIT: u64 = 16 * 1024;

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The version of this format.
    #[serde(default)]
    v: u32,
    /// Since when. Where the marker does not say it, it was made then.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// Until when; None is until somebody goes on.
    #[serde(default, with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub until: Option<SystemTime>,
    /// Who has paused it; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Marker {
    /// A pause that begins now.
    pub fn new(by: &str, reason: &str, until: Option<SystemTime>) -> Self {
        Marker { v: 1, since: SystemTime::now(), until, by: by.to_owned(), reason: reason.to_owned() }
    }

    /// Whether its end has come.
    pub fn has_ended(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The marker of this target, if there is one.
    pub(super) fn read(root: impl AsFd, target: &OsStr) -> Option<Self> {
        let path = path(target);
        let found = stat(&root, &*path).ok()?;
        let made = system_time(found.st_mtime, found.st_mtime_nsec);
        let plain = Marker { v: 0, since: made, until: None, by: String::new(), reason: String::new() };
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            return Some(plain);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&root, &*path, flags, Mode::empty()) {
            Ok(file) => Some(Marker::of(&File::from(file)).unwrap_or(plain)),
            Err(Errno::NOENT) => None,
            Err(_) => Some(plain),
        }
    }

    fn of(file: &File) -> Option<Self> {
        let mut text = Vec::new();
        file.take(LIMIT).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Pauses a target for the Maildir at `path`. A process that is killed here leaves a pause without an end, or none.
///
/// # Errors
/// It is no Maildir, or cannot be written.
pub fn pause(path: &Path, target: &str, marker: &Marker) -> Result<(), OpenError> {
    let root = open_root(path)?;
    for folder in [OURS, PAUSED] {
        make_folder(&root, folder).map_err(OpenError::io(path, folder))?;
    }
    let write = || -> io::Result<()> {
        let mut text = serde_json::to_vec(marker)?;
        text.push(b'\n');
        let file = loop {
            if let Some(locked) = locked(&root, OsStr::new(target), OFlags::RDWR | OFlags::CREATE)? {
                break locked;
            }
        };
        let is_new = file.metadata()?.len() == 0;
        // On a full disk what was there stays, and an empty one would pause without an end.
        if let Err(error) = file.write_all_at(&text, 0) {
            if is_new {
                unlinkat(&root, &*self::path(OsStr::new(target)), AtFlags::empty())?;
            }
            return Err(error);
        }
        ftruncate(&file, text.len() as u64)?;
        file.sync_all()
    };
    write().map_err(OpenError::io(path, PAUSED))
}

/// Lets a target go on. Returns what paused it.
///
/// # Errors
/// It is no Maildir, or cannot be written.
pub fn resume(path: &Path, target: &str) -> Result<Option<Marker>, OpenError> {
    let root = open_root(path)?;
    let Some(marker) = Marker::read(&root, OsStr::new(target)) else { return Ok(None) };
    match unlinkat(&root, &*self::path(OsStr::new(target)), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(Some(marker)),
        Err(error) => Err(OpenError::io(path, PAUSED)(error)),
    }
}

/// Removes the marker of a pause that has ended, unless somebody pauses anew meanwhile. Returns whether it did.
///
/// # Errors
/// It cannot be opened or removed.
pub(super) fn remove_ended(root: impl AsFd, target: &OsStr, now: SystemTime) -> io::Result<bool> {
    if !Marker::read(&root, target).is_some_and(|marker| marker.has_ended(now)) {
        return Ok(false);
    }
    let Some(file) = locked(&root, target, OFlags::RDONLY)? else { return Ok(false) };
    let has_ended = Marker::of(&file).is_some_and(|marker| marker.has_ended(now));
    if has_ended {
        unlinkat(&root, &*path(target), AtFlags::empty())?;
    }
    Ok(has_ended)
}

/// A marker, open and under a lock, that still goes by its name. Whoever writes or removes one holds it.
fn locked(root: impl AsFd, target: &OsStr, flags: OFlags) -> io::Result<Option<File>> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(&root, &*path(target), flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    flock(&file, FlockOperation::LockExclusive)?;
    let opened = rustix::fs::fstat(&file)?;
    let is_in_place =
        stat(&root, &*path(target)).is_ok_and(|found| (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino));
    Ok(is_in_place.then_some(file))
}

fn path(target: &OsStr) -> Box<OsStr> {
    let mut path = std::ffi::OsString::from(PAUSED);
    path.push("/");
    path.push(target);
    path.into_boxed_os_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn maildir() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("new")).unwrap();
        let root = File::open(folder.path()).unwrap();
        (folder, root)
    }

    fn read(root: &File) -> Option<Marker> {
        Marker::read(root, OsStr::new("app"))
    }

    #[test]
    fn a_pause_is_read_back_and_taken_back() {
        let (folder, root) = maildir();
        let marker = Marker::new("ada", "storage \"migration\"", Some(SystemTime::now() + Duration::from_hours(1)));
        assert_eq!(resume(folder.path(), "app").unwrap(), None);
        pause(folder.path(), "app", &Marker::new("bob", "a much longer reason than the next one has", None)).unwrap();
        pause(folder.path(), "app", &marker).unwrap();
        assert_eq!(read(&root), Some(marker.clone()));
        assert_eq!(resume(folder.path(), "app").unwrap(), Some(marker));
        assert_eq!(read(&root), None);
    }

    #[test]
    fn whatever_lies_there_pauses_without_an_end() {
        let (folder, root) = maildir();
        pause(folder.path(), "app", &Marker::new("", "", None)).unwrap();
        let path = folder.path().join("maildirq/paused/app");
        for text in ["", "{", "by hand\n", "{\"v\":1}", "\0\0\0"] {
            fs::write(&path, text).unwrap();
            let marker = read(&root).unwrap();
            assert_eq!((marker.until, &*marker.by), (None, ""), "{text:?}");
            assert!(!marker.has_ended(SystemTime::now() + Duration::from_hours(1_000_000)));
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(read(&root).unwrap().until, None);
    }

    #[test]
    fn only_a_pause_that_has_ended_is_swept() {
        let (folder, root) = maildir();
        let now = SystemTime::now();
        let end = now + Duration::from_mins(1);
        let sweep = |now| remove_ended(&root, OsStr::new("app"), now).unwrap();
        assert!(!sweep(now));
        pause(folder.path(), "app", &Marker::new("ada", "", Some(end))).unwrap();
        assert!(!sweep(now));
        assert!(sweep(end) && read(&root).is_none());
        pause(folder.path(), "app", &Marker::new("ada", "", None)).unwrap();
        assert!(!sweep(end + Duration::from_hours(1000)));
    }
}
