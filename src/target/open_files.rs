//! How many files may be open: more for us than for the programs that we start.
//!
//! Programs that use select(2) break where a descriptor may be above 1023, so the soft limit is usually that low; who
//! can do with more raises it for himself, and for himself alone.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// The soft limit that we were started with, where we have raised it.
static USUAL: OnceLock<Option<u64>> = OnceLock::new();

/// Makes room for so many open files at least, as far as the system allows, and returns how many there may be; None is
/// no limit. Where there is room enough nothing is changed: programs are started faster then.
pub fn make_room_for(files: Option<u64>) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_enough = current.is_none_or(|current| files.is_some_and(|files| files <= current));
    if is_enough || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        return current;
    }
    USUAL.get_or_init(|| current);
    maximum
}

/// The soft limit for a program, where ours is another.
pub(super) fn usual() -> Option<u64> {
    USUAL.get().copied().flatten()
}
