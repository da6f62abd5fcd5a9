//! What this process holds, written down so that its crash can be understood.
//!
//! `maildirq/hands/RANDOM` is locked for the life of its process. It has one slot for each claim,
//! overwritten in place: no file is made for a message, and a full disk takes it, too. A hands file
//! that can be locked was left behind by a crash.

use super::layout::{HANDS, Layout};
use crate::engine::Id;
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, fallocate, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a slot: room for a stamp, an id and the longest file name, within one sector, so that
/// a power cut does not tear it.
const SLOT: usize = 512;

/// How far a claim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// The message is read. A death now may be its fault.
    Reading,
    /// Its target is waited for. A death now is not.
    Sending,
}

const FREE: u8 = b'-';

impl Phase {
    fn letter(self) -> u8 {
        match self {
            Phase::Reading => b'r',
            Phase::Sending => b's',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        [Phase::Reading, Phase::Sending].into_iter().find(|phase| phase.letter() == letter)
    }
}

/// One claim, as written in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub phase: Phase,
    pub stamp: String,
    pub id: Id,
    pub name: OsString,
}

impl Holding {
    /// None for a free slot, and for what is not whole.
    fn from_slot(slot: &[u8]) -> Option<Self> {
        let mut parts = slot.splitn(5, |&byte| byte == b' ');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let phase = Phase::of(*text()?.as_bytes().first()?)?;
        let stamp = text()?.to_owned();
        let id = Id::parse(text()?)?;
        let length: usize = text()?.parse().ok()?;
        let rest = parts.next()?;
        (rest.get(length) == Some(&b'\n')).then(|| Holding {
            phase,
            stamp,
            id,
            name: OsStr::from_bytes(&rest[..length]).to_owned(),
        })
    }
}

/// What is written in a slot: `phase stamp id length name`, padded by zeros.
fn text_of_slot(phase: Phase, stamp: &str, id: Id, name: &OsStr) -> Vec<u8> {
    let mut text = Vec::with_capacity(SLOT);
    let length = name.len().to_string();
    for word in [&[phase.letter()], stamp.as_bytes(), &id.characters(), length.as_bytes()] {
        text.extend_from_slice(word);
        text.push(b' ');
    }
    text.extend_from_slice(name.as_bytes());
    text.push(b'\n');
    text.resize(SLOT, 0);
    text
}

/// The hands of this process.
#[derive(Debug)]
pub(super) struct Hands {
    file: File,
    name: String,
    slots: Mutex<Slots>,
    claims: AtomicU64,
}

#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    /// Free, but what is written there is not.
    spent: Vec<u32>,
    used: u32,
}

/// The right to one slot; to be given back by [`Hands::clear`] or [`Hands::spend`].
#[derive(Debug)]
pub(super) struct Slot {
    number: u32,
    pub stamp: String,
    phase: Phase,
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT as u64
}

impl Hands {
    /// Makes the hands file with room for `slots` claims.
    ///
    /// # Errors
    /// The disk, which may be full.
    pub(super) fn make(layout: &Layout, slots: usize) -> io::Result<Self> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = data_encoding::HEXLOWER.encode(&random);
        // Under a hidden name until it is locked: it must never look left behind.
        let draft = format!("{HANDS}/.{name}");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(openat(layout.root(), &*draft, flags, Mode::RUSR | Mode::WUSR)?);
        let length = (slots.max(1) * SLOT) as u64;
        let made = fs2::FileExt::try_lock_exclusive(&file)
            .and_then(|()| allocate(&file, length))
            // Space alone is not enough: on a full disk even unwritten blocks may not turn written.
            .and_then(|()| file.write_all_at(&vec![0; slots.max(1) * SLOT], 0))
            .and_then(|()| Ok(renameat(layout.root(), &*draft, layout.root(), format!("{HANDS}/{name}"))?));
        if let Err(error) = made {
            let _ = unlinkat(layout.root(), &*draft, AtFlags::empty());
            return Err(error);
        }
        Ok(Hands { file, name, slots: Mutex::default(), claims: AtomicU64::new(0) })
    }

    /// Writes down a claim, before anything of the message is read.
    ///
    /// # Errors
    /// The disk; then the message must not be worked on.
    pub(super) fn hold(&self, id: Id, name: &OsStr) -> io::Result<Slot> {
        let number = {
            let mut slots = self.slots();
            slots.spent.pop().or_else(|| slots.free.pop()).unwrap_or_else(|| {
                slots.used += 1;
                slots.used - 1
            })
        };
        let stamp = [&*self.name, ".", &self.claims.fetch_add(1, Ordering::Relaxed).to_string()].concat();
        let slot = Slot { number, stamp, phase: Phase::Reading };
        match self.file.write_all_at(&text_of_slot(slot.phase, &slot.stamp, id, name), offset(slot.number)) {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.give_back(slot);
                Err(error)
            }
        }
    }

    /// Notes that only the target is waited for now.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn sending(&self, slot: &mut Slot) -> io::Result<()> {
        self.file.write_all_at(&[Phase::Sending.letter()], offset(slot.number))?;
        slot.phase = Phase::Sending;
        Ok(())
    }

    /// Frees a slot.
    pub(super) fn clear(&self, slot: Slot) {
        self.erase(slot.number);
        self.give_back(slot);
    }

    /// Gives a slot back whose message is gone. In phase *sending* whatever it says counts no more: where there is `more`
    /// to do it is left to the next claim to overwrite it.
    pub(super) fn spend(&self, slot: Slot, more: bool) {
        if slot.phase == Phase::Reading {
            return self.clear(slot);
        }
        let mut slots = self.slots();
        slots.spent.push(slot.number);
        if more {
            return;
        }
        let spent = mem::take(&mut slots.spent);
        drop(slots);
        for &number in &spent {
            self.erase(number);
        }
        self.slots().free.extend(spent);
    }

    /// Should even this fail, the next claim overwrites it, and until then a crash is counted at most once for its
    /// stamp.
    fn erase(&self, number: u32) {
        if let Err(error) = self.file.write_all_at(&[FREE], offset(number)) {
            tracing::warn!(event = "slot_not_cleared", reason = %error);
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a slot is given back once")]
    fn give_back(&self, slot: Slot) {
        self.slots().free.push(slot.number);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Removes the file: the end of an orderly process.
    pub(super) fn remove(&self, layout: &Layout) {
        if let Err(error) = unlinkat(layout.root(), format!("{HANDS}/{}", self.name), AtFlags::empty()) {
            tracing::debug!(event = "hands_not_removed", reason = %error);
        }
    }
}

/// Takes the space now. Where a file system does not know how, writing does it as well.
fn allocate(file: &File, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All that a hands file says is held.
///
/// # Errors
/// It cannot be read.
pub(super) fn holdings(file: &mut File) -> io::Result<Vec<Holding>> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text.chunks(SLOT).filter_map(Holding::from_slot).collect())
}

#[cfg(test)]
mod tests {
    use super::super::layout::Keep;
    use super::*;

    fn holding(name: &[u8]) -> Holding {
        Holding {
            phase: Phase::Reading,
            stamp: "0123456789abcdef.18446744073709551615".into(),
            id: Id::from_digest(&[9; 32]),
            name: OsStr::from_bytes(name).to_owned(),
        }
    }

    fn text_of(holding: &Holding) -> Vec<u8> {
        text_of_slot(holding.phase, &holding.stamp, holding.id, &holding.name)
    }

    #[test]
    fn a_slot_holds_any_name() {
        for name in [&b"1762087331.a.mx1"[..], b"with blanks and\nnewline", b"\xff\xfe", &[b'x'; 255]] {
            let held = holding(name);
            assert_eq!((text_of(&held).len(), Holding::from_slot(&text_of(&held))), (SLOT, Some(held)));
        }
    }

    #[test]
    fn a_slot_that_is_spent_is_the_next_to_be_used_or_cleared_at_last() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("new")).unwrap();
        let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
        let hands = Hands::make(&layout, 8).unwrap();
        let hold = |name: &str| {
            let mut slot = hands.hold(Id::from_digest(&[9; 32]), OsStr::new(name)).unwrap();
            hands.sending(&mut slot).unwrap();
            slot
        };
        let all_held = || -> Vec<_> {
            let mut file = File::open(folder.path().join(HANDS).join(hands.name())).unwrap();
            holdings(&mut file).unwrap().into_iter().map(|holding| (holding.phase, holding.name)).collect()
        };
        let sent = |name: &str| (Phase::Sending, OsString::from(name));

        let (one, two) = (hold("one"), hold("two"));
        hands.spend(one, true);
        assert_eq!(all_held(), [sent("one"), sent("two")]);
        let three = hold("three");
        assert_eq!(all_held(), [sent("three"), sent("two")]);
        hands.spend(two, true);
        hands.spend(three, false);
        assert_eq!(all_held(), []);
        let (_four, _five) = (hold("four"), hold("five"));
        assert_eq!(hands.slots().used, 2);
    }

    #[test]
    fn free_and_torn_slots_hold_nothing() {
        let mut slot = text_of(&holding(b"1762087331.a.mx1"));
        for end in 0..80 {
            let mut torn = slot.clone();
            torn[end..].fill(0);
            assert_eq!(Holding::from_slot(&torn), None, "cut at {end}");
        }
        slot[0] = FREE;
        assert_eq!(Holding::from_slot(&slot), None);
        assert_eq!(Holding::from_slot(&[0; SLOT]), None);
        assert_eq!(Holding::from_slot(b""), None);
    }
}
