//! The happy path of a message is short, and counted: whoever adds a system call to it says so here.

use crate::support::launch::binary;
use crate::support::{App, Exit, Maildir, Maildirq};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// What one small message that is taken at its first try costs.
const HAPPY_PATH: &[(&str, u64, &str)] = &[
    ("openat", 2, "the message; its story, which is not there"),
    ("fstat", 1, "is it a regular file?"),
    ("flock", 1, "the claim"),
    ("fcntl", 2, "is anybody still writing it? a lease, taken and given back"),
    ("newfstatat", 2, "is it still under its name? before it is sent, and before it is removed"),
    ("pwrite64", 3, "the slot: reading, sending, free"),
    ("pread64", 1, "all of it"),
    ("faccessat", 1, "is the target paused?"),
    ("writev", 1, "the request, header and body at once"),
    ("recvfrom", 1, "the answer"),
    ("unlinkat", 1, "done"),
    ("close", 1, "and the lock with it"),
];

/// How often each system call is made by a drain of so many messages.
fn calls(messages: u64) -> BTreeMap<String, u64> {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    // The first start counts what is there.
    assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok);
    for number in 0..messages {
        maildir.deliver(format!("Subject: {number}\n\nhi\n").as_bytes());
    }
    let counts = maildir.path().join("counts");
    let drained = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls", "-o"])
        .arg(&counts)
        .arg(binary())
        .args(["drain", "--concurrency", "1", "--post", &app.url(), "--maildir"])
        .arg(maildir.path())
        .status()
        .expect("strace is there: tests/run installs it");
    assert!(drained.success() && app.count() as u64 == messages);
    let table = fs::read_to_string(counts).unwrap();
    let row = |line: &str| {
        let (name, count) = line.trim().split_once(char::is_whitespace)?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_message_costs_these_system_calls_and_no_others() {
    let (few, many) = (calls(20), calls(120));
    let mut each: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in &many {
        let more = count.saturating_sub(few.get(name).copied().unwrap_or(0));
        // What happens now and then (reading the folder, fsync) is less than one a message.
        if (more + 20) / 100 > 0 {
            each.insert(name, (more + 20) / 100);
        }
    }
    // How often the runtime waits and wakes is its own affair.
    for name in ["epoll_wait", "futex", "total"] {
        each.remove(name);
    }
    // In a debug build the standard library asks whether what it closes is open.
    let asked = u64::from(cfg!(debug_assertions));
    *each.get_mut("fcntl").unwrap() -= asked;
    let expected: BTreeMap<_, _> = HAPPY_PATH.iter().map(|&(name, count, _)| (name, count)).collect();
    assert_eq!(each, expected);
}
