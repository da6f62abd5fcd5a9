//! The bare job, with the calls that maildirq makes beside for what it promises: see `tests/it/calls.rs`. They are made,
//! and nothing is done with what comes of them. So this is as fast as maildirq could be if all else took no time.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, bail};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::{Errno, fcntl_getfd, read};

use crate::bare::{Bare, claim};

/// A kept-alive connection, and what the promises are kept by.
pub struct Promises {
    bare: Bare,
    slots: File,
    events: OwnedFd,
}

impl Promises {
    /// Connects to this host and port. There will be a folder beside `new`.
    pub fn new(new: &Path, address: &str) -> Result<Self> {
        let folder = new.join("../promises");
        let empty = folder.join("empty");
        fs::create_dir_all(&empty)?;
        let slots = tempfile::tempfile_in(&folder)?;
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        add_watch(&events, empty, WatchFlags::CREATE)?;
        Ok(Promises { bare: Bare::new(address)?, slots, events })
    }

    /// Takes the message at this path there.
    pub fn take(&mut self, path: &Path) -> Result<()> {
        let (mut file, length) = claim(path)?;
        // To take a lease and to give it back does more than this.
        fcntl_getfd(&file)?;
        fcntl_getfd(&file)?;
        self.look()?;
        self.slots.write_all_at(&[0; 512], 0)?;
        self.bare.read(&mut file, length)?;
        self.slots.write_all_at(&[0], 0)?;
        self.bare.post(length)?;
        file.metadata()?;
        fs::remove_file(path)?;
        Ok(())
    }

    /// Finds that nothing has happened in the folder.
    fn look(&self) -> Result<()> {
        match read(&self.events, &mut [0; 512]) {
            Err(Errno::AGAIN) => Ok(()),
            told => bail!("the folder of promises has changed: {told:?}"),
        }
    }
}
