//! A group of processes that may have so much memory together, and no more (cgroups(7), version 1 and 2).

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::wait::{SOON, comes_true};

/// Where the kernel has groups for memory, and what their limits are called there.
const PLACES: [(&str, &[&str]); 2] = [
    ("/sys/fs/cgroup/memory", &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
    ("/sys/fs/cgroup", &["memory.max"]),
];

/// It is taken away when dropped; to be declared before who is in it.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// None where nobody may make one, and then it says so.
    pub fn with_memory(bytes: u64) -> Option<Cgroup> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("maildirq-test.{}.{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        for (place, limits) in PLACES {
            let group = Path::new(place).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Cgroup(group);
            // That of swap is not there on every machine; on one without swap it is not missed.
            let set = |limit: &&str| fs::write(group.0.join(limit), bytes.to_string());
            let is_limited = set(&limits[0]).is_ok();
            limits[1..].iter().for_each(|limit| drop(set(limit)));
            if is_limited {
                return Some(group);
            }
        }
        skipped("no group of processes with a limit of memory is to be had here");
        None
    }

    /// A command that goes into the group, and makes way for another.
    pub fn entrance(&self) -> Vec<String> {
        let script = r#"echo $$ >"$0/cgroup.procs" && exec "$@""#;
        ["sh", "-c", script, &self.0.to_string_lossy()].map(str::to_owned).into()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Whoever was killed may be in it for a moment.
        comes_true(SOON, || fs::remove_dir(&self.0).is_ok());
    }
}
