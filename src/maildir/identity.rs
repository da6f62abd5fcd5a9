//! The random identity of a queue: `maildirq/id`, which the ids of all its messages are made with.

use super::layout::{OURS, OpenError};
use super::names::QueueId;
use rustix::fs::{AtFlags, Mode, OFlags, fsync, linkat, openat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

const ID_FILE: &str = "maildirq/id";
/// What the file begins with: whose it is, and the version of all that lies beside it.
const FORMAT: &str = "maildirq 1 ";

/// The identity of this queue, and whether it had none before.
pub(super) fn read_or_make(root: &OwnedFd, path: &Path) -> Result<(QueueId, bool), OpenError> {
    if let Some(queue) = read(root, path)? {
        return Ok((queue, false));
    }
    make(root).map_err(OpenError::io(path, ID_FILE))?;
    let made = read(root, path)?.ok_or_else(|| OpenError::Id { path: path.join(ID_FILE) })?;
    Ok((made, true))
}

/// The identity of this queue, if it has one.
pub(super) fn read(root: &OwnedFd, path: &Path) -> Result<Option<QueueId>, OpenError> {
    let damaged = || OpenError::Id { path: path.join(ID_FILE) };
    let file = match openat(root, ID_FILE, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(OpenError::io(path, ID_FILE)(error)),
    };
    let mut text = Vec::new();
    file.take(200).read_to_end(&mut text).map_err(OpenError::io(path, ID_FILE))?;
    let hex = text.strip_prefix(FORMAT.as_bytes()).ok_or_else(damaged)?.trim_ascii_end();
    let bytes = data_encoding::HEXLOWER.decode(hex).map_err(|_| damaged())?;
    bytes.try_into().map(Some).map_err(|_| damaged())
}

/// Makes the id file, whole or not at all; another process may be first.
fn make(root: &OwnedFd) -> io::Result<()> {
    let mut queue = QueueId::default();
    rustix::rand::getrandom(&mut queue, rustix::rand::GetRandomFlags::empty())?;
    let draft = format!("{ID_FILE}.{}", data_encoding::HEXLOWER.encode(&queue[..6]));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(root, &*draft, flags, Mode::RUSR | Mode::WUSR)?);
    let linked = writeln!(file, "{FORMAT}{}", data_encoding::HEXLOWER.encode(&queue))
        .and_then(|()| file.sync_all())
        .and_then(|()| match linkat(root, &*draft, root, ID_FILE, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        });
    let removed = unlinkat(root, &*draft, AtFlags::empty());
    linked?;
    removed?;
    fsync(openat(root, OURS, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
    Ok(())
}
