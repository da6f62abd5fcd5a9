//! Where a claimed file is to be found by others.

use rustix::fs::{fstat, lstat};
use std::fs::{File, read_link};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The paths of claimed files. The system tells them, and takes its time for it: so the folder of the last one is
/// remembered, and tried for the next.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// With a slash at its end.
    folder: Mutex<String>,
}

impl Paths {
    /// Where others find an open file: what it is called now, also where somebody has renamed it since it had this
    /// name.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn of(&self, file: &File, name: &str) -> io::Result<String> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let likely = [&*folder, name].concat();
        if !folder.is_empty() && is_at(file, &likely)? {
            return Ok(likely);
        }
        let path = told(file)?;
        if let Some(parent) = path.strip_suffix(name).filter(|parent| parent.ends_with('/')) {
            parent.clone_into(&mut folder);
        }
        Ok(path)
    }
}

/// Whether this path leads to the file.
fn is_at(file: &File, path: &str) -> io::Result<bool> {
    let file = fstat(file)?;
    Ok(lstat(Path::new(path)).is_ok_and(|found| (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino)))
}

/// What the system says.
fn told(file: &File) -> io::Result<String> {
    let fd = file.as_raw_fd();
    let name = read_link(format!("/proc/self/fd/{fd}"))?;
    let by_us = || format!("/proc/{}/fd/{fd}", std::process::id());
    Ok(match name.into_os_string().into_string() {
        // The system says so of a file without a name; but a file may also be called so.
        Ok(name) if name.ends_with(" (deleted)") && fstat(file)?.st_nlink == 0 => by_us(),
        Ok(name) => name,
        Err(_) => by_us(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_remembered_folder_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for folder in [&one, &other] {
            fs::create_dir(folder).unwrap();
        }
        let paths = Paths::default();
        let made = |path: &Path| {
            fs::write(path, path.to_str().unwrap()).unwrap();
            File::open(path).unwrap()
        };
        let check = |file: &File, name: &str, expected: &Path| {
            assert_eq!(paths.of(file, name).unwrap(), expected.to_str().unwrap());
        };
        let a = made(&one.join("a"));
        check(&a, "a", &one.join("a"));
        let b = made(&one.join("b"));
        check(&b, "b", &one.join("b"));

        fs::rename(one.join("b"), one.join("b:2,S")).unwrap();
        check(&b, "b", &one.join("b:2,S"));
        made(&one.join("b"));
        check(&b, "b", &one.join("b:2,S"));
        fs::remove_file(one.join("b")).unwrap();
        symlink(one.join("b:2,S"), one.join("b")).unwrap();
        check(&b, "b", &one.join("b:2,S"));

        let same = made(&other.join("a"));
        check(&same, "a", &other.join("a"));
        check(&a, "a", &one.join("a"));
    }
}
