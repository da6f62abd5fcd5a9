//! What is wrong with watching and searching: said once, for as long as it stays the same, and for all
//! Maildirs that have it in common.

use super::served::Maildir;
use std::collections::{BTreeMap, BTreeSet};

/// What a complaint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Watching,
    Searching,
}

/// What is wrong now, and with which Maildirs.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<(About, String), BTreeSet<u32>>);

impl Complaints {
    /// Something is wrong with this Maildir, and nothing else of the kind any more.
    pub(super) fn say(&mut self, about: About, maildir: &Maildir, reason: String) {
        if let Some(reason) = self.add(about, maildir.number, reason) {
            tracing::warn!(event = "hampered", reason);
        }
    }

    /// Nothing of the kind is wrong with this Maildir any more.
    pub(super) fn withdraw(&mut self, about: About, maildir: &Maildir) {
        if self.remove(about, maildir.number, None) {
            let text = match about {
                About::Watching => "new/ is watched again",
                About::Searching => "new/ can be searched again",
            };
            tracing::info!(event = "well", maildir = maildir.shown(), "{text}");
        }
    }

    /// This Maildir is served no more.
    pub(super) fn forget(&mut self, maildir: u32) {
        for about in [About::Watching, About::Searching] {
            self.remove(about, maildir, None);
        }
    }

    /// Returns the reason where it is news.
    fn add(&mut self, about: About, maildir: u32, reason: String) -> Option<String> {
        self.remove(about, maildir, Some(&reason));
        let concerned = self.0.entry((about, reason.clone())).or_default();
        let is_news = concerned.is_empty();
        concerned.insert(maildir);
        is_news.then_some(reason)
    }

    /// Takes a Maildir out of all complaints but one. Returns whether it was the last in any.
    fn remove(&mut self, about: About, maildir: u32, but: Option<&str>) -> bool {
        let mut was_last = false;
        self.0.retain(|(kind, reason), concerned| {
            if *kind == about && but != Some(reason) && concerned.remove(&maildir) && concerned.is_empty() {
                was_last = true;
            }
            !concerned.is_empty()
        });
        was_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_have_in_common_is_said_once_and_is_over_with_the_last_of_them() {
        let mut complaints = Complaints::default();
        let mut add = |maildir, reason: &str| complaints.add(About::Watching, maildir, reason.into());
        assert_eq!(add(1, "no inotify"), Some("no inotify".into()));
        assert_eq!((add(2, "no inotify"), add(1, "no inotify")), (None, None));
        assert_eq!(add(3, "no permission"), Some("no permission".into()));
        assert!(!complaints.remove(About::Searching, 1, None), "that is another matter");
        assert!(!complaints.remove(About::Watching, 1, None));
        assert!(complaints.remove(About::Watching, 2, None));
        assert!(!complaints.remove(About::Watching, 2, None));
        assert!(complaints.remove(About::Watching, 3, None));
    }

    #[test]
    fn another_reason_takes_the_place_of_the_first() {
        let mut complaints = Complaints::default();
        complaints.add(About::Searching, 1, "gone".into());
        assert_eq!(complaints.add(About::Searching, 1, "forbidden".into()), Some("forbidden".into()));
        assert_eq!(complaints.add(About::Searching, 1, "gone".into()), Some("gone".into()));
        assert_eq!(complaints.0.len(), 1);
    }
}
