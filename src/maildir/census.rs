//! What this process knows of all messages, counted: for a line that tells how things are.

use super::layout::{DEAD, stat};
use super::queue::MaildirQueue;
use super::served::Maildir;
use super::stock::InHand;
use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// How many messages there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those that wait for their first try.
    pub new: u64,
    /// Those that this process works on.
    pub running: u64,
    /// Those that wait for another try.
    pub retry: u64,
    /// Those that were set aside for a person.
    pub dead: u64,
    /// When the oldest of all but the dead came.
    pub oldest: Option<SystemTime>,
    /// There is more in `new/` than this process has read so far.
    pub is_partial: bool,
}

/// How many dead messages each Maildir had when its folder of them was last changed, in seconds and nanoseconds.
#[derive(Debug, Default)]
pub struct Graves(BTreeMap<u32, (Changed, u64)>);

type Changed = (i64, i64);

impl MaildirQueue {
    /// Counts. It takes a moment for each message that is known, and reads only those folders of dead mail that
    /// have changed since.
    pub fn census(&self, graves: &mut Graves) -> Census {
        let maildirs: Vec<_> = self.common().served().all().cloned().collect();
        let is_partial = self.common().is_searching.load(Ordering::Acquire);
        let mut census = Census { is_partial, ..Census::default() };
        let mut known = BTreeMap::new();
        for maildir in &maildirs {
            let InHand { new, running, retry } = maildir.in_hand();
            census.new += new.count;
            census.running += running.count;
            census.retry += retry.count;
            let oldest = [census.oldest, new.oldest, running.oldest, retry.oldest];
            census.oldest = oldest.into_iter().flatten().min();
            if let Some(found) = count_dead(maildir, graves.0.get(&maildir.number)) {
                census.dead += found.1;
                known.insert(maildir.number, found);
            }
        }
        graves.0 = known;
        census
    }
}

/// A folder that is not there, or cannot be read, has nothing to tell; who needs it complains.
fn count_dead(maildir: &Maildir, known: Option<&(Changed, u64)>) -> Option<(Changed, u64)> {
    let folder = format!("{DEAD}/new");
    let found = stat(maildir.layout.root(), &*folder).ok()?;
    let changed = (found.st_mtime, i64::try_from(found.st_mtime_nsec).unwrap_or_default());
    match known {
        Some(known) if known.0 == changed && is_long_ago(changed) => Some(*known),
        _ => Some((changed, count(maildir, &folder).ok()?)),
    }
}

/// The time of a folder is too coarse to tell two changes of the same moment.
fn is_long_ago((seconds, _): Changed) -> bool {
    const COARSE: Duration = Duration::from_secs(2);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(seconds).is_ok_and(|seconds| Duration::from_secs(seconds) + COARSE < now)
}

fn count(maildir: &Maildir, folder: &str) -> Result<u64, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut count = 0;
    for entry in Dir::new(openat(maildir.layout.root(), folder, flags, Mode::empty())?)? {
        count += u64::from(!entry?.file_name().to_bytes().starts_with(b"."));
    }
    Ok(count)
}
