//! What there is, on one screen: the help of the program as a whole.

use clap::Command;
use std::fmt::Write;

/// The commands, by what a person is about to do.
const GROUPS: &[(&str, &[&str])] = &[
    ("Run", &["watch", "drain", "deliver"]),
    ("Look", &["status", "list", "show", "tail"]),
    ("Act", &["retry", "bury", "drop", "pause", "resume", "forget"]),
    ("Set up", &["init", "check", "route", "send", "demo", "gen"]),
];

/// The map of the commands that are there, each with the first line of its help.
pub fn map(program: &Command) -> String {
    let mut map = format!(
        "maildirq {}: {}\nUsage: maildirq <command> [options]\n",
        env!("CARGO_PKG_VERSION"),
        program.get_about().map(ToString::to_string).unwrap_or_default()
    );
    map.push('\n');
    for (title, verbs) in GROUPS {
        let mut title = *title;
        for verb in verbs.iter().filter_map(|verb| program.find_subcommand(verb)) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(map, "  {title:<8}{:<11}{about}", verb.get_name());
            title = "";
        }
    }
    map.push_str("\nmaildirq <command> --help tells more; maildirq gen config shows every setting.\n");
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_map_fits_on_one_screen_and_has_every_command() {
        let program = Cli::command();
        let map = map(&program);
        assert!(map.lines().count() <= 24, "{map}");
        for line in map.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for verb in program.get_subcommands() {
            let words = format!(" {:<11}{}", verb.get_name(), verb.get_about().unwrap());
            assert!(map.contains(&words), "{words} is not in\n{map}");
        }
    }

    #[test]
    fn the_commands_make_sense_to_their_parser() {
        Cli::command().debug_assert();
    }
}
