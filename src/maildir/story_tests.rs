//! A story on a disk: what is written, what is read back, and what of it a crash may leave.

use super::*;
use std::fs;
use std::path::PathBuf;

struct Bench {
    folder: tempfile::TempDir,
    id: Id,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(STORY)).unwrap();
        Bench { folder, id: Id::from_digest(&[3; 32]) }
    }

    fn root(&self) -> File {
        File::open(self.folder.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(path(self.id))
    }

    fn tell(&self, line: Line) {
        let due = line.due.unwrap_or(line.at);
        append(self.root(), self.id, line, due).unwrap();
    }

    fn read(&self) -> Story {
        Story::read(self.root(), self.id).unwrap().unwrap()
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_762_000_000 + seconds)
}

fn line(event: Event, seconds: u64) -> Line {
    Line {
        stamp: format!("hand.{seconds}"),
        attempt: 1,
        target: "app".into(),
        status: Some(500),
        ms: 12,
        charged: true,
        due: Some(at(seconds + 60)),
        reason: "no \"luck\"\n today".into(),
        ..Line::new(at(seconds), event)
    }
}

#[test]
fn no_story_is_no_error() {
    let bench = Bench::new();
    assert_eq!(Story::read(bench.root(), bench.id).unwrap(), None);
    remove(bench.root(), bench.id).unwrap();
}

#[test]
fn what_is_appended_is_read_back() {
    let bench = Bench::new();
    bench.tell(line(Event::Retry, 0));
    bench.tell(Line { charged: false, ..line(Event::Retry, 60) });
    bench.tell(line(Event::Died, 90));
    let story = bench.read();
    assert_eq!(
        story.history,
        History {
            tries: 2,
            charged: 1,
            first_charged: Some(at(0)),
            last_try: Some(at(60)),
            last_reason: line(Event::Retry, 60).reason,
            target: None,
        }
    );
    assert_eq!(story.deaths, 1);
    assert_eq!(story.last, Some(line(Event::Died, 90)));
    assert!(story.tells_of("hand.60") && !story.tells_of("hand.61"));
    assert_eq!(story.due(SystemTime::now()), at(150));
}

#[test]
fn counting_starts_anew_after_a_death_and_where_a_person_wants_it() {
    for (event, reset, is_anew) in
        [(Event::Dead, false, true), (Event::Asked, true, true), (Event::Asked, false, false)]
    {
        let bench = Bench::new();
        bench.tell(line(Event::Retry, 0));
        bench.tell(line(Event::Died, 1));
        bench.tell(Line { reset, target: String::new(), ..line(event, 2) });
        let Story { history, deaths, .. } = bench.read();
        let expected = if is_anew { (0, 0, 0) } else { (1, 1, 1) };
        assert_eq!((history.tries, history.charged, deaths), expected, "{event:?} {reset}");
    }
}

#[test]
fn the_last_one_who_asks_says_where_it_goes_until_it_dies_of_it() {
    let bench = Bench::new();
    let target = || bench.read().history.target;
    let asked = |target: &str| bench.tell(Line { target: target.into(), ..line(Event::Asked, 0) });
    asked("archive");
    bench.tell(line(Event::Retry, 1));
    assert_eq!(target().as_deref(), Some("archive"));
    asked("");
    assert_eq!(target(), None);
    asked("archive");
    bench.tell(line(Event::Dead, 2));
    assert_eq!(target(), None);
}

#[test]
fn torn_lines_and_later_versions_are_skipped() {
    let bench = Bench::new();
    bench.tell(line(Event::Retry, 0));
    let mut torn = fs::read(bench.path()).unwrap();
    torn.extend_from_slice(b"{\"at\":\"2025-11-02T");
    torn.extend_from_slice(&[0; 100]);
    fs::write(bench.path(), torn).unwrap();
    bench.tell(line(Event::Retry, 60));
    let known = r#"{"at":"2025-11-02T00:00:00Z","event":"teleported","colour":"red"}"#;
    fs::write(bench.path(), [fs::read(bench.path()).unwrap(), known.into(), b"\n".to_vec()].concat()).unwrap();
    assert_eq!(bench.read().history.tries, 2);
    assert_eq!(bench.read().last.unwrap().event, Event::Other);
}

#[test]
fn a_clock_that_was_set_back_delays_nothing_for_long() {
    let bench = Bench::new();
    let now = SystemTime::now();
    let minute = Duration::from_mins(1);
    // Written by a clock that was a year ahead; the story's ctime is of today's.
    let ahead = now + Duration::from_hours(365 * 24);
    bench.tell(Line { at: ahead, due: Some(ahead + minute), ..line(Event::Retry, 0) });
    let due = bench.read().due(now + Duration::from_secs(1));
    assert!(due > now && due <= now + minute + Duration::from_secs(2), "the wait, from the last change");
    assert!(bench.read().due(now + 2 * minute) <= now + 2 * minute, "and it ends");
    let before = now - Duration::from_hours(1);
    assert!(bench.read().due(before) <= before, "changed in the future: due now");
}

#[test]
fn a_time_that_a_person_set_stands() {
    let bench = Bench::new();
    bench.tell(line(Event::Retry, 0));
    let far = at(10_000_000);
    File::options().write(true).open(bench.path()).unwrap().set_modified(far).unwrap();
    assert_eq!(bench.read().due(at(0)), far);
    bench.tell(Line { due: Some(far), ..line(Event::Asked, 5) });
    assert_eq!(bench.read().due(at(0)), far);
}

#[test]
fn an_empty_story_still_schedules() {
    let bench = Bench::new();
    let now = SystemTime::now() + Duration::from_secs(1);
    let soon = now + Duration::from_secs(30);
    File::create(bench.path()).unwrap().set_modified(soon).unwrap();
    assert_eq!(bench.read().due(now), soon);
    File::create(bench.path()).unwrap().set_modified(now + Duration::from_hours(1000)).unwrap();
    assert!(bench.read().due(now) <= now + Duration::from_hours(1));
}

#[test]
fn a_burial_is_unfinished_until_the_file_changes() {
    let bench = Bench::new();
    bench.tell(Line { ctime: Some((5, 6)), ..line(Event::Dead, 0) });
    assert!(bench.read().is_burial_unfinished((5, 6)));
    assert!(!bench.read().is_burial_unfinished((7, 0)));
    bench.tell(line(Event::Died, 5));
    assert!(bench.read().is_burial_unfinished((5, 6)), "a death told late changes nothing");
    bench.tell(line(Event::Asked, 9));
    assert!(!bench.read().is_burial_unfinished((5, 6)));
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let bench = Bench::new();
    bench.tell(Line { reason: "é".repeat(1000), ..line(Event::Retry, 0) });
    assert_eq!(bench.read().last.unwrap().reason, "é".repeat(250));
}
