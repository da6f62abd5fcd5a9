//! What came of it.

use super::super::{Exit, complain, print, say};
use super::{Chosen, Verb, Which, told_of};
use crate::config::Config;
use crate::maildir::Acted;
use indicatif::ProgressBar;
use serde_json::json;
use std::fmt::Write;
use std::io::{self, IsTerminal, stderr};
use std::time::{Duration, Instant};

/// So many are told of one by one.
const FEW: usize = 25;
/// Work that takes no longer is not worth a progress bar.
const SHORT: Duration = Duration::from_secs(1);

/// An account of what was done.
pub(super) struct Account<'a> {
    which: &'a Which,
    verb: &'a Verb<'a>,
    config: &'a Config,
    count: usize,
    began: Instant,
    bar: Option<ProgressBar>,
    done: usize,
    changed: usize,
    skipped: usize,
    failed: usize,
}

impl<'a> Account<'a> {
    pub(super) fn new(which: &'a Which, verb: &'a Verb<'a>, config: &'a Config, count: usize) -> Self {
        let began = Instant::now();
        Account { which, verb, config, count, began, bar: None, done: 0, changed: 0, skipped: 0, failed: 0 }
    }

    /// Tells of one message.
    ///
    /// # Errors
    /// Nothing can be written; it was told of, and this is how to end.
    pub(super) fn tell(&mut self, chosen: &Chosen, acted: io::Result<Acted>) -> Result<(), Exit> {
        let (result, why) = match acted.map(told_of) {
            Ok((result, why)) => (result, why.to_owned()),
            Err(error) => ("failed", error.to_string()),
        };
        *match result {
            "done" => &mut self.done,
            "changed" => &mut self.changed,
            "failed" => &mut self.failed,
            _ => &mut self.skipped,
        } += 1;
        self.show_progress();
        let (id, short) = (chosen.id(), chosen.short());
        if self.which.json {
            let why = (!why.is_empty()).then_some(&why);
            return print(format!(
                "{}\n",
                json!({ "v": 1, "id": id, "act": self.verb.name, "result": result, "reason": why })
            ));
        }
        match result {
            "done" if self.which.quiet => print(format!("{}\n", id.unwrap_or(short))),
            "done" if self.count <= FEW => print(format!("{}\n", (self.verb.done)(self.config, &short))),
            "done" => Ok(()),
            "failed" => {
                complain(format_args!("{short}: {why}"));
                Ok(())
            }
            _ => {
                say(format_args!("{short} is left as it is: {why}"));
                Ok(())
            }
        }
    }

    fn show_progress(&mut self) {
        if self.bar.is_none() && self.began.elapsed() > SHORT && stderr().is_terminal() && !self.which.json {
            self.bar = Some(ProgressBar::new(self.count as u64));
        }
        if let Some(bar) = &self.bar {
            bar.set_position((self.done + self.changed + self.skipped + self.failed) as u64);
        }
    }

    /// Sums up, and says how to end.
    ///
    /// # Errors
    /// Nothing can be written; it was told of, and this is how to end.
    pub(super) fn close(self) -> Result<Exit, Exit> {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        if self.count > 1 && !self.which.json && !self.which.quiet {
            let others = [(self.skipped, "left as they are"), (self.failed, "failed")];
            // Where nothing was done nothing is well.
            let sign = if self.done > 0 { "✓ " } else { "" };
            let mut sum = format!("{sign}{} {} · {} changed meanwhile", self.done, self.verb.all_done, self.changed);
            for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
                let _ = write!(sum, " · {count} {what}");
            }
            print(sum + "\n")?;
        }
        Ok(match (self.failed, self.changed + self.skipped) {
            (1.., _) => Exit::Disk,
            (0, 1..) => Exit::No,
            (0, 0) => Exit::Ok,
        })
    }
}
