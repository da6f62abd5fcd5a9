//! `status`: is it healthy? One sentence first, then what it is made of.

mod ages;
mod daemons;
mod look;
mod picture;
mod sentence;
mod sheet;

pub use picture::{Condition, DaemonNow, Deaths, Hour, Picture, QueueNow, TargetNow, Traffic};
pub use sentence::{Level, Sentence};

use super::config_file::ConfigArg;
use super::terminal::{ColourArg, Terminal};
use super::{Exit, print};
use std::thread::sleep;
use std::time::Duration;

/// How often it is looked at anew with `--watch`.
const PACE: Duration = Duration::from_secs(1);

/// Is it healthy? One screen, one exit code
///
/// It looks at the files, also while maildirq is stopped, and asks the daemon for what only that
/// knows: which targets are down, and the last hour. --check prints one line in the form of
/// monitoring plugins (Nagios, Icinga, Checkmk), and then the exit code is theirs: 0 OK,
/// 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
///
/// Exit code: 0 healthy · 1 it needs attention, or a Maildir cannot be read · 78 configuration.
///
/// Example: maildirq status --watch
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(verbatim_doc_comment, override_usage = "maildirq status [-c FILE] [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// One line for monitoring
    #[arg(long, conflicts_with_all = ["json", "watch", "ages"])]
    check: bool,
    /// Print it anew each second, until it is interrupted
    #[arg(long, conflicts_with_all = ["json", "ages"])]
    watch: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How old waiting mail is, by queue and target
    #[arg(long)]
    ages: bool,
    #[command(flatten)]
    colour: ColourArg,
}

/// Looks.
pub fn run(args: &Args) -> Exit {
    let looked = if args.ages { ages::run(args) } else { status(args) };
    match looked {
        // A plugin that cannot tell says so.
        Err(exit) if args.check => {
            let line = "UNKNOWN - maildirq cannot look; see its standard error\n";
            print(line).err().unwrap_or(if exit == Exit::Ok { Exit::Ok } else { Exit::Plugin(3) })
        }
        Ok(exit) | Err(exit) => exit,
    }
}

fn status(args: &Args) -> Result<Exit, Exit> {
    let config = args.file.read_places()?;
    loop {
        let picture = look::look(&config)?;
        let sentence = Sentence::of(&picture);
        let terminal = Terminal::of_stdout(args.colour.color);
        if args.check {
            print(sheet::plugin(&picture, &sentence))?;
            return Ok(Exit::Plugin(sentence.level as u8));
        }
        let text = if args.json {
            format!("{}\n", sheet::json(&picture, &sentence))
        } else {
            sheet::text(&picture, &sentence, &terminal)
        };
        if !args.watch {
            print(text)?;
            return Ok(match sentence.level {
                Level::Ok => Exit::Ok,
                Level::Warning | Level::Critical | Level::Unknown => Exit::No,
            });
        }
        print(repainted(&text, &terminal))?;
        sleep(PACE);
    }
}

/// At a terminal each picture takes the place of the one before; else they follow each other.
fn repainted(text: &str, terminal: &Terminal) -> String {
    if !terminal.is_terminal {
        return format!("{text}\n");
    }
    // To the upper left; each line, and then the screen below, is cleared.
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}
