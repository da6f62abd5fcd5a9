//! `watch`: the daemon.

use super::run::{Ended, RunArgs, run as run_loop};
use super::{Exit, complain};
use crate::engine::Until;
use crate::logging::Format;
use crate::wire::Plan;
use std::io::{IsTerminal, stderr};
use tracing::{Level, info};

/// Process mail as it arrives (the daemon)
///
/// Example: maildirq watch -c /etc/maildirq/maildirq.toml
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq watch (-c FILE | --maildir PATH --post URL) [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
}

/// Runs until a signal.
pub fn run(args: &Args) -> Exit {
    let format = if stderr().is_terminal() { Format::Text } else { Format::Json };
    args.run.start_log(format, Level::INFO);
    let ended = args.run.source().and_then(|source| {
        let plan = Plan { until: Until::Stopped, since: args.run.since() };
        run_loop(&source, plan, |_| std::future::ready(()))
    });
    match ended {
        Ok(Ended { report: Ok(report), .. }) => {
            info!(event = "stopped", done = report.done, failed = report.failed, dead = report.dead);
            Exit::Ok
        }
        Ok(Ended { report: Err(error), .. }) => {
            complain(error);
            Exit::Disk
        }
        Err(exit) => exit,
    }
}
