//! A program that is to be run, whatever for.

use crate::secret::Secret;
use std::path::PathBuf;

/// A program, its arguments, and what it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramConfig {
    /// The program, by its whole path.
    pub program: PathBuf,
    /// What it is given as arguments, as it is written: there is no shell.
    pub arguments: Vec<String>,
    /// Its working directory; unless given, ours.
    pub directory: Option<PathBuf>,
    /// Who it runs as; unless given, whoever we are.
    pub account: Option<Account>,
    /// What its environment holds beside the usual.
    pub environment: Vec<(String, Secret)>,
}

impl ProgramConfig {
    /// A program that needs nothing particular.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        ProgramConfig {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            directory: None,
            account: None,
            environment: Vec::new(),
        }
    }
}

/// A user of this machine, and the group that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number: the user's own, or the one that was given.
    pub gid: u32,
    /// The user's home.
    pub home: PathBuf,
}

/// What a program may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of each of its processes (the address space: `RLIMIT_AS`), in bytes.
    pub memory: Option<u64>,
    /// CPU time of each of its processes (`RLIMIT_CPU`), in whole seconds.
    pub cpu: Option<u32>,
    /// What it may write on standard output and standard error together, in bytes.
    pub output: Option<u64>,
}
