//! What maildirq is held against. Each of these runs in a process of its own too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use anyhow::{Context, Result, ensure};

use crate::bare::Bare;
use crate::promises::Promises;

/// The ceiling: the system calls that the job cannot do without, by threads that block, with a connection each.
pub fn ceiling(new: &Path, address: &str, connections: usize) -> Result<()> {
    share_out(new, connections, |names| {
        let mut bare = Bare::new(address)?;
        for name in names {
            bare.take(name)?;
        }
        Ok(())
    })
}

/// The same, with the calls that maildirq makes beside.
pub fn promises(new: &Path, address: &str, connections: usize) -> Result<()> {
    share_out(new, connections, |names| {
        let mut promises = Promises::new(Path::new("."), address)?;
        for name in names {
            promises.take(name)?;
        }
        Ok(())
    })
}

/// The ceiling of commands: nothing but starting one for each message, which is its standard input.
pub fn spawn(new: &Path, processes: usize) -> Result<()> {
    share_out(new, processes, |names| {
        for name in names {
            let file = File::open(name)?;
            file.try_lock()?;
            let status = Command::new("/bin/true").stdin(file).status()?;
            ensure!(status.success(), "true: {status}");
            fs::remove_file(name)?;
        }
        Ok(())
    })
}

/// The other end of the scale: a process per message, as an MTA's pipe to a script starts it.
pub fn curl(new: &Path, address: &str, processes: usize) -> Result<()> {
    share_out(new, processes, |names| {
        for name in names {
            let status = Command::new("curl")
                .args(["-sSf", "-H", "Content-Type: message/rfc822", "-H", "Expect:", address, "--data-binary"])
                .arg(format!("@{}", name.display()))
                .status()?;
            ensure!(status.success(), "curl: {status}");
            fs::remove_file(name)?;
        }
        Ok(())
    })
}

/// Each worker gets the next name until there are no more. They are relative to `new`.
fn share_out(
    new: &Path,
    workers: usize,
    work: impl Fn(&mut dyn Iterator<Item = &PathBuf>) -> Result<()> + Sync,
) -> Result<()> {
    env::set_current_dir(new)?;
    let names: Vec<_> = fs::read_dir(".")?.map(|entry| Ok(entry?.file_name().into())).collect::<Result<_>>()?;
    let next = AtomicUsize::new(0);
    let take = || work(&mut std::iter::from_fn(|| names.get(next.fetch_add(1, Ordering::Relaxed))));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(take)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().ok().context("a panic")?)
    })
}
