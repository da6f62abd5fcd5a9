//! What happened to a message: `maildirq/story/ID`, one JSON object per line and event.
//!
//! A story is only appended to, by the holder of the message's lock, and its mtime is when the
//! message is due. A message that succeeds at its first try never has one. Whatever cannot be read
//! in it is skipped: after a power cut a story may be torn, and then a message is tried early, never
//! lost.

use super::layout::STORY;
use crate::engine::{History, Id};
use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom, Timespec, Timestamps, futimens, openat, seek, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much of a story is read: its end.
const READ_LIMIT: u64 = 256 * 1024;
/// The longest reason that a line keeps, in bytes.
const REASON_LIMIT: usize = 500;
/// How late a due time may lie that nothing in the story accounts for.
const UNEXPLAINED_WAIT: Duration = Duration::from_hours(1);

/// What a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// An attempt failed; there will be another.
    Retry,
    /// The message is set aside. Written before it is moved.
    Dead,
    /// A process died while it read the message.
    Died,
    /// A person asked for the message to be tried again.
    Asked,
    /// A person has dropped the message: it is in the trash.
    Dropped,
    /// An event of a later version.
    #[serde(other)]
    Other,
}

/// One line of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    pub event: Event,
    /// Of the claim that it is about, so that no event is told twice.
    #[serde(default)]
    pub stamp: String,
    #[serde(default, rename = "try")]
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default)]
    pub ms: u64,
    #[serde(default)]
    pub charged: bool,
    #[serde(default, with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub due: Option<SystemTime>,
    /// The file's status change time when it was declared dead: unchanged as long as it was not moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime: Option<(i64, u64)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The person, where it was one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Whether a person wants attempts and age to count anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

impl Line {
    /// A line that tells of this event, and nothing else yet.
    pub(super) fn new(at: SystemTime, event: Event) -> Self {
        Line {
            at,
            event,
            stamp: String::new(),
            attempt: 0,
            target: String::new(),
            status: None,
            ms: 0,
            charged: false,
            due: None,
            ctime: None,
            reason: String::new(),
            by: String::new(),
            reset: false,
        }
    }
}

/// A story, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    /// What counts of it: since the last `dead` line, or the last `asked` one that wants that.
    pub history: History,
    /// How many processes died over the message, since then.
    pub deaths: u32,
    /// The last line.
    pub last: Option<Line>,
    /// When the message is due, as the disk says.
    due: Option<SystemTime>,
    /// When the story was last changed.
    changed: Option<SystemTime>,
    /// The status change time of the file that was declared dead last, if nothing was tried since.
    buried: Option<(i64, u64)>,
    stamps: Vec<String>,
}

impl Story {
    /// The story of a message, if it has one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn read(root: impl AsFd, id: Id) -> io::Result<Option<Story>> {
        let Some((lines, metadata)) = lines(root, id)? else { return Ok(None) };
        let changed = system_time(metadata.ctime(), metadata.ctime_nsec().unsigned_abs());
        let mut story = Story { due: metadata.modified().ok(), changed: Some(changed), ..Story::default() };
        for line in lines {
            story.add(line);
        }
        Ok(Some(story))
    }

    fn add(&mut self, line: Line) {
        match line.event {
            Event::Retry => {
                self.history.add_try(line.at, line.charged);
                self.history.last_reason.clone_from(&line.reason);
            }
            Event::Died => self.deaths += 1,
            Event::Dead => self.start_anew(),
            Event::Asked => {
                if line.reset {
                    self.start_anew();
                }
                self.history.target = (!line.target.is_empty()).then(|| line.target.as_str().into());
            }
            Event::Dropped | Event::Other => {}
        }
        match line.event {
            Event::Dead => self.buried = line.ctime,
            // A recovery may tell late of what came before.
            Event::Died => {}
            Event::Retry | Event::Asked | Event::Dropped | Event::Other => self.buried = None,
        }
        self.stamps.push(line.stamp.clone());
        self.last = Some(line);
    }

    fn start_anew(&mut self) {
        self.history = History::default();
        self.deaths = 0;
    }

    /// Whether the event of this claim is told already.
    pub(super) fn tells_of(&self, stamp: &str) -> bool {
        self.stamps.iter().any(|told| told == stamp)
    }

    /// When the message may be taken. A time of ours lies further ahead than the wait that was
    /// decided only because the clock was set back since; then the wait counts from the story's
    /// last change. A time that a person has set (by `touch`, or by asking) stands.
    pub(super) fn due(&self, now: SystemTime) -> SystemTime {
        let on_disk = self.due.unwrap_or(UNIX_EPOCH);
        let longest = match &self.last {
            None => UNEXPLAINED_WAIT,
            Some(Line { event: Event::Asked, .. }) => return on_disk,
            Some(Line { due: Some(told), at, .. }) if is_same_time(*told, on_disk) => {
                told.duration_since(*at).unwrap_or_default()
            }
            Some(_) => return on_disk,
        };
        match self.changed {
            Some(changed) if changed <= now => on_disk.min(changed + longest),
            _ => on_disk.min(now),
        }
    }

    /// Whether the message was declared dead and then not moved: `ctime` is that of its file now.
    pub(super) fn is_burial_unfinished(&self, ctime: (i64, u64)) -> bool {
        self.buried == Some(ctime)
    }
}

/// The lines of a story that can be read, as far as its end goes back, and what its file is. None where there is
/// none.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn lines(root: impl AsFd, id: Id) -> io::Result<Option<(Vec<Line>, Metadata)>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match openat(root, path(id), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if metadata.len() > READ_LIMIT {
        seek(&file, SeekFrom::Start(metadata.len() - READ_LIMIT))?;
    }
    let mut text = Vec::new();
    file.take(READ_LIMIT).read_to_end(&mut text)?;
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(Some((lines.collect(), metadata)))
}

/// File systems keep times to between a nanosecond and two seconds.
fn is_same_time(a: SystemTime, b: SystemTime) -> bool {
    let apart = a.duration_since(b).or_else(|_| b.duration_since(a));
    apart.is_ok_and(|apart| apart <= Duration::from_secs(2))
}

/// When a message is due by its story's mtime alone, without reading it.
pub(super) fn due_by_mtime(root: impl AsFd, id: Id) -> Option<SystemTime> {
    let found = super::layout::stat(root, path(id)).ok()?;
    Some(system_time(found.st_mtime, found.st_mtime_nsec))
}

/// What was appended to a story.
#[derive(Debug)]
pub(super) struct Appended {
    unwritten: Option<io::Error>,
}

impl Appended {
    /// The line too, not only the time.
    ///
    /// # Errors
    /// There was no room for the line.
    pub(super) fn in_full(self) -> io::Result<()> {
        self.unwritten.map_or(Ok(()), Err)
    }
}

/// Appends a line and sets when the message is due. A disk without room for the line still takes
/// the time.
///
/// # Errors
/// Not even the time could be set.
pub(super) fn append(root: impl AsFd, id: Id, mut line: Line, due: SystemTime) -> io::Result<Appended> {
    line.reason.truncate(line.reason.floor_char_boundary(REASON_LIMIT));
    let mut story = File::from(open_for_append(root, id)?);
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    if ends_inside_a_line(&story) {
        text.insert(0, b'\n');
    }
    let written = story.write_all(&text);
    futimens(&story, &Timestamps { last_access: timespec(due), last_modification: timespec(due) })?;
    match written {
        Err(error) if !is_full(&error) => Err(error),
        written => Ok(Appended { unwritten: written.err() }),
    }
}

/// Sees to it that what a story tells, if there is one, outlives a power cut.
///
/// # Errors
/// It cannot be written back.
pub(super) fn sync(root: impl AsFd, id: Id) -> io::Result<()> {
    match openat(root, path(id), OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => File::from(file).sync_data(),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the disk has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn open_for_append(root: impl AsFd, id: Id) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(root, path(id), flags, Mode::RUSR | Mode::WUSR)
}

fn ends_inside_a_line(file: &File) -> bool {
    use std::os::unix::fs::FileExt;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut last = [b'\n'];
    length > 0 && file.read_exact_at(&mut last, length - 1).is_ok() && last != [b'\n']
}

/// Removes the story of a message that is gone.
///
/// # Errors
/// It is there and stays.
pub(super) fn remove(root: impl AsFd, id: Id) -> io::Result<()> {
    match unlinkat(root, path(id), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Where a story lies, from the Maildir.
pub(super) fn path(id: Id) -> String {
    format!("{STORY}/{id}")
}

/// The time that the system tells as seconds and nanoseconds.
pub(super) fn system_time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let since = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    time.and_then(|time| time.checked_add(Duration::from_nanos(nanoseconds))).unwrap_or(UNIX_EPOCH)
}

fn timespec(time: SystemTime) -> Timespec {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timespec { tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), tv_nsec: since.subsec_nanos().into() }
}

pub(super) mod rfc3339 {
    use crate::engine::text::within_rfc3339;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::SystemTime;

    pub(in super::super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_nanos(within_rfc3339(*time)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        humantime::parse_rfc3339(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

pub(super) mod rfc3339_option {
    use serde::{Deserializer, Serializer};
    use std::time::SystemTime;

    #[expect(clippy::ref_option, reason = "serde hands it over so")]
    pub(in super::super) fn serialize<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::rfc3339::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        super::rfc3339::deserialize(from).map(Some)
    }
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
