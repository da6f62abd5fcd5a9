//! Whether this machine has run out of something.

use std::io;

/// Whether this process, or the machine, has no file, buffer or memory left: no fault of a message, a
/// Maildir or a target.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
