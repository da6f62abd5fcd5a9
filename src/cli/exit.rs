//! Exit codes: those of sysexits(3), for users who read mail logs.

use crate::config::ConfigError;
use crate::maildir::OpenError;
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well; for `drain`: `new/` holds nothing more.
    Ok,
    /// A negative answer; for `drain`: something went dead in this run.
    No,
    /// Wrong flags.
    Usage,
    /// There is no such file, message or configuration.
    NoInput,
    /// It needs the daemon, and that is not running.
    Unavailable,
    /// What was given is no message.
    DataError,
    /// A bug of ours.
    Software,
    /// The disk or its permissions.
    Disk,
    /// For `drain`: something waits. For `deliver`: not now.
    TempFail,
    /// For `deliver`: never.
    NoPermission,
    /// The configuration.
    Config,
    /// For `status --check`: what monitoring plugins say. 0 is OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    Plugin(u8),
    /// Ended by this signal.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Usage => 64,
            Exit::DataError => 65,
            Exit::NoInput => 66,
            Exit::Unavailable => 69,
            Exit::Software => 70,
            Exit::Disk => 74,
            Exit::TempFail => 75,
            Exit::NoPermission => 77,
            Exit::Config => 78,
            Exit::Plugin(level) => level,
            Exit::Signal(number) => 128 + number,
        })
    }
}

impl From<&ConfigError> for Exit {
    fn from(_: &ConfigError) -> Exit {
        Exit::Config
    }
}

impl From<&OpenError> for Exit {
    fn from(error: &OpenError) -> Exit {
        match error {
            OpenError::Io { .. } => Exit::Disk,
            _ => Exit::Config,
        }
    }
}
