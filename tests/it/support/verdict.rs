//! Whether the books of a [`Ledger`](super::ledger::Ledger) balance, and what is wrong if they do not.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use super::process::Exit;

/// What a test cannot rule out, having pulled the plug.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Answers of the app that nobody lived to act upon, so that the mail comes again.
    pub duplicates: usize,
    /// Mails that wait although they were accepted: only if the last process was killed too.
    pub unsettled: usize,
}

impl Allowed {
    pub fn nothing() -> Allowed {
        Allowed::default()
    }

    /// For a test that knows more of its duplicates than how many they are.
    pub fn anything_twice() -> Allowed {
        Allowed { duplicates: usize::MAX, unsettled: 0 }
    }

    /// Each crash may leave one duplicate for every mail in hand.
    pub fn crashes(crashes: usize, concurrency: usize) -> Allowed {
        Allowed { duplicates: crashes * concurrency, unsettled: 0 }
    }
}

/// How the books stand.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub produced: usize,
    /// Mails that the app has accepted.
    pub accepted: usize,
    /// How many times it did so beyond the first.
    pub duplicates: usize,
    /// Requests, however they were answered.
    pub attempts: usize,
    pub waiting: usize,
    pub dead: usize,
    pub faults: Vec<Fault>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Lost { mail: u64 },
    TwoIds { mail: u64, ids: BTreeSet<String> },
    SharedId { id: String, mails: BTreeSet<u64> },
    NoId { mail: u64 },
    Altered { mail: u64, delivered: String, found: String },
    Invented { mail: u64 },
    Unsettled { mails: Vec<u64>, allowed: usize },
    Duplicates { mails: Vec<u64>, found: usize, allowed: usize },
    NoReason { mail: u64 },
    Undocumented { exit: Exit },
    Grown { what: &'static str, before: u64, after: u64 },
}

impl Display for Fault {
    fn fmt(&self, to: &mut Formatter) -> fmt::Result {
        match self {
            Fault::Lost { mail } => write!(to, "L1 mail {mail} is lost"),
            Fault::Invented { mail } => write!(to, "L1 mail {mail} was never delivered, yet it arrived"),
            Fault::TwoIds { mail, ids } => write!(to, "L2 mail {mail} has several ids: {ids:?}"),
            Fault::SharedId { id, mails } => write!(to, "L2 the mails {mails:?} share the id {id}"),
            Fault::NoId { mail } => write!(to, "L2 mail {mail} came without an id"),
            Fault::Altered { mail, delivered, found } => {
                write!(to, "L3 mail {mail} was altered: {delivered} delivered, {found} found")
            }
            Fault::Unsettled { mails, allowed } => {
                write!(to, "L4 {} accepted mails still wait, {allowed} may: {mails:?}", mails.len())
            }
            Fault::Duplicates { mails, found, allowed } => {
                write!(to, "L5 {found} duplicates, {allowed} allowed, of the mails {mails:?}")
            }
            Fault::NoReason { mail } => write!(to, "L6 mail {mail} is dead without a reason"),
            Fault::Undocumented { exit } => write!(to, "L7 maildirq ended, and that is documented nowhere: {exit:?}"),
            Fault::Grown { what, before, after } => write!(to, "L8 {after} {what} where there were {before}"),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, to: &mut Formatter) -> fmt::Result {
        const SHOWN: usize = 20;
        let Verdict { produced, accepted, duplicates, attempts, waiting, dead, faults } = self;
        write!(to, "{produced} mails: {accepted} accepted and {duplicates} times again in {attempts} requests, ")?;
        writeln!(to, "{waiting} waiting, {dead} dead; {} faults", faults.len())?;
        for fault in faults.iter().take(SHOWN) {
            writeln!(to, "  {fault}")?;
        }
        match faults.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(to, "  and {more} more"),
        }
    }
}
