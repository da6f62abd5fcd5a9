//! The folders of a queue, opened and checked.

use super::identity;
use super::names::QueueId;
use rustix::fs::{Access, AtFlags, CWD, Dir, FsWord, Mode, OFlags, Stat, accessat, fstatfs, mkdirat, openat, statat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where dead mail goes: a Maildir++ folder that any mail client opens.
pub(super) const DEAD: &str = ".maildirq.dead";
/// Where done mail goes, if it is kept.
pub(super) const DONE: &str = ".maildirq.done";
/// Where a person's dropped mail goes.
pub(super) const TRASH: &str = ".maildirq.trash";
/// What is ours beside the mail.
pub(super) const OURS: &str = "maildirq";
/// What happened to each message.
pub(super) const STORY: &str = "maildirq/story";
/// What each process holds.
pub(super) const HANDS: &str = "maildirq/hands";
/// A file for each target that an operator has paused.
pub(super) const PAUSED: &str = "maildirq/paused";

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
    /// Two queues serve the same Maildir.
    #[error("the queues {} and {} both serve {path}\n  = try: name it in one of them", queues[0], queues[1])]
    Twice {
        /// The Maildir.
        path: PathBuf,
        /// The names of the queues.
        queues: [String; 2],
    },
    /// One process cannot be the owner of all of them.
    #[error(
        "{} belongs to uid {}, and {} to uid {}: one process cannot work for both\n  = try: one maildirq for each user, each with a configuration of its own",
        owners[0].0.display(), owners[0].1, owners[1].0.display(), owners[1].1
    )]
    Owners {
        /// Two Maildirs and their owners.
        owners: [(PathBuf, u32); 2],
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

impl OpenError {
    /// What an error of the system at a part of the Maildir means.
    pub(super) fn io<E: Into<io::Error>>(maildir: &Path, part: &str) -> impl FnOnce(E) -> OpenError + use<E> {
        let path = maildir.join(part);
        move |error| OpenError::Io { advice: owner_of(&path), path, error: error.into() }
    }
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
        let access = Access::WRITE_OK | Access::READ_OK | Access::EXEC_OK;
        accessat(&root, "new", access, AtFlags::empty()).map_err(OpenError::io(path, "new"))?;
        for folder in [OURS, STORY, HANDS, PAUSED] {
            make_folder(&root, folder).map_err(OpenError::io(path, folder))?;
        }
        make_maildir_folder(&root, DEAD).map_err(OpenError::io(path, DEAD))?;
        if keep == Keep::Done {
            make_maildir_folder(&root, DONE).map_err(OpenError::io(path, DONE))?;
        }
        check_one_file_system(&root, path)?;
        let (queue, is_first_start) = identity::read_or_make(&root, path)?;
        Ok(Layout { path: path.to_owned(), root, queue, is_first_start })
    }

    /// As [`Layout::open`], but only looks: nothing is made. None for the identity where no queue
    /// was here before.
    pub(super) fn look(path: &Path) -> Result<(OwnedFd, Option<QueueId>), OpenError> {
        let root = open_root(path)?;
        let queue = identity::read(&root, path)?;
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

/// Mail is moved between these folders by rename, in one step.
pub(super) fn check_one_file_system(root: &OwnedFd, path: &Path) -> Result<(), OpenError> {
    let device = stat(root, "new").map_err(OpenError::io(path, "new"))?.st_dev;
    for folder in [&format!("{DEAD}/new"), &format!("{DONE}/new"), &format!("{TRASH}/new"), STORY, HANDS] {
        match stat(root, folder) {
            Ok(found) if found.st_dev != device => {
                return Err(OpenError::OtherFileSystem { path: path.to_owned(), folder: path.join(folder) });
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(OpenError::io(path, folder)(error)),
        }
    }
    Ok(())
}

/// The file's status by its name, not following a link.
pub(super) fn stat(root: impl AsFd, name: impl rustix::path::Arg) -> Result<Stat, Errno> {
    statat(root, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Opens a folder of a Maildir to read the names in it.
///
/// # Errors
/// The system's.
pub(super) fn read_folder(root: impl AsFd, folder: impl rustix::path::Arg) -> Result<Dir, Errno> {
    openat(root, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).and_then(Dir::new)
}

/// Whether there is nothing in a folder of a Maildir.
///
/// # Errors
/// The system's.
pub(super) fn is_empty(root: impl AsFd, folder: impl rustix::path::Arg) -> Result<bool, Errno> {
    for entry in read_folder(root, folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn open_root(path: &Path) -> Result<OwnedFd, OpenError> {
    let missing = |what: &Path| OpenError::Missing { path: path.to_owned(), missing: what.to_owned() };
    let root = match openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Err(missing(path)),
        Err(Errno::NOTDIR) => {
            return Err(OpenError::NotAMaildir { path: path.to_owned(), what: "it is a file".into() });
        }
        Err(error) => return Err(OpenError::io(path, "")(error)),
    };
    match statat(&root, "new", AtFlags::empty()) {
        Ok(found) if rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() => {}
        Ok(_) => return Err(OpenError::NotAMaildir { path: path.to_owned(), what: "new is not a folder".into() }),
        Err(Errno::NOENT) => return Err(missing(&path.join("new"))),
        Err(error) => {
            return Err(OpenError::io(path, "new")(error));
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

pub(super) fn make_folder(root: impl AsFd, folder: &str) -> Result<(), Errno> {
    match mkdirat(root, folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a Maildir++ folder, as far as it is not there.
pub(super) fn make_maildir_folder(root: impl AsFd, folder: &str) -> Result<(), Errno> {
    make_folder(&root, folder)?;
    for part in ["new", "cur", "tmp"] {
        make_folder(&root, &format!("{folder}/{part}"))?;
    }
    // Maildir++ marks its folders by this file; nothing depends on it.
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(root, format!("{folder}/maildirfolder"), flags, Mode::RUSR | Mode::WUSR).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        // As in statfs(2): NFS, SMB2, FUSE; and the local ext4, XFS, btrfs, tmpfs, ZFS.
        for (magic, kind) in [(0x6969, "NFS"), (0xfe53_4d42, "CIFS"), (0x6573_5546, "FUSE")] {
            assert_eq!(network_file_system(magic), Some(kind));
        }
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1] {
            assert_eq!(network_file_system(magic), None, "{magic:x}");
        }
    }

    #[test]
    fn a_network_file_system_is_refused_with_the_reason() {
        let error = OpenError::Network { path: "/srv/mail".into(), kind: "NFS" }.to_string();
        assert!(error.contains("/srv/mail") && error.contains("NFS") && error.contains("try:"), "{error}");
    }
}
