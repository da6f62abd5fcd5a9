//! Trap: mail in `new/` that the daemon cannot read, or that comes from the future.

use super::finding::{Finding, counted, shown, word};
use super::subject::{Home, Subject, User};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// No more messages of a Maildir are looked at.
const LOOKED_AT: usize = 10_000;
/// Clocks of other hosts, which a file server goes by, may differ by so much.
const TOLERANCE: Duration = Duration::from_mins(1);

/// What is odd about the mail of a Maildir.
#[derive(Default)]
struct Odd {
    /// How many messages cannot be read, by their owners.
    unreadable: BTreeMap<u32, usize>,
    from_the_future: usize,
    latest: Option<SystemTime>,
}

/// Looks at the mail that waits.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    subject.maildirs.iter().flat_map(of_one).collect()
}

fn of_one(home: &Home) -> Vec<Finding> {
    // That it cannot become the owner was told of with the Maildir itself.
    let odd = home.as_daemon(|| odd_mail(home)).unwrap_or_default();
    let (new, User { uid, .. }) = (home.path.join("new"), home.daemon());
    let mut found = Vec::new();
    for (owner, count) in odd.unreadable {
        let text = format!(
            "uid {uid}, as which maildirq runs, cannot read {} of uid {owner} in {}",
            counted(count, "message"),
            shown(&new)
        );
        let help =
            format!("deliver as uid {uid}; what is there: find {} -uid {owner} -exec chown {uid} {{}} +", word(&new));
        found.push(Finding::warning(text, help));
    }
    if let Some(latest) = odd.latest {
        let text = format!(
            "{} in {} from the future, the latest of {}: is the clock of this machine right?",
            counted(odd.from_the_future, "message"),
            shown(&new),
            humantime::format_rfc3339_seconds(latest)
        );
        found.push(Finding::warning(text, "timedatectl status"));
    }
    found
}

/// That `new/` cannot be read is told of with the Maildir itself.
fn odd_mail(home: &Home) -> Odd {
    let mut odd = Odd::default();
    let limit = SystemTime::now() + TOLERANCE;
    for entry in std::fs::read_dir(home.path.join("new")).into_iter().flatten().flatten().take(LOOKED_AT) {
        let Ok(found) = entry.metadata() else { continue };
        if entry.file_name().as_bytes().starts_with(b".") || !found.is_file() {
            continue;
        }
        if accessat(CWD, entry.path(), Access::READ_OK, AtFlags::empty()) == Err(rustix::io::Errno::ACCESS) {
            *odd.unreadable.entry(found.uid()).or_default() += 1;
        }
        if let Some(modified) = found.modified().ok().filter(|modified| *modified > limit) {
            odd.from_the_future += 1;
            odd.latest = odd.latest.max(Some(modified));
        }
    }
    odd
}
