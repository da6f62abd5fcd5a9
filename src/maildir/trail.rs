//! Following one message on its way, only by looking: where its file is, what its story says, who holds it.

use super::hands::holdings;
use super::identity;
use super::layout::{HANDS, Layout, OpenError, STORY, stat};
use super::marker::Marker;
use super::names::{base, id_of_name};
use super::records::View;
use super::served::Options;
use super::story::{Event, Line, Story};
use crate::engine::{Id, State, States};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The way of one message.
#[derive(Debug)]
pub struct Trail {
    maildir: PathBuf,
    root: OwnedFd,
    name: String,
}

/// How far a message has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has taken it yet.
    Waiting,
    /// A process works on it.
    InHand,
    /// An attempt has failed, and there will be another.
    Retry(Failure),
    /// It was set aside.
    Dead(Failure),
    /// A mail client has opened it.
    Opened,
    /// It has left the queue: its target has it.
    Done,
}

/// Why a message is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The target; empty where it did not come so far.
    pub target: String,
    /// How long the attempt took.
    pub took: Duration,
    /// Why it failed; it may be shown.
    pub reason: String,
    /// When there will be another attempt.
    pub due: Option<SystemTime>,
}

impl From<Line> for Failure {
    fn from(line: Line) -> Self {
        let Line { target, ms, reason, due, .. } = line;
        Failure { target, took: Duration::from_millis(ms), reason, due }
    }
}

impl Trail {
    /// The way of the message in `new/` of this Maildir whose file is called `name`, as a delivery names it.
    ///
    /// # Errors
    /// It is no Maildir.
    pub fn of(maildir: &Path, name: &str) -> Result<Self, OpenError> {
        let (root, _) = Layout::look(maildir)?;
        Ok(Trail { maildir: maildir.to_owned(), root, name: name.to_owned() })
    }

    /// How far it has come.
    ///
    /// # Errors
    /// The Maildir cannot be looked at.
    pub fn look(&self) -> Result<Stage, OpenError> {
        // Whoever serves this Maildir for the first time gives it its identity.
        let id = identity::read(&self.root, &self.maildir)?.map(|queue| id_of_name(&queue, OsStr::new(&self.name)));
        match stat(&self.root, format!("new/{}", self.name)) {
            Ok(_) => self.look_at_waiting(id),
            Err(Errno::NOENT) => self.look_for_gone(id),
            Err(error) => Err(OpenError::io(&self.maildir, "new")(error)),
        }
    }

    fn look_at_waiting(&self, id: Option<Id>) -> Result<Stage, OpenError> {
        let Some(id) = id else { return Ok(Stage::Waiting) };
        let fault = |part: &'static str| OpenError::io(&self.maildir, part);
        match Story::read(&self.root, id).map_err(fault(STORY))?.and_then(|story| story.last) {
            Some(line) if line.event == Event::Retry => return Ok(Stage::Retry(line.into())),
            _ => {}
        }
        for mut file in self.hands().map_err(fault(HANDS))? {
            if holdings(&mut file).map_err(fault(HANDS))?.iter().any(|holding| holding.id == id) {
                return Ok(Stage::InHand);
            }
        }
        Ok(Stage::Waiting)
    }

    fn look_for_gone(&self, id: Option<Id>) -> Result<Stage, OpenError> {
        let view = View::of(&self.maildir, &Options::default())?;
        let mut state = None;
        for record in view.records(States::ALL)? {
            let record = record?;
            if base(record.name()) == self.name.as_bytes() {
                state = Some(record.state);
                break;
            }
        }
        Ok(match state {
            None | Some(State::Done) => Stage::Done,
            Some(State::New | State::Running | State::Retry) => Stage::Waiting,
            Some(State::Opened) => Stage::Opened,
            Some(State::Dead | State::Trash) => {
                // What its story says does not change that it is dead.
                let story = id.and_then(|id| Story::read(&self.root, id).ok().flatten());
                Stage::Dead(story.and_then(|story| story.last).map(Failure::from).unwrap_or_default())
            }
        })
    }

    /// Whether a process serves this Maildir.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_served(&self) -> Result<bool, OpenError> {
        let files = self.hands().map_err(OpenError::io(&self.maildir, HANDS))?;
        Ok(files.iter().any(|file| fs2::FileExt::try_lock_shared(file).is_err()))
    }

    /// Whether an operator has paused this target.
    pub fn is_paused(&self, target: &str) -> bool {
        Marker::read(&self.root, OsStr::new(target)).is_some_and(|marker| !marker.has_ended(SystemTime::now()))
    }

    /// What the processes hold that serve this Maildir.
    fn hands(&self) -> io::Result<Vec<File>> {
        let entries = match std::fs::read_dir(self.maildir.join(HANDS)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            match File::open(entry?.path()) {
                Ok(file) => files.push(file),
                // Its process has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hands::Hands;
    use super::super::layout::PAUSED;
    use super::*;
    use crate::maildir::{Delivery, Keep, deliver};
    use std::fs;

    struct Bench {
        folder: tempfile::TempDir,
        name: String,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for part in ["new", "cur", "tmp"] {
                fs::create_dir(folder.path().join(part)).unwrap();
            }
            let name = deliver(folder.path(), &Delivery::default(), &b"Subject: x\n\n"[..]).unwrap();
            Bench { folder, name }
        }

        fn layout(&self) -> Layout {
            Layout::open(self.folder.path(), Keep::Remove).unwrap()
        }

        fn trail(&self) -> Trail {
            Trail::of(self.folder.path(), &self.name).unwrap()
        }

        fn stage(&self) -> Stage {
            self.trail().look().unwrap()
        }

        fn id(&self) -> Id {
            id_of_name(&self.layout().queue, OsStr::new(&self.name))
        }

        fn go(&self, to: &str) {
            let new = self.folder.path().join("new").join(&self.name);
            fs::rename(new, self.folder.path().join(to).join(&self.name)).unwrap();
        }

        fn tell(&self, event: Event) {
            let at = SystemTime::now();
            let line = Line {
                attempt: 1,
                target: "app".into(),
                status: Some(503),
                ms: 7,
                reason: "no luck".into(),
                ..Line::new(at, event)
            };
            super::super::story::append(self.trail().root, self.id(), line, at).unwrap();
        }
    }

    fn failure() -> Failure {
        Failure { target: "app".into(), took: Duration::from_millis(7), reason: "no luck".into(), due: None }
    }

    #[test]
    fn a_message_waits_until_somebody_holds_it() {
        let bench = Bench::new();
        assert_eq!(bench.stage(), Stage::Waiting, "nobody was ever here");
        assert!(!bench.trail().is_served().unwrap());
        let hands = Hands::make(&bench.layout(), 1).unwrap();
        assert_eq!(bench.stage(), Stage::Waiting);
        assert!(bench.trail().is_served().unwrap());
        let slot = hands.hold(bench.id(), OsStr::new(&bench.name)).unwrap();
        assert_eq!(bench.stage(), Stage::InHand);
        hands.clear(slot);
        assert_eq!(bench.stage(), Stage::Waiting);
    }

    #[test]
    fn what_a_crash_has_left_behind_serves_nobody() {
        let bench = Bench::new();
        drop(Hands::make(&bench.layout(), 1).unwrap());
        assert!(!bench.trail().is_served().unwrap());
    }

    #[test]
    fn a_failed_attempt_is_in_its_story() {
        let bench = Bench::new();
        bench.tell(Event::Retry);
        assert_eq!(bench.stage(), Stage::Retry(failure()));
    }

    #[test]
    fn what_has_left_new_is_dead_opened_or_done() {
        for (folder, stage) in [
            (".maildirq.dead/new", Stage::Dead(failure())),
            ("cur", Stage::Opened),
            (".maildirq.done/new", Stage::Done),
            ("tmp", Stage::Done),
        ] {
            let bench = Bench::new();
            Layout::open(bench.folder.path(), Keep::Done).unwrap();
            bench.tell(Event::Dead);
            assert_eq!(bench.stage(), Stage::Waiting, "declared dead, and not yet moved");
            bench.go(folder);
            assert_eq!(bench.stage(), stage, "{folder}");
        }
    }

    #[test]
    fn a_paused_target_is_seen() {
        let bench = Bench::new();
        bench.layout();
        assert!(!bench.trail().is_paused("app"));
        fs::write(bench.folder.path().join(PAUSED).join("app"), "").unwrap();
        assert!(bench.trail().is_paused("app"));
    }
}
