//! Taking the messages of one Maildir.

use super::super::layout::stat;
use super::super::mark::Mark;
use super::super::queue::MaildirQueue;
use super::*;
use crate::maildir::Settings;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::{Arc, PoisonError};

/// What is logged while this runs.
fn log_of(act: impl FnOnce()) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = Mutex::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(writer).finish();
    tracing::subscriber::with_default(subscriber, act);
    std::fs::read_to_string(log.path()).unwrap()
}

#[test]
fn the_log_tells_once_who_has_a_message_for_long() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("new")).unwrap();
    let message = folder.path().join("new/1.a.b");
    std::fs::write(&message, "Subject: x\n\n").unwrap();
    let queue = MaildirQueue::new(Settings::default()).unwrap();
    let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
    let maildir = queue.prepare(layout, Options::default()).unwrap();
    let locked = File::open(&message).unwrap();
    fs2::FileExt::lock_exclusive(&locked).unwrap();
    let mut holder = Command::new("sleep").arg("600").stdin(locked).stdout(Stdio::null()).spawn().unwrap();
    let name = OsStr::new("1.a.b");
    let look = |patience| {
        let candidate = Candidate { key: maildir.key(name), name: name.to_owned(), patience };
        assert!(maildir.take(candidate).is_none());
    };

    let logs = [Maildir::LONG_BUSY - 2, Maildir::LONG_BUSY - 1, Maildir::LONG_BUSY, 255].map(|at| log_of(|| look(at)));

    holder.kill().unwrap();
    assert!(!holder.wait().unwrap().success());
    let process = format!(
        r#""event":"held","queue":"main","maildir":"{}","file":"1.a.b","process":{},"program":"sleep","age_seconds":"#,
        folder.path().display(),
        holder.id()
    );
    assert!(logs[1].contains(&process), "{logs:?}");
    assert_eq!([&logs[0], &logs[2], &logs[3]], [""; 3]);
}

#[test]
fn of_those_that_a_process_has_died_over_one_is_read_at_a_time() {
    // A process that is being started has what was open for writing here.
    let _no_forks = crate::FORKS.write().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("new")).unwrap();
    let queue = MaildirQueue::new(Settings::default()).unwrap();
    let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
    let maildir = queue.prepare(layout, Options::default()).unwrap();
    let names = ["1762087331.suspect.b", "1762087331.another.b", "1762087331.innocent.b"];
    for name in names {
        std::fs::write(folder.path().join("new").join(name), "Subject: x\n\n").unwrap();
    }
    for name in &names[..2] {
        let id = super::super::names::id_of_name(&maildir.layout.queue, OsStr::new(name));
        let died = r#"{"at":"2026-01-01T00:00:00Z","event":"died","stamp":"x.0"}"#;
        std::fs::write(folder.path().join("maildirq/story").join(id.to_string()), format!("{died}\n")).unwrap();
    }
    let later = SystemTime::now() + Duration::from_mins(1);
    let claim = |name: &str| {
        let candidate = Candidate { key: maildir.key(OsStr::new(name)), name: name.into(), patience: 0 };
        maildir.claim(&candidate, later)
    };
    let [suspect, another, innocent] = names;

    let mut reading = claim(suspect).unwrap().unwrap();
    assert!(matches!(claim(another), Err(Refused::Busy)));
    assert!(claim(innocent).unwrap().is_some());
    assert!(reading.lease.sending());
    drop(claim(another).unwrap().unwrap());
    assert!(claim(another).unwrap().is_some(), "one that is given back is not being read");
}

#[test]
fn a_message_is_busy_for_a_minute_before_the_log_tells_of_it() {
    let waits = (0..Maildir::LONG_BUSY - 1).map(Maildir::busy_for).sum::<Duration>();
    assert!((Duration::from_secs(58)..=Duration::from_secs(62)).contains(&waits), "{waits:?}");
}

#[test]
fn a_message_that_is_moved_in_hand_is_not_taken_out_of_its_new_place() {
    // A process that is being started has what was open for writing here.
    let _no_forks = crate::FORKS.write().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("new")).unwrap();
    let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
    let (name, other) = (folder.path().join("new/1.a.b"), folder.path().join("other"));
    let replace = || {
        std::fs::write(&other, "Subject: another\n\n").unwrap();
        std::fs::rename(&other, &name).unwrap();
    };
    let changes: [(&str, &dyn Fn()); 4] = [
        ("removed", &|| std::fs::remove_file(&name).unwrap()),
        ("moved away", &|| std::fs::rename(&name, &other).unwrap()),
        ("replaced", &replace),
        ("and back", &|| std::fs::rename(&name, &other).and_then(|()| std::fs::rename(&other, &name)).unwrap()),
    ];
    for (what, change) in changes {
        for is_settled in [false, true] {
            std::fs::write(&name, "Subject: x\n\n").unwrap();
            let written = Mark::of(&stat(layout.root(), "new/1.a.b").unwrap()).changed();
            let now = if is_settled { written + Duration::from_mins(1) } else { written };
            let locked = claim::lock(&layout, &Vacancies::unknown(&Arc::default()), OsStr::new("1.a.b"), now).unwrap();
            assert!(locked.is_in_place(&layout).unwrap());
            // A message that is settled was left alone for longer than a tick of the system's clock.
            while Mark::of(&stat(layout.root(), "maildirq").unwrap()).changed() <= written {
                std::fs::create_dir(folder.path().join("maildirq/tick")).unwrap();
                std::fs::remove_dir(folder.path().join("maildirq/tick")).unwrap();
            }
            change();
            assert_eq!(locked.is_in_place(&layout).unwrap(), what == "and back", "{what}");
        }
    }
}
