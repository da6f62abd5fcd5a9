//! What becomes of the memory that a large mail took.

use std::hint::black_box;

/// A block of this size, and twice as much at the end of each heap, glibc keeps for the next mail; in bytes.
const KEPT: usize = 1 << 20;

/// Has glibc keep what a large mail took. It gives large blocks back to the system, which clears them anew for the next
/// mail, until one of their size was freed: see `M_MMAP_THRESHOLD` of mallopt(3). This block is never written to, so it
/// takes no memory. Other allocators do as they always do.
pub(super) fn keep_large_blocks() {
    drop(black_box(Vec::<u8>::with_capacity(KEPT)));
}
