//! The one place that writes messages: standard input into a Maildir.
//!
//! Written to `tmp/`, synced, moved to `new/`, and `new/` synced: when it says yes, the message
//! survives a power cut.

use super::names::unique_name;
use crate::mail::{HEADER_LIMIT, Header};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, fsync, openat, renameat_with, unlinkat};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What is known of a message beside its bytes.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The envelope sender, for a `Return-Path` field where there is none above the first
    /// `Received`. May be empty.
    pub sender: Option<String>,
    /// The envelope recipient, for a `Delivered-To` field where there is none above the first
    /// `Received`.
    pub recipient: Option<String>,
    /// The largest message to take, in bytes.
    pub max_size: Option<u64>,
}

/// Why a message was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is larger than allowed: no use in trying again.
    #[error("the message is larger than {max_size} bytes")]
    TooLarge {
        /// The limit.
        max_size: u64,
    },
    /// There was nothing to deliver.
    #[error("there is no message on standard input")]
    Empty,
    /// An address that would not stay within its header line.
    #[error("{0} must not have control characters in it")]
    BadAddress(&'static str),
    /// The disk, the Maildir, or the input.
    #[error("{path}: {error}")]
    Io {
        /// What was used.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Delivers all of `message` into the Maildir at `path`. Returns the name of the file in `new/`.
///
/// # Errors
/// It was not delivered, and nothing of it is left behind. Only where the last step fails, the
/// fsync of `new/`, it is there, and will come again when the MTA tries again.
pub fn deliver(path: &Path, delivery: &Delivery, message: impl Read) -> Result<String, Refusal> {
    let trace = trace_fields(delivery)?;
    let at = |part: &str| {
        let path = path.join(part);
        move |error: io::Error| Refusal::Io { path, error }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from).map_err(at(""))?;
    let new = openat(&root, "new", flags, Mode::empty()).map_err(io::Error::from).map_err(at("new"))?;
    let name = unique_name();
    let draft = format!("tmp/{name}");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(&root, &*draft, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from).map_err(at("tmp"))?;
    let draft = Draft { root: &root, path: &draft };
    write(File::from(file), &trace, delivery.max_size, message, &path.join("tmp"))?;
    let to = format!("new/{name}");
    renameat_with(&root, draft.path, &root, &*to, RenameFlags::NOREPLACE)
        .map_err(io::Error::from)
        .map_err(at("new"))?;
    std::mem::forget(draft);
    fsync(&new).map_err(io::Error::from).map_err(at("new"))?;
    Ok(name)
}

/// A file in `tmp/` that goes when it is not moved on.
struct Draft<'a> {
    root: &'a OwnedFd,
    path: &'a str,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // Whoever cleans tmp/ (maildir(5): after 36 hours) takes it should this fail.
        let _ = unlinkat(self.root, self.path, AtFlags::empty());
    }
}

fn write(
    mut file: File,
    trace: &[(&str, String)],
    max_size: Option<u64>,
    message: impl Read,
    path: &Path,
) -> Result<(), Refusal> {
    let io_error = |error| Refusal::Io { path: path.to_owned(), error };
    let limit = max_size.unwrap_or(u64::MAX - 1);
    let mut message = message.take(limit.saturating_add(1));
    let mut head = Vec::new();
    message.by_ref().take(HEADER_LIMIT as u64).read_to_end(&mut head).map_err(io_error)?;
    if head.is_empty() {
        return Err(Refusal::Empty);
    }
    // A line of mbox's "From " stays the first: what is put above it would not be a header.
    let mbox_line = if head.starts_with(b"From ") {
        head.split_inclusive(|&b| b == b'\n').next().map_or(0, <[u8]>::len)
    } else {
        0
    };
    let header = Header::of(&head);
    let mut start = head[..mbox_line].to_vec();
    let is_there = |wanted: &str| header.of_delivery().any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
    for (name, value) in trace.iter().filter(|(name, _)| !is_there(name)) {
        start.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    start.extend_from_slice(&head[mbox_line..]);
    file.write_all(&start).map_err(io_error)?;
    io::copy(&mut message, &mut file).map_err(io_error)?;
    if message.limit() == 0 {
        return Err(Refusal::TooLarge { max_size: limit });
    }
    file.sync_all().map_err(io_error)
}

fn trace_fields(delivery: &Delivery) -> Result<Vec<(&'static str, String)>, Refusal> {
    let mut fields = Vec::new();
    for (name, address, is_path) in
        [("Return-Path", &delivery.sender, true), ("Delivered-To", &delivery.recipient, false)]
    {
        let Some(address) = address else { continue };
        if address.chars().any(char::is_control) {
            return Err(Refusal::BadAddress(if is_path { "the sender (-f)" } else { "the recipient (-r)" }));
        }
        let is_bracketed = address.starts_with('<') && address.ends_with('>');
        fields.push((name, if is_path && !is_bracketed { format!("<{address}>") } else { address.clone() }));
    }
    Ok(fields)
}
