//! The folders of a queue, opened and checked.

use super::names::QueueId;
use rustix::fs::{
    Access, AtFlags, CWD, FsWord, Mode, OFlags, Stat, accessat, fstatfs, fsync, linkat, mkdirat, openat, statat,
    unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where dead mail goes: a Maildir++ folder that any mail client opens.
pub(super) const DEAD: &str = ".maildirq.dead";
/// Where done mail goes, if it is kept.
pub(super) const DONE: &str = ".maildirq.done";
/// Where a person's dropped mail goes.
pub(super) const TRASH: &str = ".maildirq.trash";
/// What is ours beside the mail.
const OURS: &str = "maildirq";
/// What happened to each message.
pub(super) const STORY: &str = "maildirq/story";
/// What each process holds.
pub(super) const HANDS: &str = "maildirq/hands";
/// A file for each target that an operator has paused.
pub(super) const PAUSED: &str = "maildirq/paused";
const ID_FILE: &str = "maildirq/id";
const FORMAT: &str = "maildirq 1 ";

/// What becomes of a message that its target has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Its file is removed.
    #[default]
    Remove,
    /// Its file is moved to `.maildirq.done`.
    Done,
}

/// Why a folder cannot be a queue.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing there.
    #[error(
        "there is no Maildir at {path}: {missing} does not exist\n  = try: check the path; maildirq never creates a Maildir ('maildirmake' or your MTA does)"
    )]
    Missing {
        /// The Maildir.
        path: PathBuf,
        /// What was looked for.
        missing: PathBuf,
    },
    /// There is something else there.
    #[error("{path} is not a Maildir: {what}\n  = try: name the folder that holds new/, cur/ and tmp/")]
    NotAMaildir {
        /// The Maildir.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Neither flock nor inotify reach other hosts.
    #[error(
        "{path} is on a network file system ({kind}), where locks and file events do not reach other hosts\n  = try: a Maildir on a local disk of the machine that the mail is delivered to"
    )]
    Network {
        /// The Maildir.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// A folder of ours is on another file system, so mail cannot be moved there.
    #[error(
        "{folder} is not on the file system of {path}, so mail cannot be moved there in one step\n  = try: remove the mount or the link; {folder} must be a plain folder"
    )]
    OtherFileSystem {
        /// The Maildir.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The queue's own id file is damaged.
    #[error(
        "{path} does not hold an id of a format that this version knows\n  = try: restore it from a backup; without it, ids of waiting mail would change"
    )]
    Id {
        /// The id file.
        path: PathBuf,
    },
    /// The disk or its permissions.
    #[error(
        "cannot work in {path}: {error}\n  = try: run maildirq as the user that the mail is delivered as (here: {advice})"
    )]
    Io {
        /// What was used.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
        /// Who owns the Maildir.
        advice: String,
    },
}

/// A Maildir that is ready to be worked on.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    root: OwnedFd,
    /// The random identity of the queue.
    pub(super) queue: QueueId,
    is_first_start: bool,
}

impl Layout {
    /// Opens the Maildir at `path`, and makes in it what a queue needs.
    ///
    /// # Errors
    /// It is none, cannot be written, or is on a file system that cannot serve.
    pub fn open(path: &Path, keep: Keep) -> Result<Self, OpenError> {
        let root = open_root(path)?;
        let io_error = |what: &str| {
            let path = path.join(what);
            move |error: Errno| OpenError::Io { advice: owner_of(&path), path, error: error.into() }
        };
        accessat(&root, "new", Access::WRITE_OK | Access::READ_OK | Access::EXEC_OK, AtFlags::empty())
            .map_err(io_error("new"))?;
        for folder in [OURS, STORY, HANDS, PAUSED] {
            make_folder(&root, folder).map_err(io_error(folder))?;
        }
        make_maildir_folder(&root, DEAD).map_err(io_error(DEAD))?;
        if keep == Keep::Done {
            make_maildir_folder(&root, DONE).map_err(io_error(DONE))?;
        }
        let device = stat(&root, "new").map_err(io_error("new"))?.st_dev;
        for folder in [DEAD, DONE, STORY, HANDS] {
            let folder_new = if folder.starts_with('.') { format!("{folder}/new") } else { folder.to_owned() };
            match stat(&root, &folder_new) {
                Ok(found) if found.st_dev != device => {
                    return Err(OpenError::OtherFileSystem { path: path.to_owned(), folder: path.join(folder_new) });
                }
                Ok(_) => {}
                Err(Errno::NOENT) if folder == DONE => {}
                Err(error) => return Err(io_error(&folder_new)(error)),
            }
        }
        let (queue, is_first_start) = match read_id(&root, path)? {
            Some(queue) => (queue, false),
            None => {
                make_id(&root).map_err(|error| OpenError::Io {
                    path: path.join(ID_FILE),
                    advice: owner_of(path),
                    error,
                })?;
                (read_id(&root, path)?.ok_or_else(|| OpenError::Id { path: path.join(ID_FILE) })?, true)
            }
        };
        Ok(Layout { path: path.to_owned(), root, queue, is_first_start })
    }

    /// As [`Layout::open`], but only looks: nothing is made. None for the identity where no queue
    /// was here before.
    pub(super) fn look(path: &Path) -> Result<(OwnedFd, Option<QueueId>), OpenError> {
        let root = open_root(path)?;
        let queue = read_id(&root, path)?;
        Ok((root, queue))
    }

    /// Whether this Maildir was never served before.
    pub fn is_first_start(&self) -> bool {
        self.is_first_start
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that all names of this module are relative to.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether mail can be taken out of `new/`, now.
    ///
    /// # Errors
    /// It cannot; the error says which folder and why.
    pub(super) fn check_writable(&self) -> io::Result<()> {
        accessat(&self.root, "new", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())
            .map_err(|error| self.error("new", error))
    }

    /// Whether `path` still names the directory that was opened.
    ///
    /// # Errors
    /// It does not, or cannot be looked at.
    pub(super) fn check_in_place(&self) -> io::Result<()> {
        let by_path = statat(CWD, &self.path, AtFlags::empty()).map_err(|error| self.error("", error))?;
        let opened = rustix::fs::fstat(&self.root)?;
        if (by_path.st_dev, by_path.st_ino) == (opened.st_dev, opened.st_ino) {
            return Ok(());
        }
        let text = format!(
            "{} is no longer the folder that was opened; put it back, or restart maildirq",
            self.path.display()
        );
        Err(io::Error::other(text))
    }

    /// `error` with the path that it is about.
    pub(super) fn error(&self, what: impl AsRef<Path>, error: impl Into<io::Error>) -> io::Error {
        let error = error.into();
        let path = self.path.join(what);
        let path = crate::engine::text::printable(path.as_os_str().as_encoded_bytes());
        io::Error::new(error.kind(), format!("{path}: {error}"))
    }
}

/// The file's status by its name, not following a link.
pub(super) fn stat(root: impl AsFd, name: impl rustix::path::Arg) -> Result<Stat, Errno> {
    statat(root, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn open_root(path: &Path) -> Result<OwnedFd, OpenError> {
    let missing = |what: &Path| OpenError::Missing { path: path.to_owned(), missing: what.to_owned() };
    let root = match openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Err(missing(path)),
        Err(Errno::NOTDIR) => {
            return Err(OpenError::NotAMaildir { path: path.to_owned(), what: "it is a file".into() });
        }
        Err(error) => return Err(OpenError::Io { path: path.to_owned(), error: error.into(), advice: owner_of(path) }),
    };
    match statat(&root, "new", AtFlags::empty()) {
        Ok(found) if rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() => {}
        Ok(_) => return Err(OpenError::NotAMaildir { path: path.to_owned(), what: "new is not a folder".into() }),
        Err(Errno::NOENT) => return Err(missing(&path.join("new"))),
        Err(error) => {
            return Err(OpenError::Io { path: path.join("new"), error: error.into(), advice: owner_of(path) });
        }
    }
    match fstatfs(&root).map(|found| network_file_system(found.f_type)) {
        Ok(Some(kind)) => Err(OpenError::Network { path: path.to_owned(), kind }),
        _ => Ok(root),
    }
}

/// The name of a file system whose locks and events do not reach, or may not reach, all its users.
/// The numbers are those of statfs(2).
fn network_file_system(magic: FsWord) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 | 0xfe53_4d42 => "CIFS",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x7461_636f => "OCFS2",
        0x0116_1970 => "GFS2",
        0x564c => "NCP",
        0x7375_7245 => "Coda",
        0x786f_4256 => "a VirtualBox share",
        _ => return None,
    })
}

fn owner_of(path: &Path) -> String {
    let owner = path.ancestors().find_map(|folder| statat(CWD, folder, AtFlags::empty()).ok());
    owner.map_or_else(|| "unknown".to_owned(), |stat| format!("uid {}", stat.st_uid))
}

fn make_folder(root: &OwnedFd, folder: &str) -> Result<(), Errno> {
    match mkdirat(root, folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

fn make_maildir_folder(root: &OwnedFd, folder: &str) -> Result<(), Errno> {
    make_folder(root, folder)?;
    for part in ["new", "cur", "tmp"] {
        make_folder(root, &format!("{folder}/{part}"))?;
    }
    // Maildir++ marks its folders by this file; nothing depends on it.
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(root, format!("{folder}/maildirfolder"), flags, Mode::RUSR | Mode::WUSR).map(drop)
}

fn read_id(root: &OwnedFd, path: &Path) -> Result<Option<QueueId>, OpenError> {
    let damaged = || OpenError::Id { path: path.join(ID_FILE) };
    let file = match openat(root, ID_FILE, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => {
            return Err(OpenError::Io { path: path.join(ID_FILE), error: error.into(), advice: owner_of(path) });
        }
    };
    let mut text = String::new();
    file.take(200).read_to_string(&mut text).map_err(|_| damaged())?;
    let hex = text.strip_prefix(FORMAT).ok_or_else(damaged)?.trim_end();
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| damaged())?;
    bytes.try_into().map(Some).map_err(|_| damaged())
}

/// Makes the id file, whole or not at all; another process may be first.
fn make_id(root: &OwnedFd) -> io::Result<()> {
    let mut queue = QueueId::default();
    rustix::rand::getrandom(&mut queue, rustix::rand::GetRandomFlags::empty())?;
    let draft = format!("{ID_FILE}.{}", data_encoding::HEXLOWER.encode(&queue[..6]));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(root, &*draft, flags, Mode::RUSR | Mode::WUSR)?);
    writeln!(file, "{FORMAT}{}", data_encoding::HEXLOWER.encode(&queue))?;
    file.sync_all()?;
    let linked = match linkat(root, &*draft, root, ID_FILE, AtFlags::empty()) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    };
    unlinkat(root, &*draft, AtFlags::empty())?;
    linked?;
    fsync(openat(root, OURS, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
    Ok(())
}
