//! Where sockets are, and how they are found: `maildirq/live/RANDOM.sock` in a Maildir that the daemon serves.
//!
//! A path of a socket is short (108 bytes, unix(7)), that of a Maildir need not be. So it is gone by the folder's
//! descriptor where it is longer.

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmodat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where sockets are, below a Maildir.
const LIVE: &str = "maildirq/live";
/// A path of a socket is shorter, in bytes.
const LONGEST_PATH: usize = 104;
/// A socket that is being made is not older.
const DRAFT_AGE: Duration = Duration::from_mins(1);

/// A socket that is listened on; removed at the end.
#[derive(Debug)]
pub struct SocketFile {
    folder: OwnedFd,
    name: String,
    /// The Maildir that it is in.
    pub maildir: PathBuf,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = unlinkat(&self.folder, &*self.name, AtFlags::empty())
            && error != Errno::NOENT
        {
            tracing::debug!(event = "not_removed", file = self.name, reason = %io::Error::from(error));
        }
    }
}

/// Listens in this Maildir. Sockets that nobody listens on any more are removed.
///
/// # Errors
/// The disk.
pub fn bind(maildir: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match mkdirat(CWD, maildir.join(LIVE), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let folder = open_folder(maildir)?;
    sweep(maildir, &folder);
    let name = format!("{:016x}.sock", fastrand::u64(..));
    // Under a hidden name until it is listened on: it must never look left behind.
    let draft = format!(".{name}");
    let listener = UnixListener::bind(path_of(maildir, &folder, draft.as_ref()))?;
    let shown = chmodat(&folder, &*draft, Mode::RUSR | Mode::WUSR, AtFlags::empty())
        .and_then(|()| renameat(&folder, &*draft, &folder, &*name));
    if let Err(error) = shown {
        // What is left of it is swept by the next.
        let _ = unlinkat(&folder, &*draft, AtFlags::empty());
        return Err(error.into());
    }
    listener.set_nonblocking(true)?;
    Ok((listener, SocketFile { folder, name, maildir: maildir.to_owned() }))
}

fn open_folder(maildir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(openat(CWD, maildir.join(LIVE), flags, Mode::empty())?)
}

/// A path of this socket that is short enough.
fn path_of(maildir: &Path, folder: &OwnedFd, name: &OsStr) -> PathBuf {
    let path = maildir.join(LIVE).join(name);
    if path.as_os_str().len() < LONGEST_PATH {
        return path;
    }
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)
}

/// The names of all sockets, drafts included.
fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let listed = Dir::read_from(folder)?;
    let names = listed.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
    let names: io::Result<Vec<_>> = names.collect();
    Ok(names?.into_iter().filter(|name| name.as_bytes().ends_with(b".sock")).collect())
}

/// Removes sockets that nobody listens on.
fn sweep(maildir: &Path, folder: &OwnedFd) {
    for name in names(folder).unwrap_or_default() {
        let is_left = if name.as_bytes().starts_with(b".") {
            is_old(folder, &name)
        } else {
            let refused = UnixStream::connect(path_of(maildir, folder, &name)).err();
            refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if is_left {
            // Another process may sweep, too.
            let _ = unlinkat(folder, &*name, AtFlags::empty());
        }
    }
}

fn is_old(folder: &OwnedFd, name: &OsStr) -> bool {
    let Ok(found) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let made = UNIX_EPOCH + Duration::from_secs(found.st_ctime.unsigned_abs());
    SystemTime::now().duration_since(made).is_ok_and(|age| age > DRAFT_AGE)
}

/// The sockets of a Maildir, as they can be connected to for as long as the folder is held.
pub(super) struct Sockets {
    _folder: OwnedFd,
    /// Their paths.
    pub paths: Vec<PathBuf>,
}

/// The sockets in this Maildir. None where none ever was.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn sockets(maildir: &Path) -> io::Result<Option<Sockets>> {
    let folder = match open_folder(maildir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown = names(&folder)?.into_iter().filter(|name| !name.as_bytes().starts_with(b"."));
    let paths = shown.map(|name| path_of(maildir, &folder, &name)).collect();
    Ok(Some(Sockets { _folder: folder, paths }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn maildir(folder: &Path, name: &str) -> PathBuf {
        let maildir = folder.join(name);
        fs::create_dir_all(maildir.join("maildirq")).unwrap();
        maildir
    }

    #[test]
    fn a_socket_is_found_and_its_owners_alone_however_long_its_path_is() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["short".to_owned(), format!("{}/{}", "x".repeat(90), "y".repeat(90))] {
            let maildir = maildir(folder.path(), &name);
            assert!(sockets(&maildir).unwrap().is_none());
            let (_listener, file) = bind(&maildir).unwrap();
            let found = sockets(&maildir).unwrap().unwrap();
            assert_eq!(found.paths.len(), 1, "{:?}", found.paths);
            UnixStream::connect(&found.paths[0]).unwrap();
            let mode = fs::symlink_metadata(maildir.join(LIVE).join(&file.name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(file);
            assert_eq!(fs::read_dir(maildir.join(LIVE)).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_dead_processes_have_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = maildir(folder.path(), "m");
        let (alive, _file) = bind(&maildir).unwrap();
        let (dead, left) = bind(&maildir).unwrap();
        std::mem::forget(left);
        drop(dead);
        fs::write(maildir.join(LIVE).join("a.note"), "not ours").unwrap();
        let (_another, _its_file) = bind(&maildir).unwrap();
        assert_eq!(fs::read_dir(maildir.join(LIVE)).unwrap().count(), 3);
        assert!(alive.accept().is_ok(), "it was asked whether it is alive");
    }
}
