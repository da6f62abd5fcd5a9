//! The happy path of a message is short, and counted: whoever adds a system call to it says so here.

use crate::support::{App, Exit, Maildir, Maildirq, SOON, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

/// What changes a file after such a rest shows in its times.
const SETTLED: Duration = Duration::from_millis(150);

/// What one small message that is taken at its first try costs, one of many that have been there for a moment.
const HAPPY_PATH: &[(&str, u64, &str)] = &[
    ("openat", 1, "the message"),
    ("fstat", 2, "is it a regular file, and settled? before it is removed: is it unchanged, and so under its name?"),
    ("flock", 1, "the claim"),
    ("fcntl", 2, "is anybody still writing it? a lease, taken and given back"),
    ("read", 1, "has anybody told of a story or a pause?"),
    ("pwrite64", 2, "the slot: reading, sending"),
    ("pread64", 1, "all of it"),
    ("writev", 1, "the request, header and body at once"),
    ("recvfrom", 1, "the answer"),
    ("unlinkat", 1, "done"),
    ("close", 1, "and the lock with it"),
];

/// How often each system call is made by a drain of so many messages.
fn calls(messages: u64, format: &str, mail: impl Fn(u64) -> Vec<u8>) -> BTreeMap<String, u64> {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let settings = format!("format = {format:?}\nconcurrency = 1\n");
    // The first start counts what is there.
    assert_eq!(Maildirq::drain_with(&maildir, &app.url(), &settings).run().exit(), Exit::Ok);
    for number in 0..messages {
        maildir.deliver(mail(number));
    }
    let last = SystemTime::now();
    wait_until("their times tell of each change", SOON, || last.elapsed().unwrap() > SETTLED);
    let counts = maildir.path().join("counts");
    let counted = ["strace", "-f", "-c", "-U", "name,calls", "-o", counts.to_str().unwrap()];
    let drain = Maildirq::drain_with(&maildir, &app.url(), &settings).arg("--quiet").by_way_of(&counted);
    assert_eq!(drain.run().exit(), Exit::Ok);
    assert_eq!(app.count() as u64, messages);
    let table = fs::read_to_string(counts).unwrap();
    let row = |line: &str| {
        let (name, count) = line.trim().split_once(char::is_whitespace)?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// How often each is made for one message. What happens now and then (reading the folder, fsync) is less than one.
fn calls_for_one(format: &str, mail: impl Fn(u64) -> Vec<u8>) -> BTreeMap<String, u64> {
    let few = calls(20, format, &mail);
    let mut each = calls(120, format, &mail);
    for (name, count) in &mut each {
        let more = count.saturating_sub(few.get(name).copied().unwrap_or(0));
        *count = (more + 20) / 100;
    }
    each.retain(|_, count| *count > 0);
    each
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_message_costs_these_system_calls_and_no_others() {
    let mut each = calls_for_one("raw", |number| format!("Subject: {number}\n\nhi\n").into_bytes());
    // How often the runtime waits and wakes is its own affair.
    for name in ["epoll_wait", "futex", "total"] {
        each.remove(name);
    }
    // In a debug build the standard library asks whether what it closes is open.
    let asked = u64::from(cfg!(debug_assertions));
    *each.get_mut("fcntl").unwrap() -= asked;
    let expected: BTreeMap<_, _> = HAPPY_PATH.iter().map(|&(name, count, _)| (name.to_owned(), count)).collect();
    assert_eq!(each, expected);
}

/// To get memory from the system, which has to clear it, takes longer than to parse what goes there.
#[test]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn the_memory_of_a_large_message_is_kept_for_the_next() {
    let line = format!("{}\n", "QUJD".repeat(19));
    let attachment = line.repeat(133_000 / line.len());
    let each = calls_for_one("json", |number| {
        format!("Subject: {number}\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n{attachment}").into()
    });
    assert_eq!(each.get("writev"), Some(&1), "it is sent: {each:?}");
    let memory = ["mmap", "munmap", "mremap", "mprotect", "madvise", "brk"];
    assert_eq!(memory.into_iter().find(|&name| each.contains_key(name)), None, "{each:?}");
}
