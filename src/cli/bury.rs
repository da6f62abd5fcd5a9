//! `bury`: no more tries.

use super::Exit;
use super::act::{Verb, Which, run as act};
use crate::engine::States;
use crate::maildir::Act;

/// Stop retrying, park in dead
///
/// What is buried is dead, with your name and reason in its story; maildirq retry
/// revives it. A query that says nothing of states means mail that waits.
///
/// Exit code: 0 all of them · 1 some were left as they are · 64 nobody is there to be
/// asked (see --yes) · 66 no message matches · 74 disk or permissions · 78 configuration.
///
/// Example: maildirq bury target:crm age:>2d --reason "the crm is no more"
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq bury ID…|QUERY [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Why, for those who wonder
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Buries them.
pub fn run(args: &Args) -> Exit {
    let verb = Verb {
        act: Act::Bury { reason: args.reason.clone() },
        name: "bury",
        title: "Bury",
        done: &|_, id| format!("✖ {id} buried: it is tried no more       undo: maildirq retry {id}"),
        all_done: "buried",
        usual: States::WAITING,
    };
    act(&args.which, &verb)
}
