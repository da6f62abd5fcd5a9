//! Each act on each kind of message, beside others and cut short.

use super::*;
use crate::engine::Id;
use crate::maildir::claim;
use crate::maildir::vacancy::Vacancies;
use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const NAME: &str = "1762087331.a.mx1";
const FOLDERS: [&str; 5] =
    ["new", ".maildirq.dead/new", ".maildirq.dead/cur", ".maildirq.trash/new", ".maildirq.done/new"];

pub(super) struct Bench {
    pub folder: tempfile::TempDir,
    pub operator: Operator,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["new", "cur", "tmp"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let operator = Operator::open(folder.path(), "ada").unwrap();
        Bench { folder, operator }
    }

    /// With one message, here.
    fn with(path: &str) -> Self {
        let bench = Bench::new();
        bench.put(path, "Subject: x\n\n");
        bench
    }

    pub fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn see(&self, path: &str) -> Seen {
        self.operator.see(&self.folder.path().join(path)).unwrap().unwrap()
    }

    fn act(&mut self, path: &str, act: &Act) -> Acted {
        let seen = self.see(path);
        self.operator.act(&seen, act).unwrap()
    }

    fn id(&self) -> Id {
        super::super::names::id_of_name(&self.operator.layout.queue, OsStr::new(NAME))
    }

    fn story(&self) -> Option<Story> {
        Story::read(self.operator.layout.root(), self.id()).unwrap()
    }

    fn tell(&self, line: Line) {
        let due = line.due.unwrap_or(line.at);
        story::append(self.operator.layout.root(), self.id(), line, due).unwrap();
    }

    fn failed(&self) {
        let due = SystemTime::now() + Duration::from_hours(1);
        let target = "app".to_owned();
        self.tell(Line { charged: true, due: Some(due), target, ..Line::new(SystemTime::now(), Event::Retry) });
    }

    /// All places where there is a message now.
    fn places(&self) -> Vec<String> {
        let mut places = Vec::new();
        for folder in FOLDERS {
            let entries = fs::read_dir(self.folder.path().join(folder)).into_iter().flatten().flatten();
            places.extend(entries.map(|entry| format!("{folder}/{}", entry.file_name().into_string().unwrap())));
        }
        places
    }

    fn lock_as_engine(&self, now: SystemTime) -> Result<claim::Locked, claim::Refused> {
        claim::lock(&self.operator.layout, &Vacancies::unknown(&Arc::default()), OsStr::new(NAME), now)
    }
}

fn retry() -> Act {
    Act::Retry(Retry::default())
}

fn bury() -> Act {
    Act::Bury { reason: "enough".into() }
}

#[test]
fn each_act_moves_what_it_is_for_and_nothing_else() {
    let new = format!("new/{NAME}");
    let (dead, opened) = (format!(".maildirq.dead/new/{NAME}"), format!(".maildirq.dead/cur/{NAME}:2,S"));
    let (trash, done) = (format!(".maildirq.trash/new/{NAME}"), format!(".maildirq.done/new/{NAME}"));
    let table: [(&str, Act, Option<&str>); 22] = [
        (&new, retry(), Some(&new)),
        (&dead, retry(), Some(&new)),
        (&opened, retry(), Some(&new)),
        (&trash, retry(), Some(&new)),
        (&done, retry(), None),
        (&new, bury(), Some(&dead)),
        (&dead, bury(), None),
        (&trash, bury(), None),
        (&done, bury(), None),
        (&new, Act::Drop, Some(&trash)),
        (&dead, Act::Drop, Some(&trash)),
        (&opened, Act::Drop, Some(&trash)),
        (&trash, Act::Drop, None),
        (&done, Act::Drop, None),
        (&new, Act::Erase, None),
        (&dead, Act::Erase, None),
        (&trash, Act::Erase, Some("")),
        (&done, Act::Erase, None),
        (&new, Act::Forget, None),
        (&dead, Act::Forget, Some("")),
        (&trash, Act::Forget, Some("")),
        (&done, Act::Forget, Some("")),
    ];
    for (from, act, to) in table {
        let mut bench = Bench::with(from);
        let acted = bench.act(from, &act);
        bench.operator.sync().unwrap();
        let (is_done, place) = match to {
            Some("") => (true, vec![]),
            Some(to) => (true, vec![to.to_owned()]),
            None => (false, vec![from.to_owned()]),
        };
        assert_eq!((acted == Acted::Done, bench.places()), (is_done, place), "{act:?} of {from}: {acted:?}");
        assert!(is_done || matches!(acted, Acted::Unfit(_)), "{acted:?}");
    }
}

#[test]
fn what_waits_for_its_next_try_is_due_when_it_is_asked_for() {
    let path = format!("new/{NAME}");
    let mut bench = Bench::with(&path);
    bench.failed();
    let now = SystemTime::now() + Duration::from_secs(1);
    assert!(matches!(bench.lock_as_engine(now), Err(claim::Refused::Due(_))));
    assert_eq!(bench.act(&path, &retry()), Acted::Done);
    let story = bench.lock_as_engine(now).unwrap().story.unwrap();
    assert_eq!((story.history.charged, story.history.target), (1, None), "it goes on counting");
    let later = now + Duration::from_hours(5);
    let asked = Retry { at: Some(later), target: Some("archive".into()), reset: true };
    assert_eq!(bench.act(&path, &Act::Retry(asked)), Acted::Done);
    assert!(matches!(bench.lock_as_engine(now), Err(claim::Refused::Due(due)) if due == later));
    let history = bench.story().unwrap().history;
    assert_eq!((history.tries, history.target.as_deref()), (0, Some("archive")));
    assert_eq!(bench.story().unwrap().last.unwrap().by, "ada");
}

#[test]
fn a_revived_message_starts_afresh_and_keeps_its_id() {
    for from in ["dead", "trash"] {
        let path = format!(".maildirq.{from}/new/{NAME}");
        let mut bench = Bench::with(&path);
        bench.failed();
        let seen = bench.see(&path);
        assert_eq!(bench.operator.act(&seen, &retry()).unwrap(), Acted::Done);
        let locked = bench.lock_as_engine(SystemTime::now() + Duration::from_secs(1)).unwrap();
        assert_eq!((locked.id, locked.story.unwrap().history.tries), (seen.id(), 0), "{from}");
    }
}

#[test]
fn a_revival_replaces_no_other_message() {
    let path = format!(".maildirq.dead/new/{NAME}");
    let mut bench = Bench::with(&path);
    fs::write(bench.folder.path().join("new").join(NAME), "another\n").unwrap();
    assert!(matches!(bench.act(&path, &retry()), Acted::Unfit(_)));
    assert_eq!(bench.places().len(), 2);
}

#[test]
fn who_buried_it_and_why_stands_in_its_story() {
    let path = format!("new/{NAME}");
    let mut bench = Bench::with(&path);
    bench.failed();
    assert_eq!(bench.act(&path, &bury()), Acted::Done);
    let last = bench.story().unwrap().last.unwrap();
    assert_eq!((last.event, &*last.reason, &*last.target), (Event::Dead, "buried by ada: enough", "app"));
}

#[test]
fn what_somebody_works_on_is_left_alone() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let path = format!("new/{NAME}");
    for act in [retry(), bury(), Act::Drop] {
        let mut bench = Bench::with(&path);
        let held = File::open(bench.folder.path().join(&path)).unwrap();
        fs2::FileExt::lock_exclusive(&held).unwrap();
        assert_eq!((bench.act(&path, &act), bench.story()), (Acted::InHand, None));
        fs2::FileExt::unlock(&held).unwrap();
        assert_eq!(bench.act(&path, &act), Acted::Done, "the lock was given up again");
    }
}

#[test]
fn what_has_changed_since_it_was_seen_is_left_alone() {
    let path = format!("new/{NAME}");
    let changes: [fn(&Bench, &Path); 4] = [
        |_, file| fs::remove_file(file).unwrap(),
        |bench, file| fs::rename(file, bench.folder.path().join("cur").join(NAME)).unwrap(),
        |_, file| {
            fs::write(file.with_extension("other"), "Subject: y\n\n").unwrap();
            fs::rename(file.with_extension("other"), file).unwrap();
        },
        |bench, _| bench.failed(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        for act in [retry(), bury(), Act::Drop] {
            let mut bench = Bench::with(&path);
            let seen = bench.see(&path);
            change(&bench, &bench.folder.path().join(&path));
            let before = (bench.places(), bench.story().map(|story| story.last));
            assert_eq!(bench.operator.act(&seen, &act).unwrap(), Acted::Changed, "{number} {act:?}");
            assert_eq!((bench.places(), bench.story().map(|story| story.last)), before);
        }
    }
}

#[test]
fn whatever_step_a_person_is_killed_at_the_message_is_in_one_place_and_can_be_acted_on_again() {
    let table: [(&str, Act, &str); 7] = [
        ("new", retry(), "new"),
        (".maildirq.dead/new", retry(), "new"),
        (".maildirq.trash/new", retry(), "new"),
        ("new", bury(), ".maildirq.dead/new"),
        ("new", Act::Drop, ".maildirq.trash/new"),
        (".maildirq.dead/new", Act::Drop, ".maildirq.trash/new"),
        (".maildirq.trash/new", Act::Erase, ""),
    ];
    let _no_forks = crate::FORKS.write().unwrap_or_else(PoisonError::into_inner);
    for (from, act, to) in table {
        for step in 0.. {
            let path = format!("{from}/{NAME}");
            let mut bench = Bench::with(&path);
            let seen = bench.see(&path);
            crash::arm(Some(step));
            let acted = bench.operator.act(&seen, &act);
            let was_killed = crash::is_dead();
            crash::arm(None);
            assert_eq!(acted.is_err(), was_killed, "{act:?} of {from}: {acted:?}");
            let [place] = bench.places().try_into().unwrap_or_else(|_| [String::new()]);
            let (old, new) = (path, if to.is_empty() { String::new() } else { format!("{to}/{NAME}") });
            assert!(place == old || place == new, "{act:?} of {from}, killed at {step}: it is in {place}");
            if !was_killed {
                assert_eq!(place, new);
                break;
            }
            finish(&mut bench, &place, &act, &new);
        }
    }
}

/// Once more, by somebody who is not killed: or by the engine, where a burial was told already.
fn finish(bench: &mut Bench, place: &str, act: &Act, expected: &str) {
    let is_half_buried = bench
        .lock_as_engine(SystemTime::now() + Duration::from_hours(1))
        .is_ok_and(|locked| matches!(locked.examine(1 << 20), Ok(claim::Finding::HalfBuried)));
    assert!(!is_half_buried || matches!(act, Act::Bury { .. }));
    if place != expected {
        assert_eq!(bench.act(place, act), Acted::Done);
    }
    let places: Vec<PathBuf> = bench.places().into_iter().map(PathBuf::from).collect();
    let expected: Vec<PathBuf> = if expected.is_empty() { vec![] } else { vec![expected.into()] };
    assert_eq!(places, expected);
}

#[test]
fn the_trash_is_emptied_of_what_is_old_and_of_nothing_else() {
    let path = format!("new/{NAME}");
    let mut bench = Bench::with(&path);
    let dead = bench.folder.path().join(".maildirq.dead/new").join("1762087331.dead.mx1");
    fs::write(&dead, "Subject: x\n\n").unwrap();
    assert_eq!(bench.act(&path, &Act::Drop), Acted::Done);
    let day = Duration::from_hours(24);
    let empty = |age, now| empty_trash(&bench.operator.layout, age, now).unwrap();
    let now = SystemTime::now();
    assert_eq!(empty(day, now), 0);
    assert_eq!(empty(day, now + day - Duration::from_secs(1)), 0);
    assert_eq!((empty(day, now + day + Duration::from_secs(1)), empty(day, now + 2 * day)), (1, 0));
    assert_eq!((bench.places().len(), bench.story()), (1, None), "only the dead one is left");
}

#[test]
fn a_change_after_the_moment_of_a_query_shows() {
    let path = format!("new/{NAME}");
    let bench = Bench::with(&path);
    let second = Duration::from_secs(1);
    let (before, after) = (SystemTime::now() - second, SystemTime::now() + second);
    assert!(bench.see(&path).has_changed_since(before) && !bench.see(&path).has_changed_since(after));
    bench.failed();
    assert!(bench.see(&path).has_changed_since(before) && !bench.see(&path).has_changed_since(after));
}
