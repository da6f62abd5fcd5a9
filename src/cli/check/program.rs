//! What runs when a program is run: itself, or the interpreter that its `#!` line names.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel looks no further for a `#!` line, in bytes.
const FIRST_LINE: u64 = 255;

/// What a `#!` line says.
#[derive(Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The program that the kernel runs.
    pub path: PathBuf,
    /// What `env` is told to look for in `PATH`, where it is that.
    pub by_env: Option<String>,
}

/// The interpreter of this program, where it has one that can be read.
pub fn interpreter(program: &Path) -> Option<Interpreter> {
    let mut first = Vec::new();
    File::open(program).ok()?.take(FIRST_LINE).read_to_end(&mut first).ok()?;
    of_line(first.split(|byte| *byte == b'\n').next()?)
}

fn of_line(line: &[u8]) -> Option<Interpreter> {
    let line = line.strip_prefix(b"#!")?.trim_ascii();
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let path = PathBuf::from(OsStr::from_bytes(words.next()?));
    let is_env = path.file_name().is_some_and(|name| name == "env");
    let is_name = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
    let by_env = words.find(is_name).filter(|_| is_env).map(|name| String::from_utf8_lossy(name).into_owned());
    Some(Interpreter { path, by_env })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_found_in_the_first_line() {
        for (line, expected) in [
            (&b"#!/bin/sh"[..], Some(("/bin/sh", None))),
            (b"#! /bin/sh -e", Some(("/bin/sh", None))),
            (b"#!/usr/bin/env node", Some(("/usr/bin/env", Some("node")))),
            (b"#!/usr/bin/env -S node --title=x", Some(("/usr/bin/env", Some("node")))),
            (b"#!/usr/bin/env -S A=b ruby", Some(("/usr/bin/env", Some("ruby")))),
            (b"#!/usr/bin/env", Some(("/usr/bin/env", None))),
            (b"#!", None),
            (b"\x7fELF", None),
            (b"", None),
        ] {
            let expected = expected.map(|(path, by_env): (&str, Option<&str>)| Interpreter {
                path: path.into(),
                by_env: by_env.map(str::to_owned),
            });
            assert_eq!(of_line(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }
}
