//! Understanding what crashed processes held.
//!
//! A hands file that can be locked was left behind. What it shows as being *read* when its process
//! died may have killed it, and that is told in the message's story, once for each claim. What
//! waited for its target is innocent, and needs nothing at all: the kernel has dropped the lock.

use super::claim::in_new;
use super::crash;
use super::hands::{self, Holding, Phase};
use super::layout::{HANDS, Layout, read_folder, stat};
use super::story::{self, Event, Line, Story};
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// How long a hands file may be in the making.
const DRAFT_FOR: Duration = Duration::from_hours(1);
/// The wait after each death of a process over a message.
const WAIT_PER_DEATH: Duration = Duration::from_secs(1);

/// Tells the stories of all crashed processes. Returns how many are told to the end.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn recover(layout: &Layout, own: Option<&str>) -> io::Result<usize> {
    let mut recovered = 0;
    for entry in read_folder(layout.root(), HANDS)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." || Some(name.as_bytes()) == own.map(str::as_bytes) {
            continue;
        }
        match recover_file(layout, name) {
            Ok(was_left_behind) => recovered += usize::from(was_left_behind),
            Err(error) => {
                let reason = layout.error(format!("{HANDS}/{}", name.to_string_lossy()), error);
                tracing::warn!(event = "recovery_failed", %reason);
            }
        }
    }
    Ok(recovered)
}

fn recover_file(layout: &Layout, name: &OsStr) -> io::Result<bool> {
    let path = [OsStr::new(HANDS), name].join(OsStr::new("/"));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = match openat(layout.root(), &*path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    let is_draft = name.as_bytes().starts_with(b".");
    if !metadata.is_file() || (is_draft && metadata.modified()?.elapsed().unwrap_or_default() < DRAFT_FOR) {
        return Ok(false);
    }
    if fs2::FileExt::try_lock_exclusive(&file).is_err() {
        return Ok(false);
    }
    let in_place = stat(layout.root(), &*path).is_ok_and(|found| is_same_file(&found, &metadata));
    if !in_place {
        return Ok(false);
    }
    let now = SystemTime::now();
    let mut all_told = true;
    for holding in hands::holdings(&mut file)? {
        if holding.phase == Phase::Reading {
            all_told &= tell_of_death(layout, &holding, now)?;
        }
    }
    if all_told {
        unlinkat(layout.root(), &*path, AtFlags::empty())?;
        crash::point("after a hands file is removed")?;
    }
    Ok(all_told)
}

fn is_same_file(found: &rustix::fs::Stat, metadata: &std::fs::Metadata) -> bool {
    (found.st_dev, found.st_ino) == (metadata.dev(), metadata.ino())
}

/// Writes the death into the message's story, under its lock. Returns false where somebody else has
/// the message just now: then this hands file stays, and the next recovery tells of it.
fn tell_of_death(layout: &Layout, holding: &Holding, now: SystemTime) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let message = match openat(layout.root(), &*in_new(&holding.name), flags, Mode::empty()) {
        Ok(message) => File::from(message),
        Err(Errno::NOENT | Errno::LOOP) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    if fs2::FileExt::try_lock_exclusive(&message).is_err() {
        return Ok(false);
    }
    if !stat(layout.root(), &*in_new(&holding.name))
        .is_ok_and(|found| message.metadata().is_ok_and(|m| is_same_file(&found, &m)))
    {
        return Ok(true);
    }
    let story = Story::read(layout.root(), holding.id)?.unwrap_or_default();
    let status = message.metadata()?;
    let ctime = (status.ctime(), status.ctime_nsec().unsigned_abs());
    // Of a message that is declared dead nothing more is to be told.
    if story.tells_of(&holding.stamp) || story.is_burial_unfinished(ctime) {
        return Ok(true);
    }
    let due = now + WAIT_PER_DEATH * (story.deaths + 1);
    let line = Line {
        stamp: holding.stamp.clone(),
        attempt: story.history.tries + 1,
        due: Some(due),
        reason: "a process died while it read this message".into(),
        ..Line::new(now, Event::Died)
    };
    crash::point("before a death is told")?;
    story::append(layout.root(), holding.id, line, due)?;
    crash::point("after a death is told")?;
    tracing::warn!(event = "died", id = %holding.id, deaths = story.deaths + 1, "a process died while it read this message");
    Ok(true)
}
