//! Taking a message: the checks, in order.
//!
//! open · flock · still being written? · regular? · still under this name? · due? Only what passes
//! all of them is ours. Each refusal says what it means for the message.
//!
//! Whether a file still is under its name its mark tells as well, and for less: rename(2) and unlink(2) change it.

use super::layout::{Layout, stat};
use super::mark::Mark;
use super::names::id_of_file;
use super::story::{self, Story, system_time};
use super::vacancy::Vacancies;
use super::writer::Writers;
use crate::engine::{Body, Id, is_shortage};
use crate::mail::HEADER_LIMIT;
use bytes::Bytes;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long an empty file may still become a message.
const EMPTY_FOR: Duration = Duration::from_mins(1);
/// How many processes may die over a message.
const DEATHS: u32 = 3;

/// A message under our lock.
#[derive(Debug)]
pub(super) struct Locked {
    pub file: Arc<File>,
    pub name: OsString,
    pub id: Id,
    pub size: u64,
    pub modified: SystemTime,
    pub mark: Mark,
    /// Whether whoever moves or removes the file changes its mark.
    is_settled: bool,
    pub story: Option<Story>,
    /// Whether no target was paused when it was locked. If not, nothing is known of that.
    pub is_surely_unpaused: bool,
}

/// What a look at a locked message shows.
#[derive(Debug)]
pub(super) enum Finding {
    /// A message to be delivered.
    Mail(Body),
    /// One that must not be tried (again), and why.
    Doomed(String),
    /// One that was declared dead by a process that died before it could move it.
    HalfBuried,
}

/// Why a message was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is not there any more.
    Gone,
    /// Somebody else has it.
    Busy,
    /// Somebody still writes it.
    Writing,
    /// It waits for this time.
    Due(SystemTime),
    /// There is nothing in it yet, and until this time somebody may write it.
    Empty(SystemTime),
    /// It is no message.
    Odd(&'static str),
    /// It cannot be read.
    Unreadable(io::Error),
    /// The queue cannot be worked on.
    Fault(io::Error),
}

/// Takes the lock of a message, if it is to be had and the message is to be taken now. `now` is not later than this
/// call.
pub(super) fn lock(layout: &Layout, vacancies: &Vacancies, name: &OsStr, now: SystemTime) -> Result<Locked, Refused> {
    let path = in_new(name);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(
        openat(layout.root(), &*path, flags, Mode::empty()).map_err(|error| cannot_open(layout, name, error))?,
    );
    let locked = fs2::FileExt::try_lock_exclusive(&file);
    let writers = if locked.is_ok() { Writers::of(&file) } else { Writers::Unknown };
    // What counts is looked up after the last moment at which anybody could have written.
    let mut found = fstat(&file).map_err(|error| Refused::Fault(error.into()))?;
    if let Some(kind) = odd_kind(&found) {
        return Err(Refused::Odd(kind));
    }
    match locked {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => return Err(Refused::Busy),
        Err(error) => {
            return Err(Refused::Fault(layout.error("new", io::Error::new(error.kind(), format!("flock: {error}")))));
        }
    }
    if writers.may_be(system_time(found.st_mtime, found.st_mtime_nsec), now) {
        return Err(Refused::Writing);
    }
    // Between its opening and its lock somebody may have removed or moved it.
    if found.st_nlink == 0 {
        return Err(Refused::Gone);
    }
    let opened = Mark::of(&found);
    let is_settled = opened.is_settled(now);
    if !is_settled {
        found = match stat(layout.root(), &*path) {
            Ok(found) if opened.is_of_same_file(Mark::of(&found)) => found,
            Ok(_) | Err(Errno::NOENT) => return Err(Refused::Gone),
            Err(error) => return Err(Refused::Fault(layout.error("new", error))),
        };
    }
    let size = found.st_size.unsigned_abs();
    let id = id_of_file(&layout.queue, name, size, (found.st_mtime, found.st_mtime_nsec));
    let has_no_story = vacancies.stories.is_certain(layout.root(), now);
    let is_surely_unpaused = has_no_story && vacancies.pauses.was_certain(now);
    let story = if has_no_story { Ok(None) } else { Story::read(layout.root(), id) };
    let story = story.map_err(|error| {
        let is_ours = is_shortage(&error);
        let error = layout.error(story::path(id), error);
        if is_ours { Refused::Fault(error) } else { Refused::Unreadable(error) }
    })?;
    if let Some(due) = story.as_ref().map(|story| story.due(now)).filter(|due| *due > now) {
        return Err(Refused::Due(due));
    }
    let modified = system_time(found.st_mtime, found.st_mtime_nsec);
    match modified.checked_add(EMPTY_FOR) {
        Some(until) if size == 0 && until > now => return Err(Refused::Empty(until)),
        _ => {}
    }
    let mark = Mark::of(&found);
    Ok(Locked {
        file: Arc::new(file),
        name: name.to_owned(),
        id,
        size,
        modified,
        mark,
        is_settled,
        story,
        is_surely_unpaused,
    })
}

impl Locked {
    /// Whether the message's name still is this file's.
    pub(super) fn is_in_place(&self, layout: &Layout) -> Result<bool, Refused> {
        if self.is_settled && fstat(&*self.file).is_ok_and(|found| Mark::of(&found) == self.mark) {
            return Ok(true);
        }
        match stat(layout.root(), &*in_new(&self.name)) {
            Ok(found) => Ok(self.mark.is_of_same_file(Mark::of(&found))),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(Refused::Fault(layout.error("new", error))),
        }
    }

    /// Looks at what was locked, and reads it.
    pub(super) fn examine(&self, max_size: u64) -> Result<Finding, Refused> {
        if self.story.as_ref().is_some_and(|story| story.is_burial_unfinished(self.mark.ctime)) {
            return Ok(Finding::HalfBuried);
        }
        if self.size > max_size {
            return Ok(Finding::Doomed(format!("oversized: {} bytes, max_size is {max_size}", self.size)));
        }
        let deaths = self.story.as_ref().map_or(0, |story| story.deaths);
        if deaths >= DEATHS {
            return Ok(Finding::Doomed(format!("{deaths} processes died over this message")));
        }
        let body = self.read()?;
        let (Body::Whole(bytes) | Body::File { head: bytes, .. }) = &body;
        // What a file system leaves of a delivery without fsync after a power failure.
        if bytes.iter().all(|&byte| byte == 0) {
            let what = if self.size == 0 { "empty" } else { "all zeros" };
            return Ok(Finding::Doomed(format!("{what}: a delivery that was cut off, as by a power failure")));
        }
        Ok(Finding::Mail(body))
    }

    /// The message's bytes: all, where they are few, else the first of them.
    fn read(&self) -> Result<Body, Refused> {
        let wanted = usize::try_from(self.size).unwrap_or(usize::MAX).min(HEADER_LIMIT);
        // One more than there should be, so that a file that has grown shows.
        let room = if self.size <= HEADER_LIMIT as u64 { wanted + 1 } else { wanted };
        let mut bytes = Vec::with_capacity(room);
        while bytes.len() < room {
            let offset = bytes.len() as u64;
            match rustix::io::pread(&*self.file, rustix::buffer::spare_capacity(&mut bytes), offset) {
                Ok(0) => break,
                Ok(_) if bytes.len() == wanted && room > wanted => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Refused::Unreadable(error.into())),
            }
        }
        if bytes.len() != wanted {
            return Err(Refused::Writing);
        }
        let head = Bytes::from(bytes);
        if self.size <= HEADER_LIMIT as u64 {
            return Ok(Body::Whole(head));
        }
        Ok(Body::File { head, file: Arc::clone(&self.file), length: self.size })
    }
}

/// The path of a message, from the Maildir.
pub(super) fn in_new(name: &OsStr) -> Box<OsStr> {
    let mut path = OsString::with_capacity(4 + name.len());
    path.push("new/");
    path.push(name);
    path.into_boxed_os_str()
}

fn odd_kind(found: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => None,
        kind => Some(odd_name(kind)),
    }
}

/// What a file that is no message is called.
pub(super) fn odd_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "no regular file",
    }
}

fn cannot_open(layout: &Layout, name: &OsStr, error: Errno) -> Refused {
    match error {
        Errno::NOENT => Refused::Gone,
        Errno::LOOP => Refused::Odd("a symbolic link"),
        Errno::NXIO => Refused::Odd("a socket"),
        error if is_shortage(&error.into()) => Refused::Fault(layout.error("new", error)),
        // A folder that cannot be entered says the same of each of its files.
        _ => match layout.check_writable() {
            Ok(()) => Refused::Unreadable(layout.error(OsStr::from_bytes(in_new(name).as_bytes()), error)),
            Err(fault) => Refused::Fault(fault),
        },
    }
}
