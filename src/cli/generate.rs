//! `gen`: what others need to know of this program, made by itself or shipped with it.

mod artefacts;

use super::{Cli, Exit, complain, print};
use crate::config::reference;
use crate::payload;
use artefacts::{Alerts, Systemd};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use std::fs;
use std::path::{Path, PathBuf};

/// Print configuration, completions, manual, units, alerts
///
/// All of it is made from what the program itself goes by, or is part of it, so it is never out of date.
///
/// Example: maildirq gen config > maildirq.toml
#[derive(Clone, Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    disable_help_subcommand = true,
    override_usage = "maildirq gen config|schema|payload|completions SHELL|man [DIR]|docs|systemd|alerts"
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// A maildirq.toml with every setting, commented out
    Config,
    /// A JSON Schema of maildirq.toml, for editors
    Schema,
    /// Completions for a shell
    Completions {
        /// Which one
        shell: Shell,
    },
    /// The manual page maildirq(1), or all pages into a folder
    Man {
        /// Where maildirq.1, a page for each command and maildirq.toml.5 are written; made if it is not there
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// A JSON Schema of what `format = "json"` sends
    Payload,
    /// All settings, as a page of documentation in Markdown
    Docs,
    /// The hardened unit of the daemon, or what else there is for systemd
    Systemd(Systemd),
    /// Alert rules for Prometheus
    Alerts(Alerts),
}

/// Prints it.
pub fn run(args: &Args) -> Exit {
    let text = match &args.what {
        What::Config => reference::annotated_config().into_bytes(),
        What::Schema => format!("{:#}\n", reference::json_schema()).into_bytes(),
        What::Payload => format!("{:#}\n", payload::json_schema()).into_bytes(),
        What::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "maildirq", &mut text);
            text
        }
        What::Man { folder: None } => {
            let mut text = Vec::new();
            Man::new(Cli::command()).render(&mut text).expect("memory takes all that is written");
            text
        }
        What::Man { folder: Some(folder) } => return write_manual(folder),
        What::Docs => reference::markdown().into_bytes(),
        What::Systemd(which) => which.text().into(),
        What::Alerts(which) => which.text().into(),
    };
    print(&text).err().unwrap_or(Exit::Ok)
}

fn write_manual(folder: &Path) -> Exit {
    let written = fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .and_then(|()| fs::write(folder.join("maildirq.toml.5"), reference::man_page()));
    match written {
        Ok(()) => Exit::Ok,
        Err(error) => {
            complain(format_args!("cannot write manual pages into {}: {error}", folder.display()));
            Exit::Disk
        }
    }
}
