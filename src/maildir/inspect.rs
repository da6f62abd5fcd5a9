//! Looking for what would go wrong in a Maildir, without changing anything.

use super::layout::{DEAD, HANDS, Layout, OURS, OpenError, PAUSED, STORY, check_one_file_system, stat};
use rustix::fs::{Access, AtFlags, accessat};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What mail clients, and the servers that they use, leave in a Maildir.
const LEFT_BY_CLIENTS: &[&str] = &[
    "dovecot-uidlist",
    "dovecot-uidvalidity",
    "dovecot-keywords",
    "dovecot.index",
    "dovecot.index.log",
    "dovecot.index.cache",
    "dovecot.list.index",
    "courierimapuiddb",
    "courierimapkeywords",
    "courierimapsubscribed",
    "courierpop3dsizelist",
    ".mbsyncstate",
    ".uidvalidity",
    ".isyncuidmap.db",
];

/// What would keep this thread's user from serving the Maildir at `path`. Nothing is made or changed.
pub fn inspect(path: &Path) -> Vec<OpenError> {
    let root = match Layout::look(path) {
        Ok((root, _)) => root,
        Err(error) => return vec![error],
    };
    let mut found = Vec::new();
    for folder in ["new", DEAD, &format!("{DEAD}/new"), OURS, STORY, HANDS, PAUSED] {
        if let Err(error) = check_access(&root, folder) {
            found.push(OpenError::io(path, folder)(error));
        }
    }
    found.extend(check_one_file_system(&root, path).err());
    found
}

/// A folder that is not there must be one that can be made.
fn check_access(root: &OwnedFd, folder: &str) -> Result<(), Errno> {
    let access = Access::WRITE_OK | Access::READ_OK | Access::EXEC_OK;
    match accessat(root, folder, access, AtFlags::empty()) {
        // Of a parent that is not there either, its own turn tells.
        Err(Errno::NOENT) if folder.contains('/') => Ok(()),
        Err(Errno::NOENT) => accessat(root, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()),
        other => other,
    }
}

/// What shows that a mail client opens the Maildir at `path`: it moves mail to `cur/`, where nobody takes it.
///
/// # Errors
/// The Maildir cannot be read.
pub fn signs_of_a_client(path: &Path) -> Result<Vec<String>, OpenError> {
    let (root, _) = Layout::look(path)?;
    let mut signs: Vec<String> = Vec::new();
    signs.extend(LEFT_BY_CLIENTS.iter().filter(|name| stat(&root, **name).is_ok()).map(|name| (*name).to_owned()));
    let Ok(first_start) = path.join(OURS).join("id").metadata().and_then(|id| id.modified()) else { return Ok(signs) };
    let entries = match std::fs::read_dir(path.join("cur")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(signs),
        Err(error) => return Err(OpenError::io(path, "cur")(error)),
    };
    // A rename changes the ctime, so this is when the message was moved there.
    let moved = |entry: &std::fs::DirEntry| entry.metadata().ok().and_then(|found| changed(&found));
    let count = entries.flatten().filter_map(|entry| moved(&entry)).filter(|moved| *moved > first_start).count();
    if count > 0 {
        signs.push(format!("{count} of the messages in cur/ came there since maildirq serves it"));
    }
    Ok(signs)
}

fn changed(found: &std::fs::Metadata) -> Option<SystemTime> {
    let seconds = u64::try_from(found.ctime()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::super::layout::Keep;
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn what_is_looked_at_is_left_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("Maildir");
        assert!(matches!(inspect(&path)[..], [OpenError::Missing { .. }]));
        fs::create_dir_all(path.join("new")).unwrap();
        assert!(inspect(&path).is_empty() && signs_of_a_client(&path).unwrap().is_empty());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        Layout::open(&path, Keep::Remove).unwrap();
        assert!(inspect(&path).is_empty());
        fs::write(path.join("maildirq/id"), "").unwrap();
        assert!(matches!(inspect(&path)[..], [OpenError::Id { .. }]));
    }

    #[test]
    fn what_came_to_cur_before_the_first_start_shows_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        for folder in ["new", "cur"] {
            fs::create_dir(path.join(folder)).unwrap();
        }
        fs::write(path.join("cur/1.a.b:2,S"), "").unwrap();
        Layout::open(path, Keep::Remove).unwrap();
        let id = File::options().write(true).open(path.join("maildirq/id")).unwrap();
        for (first_start, expected) in [(SystemTime::now() + Duration::from_hours(1), 0), (SystemTime::UNIX_EPOCH, 1)] {
            id.set_modified(first_start).unwrap();
            assert_eq!(signs_of_a_client(path).unwrap().len(), expected, "{first_start:?}");
        }
    }
}
