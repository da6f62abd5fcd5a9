//! Groups of processes that may have so much together, and no more: see cgroups(7), version 1 and 2.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, process};

use super::process::Maildirq;
use super::skip::skipped;
use super::wait::{SOON, comes_true};

/// Version 1 has a folder for each thing that can be limited, version 2 one for all.
const ROOT: &str = "/sys/fs/cgroup";
const MEMBERS: &str = "cgroup.procs";
const PROCESSES: &str = "pids.max";

/// It is taken away when dropped, with whoever is in it back where all others are. To be declared before who is
/// started in it.
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// For who has yet to be started. None where there is none to be had, and then it says so.
    pub fn with_memory(bytes: u64) -> Option<Group> {
        let (group, limit) =
            Group::new(&[("memory", "memory.limit_in_bytes"), ("", "memory.max")]).map_err(skipped).ok()?;
        if let Err(why) = group.write(limit, &bytes.to_string()) {
            skipped(format_args!("no limit of memory can be set: {why}"));
            return None;
        }
        // The one of version 1 is for memory and swap together.
        let swap = [("memory.memsw.limit_in_bytes", bytes), ("memory.swap.max", 0)];
        let is_limited = swap.iter().any(|(limit, bytes)| group.write(limit, &bytes.to_string()).is_ok());
        if !is_limited && has_swap() {
            skipped("there is swap here, and no limit of it can be set");
            return None;
        }
        Some(group)
    }

    /// For a limit of how many processes there are, it and what it starts. None where there is none to be had, and
    /// then it says so.
    pub fn of(maildirq: &Maildirq) -> Option<Group> {
        let (group, _) = Group::new(&[("pids", PROCESSES), ("", PROCESSES)]).map_err(skipped).ok()?;
        match group.write(MEMBERS, &maildirq.pid().as_raw_nonzero().to_string()) {
            Ok(()) => Some(group),
            Err(why) => {
                skipped(format_args!("no process can be put into a control group: {why}"));
                None
            }
        }
    }

    /// In the first of these places in which the kernel has groups with this limit; returns that, too.
    fn new(places: &[(&str, &'static str)]) -> Result<(Group, &'static str), String> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("maildirq-test.{}.{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut reasons = Vec::new();
        for &(controller, limit) in places {
            let path: PathBuf = [ROOT, controller, &name].iter().collect();
            if let Err(why) = fs::create_dir(&path) {
                reasons.push(format!("{}: {why}", path.display()));
                continue;
            }
            let group = Group { path };
            if group.path.join(limit).exists() {
                return Ok((group, limit));
            }
            reasons.push(format!("{} has no {limit}", group.path.display()));
        }
        Err(format!("no control group is to be had: {}", reasons.join(", ")))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(file), text)
    }

    /// A command that goes into the group, and makes way for another.
    pub fn entrance(&self) -> Vec<String> {
        let script = r#"echo $$ >"$0/cgroup.procs" && exec "$@""#;
        ["sh", "-c", script, &self.path.to_string_lossy()].map(str::to_owned).into()
    }

    /// So many processes more than there are at this moment; or any number.
    pub fn allow_processes(&self, more: Option<u64>) {
        let now: u64 = fs::read_to_string(self.path.join("pids.current")).unwrap().trim().parse().unwrap();
        let limit = more.map_or("max".to_owned(), |more| (now + more).to_string());
        self.write(PROCESSES, &limit).unwrap();
    }
}

/// See proc(5): a line of names, and one for each.
fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}

impl Drop for Group {
    fn drop(&mut self) {
        let others = self.path.parent().expect("a group is in a group").join(MEMBERS);
        for pid in fs::read_to_string(self.path.join(MEMBERS)).unwrap_or_default().lines() {
            // It may end meanwhile.
            let _ = fs::write(&others, pid);
        }
        // Whoever was killed may be in it for a moment.
        comes_true(SOON, || fs::remove_dir(&self.path).is_ok());
    }
}
