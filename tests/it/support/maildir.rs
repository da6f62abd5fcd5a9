//! A Maildir of its own for each test, and the ways in which mail servers put mail into one.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use super::leaks;

/// A new process has what is open here until it becomes another program. So nothing may be started while a mail is
/// being written: its file would seem to have a writer for longer than it has.
pub(super) static FORKS: RwLock<()> = RwLock::new(());

/// An MTA holds this for reading at each step of a delivery. Whoever holds it for writing has them all stand still
/// between two steps.
pub(super) static STEPS: RwLock<()> = RwLock::new(());

/// Clones are the same Maildir; it is deleted with the last of them.
#[derive(Clone)]
pub struct Maildir {
    path: PathBuf,
    home: Arc<Home>,
}

impl Maildir {
    /// On the default disk: a real file system, with real fsyncs.
    pub fn new() -> Maildir {
        Maildir::at_home(TempDir::new().unwrap())
    }

    /// On tmpfs, where 100,000 mails are a matter of seconds.
    pub fn in_memory() -> Maildir {
        Maildir::under("/dev/shm")
    }

    pub fn under(base: impl AsRef<Path>) -> Maildir {
        Maildir::at_home(TempDir::new_in(base).unwrap())
    }

    /// This one as it is on a copy of its disk. It is not deleted: the copy is.
    pub fn on_copy(&self, disk: &Path, copy: &Path) -> Maildir {
        let path = copy.join(self.path.strip_prefix(disk).expect("it lies on that disk"));
        Maildir { path, home: Arc::new(Home(TempDir::new().unwrap())) }
    }

    fn at_home(home: TempDir) -> Maildir {
        Maildir::make("Maildir", Arc::new(Home(home)))
    }

    /// Another one under the same roof: `ada/Maildir`, or `Maildir/.Support`, a folder of this one.
    pub fn beside(&self, name: &str) -> Maildir {
        Maildir::make(name, self.home.clone())
    }

    fn make(name: &str, home: Arc<Home>) -> Maildir {
        let path = home.0.path().join(name);
        for folder in ["new", "cur", "tmp"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        Maildir { path, home }
    }

    /// Where it is, and those beside it.
    pub fn home(&self) -> &Path {
        self.home.0.path()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn new_folder(&self) -> PathBuf {
        self.path.join("new")
    }

    pub fn cur_folder(&self) -> PathBuf {
        self.path.join("cur")
    }

    pub fn tmp_folder(&self) -> PathBuf {
        self.path.join("tmp")
    }
}

/// A folder of its own for a Maildir and those beside it.
struct Home(TempDir);

impl Drop for Home {
    /// What maildirq keeps beside the mail is for everybody to read who may read the mail.
    fn drop(&mut self) {
        assert_no_secrets_beside_mail(self.0.path());
    }
}

fn assert_no_secrets_beside_mail(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match entry.file_name().to_str() {
            Some("new" | "cur" | "tmp") => {}
            Some("maildirq") => leaks::assert_none_below(&entry.path()),
            _ if is_folder => assert_no_secrets_beside_mail(&entry.path()),
            _ => {}
        }
    }
}

impl AsRef<Path> for Maildir {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// Changing hands.
impl Maildir {
    /// This user owns it from now on; the mail in it stays whose it is.
    pub fn give_to(&self, uid: u32) {
        chown(self.home(), Some(uid), Some(uid)).unwrap();
        for folder in ["", "new", "cur", "tmp"] {
            chown(self.path.join(folder), Some(uid), Some(uid)).unwrap();
        }
    }
}

/// Delivering. Each returns the message's name.
impl Maildir {
    /// As qmail and Postfix do it: write to `tmp`, fsync, link into `new`, unlink from `tmp`.
    pub fn deliver(&self, mail: impl AsRef<[u8]>) -> OsString {
        self.deliver_as(unique_name(), mail)
    }

    pub fn deliver_as(&self, name: impl AsRef<OsStr>, mail: impl AsRef<[u8]>) -> OsString {
        let tmp = self.write_tmp(name.as_ref(), mail.as_ref());
        step(|| fs::hard_link(&tmp, self.message(&name)).unwrap());
        step(|| fs::remove_file(tmp).unwrap());
        step(|| self.sync_new());
        name.as_ref().into()
    }

    /// As Dovecot does it: write to `tmp`, fsync, rename into `new`.
    pub fn deliver_by_rename(&self, mail: impl AsRef<[u8]>) -> OsString {
        let name = unique_name();
        let tmp = self.write_tmp(&name, mail.as_ref());
        fs::rename(tmp, self.message(&name)).unwrap();
        self.sync_new();
        name
    }

    /// As `cp` does it: straight into `new`, where everybody sees it grow.
    pub fn deliver_slowly(&self) -> SlowDelivery {
        let name = unique_name();
        let file = File::create_new(self.message(&name)).unwrap();
        SlowDelivery { name, file }
    }

    fn write_tmp(&self, name: &OsStr, mail: &[u8]) -> PathBuf {
        let _writing = FORKS.read().unwrap_or_else(PoisonError::into_inner);
        let tmp = self.tmp_folder().join(name);
        let mut file = step(|| File::create_new(&tmp).unwrap());
        step(|| file.write_all(mail).unwrap());
        step(|| file.sync_all().unwrap());
        tmp
    }

    /// As an MDA does it that leaves it to the kernel when mail comes onto the disk: write to `tmp`, rename into `new`.
    pub fn deliver_unsynced(&self, mail: impl AsRef<[u8]>) -> OsString {
        let name = unique_name();
        let tmp = self.tmp_folder().join(&name);
        fs::write(&tmp, mail).unwrap();
        fs::rename(tmp, self.message(&name)).unwrap();
        name
    }

    pub fn sync_new(&self) {
        File::open(self.new_folder()).and_then(|folder| folder.sync_all()).unwrap();
    }
}

/// Meddling.
impl Maildir {
    /// As `touch` on its story: the message is due then.
    pub fn set_due(&self, id: &str, due: SystemTime) {
        let story = File::options().write(true).open(self.stories_folder().join(id)).unwrap();
        story.set_times(FileTimes::new().set_accessed(due).set_modified(due)).unwrap();
    }
}

/// Looking.
impl Maildir {
    /// Where this message is while it waits.
    pub fn message(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.new_folder().join(name.as_ref())
    }

    /// The names in `new`, sorted.
    pub fn waiting(&self) -> Vec<OsString> {
        names(&self.new_folder())
    }

    /// Whether nothing waits; this is not the time to count what does.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(self.new_folder()).unwrap().next().is_none()
    }

    /// The messages that were given up.
    pub fn dead(&self) -> Vec<PathBuf> {
        self.in_subfolder(".maildirq.dead")
    }

    /// The messages that were kept when done.
    pub fn done(&self) -> Vec<PathBuf> {
        self.in_subfolder(".maildirq.done")
    }

    /// What happened to a message so far, a value per line; empty if all went well at the first try.
    pub fn story(&self, id: &str) -> Vec<Value> {
        match fs::read_to_string(self.stories_folder().join(id)) {
            Ok(text) => text.lines().map(|line| story_line(id, line)).collect(),
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("story of {id}: {error}"),
        }
    }

    /// The ids that have a story.
    pub fn stories(&self) -> Vec<String> {
        let ids = names(&self.stories_folder());
        ids.into_iter().map(|id| id.into_string().expect("an id is plain text")).collect()
    }

    /// What the running processes hold, and what crashed ones left behind.
    pub fn hands(&self) -> Vec<OsString> {
        names(&self.path.join("maildirq/hands"))
    }

    fn stories_folder(&self) -> PathBuf {
        self.path.join("maildirq/story")
    }

    /// Opening a folder in a mail client moves its mail from `new` to `cur`.
    fn in_subfolder(&self, name: &str) -> Vec<PathBuf> {
        let folder = self.path.join(name);
        let mut found = Vec::new();
        for part in ["new", "cur"].map(|part| folder.join(part)) {
            found.extend(names(&part).into_iter().map(|name| part.join(name)));
        }
        found
    }
}

/// A delivery that is still going on.
pub struct SlowDelivery {
    pub name: OsString,
    file: File,
}

impl SlowDelivery {
    pub fn write(&mut self, part: impl AsRef<[u8]>) {
        self.file.write_all(part.as_ref()).unwrap();
    }

    pub fn finish(self) -> OsString {
        self.name
    }
}

fn step<T>(work: impl FnOnce() -> T) -> T {
    let _turn = STEPS.read().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// In the form that maildir(5) gives: time, something unique, host.
pub fn unique_name() -> OsString {
    static DELIVERED: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (seconds, micros, pid) = (now.as_secs(), now.subsec_micros(), process::id());
    let count = DELIVERED.fetch_add(1, Ordering::Relaxed);
    format!("{seconds}.M{micros}P{pid}Q{count}.mx.example.org").into()
}

/// A folder that does not exist yet is an empty one.
fn names(folder: &Path) -> Vec<OsString> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn story_line(id: &str, line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("story of {id}: {error}: {line}"))
}
