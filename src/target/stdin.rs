//! What a command reads: the message.

use crate::engine::{Body, Message};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Seek, Write};

/// The standard input for a command, at its beginning.
///
/// The claimed file itself where there is one. The command then shares our lock on it: should we be
/// killed, no other process takes the message while the command still runs.
pub(super) fn stdin_of(message: &Message) -> io::Result<File> {
    let mut file = match (&message.file, &message.body) {
        (Some(file), _) | (None, Body::File { file, .. }) => file.try_clone()?,
        (None, Body::Whole(bytes)) => in_memory(bytes)?,
    };
    file.rewind()?;
    Ok(file)
}

/// A file without a name, which nobody can change.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::Arc;

    #[test]
    fn a_message_in_memory_is_read_and_not_changed() {
        let mut file = stdin_of(&Message::sample()).unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "Subject: sample\n\nbody\n");
        assert!(file.write(b"x").is_err() && file.set_len(0).is_err());
    }

    #[test]
    fn a_claimed_file_is_rewound() {
        let mut claimed = tempfile::tempfile().unwrap();
        claimed.write_all(b"Subject: claimed\n\n").unwrap();
        let message = Message { file: Some(Arc::new(claimed)), ..Message::sample() };
        for _ in 0..2 {
            let mut read = String::new();
            stdin_of(&message).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, "Subject: claimed\n\n");
        }
    }
}
