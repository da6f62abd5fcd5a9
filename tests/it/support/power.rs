//! Pulling the plug: what is on a disk at an instant, as another disk.
//!
//! The disk is a file, and what the kernel has not written to it yet a power cut would lose. So a copy of the file is
//! what a power cut leaves, if nothing is written while it is made. Mounting it plays the journal back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{PoisonError, RwLockWriteGuard};
use std::time::SystemTime;

use rustix::fs::{major, minor};
use rustix::process::Signal;
use tempfile::TempDir;

use super::disk::Disk;
use super::maildir::STEPS;
use super::process::Maildirq;
use super::wait::{SOON, wait_until};

/// While it is there, time stands still for the machine: for maildirq and for every MTA, in the midst of whatever they
/// are at. Its disk may be busy still.
pub struct Standstill<'a> {
    maildirq: Option<&'a Maildirq>,
    _mta: RwLockWriteGuard<'static, ()>,
    pub since: SystemTime,
}

impl Standstill<'_> {
    /// Of a machine that runs this, if anything.
    pub fn of(maildirq: Option<&Maildirq>) -> Standstill<'_> {
        let mta = STEPS.write().unwrap_or_else(PoisonError::into_inner);
        let since = SystemTime::now();
        if let Some(maildirq) = maildirq {
            maildirq.signal(Signal::STOP);
            wait_until("it stands still", SOON, || maildirq.stands_still());
        }
        Standstill { maildirq, _mta: mta, since }
    }

    /// What a power cut would leave of this disk; and time goes on. None where nobody may mount, and then it says so.
    pub fn cut_power(self, disk: &Disk) -> Option<Disk> {
        let home = TempDir::new_in("/dev/shm").unwrap();
        let copy = home.path().join("copy");
        wait_until("the disk has written all that it was to write", SOON, || {
            let before = Traffic::of(disk);
            before.is_idle() && fs::copy(disk.image(), &copy).is_ok() && Traffic::of(disk) == before
        });
        drop(self);
        Disk::of_image(&copy)
    }
}

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        if let Some(maildirq) = self.maildirq {
            maildirq.signal(Signal::CONT);
        }
    }
}

/// How much was written to a disk so far, and is being written: `Documentation/block/stat.rst` of Linux.
#[derive(PartialEq, Eq)]
struct Traffic {
    writes: u64,
    in_flight: u64,
}

impl Traffic {
    fn of(disk: &Disk) -> Traffic {
        let device = fs::metadata(disk.path()).unwrap().dev();
        let stat = fs::read_to_string(format!("/sys/dev/block/{}:{}/stat", major(device), minor(device))).unwrap();
        let fields: Vec<u64> = stat.split_whitespace().map(|field| field.parse().unwrap()).collect();
        Traffic { writes: fields[4], in_flight: fields[8] }
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0
    }
}
