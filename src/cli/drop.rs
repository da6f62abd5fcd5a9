//! `drop`: into the trash, and from there, if it must be, for good.

use super::act::{Verb, Which, run as act};
use super::{Exit, complain, person};
use crate::config::Config;
use crate::engine::{State, States};
use crate::maildir::Act;
use std::time::SystemTime;

/// Move to the trash; retry is the undo
///
/// What is in the trash is kept as long as [keep] trash says, and is then removed by a
/// running watch. With --forever what is in the trash is removed now, for good.
///
/// Exit code: 0 all of them · 1 some were left as they are · 64 nobody is there to be
/// asked (see --yes) · 66 no message matches · 74 disk or permissions · 78 configuration.
///
/// Example: maildirq drop state:dead from:@spam.example
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq drop ID…|QUERY [--forever] [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Remove for good what is in the trash; needs --yes
    #[arg(long)]
    forever: bool,
}

/// Drops them.
pub fn run(args: &Args) -> Exit {
    if !args.forever {
        return act(&args.which, &verb(Act::Drop));
    }
    if !args.which.yes && !args.which.dry_run {
        complain("what is removed forever does not come back\n  = try: --yes, or --dry-run to see what it would be");
        return Exit::Usage;
    }
    act(&args.which, &verb(Act::Erase))
}

fn verb(act: Act) -> Verb<'static> {
    if act == Act::Erase {
        return Verb {
            act,
            name: "erase",
            title: "Erase",
            done: &|_, id| format!("⌫ {id} removed for good"),
            all_done: "removed for good",
            usual: States::from_iter([State::Trash]),
        };
    }
    Verb { act, name: "drop", title: "Drop", done: &dropped, all_done: "dropped, in the trash", usual: States::OPEN }
}

fn dropped(config: &Config, id: &str) -> String {
    let end = config.keep.trash.and_then(|age| SystemTime::now().checked_add(age));
    let until = end.map(|end| format!(" until {}", person::shown(end))).unwrap_or_default();
    format!("⌫ {id} dropped, in the trash{until}       undo: maildirq retry {id}")
}
