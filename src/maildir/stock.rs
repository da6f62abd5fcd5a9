//! How much there is in a Maildir that is served: what waits and is worked on by what this process knows, what is set
//! aside by a listing of its folders.

use super::layout::{DEAD, Layout, TRASH};
use super::names::delivered_at;
use super::served::Maildir;
use super::story::system_time;
use rustix::fs::{Dir, Mode, OFlags, openat, statvfs};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

/// So many names without a Maildir time are looked at for how old they are; of the others only the number is known.
const LOOKED_AT: usize = 1000;

/// How long others have the backlog for themselves between two bites: one wakes up in that time.
const GIVE_WAY: Duration = Duration::from_micros(50);

/// What there is of one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pile {
    /// How many messages.
    pub count: u64,
    /// When the oldest of them came, as far as that is known.
    pub oldest: Option<SystemTime>,
}

impl Pile {
    /// With one message more.
    pub(super) fn add(&mut self, came: Option<SystemTime>) {
        self.count += 1;
        self.oldest = self.oldest.into_iter().chain(came).min();
    }
}

/// What waits and is worked on, as far as it is known in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InHand {
    /// Waits for its first try.
    pub new: Pile,
    /// Somebody works on it, here or elsewhere.
    pub running: Pile,
    /// Was tried before, and waits.
    pub retry: Pile,
}

/// How much there is in a Maildir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The queue that it is, or belongs to.
    pub queue: Arc<str>,
    /// What there is of each state, by its word.
    pub piles: [(&'static str, Pile); 5],
    /// Bytes of its disk that are free for it; None where nobody knows.
    pub free_bytes: Option<u64>,
    /// The same of inodes.
    pub free_inodes: Option<u64>,
}

impl Maildir {
    /// What is known of its messages that wait or are worked on. Of a million it takes a while, in which they may be
    /// taken: so it is not what there was at one moment.
    pub(super) fn in_hand(&self) -> InHand {
        let mut found = InHand::default();
        let mut from = self.common.backlog().count_in_hand(self.number, 0, &mut found);
        while let Some(number) = from {
            // Whoever lets go of a lock and takes it again at once has it before those that wait for it.
            thread::sleep(GIVE_WAY);
            from = self.common.backlog().count_in_hand(self.number, number, &mut found);
        }
        found
    }

    /// How much there is. It lists folders, which takes as long as the disk does.
    pub(super) fn stock(&self) -> Stock {
        let listed = |folders: &[&str]| {
            let mut pile = Pile::default();
            for folder in folders {
                // Of a folder that cannot be read the log tells whoever needs it.
                let _ = list(&self.layout, folder, &mut pile);
            }
            pile
        };
        let all = listed(&["new"]);
        let InHand { mut new, running, retry } = self.in_hand();
        // What is not in memory yet is new: there is not room for all of a large backlog.
        new.count = all.count.saturating_sub(running.count + retry.count);
        let known = [running.oldest, retry.oldest].into_iter().flatten().min();
        if all.oldest.is_some_and(|oldest| known.is_none_or(|known| oldest < known)) {
            new.oldest = all.oldest;
        }
        if new.count == 0 {
            new.oldest = None;
        }
        let dead = listed(&[&format!("{DEAD}/new"), &format!("{DEAD}/cur")]);
        let trash = listed(&[&format!("{TRASH}/new"), &format!("{TRASH}/cur")]);
        let disk = statvfs(self.layout.path()).ok();
        Stock {
            queue: Arc::clone(&self.options.queue),
            piles: [("new", new), ("running", running), ("retry", retry), ("dead", dead), ("trash", trash)],
            free_bytes: disk.as_ref().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            // Some file systems have no number of inodes.
            free_inodes: disk.filter(|disk| disk.f_files > 0).map(|disk| disk.f_favail),
        }
    }
}

fn list(layout: &Layout, folder: &str, pile: &mut Pile) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match openat(layout.root(), folder, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut looked_at = 0;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name.as_bytes().starts_with(b".") || entry.file_type().is_dir() {
            continue;
        }
        let mut came = delivered_at(name);
        if came.is_none() && looked_at < LOOKED_AT {
            looked_at += 1;
            came =
                super::layout::stat(&folder, name).ok().map(|found| system_time(found.st_mtime, found.st_mtime_nsec));
        }
        pile.add(came);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::layout::Keep;
    use super::super::queue::MaildirQueue;
    use super::super::served::Options;
    use crate::engine::{Queue, Settlement};
    use crate::maildir::{Layout, Settings};
    use futures_util::FutureExt;
    use std::fs;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn what_there_is_is_counted_by_its_state() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("new")).unwrap();
        let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
        let queue = MaildirQueue::of_one(layout, Options::default(), Settings::default()).unwrap();
        let put = |place: &str| fs::write(folder.path().join(place), "Subject: x\n\n").unwrap();
        for number in 1..=4 {
            put(&format!("new/176208733{number}.a.b"));
        }
        put(".maildirq.dead/new/1762087000.a.b");
        put(".maildirq.dead/cur/1762086000.a.b:2,S");
        let maildir = queue.only();
        for number in 1..=3 {
            maildir.arrived(format!("176208733{number}.a.b").as_ref(), false);
        }
        let now = SystemTime::now();
        let claim = || queue.claim(now, &|_| true).unwrap();
        let retried = claim();
        let note = crate::engine::Note {
            at: now,
            target: "app".into(),
            status: None,
            took: Duration::ZERO,
            reason: "busy".into(),
        };
        let due = now + Duration::from_hours(1);
        let how = Settlement::Retry { due, charged: true, note };
        retried.lease.settle(how).now_or_never().unwrap().unwrap();
        let held = claim();
        let stock = maildir.stock();
        let piles = stock.piles.map(|(state, pile)| {
            (state, pile.count, pile.oldest.map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs()))
        });
        assert_eq!(
            piles,
            [
                ("new", 2, Some(1_762_087_333)),
                ("running", 1, Some(1_762_087_332)),
                ("retry", 1, Some(1_762_087_331)),
                ("dead", 2, Some(1_762_086_000)),
                ("trash", 0, None),
            ]
        );
        assert!(stock.free_bytes.is_some_and(|bytes| bytes > 0));
        drop(held);
    }
}
