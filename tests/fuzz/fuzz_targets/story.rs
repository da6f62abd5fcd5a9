//! Whatever lies where a story should: it is read, and what is told after it is read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maildirq::maildir::fuzzing;
use tempfile::TempDir;

thread_local! {
    /// At the end of the run it is dropped, unlike a `static`, and its folder removed.
    static MAILDIR: TempDir = TempDir::new().expect("a folder for a test can be made");
}

fuzz_target!(|input: &[u8]| MAILDIR.with(|maildir| fuzzing::story(maildir.path(), input)));
