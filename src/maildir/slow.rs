//! How long removals take.
//!
//! Most disks are quick, but where each freed block is discarded at once (mount option `discard`) the last close of a
//! file waits for the device.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Handing a removal to another thread costs a tenth of this.
const LONG: Duration = Duration::from_micros(300);
/// One alone may have taken long because something else had the core.
const SLOW_FROM: u8 = 2;
/// More than these make no difference, so that a few quick ones show that the disk is quick again.
const MOST: u8 = 4;

/// Whether the disk is slow to remove files.
#[derive(Debug, Default)]
pub(super) struct Slow {
    /// By how many more of the last removals took long than did not, within bounds.
    surplus: AtomicU8,
}

impl Slow {
    /// Whether the next removal is likely to take long.
    pub(super) fn is_slow(&self) -> bool {
        self.surplus.load(Ordering::Relaxed) >= SLOW_FROM
    }

    /// A removal took this long.
    pub(super) fn took(&self, time: Duration) {
        let before = self.surplus.load(Ordering::Relaxed);
        let after = if time > LONG { MOST.min(before + 1) } else { before.saturating_sub(1) };
        // All lanes write here. That one of two at the same moment is not counted does no harm.
        if after != before {
            self.surplus.store(after, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_slow_when_more_than_one_removal_takes_long() {
        let (long, short) = (LONG * 2, LONG / 2);
        let slow = Slow::default();
        for (took, expected) in [
            (long, false),
            (short, false),
            (long, false),
            (long, true),
            (short, false),
            (long, true),
            (long, true),
            (long, true),
            (long, true),
            (short, true),
            (short, true),
            (short, false),
            (short, false),
            (long, false),
        ] {
            slow.took(took);
            assert_eq!(slow.is_slow(), expected);
        }
    }
}
