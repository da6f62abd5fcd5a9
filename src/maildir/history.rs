//! Which mail was done: metadata of messages that are gone, for as long as the configuration says.
//!
//! One line a message, appended in memory where it is delivered and written each second by the thread that tends the
//! queue. So it costs a delivery next to nothing, and a crash may cost it its last second; it never costs a message.

use super::layout::Layout;
use super::retention::Retention;
use super::served::Maildir;
use crate::engine::Taken;
use crate::engine::text::{printable, printable_within, rfc3339};
use crate::mail::decode_text;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A draft of this age is nobody's work any more.
const ABANDONED: Duration = Duration::from_hours(1);

/// Where the history is, below the Maildir.
pub const HISTORY: &str = "maildirq/history";
/// How long lines wait to be written.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// So many bytes that wait are written without waiting for more.
const MANY: usize = 256 * 1024;
/// More than this is not kept in memory, in bytes, however long the disk takes none.
const MOST: usize = 8 << 20;
/// Into so many files the allowed size is divided, so that what is oldest can go.
const FILES: u64 = 8;
/// The longest subject that is kept, in characters.
const SUBJECT: usize = 200;

/// One message that is done. Fields are only ever added; readers skip what they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneMail {
    /// The version of the line.
    pub v: u32,
    /// When its target had taken it, RFC 3339.
    pub at: String,
    /// Its id.
    pub id: String,
    /// Its file name, fit to be shown.
    #[serde(default)]
    pub name: String,
    /// The queue.
    #[serde(default)]
    pub queue: String,
    /// The route, where it has a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// The target that took it; `ignore` where a route says so.
    #[serde(default)]
    pub target: String,
    /// The envelope's sender; empty for a bounce's `<>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The envelope's recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The subject, decoded, fit to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The `Message-ID`, fit to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Its length in bytes.
    #[serde(default)]
    pub size: u64,
    /// When it came, RFC 3339.
    #[serde(default)]
    pub arrived: String,
    /// The number of the try that succeeded, from 1.
    #[serde(default, rename = "try")]
    pub attempt: u32,
    /// How the target answered, where it did by a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long that try took, in milliseconds.
    #[serde(default)]
    pub ms: u64,
}

impl DoneMail {
    fn of(taken: &Taken<'_>) -> Self {
        let message = taken.message;
        let header = message.header();
        let field = |name| header.get(name);
        DoneMail {
            v: 1,
            at: rfc3339(taken.at),
            id: message.id.to_string(),
            name: message.name.clone(),
            queue: message.queue.to_string(),
            route: message.route.to_string(),
            target: taken.target.to_owned(),
            from: message.envelope.from.clone(),
            to: message.envelope.to.clone(),
            subject: field("subject").map(|value| printable_within(decode_text(value).as_bytes(), SUBJECT)),
            message_id: field("message-id").map(printable),
            size: message.body.len(),
            arrived: rfc3339(message.arrived),
            attempt: message.attempt(),
            status: taken.status,
            ms: u64::try_from(taken.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What waits to be written, and to which file.
#[derive(Debug, Default)]
pub(super) struct Writer {
    waiting: Mutex<Vec<u8>>,
    current: Mutex<Option<Current>>,
    /// Whether the log has told that it cannot be written.
    has_failed: AtomicBool,
}

#[derive(Debug)]
struct Current {
    name: String,
    /// The day of its lines, as RFC 3339 has it.
    day: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Maildir {
    /// Notes a message that its target has taken, where that is to be remembered.
    pub(super) fn remember(&self, taken: &Taken<'_>) {
        if self.options.retention.history.is_none() {
            return;
        }
        let Ok(line) = serde_json::to_vec(&DoneMail::of(taken)) else { return };
        let mut waiting = lock(&self.history.waiting);
        let (was_empty, had_few) = (waiting.is_empty(), waiting.len() < MANY);
        if waiting.len() + line.len() < MOST {
            waiting.extend_from_slice(&line);
            waiting.push(b'\n');
        }
        let has_many = waiting.len() >= MANY;
        drop(waiting);
        if was_empty {
            self.common.history_begun.notify_one();
        }
        if had_few && has_many {
            self.common.history_full.notify_one();
        }
    }

    /// Writes what waits. What cannot be written waits on; where somebody else has the file just now, too.
    pub(super) fn write_history(&self) {
        let mut waiting = lock(&self.history.waiting);
        if waiting.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut *waiting);
        drop(waiting);
        let written = self.append(&lines);
        let has_failed = self.history.has_failed.swap(written.is_err(), Ordering::Relaxed);
        let Err(error) = written else { return };
        let mut waiting = lock(&self.history.waiting);
        if lines.len() + waiting.len() < MOST {
            waiting.splice(0..0, lines);
        }
        drop(waiting);
        self.common.history_begun.notify_one();
        if !has_failed && error.kind() != io::ErrorKind::WouldBlock {
            let reason = self.layout.error(HISTORY, error);
            tracing::warn!(event = "history_not_written", maildir = self.shown(), %reason, "mail goes on; what is done meanwhile may be missing in the history");
        }
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let root = self.layout.root();
        let mut current = lock(&self.history.current);
        let now = rfc3339(SystemTime::now());
        let day = now.get(..10).unwrap_or_default();
        let limit = self.options.retention.history_size / FILES;
        let is_spent = |current: &Current| {
            let size = super::layout::stat(root, format!("{HISTORY}/{}", current.name)).map(|found| found.st_size);
            current.day != day || size.is_ok_and(|size| size.unsigned_abs() >= limit)
        };
        if current.as_ref().is_none_or(is_spent) {
            let begun = now.get(..19).unwrap_or_default().replace(':', "");
            let name = format!("{begun}Z.{:016x}.jsonl", fastrand::u64(..));
            *current = Some(Current { name, day: day.to_owned() });
        }
        let path = format!("{HISTORY}/{}", current.as_ref().map_or("", |current| &current.name));
        let mut file = match open_to_append(root, &path) {
            Err(Errno::NOENT) => match mkdirat(root, HISTORY, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => open_to_append(root, &path)?,
                Err(error) => return Err(error.into()),
            },
            opened => opened?,
        };
        // Whoever takes lines out of it puts another file in its place.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let by_name = super::layout::stat(root, &*path)?;
        let opened = rustix::fs::fstat(&file)?;
        if (by_name.st_dev, by_name.st_ino) != (opened.st_dev, opened.st_ino) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let begin = opened.st_size.unsigned_abs();
        let written = file.write_all(lines);
        if written.is_err() {
            // Half of it would be there twice.
            file.set_len(begin)?;
        }
        written
    }
}

fn open_to_append(root: impl AsFd, path: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(root, path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// The files of a history, the newest first.
fn files(folder: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = with_drafts(folder)?;
    names.retain(|name| !is_draft(name));
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

fn with_drafts(folder: impl AsFd) -> io::Result<Vec<OsString>> {
    let folder = openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name.as_bytes().ends_with(b".jsonl") {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_draft(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

fn open_folder(root: impl AsFd) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(root, HISTORY, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Shows what the history of the Maildir at `path` tells, what was done last first, until `visit` has seen enough.
/// Memory is bounded by one file of it, an eighth of what the configuration allows for all. Lines that cannot be read
/// are skipped.
///
/// # Errors
/// It is there and cannot be read.
pub fn read_history(path: &Path, visit: &mut dyn FnMut(DoneMail) -> ControlFlow<()>) -> io::Result<()> {
    let root = File::open(path)?;
    let Some(folder) = open_folder(&root)? else { return Ok(()) };
    for name in files(&folder)? {
        let mut text = Vec::new();
        match openat(&folder, &*name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => File::from(file).read_to_end(&mut text)?,
            // It has just been removed.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        for line in text.split(|&byte| byte == b'\n').rev() {
            if let Ok(done) = serde_json::from_slice(line)
                && visit(done).is_break()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Takes those lines out of the history of the Maildir at `path` that `is_kept` says no to. Returns how many they were.
/// A process that is writing meanwhile goes on in the new file.
///
/// # Errors
/// It is there and cannot be read or written; some files may be done already.
pub fn rewrite_history(path: &Path, is_kept: &mut dyn FnMut(&DoneMail) -> bool) -> io::Result<u64> {
    let root = File::open(path)?;
    let Some(folder) = open_folder(&root)? else { return Ok(0) };
    let mut removed = 0;
    for name in files(&folder)? {
        let Some(mut file) = locked(&folder, &name)? else { continue };
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let before = removed;
        let mut kept = Vec::with_capacity(text.len());
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if serde_json::from_slice(line).is_ok_and(|done| !is_kept(&done)) {
                removed += 1;
            } else {
                kept.extend_from_slice(line);
            }
        }
        if removed != before {
            replace(&folder, &name, &file, &kept)?;
        }
    }
    Ok(removed)
}

/// A file of the history under a lock, once it is the one of that name. None where there is none.
fn locked(folder: &File, name: &OsStr) -> io::Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        let file = match openat(folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        flock(&file, FlockOperation::LockExclusive)?;
        let opened = rustix::fs::fstat(&file)?;
        match super::layout::stat(folder, name) {
            Ok(found) if (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino) => return Ok(Some(file)),
            // Another one has taken its place meanwhile.
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts this text in the place of a file, whose age stays what it is: it is removed when its last line is too old.
fn replace(folder: &File, name: &OsStr, old: &File, text: &[u8]) -> io::Result<()> {
    let draft = [OsStr::new("."), name].join(OsStr::new(""));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(openat(folder, &*draft, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text)?;
    file.set_modified(old.metadata()?.modified()?)?;
    file.sync_all()?;
    rustix::fs::renameat(folder, &*draft, folder, name)?;
    folder.sync_all()
}

/// Removes files of the history whose last line is too old, and the oldest where they are too large together; all of
/// them where nothing is to be remembered. Returns how many.
///
/// # Errors
/// They cannot be read or removed.
pub(super) fn prune(layout: &Layout, retention: &Retention, now: SystemTime) -> io::Result<usize> {
    let folder = match open_folder(layout.root()) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Ok(0),
        Err(error) => return Err(layout.error(HISTORY, error)),
    };
    let oldest = retention.history.and_then(|kept| now.checked_sub(kept));
    let (mut size, mut removed) = (0, 0);
    // Whoever was killed while he took lines out of a file left this.
    for draft in with_drafts(&folder)?.into_iter().filter(|name| is_draft(name)) {
        let Ok(found) = super::layout::stat(&folder, &*draft) else { continue };
        let changed = super::story::system_time(found.st_ctime, found.st_ctime_nsec);
        if now.duration_since(changed).is_ok_and(|age| age > ABANDONED) {
            unlinkat(&folder, &*draft, AtFlags::empty()).map_err(|error| layout.error(HISTORY, error))?;
        }
    }
    for name in files(&folder)? {
        let Ok(found) = super::layout::stat(&folder, &*name) else { continue };
        let written = super::story::system_time(found.st_mtime, found.st_mtime_nsec);
        size += found.st_size.unsigned_abs();
        let is_old = retention.history.is_none() || oldest.is_some_and(|oldest| written < oldest);
        if is_old || size > retention.history_size {
            match unlinkat(&folder, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => removed += 1,
                Err(error) => return Err(layout.error(HISTORY, error)),
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
