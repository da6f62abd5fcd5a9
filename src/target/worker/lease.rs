//! A worker holds the lock of the message that it works on, though it does not know.
//!
//! The lock belongs to the open file. While a worker has a message, a copy of the file lies as a letter in a mail box
//! of the worker's: in the receive queue of a socket that is its file descriptor 3 (`SCM_RIGHTS` of unix(7)). Nobody
//! reads it there. When the job is over we take it out again, for we have a copy of that end of the socket, too. Were
//! we killed meanwhile, the box would last as long as the worker, and so would the lock.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
    sendmsg, socketpair,
};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The way into a worker's box, and out of it.
pub(super) struct Lease {
    into: OwnedFd,
    out: OwnedFd,
}

impl Lease {
    /// An empty box; the other descriptor is for the worker.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (into, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Lease { into, out: theirs.try_clone()? }, theirs))
    }

    /// Puts a file into the box.
    pub fn hold(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let files = [file];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut letter = SendAncillaryBuffer::new(&mut space);
        let fits = letter.push(SendAncillaryMessage::ScmRights(&files));
        assert!(fits, "there is room for one file");
        sendmsg(&self.into, &[IoSlice::new(b"m")], &mut letter, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Takes the file out again, and closes it. The worker may have done so itself.
    pub fn let_go(&self) -> io::Result<()> {
        // Of a letter for whose enclosure there is no room the enclosure is closed: see unix(7).
        match recv(&self.out, &mut [0], RecvFlags::empty()) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs2::FileExt;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::sync::PoisonError;

    #[test]
    fn a_lock_lasts_as_long_as_the_box_it_lies_in() {
        // A process that is being started holds whatever is open here for a moment.
        let _alone = crate::FORKS.write().unwrap_or_else(PoisonError::into_inner);
        let message = tempfile::NamedTempFile::new().unwrap();
        let is_free = || File::open(message.path()).unwrap().try_lock_exclusive().is_ok();
        let claimed = || {
            let file = File::open(message.path()).unwrap();
            file.try_lock_exclusive().unwrap();
            file
        };
        let (lease, theirs) = Lease::new().unwrap();

        for _ in 0..3 {
            lease.hold(claimed().as_fd()).unwrap();
            assert!(!is_free(), "it is in the box");
            lease.let_go().unwrap();
            assert!(is_free(), "it was taken out");
        }
        lease.let_go().unwrap();

        lease.hold(claimed().as_fd()).unwrap();
        drop(lease);
        assert!(!is_free(), "we are gone, and the worker is not");
        drop(theirs);
        assert!(is_free(), "so is the worker");
    }
}
