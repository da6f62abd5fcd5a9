//! `show`: one message, with all that happened to it, by the files alone.

mod attempts;
mod content;
mod past;
mod sheet;

use super::config_file::ConfigArg;
use super::list::json;
use super::select::{Views, one_if_any, views};
use super::terminal::{ColourArg, Terminal};
use super::{Exit, complain, print, route};
use crate::config::Config;
use crate::maildir::Record;
use serde_json::{Value, json as object};

/// Show one message: envelope, parts, every attempt
///
/// ID is six or more characters of an id, the name or the path of a file, or a Message-ID.
/// What is in a message is shown only with --text, --raw, --headers, --parts or --payload.
///
/// Exit code: 0 · 64 ID may be any of several, which are listed · 66 there is none ·
/// 74 a Maildir cannot be read; what is in the others is shown · 78 configuration.
///
/// Example: maildirq show k7f3q9
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq show [-c FILE] [OPTIONS] ID")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// Which message
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    what: What,
    /// Print all that is known of its attempt N
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    colour: ColourArg,
}

#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, and clap lets one of them be given")]
struct What {
    /// Print its text, decoded
    #[arg(long)]
    text: bool,
    /// Print it as it is, byte for byte; at a terminal with what could act on it spelled out
    #[arg(long)]
    raw: bool,
    /// Print its header, decoded
    #[arg(long)]
    headers: bool,
    /// List its parts
    #[arg(long)]
    parts: bool,
    /// Print the body that its target would get, byte for byte. Secrets must be there, and may stand in it
    #[arg(long)]
    payload: bool,
    /// Print a command line that sends the whole request; secrets stand there as variables
    #[arg(long)]
    curl: bool,
}

/// Shows.
pub fn run(args: &Args) -> Exit {
    show(args).unwrap_or_else(|exit| exit)
}

fn show(args: &Args) -> Result<Exit, Exit> {
    let config = args.file.read_places()?;
    let views = views(&config, |_| true)?;
    let shown = show_one(args, &config, &views);
    let (Ok(exit) | Err(exit)) = shown;
    Ok(views.end(exit))
}

fn show_one(args: &Args, config: &Config, views: &Views) -> Result<Exit, Exit> {
    let terminal = Terminal::of_stdout(args.colour.color);
    let Some(record) = one_if_any(views, &args.id)? else {
        return past::show(args, views, &terminal);
    };
    let What { text, raw, headers, parts, payload, curl } = args.what;
    if payload || curl {
        return route::show_request(&args.file, &record, curl);
    }
    if text || raw || headers || parts {
        let read = match () {
            () if text => content::text(&record),
            () if raw => content::raw(&record, &terminal),
            () if headers => content::headers(&record),
            () => content::parts(&record, &terminal),
        };
        let read = read.map_err(|error| {
            complain(format_args!("cannot read {}: {error}", super::mail::shown(&record.path())));
            Exit::NoInput
        })?;
        return print(read).map(|()| Exit::Ok);
    }
    if let Some(number) = args.attempt {
        let chapter = record.tale().attempt(number);
        let Some(chapter) = chapter else {
            complain(format_args!("there was no attempt {number} that failed\n  = try: maildirq show {}", args.id));
            return Err(Exit::NoInput);
        };
        return if args.json {
            print(format!("{}\n", attempts::json(chapter))).map(|()| Exit::Ok)
        } else {
            print(attempts::sheet(chapter, &terminal)).map(|()| Exit::Ok)
        };
    }
    if args.json {
        return print(format!("{}\n", whole_json(&record, config))).map(|()| Exit::Ok);
    }
    print(sheet::of(&record, config, &terminal)).map(|()| Exit::Ok)
}

/// As a listing has it, and what happened to it besides.
fn whole_json(record: &Record, config: &Config) -> Value {
    let mut whole = json(record);
    let tale = record.tale();
    whole["route"] = sheet::route_of(record, config).map(|(name, _)| name).into();
    whole["chosen_target"] = tale.chosen_target().into();
    whole["has_attachment"] = record.has_attachment().into();
    whole["story"] = tale.chapters.iter().map(attempts::json).collect();
    if let Some(fault) = &tale.fault {
        whole["story_fault"] = object!(fault);
    }
    whole
}
