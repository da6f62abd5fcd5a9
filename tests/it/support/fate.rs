//! What became of a message.

use std::ffi::OsStr;

use serde_json::Value;

use super::Maildir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    Waits { charged: bool },
    Dead,
}

impl Fate {
    /// Of the message with this name and story.
    #[track_caller]
    pub fn of(maildir: &Maildir, name: &OsStr, story: &[Value]) -> Fate {
        let is_dead = maildir.dead().iter().any(|path| path.file_name().unwrap() == name);
        match (maildir.message(name).exists(), is_dead, story) {
            (false, false, []) => Fate::Done,
            (true, false, [line]) if line["event"] == "retry" => Fate::Waits { charged: line["charged"] == true },
            (false, true, [line]) if line["event"] == "dead" => Fate::Dead,
            odd => panic!("{}: {odd:?}", name.display()),
        }
    }
}
