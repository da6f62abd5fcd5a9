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
use super::{Exit, complain, print};
use std::io::{self, Write, stdout};
use std::thread::sleep;
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

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
        match stdout().write_all(repainted(&text, &terminal).as_bytes()).and_then(|()| stdout().flush()) {
            Ok(()) => sleep(PACE),
            // A reader that has gone away wants no more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            Err(error) => {
                complain(format_args!("cannot write to standard output: {error}"));
                return Err(Exit::Disk);
            }
        }
    }
}

/// At a terminal each picture takes the place of the one before; else they follow each other.
fn repainted(text: &str, terminal: &Terminal) -> String {
    if !terminal.is_terminal {
        return format!("{text}\n");
    }
    // To the upper left; each line, and then the screen below, is cleared.
    let lines: Vec<_> =
        top(text, terminal.width, terminal.height()).iter().map(|line| format!("{line}\x1b[K")).collect();
    // No line end behind the last one, for that would scroll a full screen.
    format!("\x1b[H{}\x1b[J", lines.join("\n"))
}

/// The lines that fit on so many rows of so many columns, from the first on: that is the one which matters.
fn top(text: &str, columns: usize, rows: usize) -> Vec<&str> {
    let mut left = rows;
    let fits = |line: &&str| {
        let needed = shown_width(line).div_ceil(columns.max(1)).max(1);
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    };
    text.lines().take_while(fits).collect()
}

/// How many columns a line takes, its colours aside.
fn shown_width(line: &str) -> usize {
    let mut pieces = line.split('\x1b');
    let plain = pieces.next().unwrap_or_default().width();
    plain + pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, text)| text).width()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_terminal_keeps_the_first_lines() {
        let text = "\x1b[31m1234567\x1b[0m\n\nthird\nfourth\n";
        for (columns, rows, expected) in [(80, 24, 4), (80, 3, 3), (7, 2, 2), (6, 2, 1), (6, 3, 2), (80, 0, 0)] {
            assert_eq!(top(text, columns, rows).len(), expected, "{columns} {rows}");
        }
    }
}
