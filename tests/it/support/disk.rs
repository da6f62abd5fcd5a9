//! A small disk of its own: to be filled, write-protected, broken, and thrown away.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;

use tempfile::TempDir;

use super::maildir::FORKS;
use super::skip::skipped;

/// Unmounted when dropped; to be declared before the Maildir that lies on it.
pub struct Disk {
    point: PathBuf,
    home: TempDir,
}

/// The name of the file that an ext4 is in.
const IMAGE: &str = "image";

/// Each is None where nobody may mount, and then it says so.
impl Disk {
    /// In memory, with these options of tmpfs(5).
    pub fn tmpfs(options: &str) -> Option<Disk> {
        let home = TempDir::new().unwrap();
        let point = home.path().to_owned();
        Disk::mount(&["-t", "tmpfs", "-o", options, "none"], point, home)
    }

    /// The same over a folder that is there already.
    pub fn tmpfs_over(folder: &Path) -> Option<Disk> {
        Disk::mount(&["-t", "tmpfs", "none"], folder.to_owned(), TempDir::new().unwrap())
    }

    /// A real one, in a file.
    pub fn ext4() -> Option<Disk> {
        let home = TempDir::new().unwrap();
        make_ext4(&home, 16 << 20).and_then(|()| Disk::mount_image(home, "loop"))
    }

    /// A real one, in a file in memory, which writes nothing for as long as nobody syncs: the commit that the kernel
    /// makes every five seconds comes after the test.
    pub fn ext4_that_only_syncs() -> Option<Disk> {
        let home = TempDir::new_in("/dev/shm").unwrap();
        make_ext4(&home, 64 << 20).and_then(|()| Disk::mount_image(home, "loop,commit=300"))
    }

    /// A disk with this image.
    pub(super) fn of_image(image: &Path) -> Option<Disk> {
        let home = TempDir::new_in("/dev/shm").unwrap();
        fs::rename(image, home.path().join(IMAGE)).unwrap();
        Disk::mount_image(home, "loop")
    }

    fn mount_image(home: TempDir, options: &str) -> Option<Disk> {
        let (image, point) = (home.path().join(IMAGE), home.path().join("disk"));
        fs::create_dir(&point).unwrap();
        Disk::mount(&["-o", options, &image.to_string_lossy()], point, home)
    }

    fn mount(args: &[&str], point: PathBuf, home: TempDir) -> Option<Disk> {
        if let Err(why) = run("mount", args, &point) {
            skipped(why);
            return None;
        }
        Some(Disk { point, home })
    }
}

impl Disk {
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// The file that an ext4 is in.
    pub(super) fn image(&self) -> PathBuf {
        self.home.path().join(IMAGE)
    }

    /// Nobody may have a file open for writing.
    pub fn write_protect(&self) {
        run("mount", &["-o", "remount,ro"], &self.point).unwrap();
    }

    /// As ext4 gives up where it finds itself damaged: from now on, and for good, it is only read.
    pub fn give_up(&self) {
        run("mount", &["-o", "remount,abort"], &self.point).unwrap();
    }

    /// Whoever has a file open there keeps the disk, but not the place.
    pub fn unmount(&self) {
        run("umount", &["--lazy"], &self.point).unwrap();
    }

    /// An ext4 that was unmounted.
    pub fn mount_again(&self) {
        run("mount", &["-o", "loop", &self.image().to_string_lossy()], &self.point).unwrap();
    }

    /// Leaves not a byte free.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let full = iter::repeat_with(|| ballast.write_all(&[b'x'; 512])).find_map(Result::err);
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::StorageFull));
    }

    /// Leaves not an inode free.
    pub fn fill_inodes(&self) {
        fs::create_dir(self.ballast()).unwrap();
        let full = (0..).find_map(|number| File::create(self.ballast().join(number.to_string())).err());
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::StorageFull));
    }

    /// Undoes both.
    pub fn make_room(&self) {
        let ballast = self.ballast();
        if ballast.is_dir() { fs::remove_dir_all(ballast) } else { fs::remove_file(ballast) }.unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.point.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there does not keep the name.
        let _ = run("umount", &["--lazy"], &self.point);
    }
}

/// None where that cannot be done, and then it says so. All of it is made at once, so that nothing is written later.
fn make_ext4(home: &TempDir, size: u64) -> Option<()> {
    let image = home.path().join(IMAGE);
    File::create(&image).and_then(|file| file.set_len(size)).unwrap();
    run("mkfs.ext4", &["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"], &image).map_err(skipped).ok()
}

/// Makes a file one that not even root can remove, or takes that back. False where there is no such thing.
pub fn set_immutable(path: &Path, immutable: bool) -> bool {
    run("chattr", &[if immutable { "+i" } else { "-i" }], path).is_ok()
}

/// Runs a program of the system on this path.
fn run(program: &str, args: &[&str], path: &Path) -> Result<(), String> {
    let args = args.iter().map(OsStr::new).chain([path.as_os_str()]);
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let forking = FORKS.write().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn();
    drop(forking);
    match child.and_then(Child::wait_with_output) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
