//! The messages of a Maildir by their states, without changing anything, and without touching a lock of theirs.
//!
//! Folders are read as streams, and of each message only its name, so that a listing of a million costs neither
//! memory nor a system call for each. What a [`Record`] tells beyond that is read when it is asked for.

use super::hands::holdings;
use super::layout::{DEAD, DONE, HANDS, Layout, OpenError, STORY, TRASH, read_folder, stat};
use super::names::{QueueId, delivered_at, id_of_file, id_of_name};
use super::record::Record;
use super::served::Options;
use crate::engine::{EnvelopeRules, Id, State, States};
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A Maildir under the eyes of somebody who changes nothing.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    root: OwnedFd,
    identity: Option<QueueId>,
    queue: Arc<str>,
    envelope: EnvelopeRules,
}

/// The folders of a Maildir, and what their messages are. Who reads in this order may see a message twice that is
/// set aside meanwhile, but misses none.
const FOLDERS: [(&str, &str, State); 8] = [
    ("new", "", State::New),
    ("cur", "", State::Opened),
    (DEAD, "new", State::Dead),
    (DEAD, "cur", State::Dead),
    (DONE, "new", State::Done),
    (DONE, "cur", State::Done),
    (TRASH, "new", State::Trash),
    (TRASH, "cur", State::Trash),
];

impl View {
    /// Of the Maildir at `path`, which is of this queue. Nothing is made there.
    ///
    /// # Errors
    /// It is no Maildir, or cannot be read.
    pub fn of(path: &Path, options: &Options) -> Result<Arc<View>, OpenError> {
        let (root, identity) = Layout::look(path)?;
        let (queue, envelope) = (Arc::clone(&options.queue), options.envelope.clone());
        Ok(Arc::new(View { path: path.to_owned(), root, identity, queue, envelope }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its queue.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// How the envelope of its mail is read.
    pub fn envelope(&self) -> &EnvelopeRules {
        &self.envelope
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The messages that are in one of these states now.
    ///
    /// # Errors
    /// The Maildir cannot be read.
    pub fn records(self: &Arc<Self>, states: States) -> Result<Records, OpenError> {
        let is_on_its_way = States::WAITING.iter().any(|state| states.contains(state));
        let (told, held) = if is_on_its_way { (self.told()?, self.held()?) } else { (HashSet::new(), HashSet::new()) };
        let folders = FOLDERS.into_iter().filter(|(_, _, state)| match state {
            State::New => is_on_its_way,
            other => states.contains(*other),
        });
        let mut folders: Vec<_> = folders
            .map(|(folder, part, state)| {
                (if part.is_empty() { folder.into() } else { format!("{folder}/{part}") }, state)
            })
            .map(|(folder, state)| (Arc::from(folder), state))
            .collect();
        folders.reverse();
        Ok(Records { view: Arc::clone(self), states, told, held, folders, open: None })
    }

    /// An error of the system at a part of this Maildir.
    pub fn fault(&self, part: &str, error: io::Error) -> OpenError {
        OpenError::io(&self.path, part)(error)
    }

    /// The ids that have a story.
    fn told(&self) -> Result<HashSet<Id>, OpenError> {
        let Some(stories) = self.open(STORY)? else { return Ok(HashSet::new()) };
        let mut ids = HashSet::new();
        for entry in stories {
            let entry = entry.map_err(OpenError::io(&self.path, STORY))?;
            ids.extend(entry.file_name().to_str().ok().and_then(Id::parse));
        }
        Ok(ids)
    }

    /// The ids of messages that a process works on.
    ///
    /// # Errors
    /// The Maildir cannot be read.
    pub fn held(&self) -> Result<HashSet<Id>, OpenError> {
        let mut ids = HashSet::new();
        for mut file in self.hands()? {
            let held = holdings(&mut file).map_err(OpenError::io(&self.path, HANDS))?;
            if !held.is_empty() && is_of_a_process(&file) {
                ids.extend(held.into_iter().map(|holding| holding.id));
            }
        }
        Ok(ids)
    }

    /// Whether a process serves this Maildir.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_served(&self) -> Result<bool, OpenError> {
        Ok(self.hands()?.iter().any(is_of_a_process))
    }

    /// What processes have written down, those that have crashed among them.
    fn hands(&self) -> Result<Vec<File>, OpenError> {
        let Some(folder) = self.open(HANDS)? else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for entry in folder {
            let entry = entry.map_err(OpenError::io(&self.path, HANDS))?;
            let path = [OsStr::new(HANDS), OsStr::from_bytes(entry.file_name().to_bytes())].join(OsStr::new("/"));
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let file = match openat(&self.root, &*path, flags, Mode::empty()) {
                Ok(file) => File::from(file),
                // Its process has just ended.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(OpenError::io(&self.path, HANDS)(error)),
            };
            if file.metadata().is_ok_and(|found| found.is_file()) {
                files.push(file);
            }
        }
        Ok(files)
    }

    /// A folder to be read; nothing where it is not there.
    fn open(&self, folder: &str) -> Result<Option<Dir>, OpenError> {
        match read_folder(&self.root, folder) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(OpenError::io(&self.path, folder)(error)),
        }
    }
}

/// Whether the process that this hands file is of is alive. What a crash has left behind is nobody's work. This is the
/// lock of a process, not of a message.
fn is_of_a_process(hands: &File) -> bool {
    fs2::FileExt::try_lock_shared(hands).is_err()
}

/// A walk over the messages of a Maildir.
#[derive(Debug)]
pub struct Records {
    view: Arc<View>,
    states: States,
    told: HashSet<Id>,
    held: HashSet<Id>,
    /// Those that are still to be read, the last one first.
    folders: Vec<(Arc<str>, State)>,
    open: Option<(Dir, Arc<str>, State)>,
}

impl Iterator for Records {
    type Item = Result<Record, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((folder, name, state)) = &mut self.open else {
                let (name, state) = self.folders.pop()?;
                match self.view.open(&name) {
                    Ok(folder) => self.open = folder.map(|folder| (folder, name, state)),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            let Some(entry) = folder.next() else {
                self.open = None;
                continue;
            };
            let (name, state) = (Arc::clone(name), *state);
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.open = None;
                    return Some(Err(OpenError::io(&self.view.path, &name)(error)));
                }
            };
            let file = OsStr::from_bytes(entry.file_name().to_bytes());
            if let Some(record) = self.record(name, file, entry.file_type(), state) {
                return Some(Ok(record));
            }
        }
    }
}

impl Records {
    /// Nothing for what is no message, is gone by now, or is in another state than was asked for.
    fn record(&self, folder: Arc<str>, name: &OsStr, kind: FileType, state: State) -> Option<Record> {
        if name.as_bytes().starts_with(b".") || !matches!(kind, FileType::RegularFile | FileType::Unknown) {
            return None;
        }
        // Most names tell all that is needed.
        let found = if kind == FileType::Unknown || delivered_at(name).is_none() {
            let path = [OsStr::new(&*folder), name].join(OsStr::new("/"));
            let found = stat(&self.view.root, &*path).ok()?;
            if !FileType::from_raw_mode(found.st_mode).is_file() {
                return None;
            }
            Some(found)
        } else {
            None
        };
        let id = self.view.identity.map(|queue| match &found {
            Some(found) => {
                id_of_file(&queue, name, found.st_size.unsigned_abs(), (found.st_mtime, found.st_mtime_nsec))
            }
            None => id_of_name(&queue, name),
        });
        let state = match state {
            State::New if id.is_some_and(|id| self.held.contains(&id)) => State::Running,
            State::New if id.is_some_and(|id| self.told.contains(&id)) => State::Retry,
            other => other,
        };
        self.states.contains(state).then(|| Record::new(&self.view, state, id, folder, name, found.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::hands::Hands;
    use super::super::layout::Keep;
    use super::super::story;
    use super::*;
    use crate::maildir::Counts;
    use std::fs;
    use std::time::{Duration, SystemTime};

    struct Bench {
        folder: tempfile::TempDir,
        layout: Layout,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for part in ["new", "cur", "tmp"] {
                fs::create_dir(folder.path().join(part)).unwrap();
            }
            let layout = Layout::open(folder.path(), Keep::Done).unwrap();
            Bench { folder, layout }
        }

        fn put(&self, file: &str) -> Id {
            fs::write(self.folder.path().join(file), "Subject: x\n\n").unwrap();
            let name = Path::new(file).file_name().unwrap();
            self.records(States::ALL).into_iter().find(|record| record.name() == name).unwrap().id.unwrap()
        }

        fn view(&self) -> Arc<View> {
            View::of(self.folder.path(), &Options::default()).unwrap()
        }

        fn records(&self, states: States) -> Vec<Record> {
            self.view().records(states).unwrap().map(Result::unwrap).collect()
        }

        fn states(&self, states: States) -> Vec<State> {
            let mut found: Vec<_> = self.records(states).iter().map(|record| record.state).collect();
            found.sort();
            found
        }
    }

    #[test]
    fn where_a_message_lies_is_its_state() {
        use State::{Dead, Done, New, Opened, Retry, Running, Trash};
        let bench = Bench::new();
        fs::create_dir_all(bench.folder.path().join(".maildirq.trash/cur")).unwrap();
        let due = SystemTime::now() + Duration::from_hours(1);
        let hands = Hands::make(&bench.layout, 2).unwrap();
        bench.put("new/1762087331.a.mx1");
        let retried = bench.put("new/1762087331.b.mx1");
        let held = bench.put("new/1762087331.c.mx1");
        for file in [
            "cur/1762087331.d.mx1:2,S",
            ".maildirq.dead/new/1762087331.e.mx1",
            ".maildirq.dead/cur/1762087331.f.mx1:2,S",
            ".maildirq.done/new/1762087331.g.mx1",
            ".maildirq.trash/cur/1762087331.h.mx1:2,",
        ] {
            bench.put(file);
        }
        fs::write(bench.folder.path().join("new/.hidden"), "").unwrap();
        fs::create_dir(bench.folder.path().join("new/folder")).unwrap();
        let story = File::create(bench.folder.path().join(story::path(retried))).unwrap();
        story.set_modified(due).unwrap();
        let slot = hands.hold(held, OsStr::new("1762087331.c.mx1")).unwrap();
        assert_eq!(bench.states(States::ALL), [New, Running, Retry, Dead, Dead, Done, Trash, Opened]);
        assert_eq!(bench.states(States::WAITING), [New, Running, Retry]);
        for state in State::ALL {
            let only: States = [state].into_iter().collect();
            let count = if state == Dead { 2 } else { 1 };
            assert_eq!(bench.states(only), vec![state; count]);
            assert_eq!(Counts::of(&bench.view(), States::ALL).unwrap().count(state), count as u64);
        }
        let waits = bench.records([Retry].into_iter().collect()).remove(0);
        assert_eq!((waits.id, waits.due()), (Some(retried), Some(due)));

        hands.clear(slot);
        assert_eq!(bench.states(States::WAITING), [New, New, Retry]);
    }

    #[test]
    fn what_a_crash_has_left_behind_is_not_running() {
        let bench = Bench::new();
        let id = bench.put("new/1762087331.a.mx1");
        let hands = Hands::make(&bench.layout, 1).unwrap();
        hands.hold(id, OsStr::new("1762087331.a.mx1")).unwrap();
        assert_eq!(bench.states(States::ALL), [State::Running]);
        drop(hands);
        assert_eq!(bench.states(States::ALL), [State::New]);
    }

    #[test]
    fn a_moved_message_keeps_its_id() {
        let bench = Bench::new();
        for name in ["1762087331.a.mx1", "report.eml"] {
            let id = bench.put(&format!("new/{name}"));
            let from = bench.folder.path().join("new").join(name);
            fs::rename(from, bench.folder.path().join(".maildirq.dead/new").join(name)).unwrap();
            let dead = bench.records([State::Dead].into_iter().collect());
            assert_eq!(dead.iter().find(|record| record.name() == name).unwrap().id, Some(id));
        }
    }

    #[test]
    fn where_no_queue_was_there_are_names_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("new")).unwrap();
        fs::write(folder.path().join("new/1762087331.a.mx1"), "Subject: x\n\n").unwrap();
        let view = View::of(folder.path(), &Options::default()).unwrap();
        let record = view.records(States::ALL).unwrap().next().unwrap().unwrap();
        assert_eq!((record.id, record.state, record.size()), (None, State::New, Some(12)));
        assert_eq!(record.summary().subject.as_deref(), Some("x"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(View::of(&folder.path().join("new"), &Options::default()).is_err());
    }
}
