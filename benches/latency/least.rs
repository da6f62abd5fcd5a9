//! The least program that does the job for messages that come: one thread, inotify, and what each message cannot do
//! without.

use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use crate::bare::Bare;

/// Takes what comes into this folder to that address, until it is killed.
pub fn run(new: &Path, address: &str) -> Result<()> {
    let events = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&events, new, WatchFlags::MOVED_TO)?;
    let mut bare = Bare::new(address)?;
    for entry in fs::read_dir(new)? {
        bare.take(&entry?.path())?;
    }
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut events = Reader::new(events, &mut buffer);
    loop {
        let event = events.next()?;
        let name = event.file_name().context("an event without a name")?;
        let path = new.join(OsStr::from_bytes(name.to_bytes()));
        // What came between the watch and the look was taken by that.
        if path.exists() {
            bare.take(&path)?;
        }
    }
}
