//! Whatever lies where a story should: it is read, and what is told after it is read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maildirq::maildir::fuzzing;
use std::path::PathBuf;
use std::sync::LazyLock;

static MAILDIR: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("maildirq-fuzz.{}", std::process::id())));

fuzz_target!(|input: &[u8]| fuzzing::story(&MAILDIR, input));
