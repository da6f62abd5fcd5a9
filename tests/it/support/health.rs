//! How a maildirq stands at the end: it is alive or ended as documented (L7), and has not grown (L8).

use std::fs;

use super::process::{Exit, Maildirq};
use super::verdict::Fault;

/// More open files than these, at rest, are not what a pool of connections explains.
const FILES: u64 = 16;

/// More threads than these are not what work that comes at once explains: they are made when they are needed.
const THREADS: u64 = 16;

/// Kilobytes more than these are not what an allocator keeps for later.
const MEMORY: u64 = 32 * 1024;

/// A maildirq, and how it was when it had done some work and was at rest.
pub struct Checkup<'a> {
    maildirq: &'a Maildirq,
    files: u64,
    threads: u64,
    memory: u64,
}

impl<'a> Checkup<'a> {
    #[track_caller]
    pub fn begin(maildirq: &'a Maildirq) -> Checkup<'a> {
        assert!(maildirq.is_running(), "who has ended does not grow: {:?}", maildirq.lines());
        let files = maildirq.open_files() as u64;
        Checkup { maildirq, files, threads: maildirq.threads(), memory: maildirq.memory() }
    }

    /// Of one that has ended: only how it did so counts.
    pub fn after(maildirq: &'a Maildirq) -> Checkup<'a> {
        Checkup { maildirq, files: 0, threads: 0, memory: 0 }
    }

    /// What is wrong with it. It must be at rest again, or have ended.
    pub fn faults(&self) -> Vec<Fault> {
        let maildirq = self.maildirq;
        if !maildirq.is_running() {
            let exit = maildirq.exit();
            return if exit.is_documented() { Vec::new() } else { vec![Fault::Undocumented { exit }] };
        }
        let zombies = maildirq.children().iter().filter(|child| child.contains(") Z ")).count() as u64;
        let grown = [
            ("open files", self.files, maildirq.open_files() as u64, FILES),
            ("threads", self.threads, maildirq.threads(), THREADS),
            ("kilobytes of memory", self.memory, maildirq.memory(), MEMORY),
            ("zombies", 0, zombies, 0),
        ];
        let grown = grown.into_iter().filter(|(_, before, after, more)| *after > before + more);
        grown.map(|(what, before, after, _)| Fault::Grown { what, before, after }).collect()
    }
}

impl Exit {
    /// Whether it may end so by itself. A bug has a code, too, but is none of these.
    pub fn is_documented(self) -> bool {
        match self {
            Exit::Ok | Exit::SomeDead | Exit::Usage | Exit::NoInput | Exit::Disk | Exit::SomeWait | Exit::Config => {
                true
            }
            // No message, never (for an MTA), and the signals that stop it.
            Exit::Code(code) => [65, 77, 130, 143].contains(&code),
            Exit::Bug | Exit::Signal(_) => false,
        }
    }
}

impl Maildirq {
    /// The children of all its threads, zombies too, as their stat files of proc(5) are.
    pub fn children(&self) -> Vec<String> {
        // Threads and children may end meanwhile.
        let threads = fs::read_dir(self.proc("task")).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<_> =
            lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
        children.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok()).collect()
    }
}
