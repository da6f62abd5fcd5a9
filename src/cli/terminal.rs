//! How output looks: for a person at a terminal, or for whatever stands behind a pipe.
//!
//! At a terminal there are colours, times since, and lines that fit. Behind a pipe there is none of that: whole
//! texts, whole times, and no escape sequence. Whatever comes from a mail or an app is made
//! [printable](crate::engine::text) first, everywhere.

use crate::engine::text::{printable_within, within_rfc3339};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use rustix::termios::tcgetwinsize;
use std::env;
use std::fmt::Write as _;
use std::io::{IsTerminal, stderr, stdout};
use std::time::{Duration, Instant, SystemTime};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width of a terminal that does not tell its own, in columns.
const USUAL_WIDTH: usize = 80;
/// The height of one that does not tell its own, in lines.
const USUAL_HEIGHT: usize = 24;
/// How long work may take before it shows that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// At a terminal, unless `NO_COLOR` is set; else where `CLICOLOR_FORCE` is.
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The flag for it.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ColourArg {
    /// When there are colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Colour,
}

/// What a colour says. Each can be read on a light and on a dark ground, and none says it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// It should be looked at.
    Warning,
    /// It needs a person.
    Bad,
    /// It matters less.
    Quiet,
}

/// Where standard output goes.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "there is no better word")]
pub struct Terminal {
    /// Whether a person reads it.
    pub is_terminal: bool,
    /// Its width in columns; as wide as can be behind a pipe.
    pub width: usize,
    /// What times are counted from.
    pub now: SystemTime,
    has_colours: bool,
}

impl Terminal {
    /// As standard output is now.
    pub fn of_stdout(colour: Colour) -> Self {
        let is_terminal = stdout().is_terminal();
        let width = if is_terminal { width() } else { usize::MAX };
        let has_colours = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => wants_colours(is_terminal, |name| env::var(name).ok()),
        };
        Terminal { is_terminal, width, now: SystemTime::now(), has_colours }
    }

    /// Its height in lines.
    #[expect(clippy::unused_self, reason = "it is of this terminal, as it is now")]
    pub fn height(&self) -> usize {
        let of_terminal = tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_row));
        if of_terminal > 0 { of_terminal } else { USUAL_HEIGHT }
    }

    /// A text in a colour, where there are any.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.has_colours => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// How long ago a time was; behind a pipe the time itself.
    pub fn since(&self, time: SystemTime) -> String {
        if !self.is_terminal {
            return whole_time(time);
        }
        span(self.now.duration_since(time).unwrap_or_default())
    }

    /// How long until a time; behind a pipe the time itself.
    pub fn until(&self, time: SystemTime) -> String {
        match time.duration_since(self.now) {
            _ if !self.is_terminal => whole_time(time),
            Ok(left) if !left.is_zero() => span(left),
            _ => "now".into(),
        }
    }

    /// A text within so many columns; behind a pipe all of it.
    pub fn fit(&self, text: &str, columns: usize) -> String {
        if !self.is_terminal || text.width() <= columns {
            return text.to_owned();
        }
        let mut left = columns.saturating_sub(1);
        let fits = |letter: &char| {
            let width = letter.width().unwrap_or_default();
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        };
        text.chars().take_while(fits).chain(['…']).collect()
    }

    /// A table. At a terminal the last column that may be cut is, so that a line fits; behind a pipe there is a tab
    /// between columns.
    pub fn table(&self, columns: &[Column], rows: &[Vec<String>]) -> String {
        let titles: Vec<_> = columns.iter().map(|column| column.title.to_owned()).collect();
        let mut text = String::new();
        if !self.is_terminal {
            for row in std::iter::once(&titles).chain(rows) {
                let _ = writeln!(text, "{}", row.join("\t"));
            }
            return text;
        }
        let widths = self.widths(columns, rows);
        for (number, row) in std::iter::once(&titles).chain(rows).enumerate() {
            let mut line = String::new();
            for ((cell, column), width) in row.iter().zip(columns).zip(&widths) {
                let cell = self.fit(cell, *width);
                let padding = " ".repeat(width.saturating_sub(cell.width()));
                let cell = if column.is_number { format!("{padding}{cell}  ") } else { format!("{cell}{padding}  ") };
                line.push_str(&cell);
            }
            let line = line.trim_end();
            let line = if number == 0 { self.paint(Tone::Quiet, line) } else { line.to_owned() };
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn widths(&self, columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
        let cell = |place: usize| rows.iter().map(move |row| row[place].width()).max().unwrap_or_default();
        let mut widths: Vec<_> =
            columns.iter().enumerate().map(|(place, column)| cell(place).max(column.title.width())).collect();
        let mut excess = (widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)).saturating_sub(self.width);
        // The widest of those that may be cut gives first, and none becomes unreadable.
        while excess > 0 {
            let widest =
                (0..widths.len()).filter(|place| columns[*place].may_be_cut).max_by_key(|place| widths[*place]);
            let Some(widest) = widest.filter(|place| widths[*place] > 8) else { break };
            widths[widest] -= 1;
            excess -= 1;
        }
        widths
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    is_number: bool,
    may_be_cut: bool,
}

impl Column {
    /// Of words that are shown whole.
    pub fn words(title: &'static str) -> Self {
        Column { title, is_number: false, may_be_cut: false }
    }

    /// Of numbers.
    pub fn numbers(title: &'static str) -> Self {
        Column { title, is_number: true, may_be_cut: false }
    }

    /// Of texts that may be cut.
    pub fn text(title: &'static str) -> Self {
        Column { title, is_number: false, may_be_cut: true }
    }
}

fn wants_colours(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let is_forced = is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0");
    !is_set("NO_COLOR") && (is_forced || (is_terminal && variable("TERM").as_deref() != Some("dumb")))
}

fn width() -> usize {
    let told = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let of_terminal = || tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
    told.or_else(of_terminal).filter(|width| *width > 0).unwrap_or(USUAL_WIDTH)
}

/// The lines of this, with nothing in them that could act on a terminal.
pub fn without_effect(bytes: &[u8]) -> Vec<u8> {
    let line = |line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let pieces: Vec<_> =
            line.split(|byte| *byte == b'\t').map(|piece| printable_within(piece, usize::MAX)).collect();
        (pieces.join("\t") + "\n").into_bytes()
    };
    bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n').flat_map(line).collect()
}

/// A time as programs take it: RFC 3339, UTC, whole seconds.
pub fn whole_time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(within_rfc3339(time)).to_string()
}

/// The time of day of this machine's clock, UTC, as `14:02:11`; with the date where that is another day.
pub fn time_of_day(time: SystemTime, now: SystemTime) -> String {
    let (Ok(at), Ok(today)) = (Timestamp::try_from(time), Timestamp::try_from(now)) else { return whole_time(time) };
    let (at, today) = (at.to_string(), today.to_string());
    if at[..10] == today[..10] { at[11..19].to_owned() } else { format!("{} {}", &at[..10], &at[11..19]) }
}

/// A duration as people say it, by its two largest units at most: `2h 14m`, `9d`, `0.4s`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.is_zero() => "0s".into(),
        0 => format!("{}ms", time.as_millis().max(1)),
        1..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s", 10),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m", 10),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h", 4),
    }
}

/// The smaller unit counts only where the larger one is small.
fn two(large: u64, unit: &str, small: u64, small_unit: &str, until: u64) -> String {
    if small == 0 || large >= until { format!("{large}{unit}") } else { format!("{large}{unit} {small}{small_unit}") }
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Shows that long work goes on, at a terminal.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    is_terminal: bool,
    bar: Option<ProgressBar>,
    /// How much is done.
    pub done: u64,
}

impl Progress {
    /// Work begins.
    pub fn begin() -> Self {
        Progress { began: Instant::now(), is_terminal: stderr().is_terminal(), bar: None, done: 0 }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        if !self.is_terminal || !self.done.is_multiple_of(256) {
            return;
        }
        if self.bar.is_none() && self.began.elapsed() > PATIENCE {
            let style = ProgressStyle::with_template("{spinner} looked at {human_pos} messages");
            self.bar = Some(ProgressBar::no_length().with_style(style.expect("the template is well formed")));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    /// How long it took so far.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(width: usize) -> Terminal {
        Terminal { is_terminal: true, width, now: SystemTime::UNIX_EPOCH, has_colours: false }
    }

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        for (is_terminal, set, expected) in [
            (true, &[][..], true),
            (false, &[], false),
            (true, &[("NO_COLOR", "1")], false),
            (true, &[("NO_COLOR", "")], true),
            (true, &[("TERM", "dumb")], false),
            (false, &[("CLICOLOR_FORCE", "1")], true),
            (false, &[("CLICOLOR_FORCE", "0")], false),
            (false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        ] {
            let variable =
                |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(wants_colours(is_terminal, variable), expected, "{is_terminal} {set:?}");
        }
    }

    #[test]
    fn a_span_is_said_by_its_two_largest_units() {
        for (milliseconds, expected) in [
            (0, "0s"),
            (5, "5ms"),
            (59_900, "59s"),
            (60_000, "1m"),
            (190_000, "3m 10s"),
            (840_000, "14m"),
            (8_040_000, "2h 14m"),
            (86_400_000, "1d"),
            (255_600_000, "2d 23h"),
            (864_000_000, "10d"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        }
        assert_eq!([count(0), count(999), count(41_203), count(1_000_000)], ["0", "999", "41,203", "1,000,000"]);
    }

    #[test]
    fn a_table_fits_a_terminal_and_is_whole_behind_a_pipe() {
        let columns = [Column::words("ID"), Column::numbers("AGE"), Column::text("SUBJECT")];
        let rows = vec![vec!["k7f3q9".into(), "14m".into(), "日本語 and more than fits into it".into()]];
        assert_eq!(terminal(30).table(&columns, &rows), "ID      AGE  SUBJECT\nk7f3q9  14m  日本語 and more …\n");
        let pipe = Terminal { is_terminal: false, ..terminal(usize::MAX) };
        assert_eq!(pipe.table(&columns, &rows), "ID\tAGE\tSUBJECT\nk7f3q9\t14m\t日本語 and more than fits into it\n");
    }

    #[test]
    fn times_are_relative_at_a_terminal_only() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let at = now - Duration::from_mins(14);
        let terminal = Terminal { now, ..terminal(80) };
        assert_eq!([terminal.since(at), terminal.until(at)], ["14m", "now"]);
        assert_eq!(terminal.until(now + Duration::from_mins(3)), "3m");
        let pipe = Terminal { is_terminal: false, ..terminal };
        assert_eq!(pipe.since(at), "1970-01-01T23:46:00Z");
        assert_eq!(time_of_day(at, now), "1970-01-01 23:46:00");
        assert_eq!(time_of_day(now, now), "00:00:00");
    }

    #[test]
    fn a_file_may_have_any_time() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(whole_time(epoch - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(whole_time(epoch + Duration::from_hours(24 * 365 * 9000)), "9999-12-31T23:59:59Z");
    }
}
