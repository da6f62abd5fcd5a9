//! `retry`: once more, whatever has become of it.

use super::act::{Verb, Which, act_with};
use super::{Exit, complain, person};
use crate::config::{Config, nearest};
use crate::engine::text::printable;
use crate::engine::{State, States};
use crate::logging::{self, Format};
use crate::maildir::{Act, Retry};
use std::time::SystemTime;
use tracing::Level;

/// Make due now; also revives dead and dropped mail
///
/// Of dead and dropped mail attempts and age count anew. A query that says nothing of
/// states means mail that waits for a retry or is dead. It is safe beside a running
/// watch, which sees it at once; messages that it has in hand are left alone.
///
/// Exit code: 0 all of them · 1 some were left as they are · 64 nobody is there to be
/// asked (see --yes) · 66 no message matches · 74 disk or permissions · 78 configuration.
///
/// Example: maildirq retry state:dead target:app error:503
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq retry ID…|QUERY [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Not before this time: 03:00, "2026-11-22 03:00", RFC 3339, or from now: 2h
    #[arg(long, value_name = "TIME", value_parser = person::parse_moment)]
    at: Option<SystemTime>,
    /// To this target, whatever the routes say
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Count attempts and age anew
    #[arg(long)]
    reset: bool,
}

/// Makes them due.
pub fn run(args: &Args) -> Exit {
    logging::start(Format::Text, Level::WARN);
    match retry(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn retry(args: &Args) -> Result<Exit, Exit> {
    let config = args.which.file.read_places()?;
    if let Some(target) = &args.to {
        check_target(&config, target)?;
    }
    let when = args.at.map_or_else(|| "now".to_owned(), |at| format!("at {}", person::shown(at)));
    let to = args.to.as_ref().map(|target| format!(", to {target}")).unwrap_or_default();
    let done = |_: &Config, id: &str| format!("✓ {id} due {when}{to}");
    let verb = Verb {
        act: Act::Retry(Retry { at: args.at, target: args.to.clone(), reset: args.reset }),
        name: "retry",
        title: "Retry",
        done: &done,
        all_done: &format!("due {when}{to}"),
        usual: States::from_iter([State::Retry, State::Dead]),
    };
    act_with(&args.which, &verb, &config)
}

/// Whether there is such a target.
///
/// # Errors
/// There is none; it was told of, and this is how to end.
pub fn check_target(config: &Config, target: &str) -> Result<(), Exit> {
    let known: Vec<_> = config.targets.iter().map(|target| target.name.as_str()).collect();
    if known.contains(&target) {
        return Ok(());
    }
    let near = nearest(target, known.iter().copied());
    let near = near.map(|near| format!("\n  = did you mean `{near}`?")).unwrap_or_default();
    let shown = printable(target.as_bytes());
    complain(format_args!("there is no target `{shown}`{near}\n  = there are: {}", known.join(", ")));
    Err(Exit::NoInput)
}
