//! Erasing the traces of one person: kept mail, what stories say, what the history says.
//!
//! A story is written over in place, at the same length. So nobody who appends is disturbed, and a kill in the midst
//! of it leaves some of it for the next time.

use super::super::history::{DoneMail, HISTORY, rewrite_history};
use super::super::layout::{DEAD, DONE, STORY, TRASH};
use super::super::sweep::names;
use super::seen::hold;
use super::{Act, Acted, Operator, Seen};
use crate::engine::Id;
use crate::mail::HEADER_LIMIT;
use rustix::fs::{Mode, OFlags, Timestamps, fstat, futimens, openat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What was found of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Messages that were removed: dead, dropped, or kept when done.
    pub messages: usize,
    /// Stories of other mail in which the address was written over.
    pub stories: usize,
    /// Lines of the history that were written over.
    pub history: usize,
    /// What could not be touched, for somebody works on it just now.
    pub in_hand: usize,
    /// Messages that wait for their target: they are left alone.
    pub waiting: usize,
}

impl Forgotten {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Forgotten {
            messages: self.messages + other.messages,
            stories: self.stories + other.stories,
            history: self.history + other.history,
            in_hand: self.in_hand + other.in_hand,
            waiting: self.waiting + other.waiting,
        }
    }
}

impl Operator {
    /// Erases what is kept of mail whose header names this address, and the address wherever else it stands. A dry
    /// run only counts.
    ///
    /// # Errors
    /// The disk; what was erased by then is.
    pub fn forget(&mut self, address: &str, is_dry: bool) -> io::Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        for folder in
            [DEAD, DONE, TRASH].into_iter().flat_map(|folder| [format!("{folder}/new"), format!("{folder}/cur")])
        {
            for path in self.naming(&folder, address)? {
                let Some(seen) = super::seen::see(&self.layout, &path)? else { continue };
                let acted = if is_dry { Acted::Done } else { self.act(&seen, &Act::Forget)? };
                let count = if acted == Acted::Done { &mut forgotten.messages } else { &mut forgotten.in_hand };
                *count += 1;
            }
        }
        forgotten.waiting = self.naming("new", address)?.len();
        self.forget_in_stories(address, is_dry, &mut forgotten)?;
        self.forget_in_history(address, is_dry, &mut forgotten)?;
        self.sync()?;
        Ok(forgotten)
    }

    /// The messages in a folder whose header names this address.
    fn naming(&self, folder: &str, address: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for name in names(&self.layout, folder)? {
            let path = Path::new(folder).join(name);
            let Some(file) = self.file(&path, OFlags::RDONLY)? else { continue };
            let mut head = Vec::new();
            file.take(HEADER_LIMIT as u64).read_to_end(&mut head).map_err(|error| self.layout.error(&path, error))?;
            if mentions(header_of(&head), address).next().is_some() {
                found.push(path);
            }
        }
        Ok(found)
    }

    fn forget_in_stories(&self, address: &str, is_dry: bool, forgotten: &mut Forgotten) -> io::Result<()> {
        let mut waiting = None;
        for name in names(&self.layout, STORY)? {
            let path = Path::new(STORY).join(&name);
            let Some(id) = name.to_str().and_then(Id::parse) else { continue };
            let Some(text) = self.read(&path)? else { continue };
            if mentions(&text, address).next().is_none() {
                continue;
            }
            if is_dry {
                forgotten.stories += 1;
                continue;
            }
            // Whoever works on a message sets its story's time, and that must not be undone.
            let waiting = match &mut waiting {
                Some(waiting) => waiting,
                none => none.insert(self.waiting()?),
            };
            let held = waiting.get(&id).map(|seen| hold(&self.layout, seen)).transpose()?;
            if matches!(held, Some(Err(_))) {
                forgotten.in_hand += 1;
                continue;
            }
            self.write_over(&path, address)?;
            forgotten.stories += 1;
        }
        Ok(())
    }

    /// What waits, by its id.
    fn waiting(&self) -> io::Result<HashMap<Id, Seen>> {
        let mut waiting = HashMap::new();
        for name in names(&self.layout, "new")? {
            if let Some(seen) = super::seen::see(&self.layout, &Path::new("new").join(name))? {
                waiting.insert(seen.id(), seen);
            }
        }
        Ok(waiting)
    }

    /// Writes over the address in a story, whose time stays what it is.
    fn write_over(&self, path: &Path, address: &str) -> io::Result<()> {
        let Some(file) = self.file(path, OFlags::RDWR)? else { return Ok(()) };
        let error = |error: io::Error| self.layout.error(path, error);
        let found = fstat(&file)?;
        let mut text = Vec::new();
        (&file).read_to_end(&mut text).map_err(error)?;
        for place in mentions(&text, address) {
            file.write_all_at(&vec![b'*'; address.len()], place as u64).map_err(error)?;
        }
        file.sync_data().map_err(error)?;
        let time = |seconds, nanoseconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(found.st_atime, found.st_atime_nsec.cast_signed()),
            last_modification: time(found.st_mtime, found.st_mtime_nsec.cast_signed()),
        };
        futimens(&file, &times).map_err(|errno| error(errno.into()))
    }

    /// Takes the lines out of the history that name the address.
    fn forget_in_history(&self, address: &str, is_dry: bool, forgotten: &mut Forgotten) -> io::Result<()> {
        let mut is_kept = |done: &DoneMail| {
            let told = [&done.from, &done.to, &done.subject, &done.message_id].into_iter().flatten();
            let is_named = told.into_iter().any(|text| mentions(text.as_bytes(), address).next().is_some());
            forgotten.history += usize::from(is_named);
            is_dry || !is_named
        };
        rewrite_history(self.layout.path(), &mut is_kept).map(drop).map_err(|error| self.layout.error(HISTORY, error))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.file(path, OFlags::RDONLY)? else { return Ok(None) };
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| self.layout.error(path, error))?;
        Ok(Some(text))
    }

    /// A regular file; None where there is none, or no more.
    fn file(&self, path: &Path, access: OFlags) -> io::Result<Option<File>> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        match openat(self.layout.root(), path, flags, Mode::empty()) {
            Ok(file) => {
                let file = File::from(file);
                let is_file = file.metadata().map_err(|error| self.layout.error(path, error))?.is_file();
                Ok(is_file.then_some(file))
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(error) => Err(self.layout.error(path, error)),
        }
    }
}

/// The header of a message, of which these are the first bytes.
fn header_of(head: &[u8]) -> &[u8] {
    let ends = [b"\n\n".as_slice(), b"\n\r\n"].map(|end| memchr::memmem::find(head, end));
    let end = ends.into_iter().flatten().min().unwrap_or(head.len());
    &head[..end]
}

/// Where this address stands, in any case of letters, and not only as a part of another one.
fn mentions<'a>(text: &'a [u8], address: &'a str) -> impl Iterator<Item = usize> + 'a {
    let address = address.as_bytes();
    // Of what RFC 5322 allows, what people have; quotes and equals signs more often stand before an address.
    let is_of_address = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte) || *byte >= 0x80;
    let goes_on = |byte: &u8, next: Option<&u8>| match byte {
        // A full stop at the end of a sentence.
        b'.' => next.is_some_and(u8::is_ascii_alphanumeric),
        byte => byte.is_ascii_alphanumeric() || *byte == b'-' || *byte >= 0x80,
    };
    let last = text.len().checked_sub(address.len()).filter(|_| !address.is_empty());
    (0..last.map_or(0, |last| last + 1)).filter(move |&place| {
        let end = place + address.len();
        text[place..end].eq_ignore_ascii_case(address)
            && !place.checked_sub(1).is_some_and(|before| is_of_address(&text[before]))
            && !text.get(end).is_some_and(|byte| goes_on(byte, text.get(end + 1)))
    })
}

#[cfg(test)]
#[path = "forget_tests.rs"]
mod tests;
