//! What a Maildir file name says, and how ids are made from it.
//!
//! A name has the form `time.delivery.host`, in `cur/` followed by `:2,` and flags (maildir(5)).

use crate::engine::Id;
use crate::engine::text::printable;
use memchr::memchr_iter;
use rustix::system::uname;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The random identity of a queue, kept in its `maildirq/id`.
pub(super) type QueueId = [u8; 16];

/// The name without the `:2,flags` that a mail client may have added.
pub(super) fn base(name: &OsStr) -> &[u8] {
    let bytes = name.as_bytes();
    let end = memchr_iter(b':', bytes).find(|&colon| bytes[colon..].starts_with(b":2,"));
    &bytes[..end.unwrap_or(bytes.len())]
}

/// The name of a message by its path, without the flags that a mail client gives those in `cur/`.
pub(super) fn name_without_flags(path: &Path) -> &OsStr {
    let name = path.file_name().unwrap_or_default();
    let is_opened = path.parent().is_some_and(|folder| folder.ends_with("cur"));
    let base = OsStr::from_bytes(base(name));
    if is_opened && !base.is_empty() { base } else { name }
}

/// A file name, fit to be shown.
pub(super) fn shown(name: &OsStr) -> String {
    printable(name.as_bytes())
}

/// The time of delivery that a name carries.
pub(super) fn delivered_at(name: &OsStr) -> Option<SystemTime> {
    let bytes = name.as_bytes();
    let digits = bytes.iter().position(|&byte| byte == b'.')?;
    if !(9..=11).contains(&digits) || !bytes[..digits].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = bytes[..digits].iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// When a message came: the time that its name carries, else that of its last change. It is what the delivering
/// host's clock said, and the same whenever one asks: what applications get depends on it.
pub fn arrived(name: &OsStr, modified: SystemTime) -> SystemTime {
    delivered_at(name).unwrap_or(modified)
}

/// The id of a message, from its name alone: right for every name that carries a time.
pub(super) fn id_of_name(queue: &QueueId, name: &OsStr) -> Id {
    Id::from_digest(&hash_of_name(queue, name).finalize().into())
}

/// The id of a message. A name without a time (a hand-made `cp report.eml new/`) may come again for
/// another message, so its size and the time of its last change are part of the id.
pub(super) fn id_of_file(queue: &QueueId, name: &OsStr, size: u64, changed: (i64, u64)) -> Id {
    if delivered_at(name).is_some() {
        return id_of_name(queue, name);
    }
    let mut hash = hash_of_name(queue, name);
    hash.update([0]);
    hash.update(size.to_be_bytes());
    hash.update(changed.0.to_be_bytes());
    hash.update(changed.1.to_be_bytes());
    Id::from_digest(&hash.finalize().into())
}

fn hash_of_name(queue: &QueueId, name: &OsStr) -> Sha256 {
    Sha256::new().chain_update(queue).chain_update([0]).chain_update(base(name))
}

/// A name that no other delivery has: time, microseconds, process, a counter, chance, host.
pub fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let host = uname();
    // maildir(5): a host name's slash and colon are written as octal escapes.
    let host = host.nodename().to_string_lossy().replace('/', "\\057").replace(':', "\\072");
    format!(
        "{}.M{:06}P{}Q{}R{:08x}.{host}",
        now.as_secs(),
        now.subsec_micros(),
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed),
        fastrand::u32(..),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: QueueId = [7; 16];

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn a_name_carries_its_time_or_none() {
        let seconds =
            |text| delivered_at(name(text)).map(|t| t.duration_since(UNIX_EPOCH).expect("after 1970").as_secs());
        assert_eq!(seconds("1762087331.V801I2a0f3cM123456.mx1"), Some(1_762_087_331));
        assert_eq!(seconds("1762087331.V801I2a0f3cM123456.mx1:2,S"), Some(1_762_087_331));
        for odd in ["report.eml", "12.x", "1762087331", "", ".", "17620873310000.x", "-762087331.x", "१७६२०८७३३१.x"]
        {
            assert_eq!(seconds(odd), None, "{odd}");
        }
    }

    #[test]
    fn flags_do_not_change_the_id_but_the_queue_does() {
        let id = id_of_name(&QUEUE, name("1762087331.a.mx1"));
        assert_eq!(id, id_of_name(&QUEUE, name("1762087331.a.mx1:2,FRS")));
        assert_ne!(id, id_of_name(&QUEUE, name("1762087331.b.mx1")));
        assert_ne!(id, id_of_name(&[8; 16], name("1762087331.a.mx1")));
    }

    #[test]
    fn a_reused_name_without_time_is_a_new_message() {
        let file = |text, size, second| id_of_file(&QUEUE, name(text), size, (second, 0));
        assert_ne!(file("report.eml", 10, 1), file("report.eml", 10, 2));
        assert_ne!(file("report.eml", 10, 1), file("report.eml", 11, 1));
        assert_eq!(file("1762087331.a.mx1", 10, 1), file("1762087331.a.mx1", 11, 2));
    }

    #[test]
    fn unique_names_are_unique_and_carry_the_time() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| unique_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|n| delivered_at(name(n)).is_some() && !n.contains(['/', ':'])));
    }
}
