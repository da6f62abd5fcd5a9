//! What `tests/fuzz` reaches of this module, and nobody else.

use super::layout::STORY;
use super::story::{Event, Line, Story, append, path};
use crate::engine::Id;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads any bytes as a story, in a Maildir that is made here, and tells one retry more.
///
/// # Panics
/// What is told then is not what is read.
pub fn story(maildir: &Path, text: &[u8]) {
    let id = Id::from_digest(&[7; 32]);
    fs::create_dir_all(maildir.join(STORY)).expect("the folder of a test can be written");
    fs::write(maildir.join(path(id)), text).expect("the folder of a test can be written");
    let root = File::open(maildir).expect("it was just made");
    let read = || Story::read(&root, id).expect("a story can be read").expect("there is one");

    let before = read();
    let at = UNIX_EPOCH + Duration::from_secs(1_762_000_000);
    let due = at + Duration::from_mins(1);
    for now in [UNIX_EPOCH, at, SystemTime::now(), at + Duration::from_hours(24 * 365 * 100)] {
        before.due(now);
    }
    let line = Line {
        stamp: "told by the fuzzer".into(),
        attempt: 1,
        target: "app".into(),
        status: Some(500),
        ms: 12,
        charged: true,
        due: Some(due),
        reason: "busy".into(),
        ..Line::new(at, Event::Retry)
    };
    append(&root, id, line.clone(), due).and_then(super::story::Appended::in_full).expect("it can be appended to");

    let after = read();
    assert_eq!(after.last.as_ref(), Some(&line));
    assert_eq!(after.history.tries, before.history.tries.saturating_add(1));
    assert_eq!(after.history.charged, before.history.charged.saturating_add(1));
    assert_eq!((after.history.last_try, &*after.history.last_reason), (Some(at), "busy"));
    assert_eq!(after.deaths, before.deaths);
    assert_eq!(after.due(SystemTime::now()), due);
    assert!(after.tells_of("told by the fuzzer") && !after.is_burial_unfinished((0, 0)));
}
