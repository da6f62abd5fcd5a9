//! One message as a listing shows it: what its name tells at once, and all else when it is asked for.

use super::layout::stat;
use super::names::{arrived, delivered_at};
use super::records::View;
use super::story::{due_by_mtime, system_time};
use super::summary::Summary;
use super::tale::Tale;
use crate::engine::{Id, State};
use crate::mail::{PARSE_LIMIT, read};
use rustix::fs::{Mode, OFlags, Stat, openat};
use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// How much of a message is read for its summary, in bytes.
const SUMMARY_LIMIT: u64 = 8 * 1024;

/// A message that was found.
#[derive(Clone, Debug)]
pub struct Record {
    view: Arc<View>,
    /// What has become of it.
    pub state: State,
    /// Its id; None where no queue was ever here, so that there are none.
    pub id: Option<Id>,
    folder: Arc<str>,
    name: Box<OsStr>,
    file: OnceCell<Option<Status>>,
    due: OnceCell<Option<SystemTime>>,
    tale: OnceCell<Box<Tale>>,
    summary: OnceCell<Box<Summary>>,
    has_attachment: OnceCell<Option<bool>>,
}

/// What the system tells of its file.
#[derive(Clone, Copy, Debug)]
struct Status {
    size: u64,
    modified: SystemTime,
}

impl Status {
    fn of(found: &Stat) -> Self {
        let modified = system_time(found.st_mtime, found.st_mtime_nsec);
        Status { size: found.st_size.unsigned_abs(), modified }
    }
}

impl Record {
    pub(super) fn new(
        view: &Arc<View>,
        state: State,
        id: Option<Id>,
        folder: Arc<str>,
        name: &OsStr,
        found: Option<&Stat>,
    ) -> Self {
        let file = OnceCell::new();
        if let Some(found) = found {
            file.get_or_init(|| Some(Status::of(found)));
        }
        Record {
            view: Arc::clone(view),
            state,
            id,
            folder,
            name: name.into(),
            file,
            due: OnceCell::new(),
            tale: OnceCell::new(),
            summary: OnceCell::new(),
            has_attachment: OnceCell::new(),
        }
    }

    /// The Maildir that it lies in.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The name of its queue.
    pub fn queue(&self) -> &str {
        self.view.queue()
    }

    /// The name of its file.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The folder that it lies in, from the Maildir.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    fn relative(&self) -> OsString {
        [OsStr::new(&*self.folder), &self.name].join(OsStr::new("/"))
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        self.view.path().join(self.relative())
    }

    fn file(&self) -> Option<Status> {
        *self.file.get_or_init(|| stat(self.view.root(), &*self.relative()).ok().map(|found| Status::of(&found)))
    }

    /// Whether its file is still where it was.
    pub fn is_in_place(&self) -> bool {
        stat(self.view.root(), &*self.relative()).is_ok()
    }

    /// Its size in bytes; None where it is gone by now.
    pub fn size(&self) -> Option<u64> {
        Some(self.file()?.size)
    }

    /// When it came.
    pub fn arrived(&self) -> SystemTime {
        let by_name = delivered_at(&self.name);
        by_name.unwrap_or_else(|| arrived(&self.name, self.file().map_or(SystemTime::UNIX_EPOCH, |file| file.modified)))
    }

    /// When it is tried again, where it waits for that.
    pub fn due(&self) -> Option<SystemTime> {
        *self.due.get_or_init(|| {
            let waits = matches!(self.state, State::Retry | State::Running);
            self.id.filter(|_| waits).and_then(|id| due_by_mtime(self.view.root(), id))
        })
    }

    /// What happened to it so far. A story that cannot be read tells nothing, but that.
    pub fn tale(&self) -> &Tale {
        self.tale.get_or_init(|| {
            let has_left = !matches!(self.state, State::New | State::Running | State::Retry);
            let has_none = self.state == State::New;
            let id = self.id.filter(|_| !has_none);
            Box::new(id.map(|id| Tale::read(self.view.root(), id, has_left)).unwrap_or_default())
        })
    }

    /// What the beginning of its header tells.
    pub fn summary(&self) -> &Summary {
        self.summary.get_or_init(|| {
            let mut head = Vec::new();
            let read = self.open().and_then(|file| file.take(SUMMARY_LIMIT).read_to_end(&mut head));
            // What cannot be read, or is gone by now, tells nothing.
            Box::new(read.map(|_| Summary::of(&head, self.view.envelope())).unwrap_or_default())
        })
    }

    /// The same, without what was read of it: that is read again when it is asked for.
    #[must_use]
    pub fn without_text(mut self) -> Self {
        self.tale.take();
        self.summary.take();
        self
    }

    /// Whether something is attached to it; None where nobody can tell. It is read whole for that.
    pub fn has_attachment(&self) -> Option<bool> {
        *self.has_attachment.get_or_init(|| {
            let mut bytes = Vec::new();
            // One byte more than is parsed, so that what is too long is refused.
            self.open().and_then(|file| file.take(PARSE_LIMIT + 1).read_to_end(&mut bytes)).ok()?;
            let mail = read(&bytes);
            mail.refusal.is_none().then(|| mail.has_attachment())
        })
    }

    /// Its file, open for reading.
    ///
    /// # Errors
    /// It is gone, cannot be read, or is no regular file.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = File::from(openat(self.view.root(), &*self.relative(), flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    }
}
