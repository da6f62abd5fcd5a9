//! `tail`: what happens, as it happens. The one command that needs a daemon: nobody else knows.

use super::config_file::{ConfigArg, become_owner_of_maildirs};
use super::select::{note_unknown_names, query};
use super::terminal::{ColourArg, Terminal, Tone, span, time_of_day};
use super::{Exit, complain};
use crate::control::{Event, Unheard, follow};
use crate::engine::State;
use crate::engine::text::printable;
use crate::mail::Kind;
use crate::query::{Facts, Query};
use crate::wire;
use std::io::{self, Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// How long a daemon may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How many lines wait for a slow terminal, beside those that the daemon keeps.
const KEPT: usize = 256;
/// The fields of a query that make sense for what happens.
const KNOWN: [&str; 8] = ["state", "target", "queue", "error", "from", "to", "subject", "id"];
/// How many characters of an id are shown.
const SHORT: usize = 6;

/// Follow what happens, live
///
/// Asks the running daemon; what happened before is in its log. With a query only what all of
/// its terms hold for is shown; - before a term negates it:
///   target:crm state:retry queue:billing error:503 from:@example.com subject:invoice
///
/// Exit code: 0 interrupted, or so many were shown · 64 the query makes no sense ·
/// 69 no daemon is running, or it has ended · 74 disk · 78 configuration.
///
/// Example: maildirq tail target:app -state:done
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "maildirq tail [-c FILE] [OPTIONS] [QUERY]...")]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// Terms of a query
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
    /// End after so many
    #[arg(short, value_name = "N")]
    number: Option<usize>,
    /// Print one JSON object for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    colour: ColourArg,
}

/// Follows until it is interrupted.
pub fn run(args: &Args) -> Exit {
    tail(args).unwrap_or_else(|exit| exit)
}

fn tail(args: &Args) -> Result<Exit, Exit> {
    let query = query(&args.words)?;
    if let Some(field) = query.fields().find(|field| !KNOWN.contains(field)) {
        complain(format_args!("what happens has no `{field}`\n  = try: {}, or maildirq list", KNOWN.join(", ")));
        return Err(Exit::Usage);
    }
    let config = args.file.read_places()?;
    note_unknown_names(&config, &query);
    become_owner_of_maildirs(&config)?;
    let places = wire::places(&config).map_err(|error| {
        complain(&error);
        Exit::from(&error)
    })?;
    let maildirs: Vec<_> = places.into_iter().map(|(place, _)| place.path).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        complain(error);
        Exit::Disk
    })?;
    runtime.block_on(async {
        let (lines, heard) = mpsc::channel(KEPT);
        tokio::select! {
            // What was heard before the end is shown before the end is told.
            biased;
            shown = show(args, &query, heard) => shown,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Ok),
            ended = ended(&maildirs, lines) => Err(ended),
        }
    })
}

/// Follows until there is nobody to be followed any more, and says so.
async fn ended(maildirs: &[PathBuf], lines: mpsc::Sender<String>) -> Exit {
    let keeper = lines.clone();
    let heard = follow(maildirs, LIMIT, lines).await;
    // As long as something is to be shown.
    while keeper.capacity() < keeper.max_capacity() {
        tokio::task::yield_now().await;
    }
    match heard {
        Ok(()) => {
            complain("the daemon has ended, or has let go of this reader for being too slow");
            Exit::Unavailable
        }
        Err(error @ Unheard::Nobody) => {
            complain(format_args!(
                "{error}\n  = try: systemctl start maildirq, or maildirq watch; what is on the disk is shown by maildirq list"
            ));
            Exit::Unavailable
        }
        Err(error @ Unheard::Io { .. }) => {
            complain(error);
            Exit::Disk
        }
    }
}

async fn show(args: &Args, query: &Query, mut heard: mpsc::Receiver<String>) -> Result<Exit, Exit> {
    let mut left = args.number.unwrap_or(usize::MAX);
    while left > 0 {
        let Some(line) = heard.recv().await else { return std::future::pending().await };
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        if !query.matches(&Seen(&event)) && event.event != "missed" {
            continue;
        }
        // Each line as at that moment.
        let terminal = Terminal::of_stdout(args.colour.color);
        let shown = if args.json { line } else { told(&event, &terminal) };
        let mut out = stdout();
        match writeln!(out, "{shown}").and_then(|()| out.flush()) {
            Ok(()) => left -= 1,
            // A reader that has gone away wants no more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            Err(error) => {
                complain(format_args!("cannot write to standard output: {error}"));
                return Err(Exit::Disk);
            }
        }
    }
    Ok(Exit::Ok)
}

/// An event as a query looks at it.
struct Seen<'a>(&'a Event);

impl Facts for Seen<'_> {
    fn state(&self) -> State {
        // What is told of a target is about what is going on.
        self.0.state.as_deref().and_then(State::of_word).unwrap_or(State::Running)
    }

    fn id(&self) -> Option<String> {
        self.0.id.clone()
    }

    fn queue(&self) -> &str {
        self.0.queue.as_deref().unwrap_or_default()
    }

    fn age(&self) -> Option<Duration> {
        self.0.waited.map(Duration::from_secs_f64)
    }

    fn size(&self) -> Option<u64> {
        self.0.size
    }

    fn tries(&self) -> Option<u32> {
        self.0.attempt
    }

    fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    fn error(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    fn from(&self) -> Vec<&str> {
        self.0.from.iter().map(String::as_str).collect()
    }

    fn to(&self) -> Vec<&str> {
        self.0.to.iter().map(String::as_str).collect()
    }

    fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    fn kind(&self) -> Option<Kind> {
        None
    }

    fn has_attachment(&self) -> Option<bool> {
        None
    }
}

/// An event as a line for people.
fn told(event: &Event, terminal: &Terminal) -> String {
    let at = humantime::parse_rfc3339(&event.at).unwrap_or(SystemTime::UNIX_EPOCH);
    let time = time_of_day(at, terminal.now);
    let shown = |text: &Option<String>| text.as_ref().map(|text| printable(text.as_bytes())).unwrap_or_default();
    let state = event.state.as_deref().and_then(State::of_word);
    let Some(state) = state else {
        let about = shown(&event.target);
        let reason = Some(shown(&event.reason)).filter(|reason| !reason.is_empty());
        let (tone, text) = match &*event.event {
            "target_down" => (Tone::Bad, format!("{about} is down: {}", reason.unwrap_or_default())),
            "target_recovering" => (Tone::Warning, format!("{about} takes mail again, and is given more step by step")),
            "target_up" => (Tone::Good, format!("{about} is up")),
            "paused" => (Tone::Warning, format!("{about} is paused for {}", shown(&event.queue))),
            "resumed" => (Tone::Good, format!("{about} goes on for {}", shown(&event.queue))),
            "missed" => (
                Tone::Warning,
                format!("{} lines are missing here: they came too fast", event.count.unwrap_or_default()),
            ),
            other => (Tone::Quiet, format!("{} {about}", printable(other.as_bytes()))),
        };
        return format!("{time}  {}", terminal.paint(tone, &terminal.fit(&text, room(terminal, time.len() + 2))));
    };
    let id: String = shown(&event.id).chars().take(SHORT).collect();
    let took =
        event.took.map(|took| format!(" in {}", span(Duration::from_secs_f64(took.max(0.0))))).unwrap_or_default();
    let target = Some(shown(&event.target)).filter(|target| !target.is_empty()).unwrap_or_else(|| shown(&event.queue));
    let (tone, text) = match &*event.event {
        "received" => {
            let size = event.size.map(|size| bytesize::ByteSize(size).to_string()).unwrap_or_default();
            (
                Tone::Quiet,
                format!("{}  {}  \"{}\"  {size}", shown(&event.queue), shown(&event.from), shown(&event.subject)),
            )
        }
        "done" => {
            let answer = event.status.map_or_else(|| "taken".to_owned(), |status| status.to_string());
            let waited = event.waited.map(|waited| span(Duration::from_secs_f64(waited.max(0.0)))).unwrap_or_default();
            (Tone::Good, format!("{target}  {answer}{took} · {waited} after it came"))
        }
        "retry" => {
            let due = event.due.as_ref().and_then(|due| humantime::parse_rfc3339(due).ok());
            let due = due.map(|due| format!("in {}", span(due.duration_since(at).unwrap_or_default())));
            let due = due.unwrap_or_else(|| "when the target takes mail again".into());
            let attempt = event.attempt.unwrap_or_default();
            (Tone::Warning, format!("{target}  {}{took} · try {attempt}, the next {due}", shown(&event.reason)))
        }
        _ => (Tone::Bad, format!("{target}  {} · {state}", shown(&event.reason))),
    };
    let head = format!("{time}  {} {id}  ", terminal.paint(tone, &state.sign().to_string()));
    format!("{head}{}", terminal.fit(&text, room(terminal, time.len() + SHORT + 6)))
}

/// The columns that are left beside so many.
fn room(terminal: &Terminal, used: usize) -> usize {
    terminal.width.saturating_sub(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Colour;

    fn event(state: Option<&str>, name: &str) -> Event {
        Event {
            v: 1,
            at: "2026-11-22T14:02:11.000Z".into(),
            event: name.into(),
            state: state.map(str::to_owned),
            id: state.map(|_| "k7f3q9tzabcdefghijklmnopqr".into()),
            queue: Some("support".into()),
            target: Some("app".into()),
            from: Some("ada@example.com".into()),
            subject: Some("Re: \u{1b}]0;x\u{7} Invoice".into()),
            size: Some(48 * 1024),
            attempt: Some(2),
            status: Some(204),
            took: Some(0.09),
            waited: Some(15.9),
            due: Some("2026-11-22T14:02:26.000Z".into()),
            reason: Some("503 Service Unavailable".into()),
            ..Event::default()
        }
    }

    #[test]
    fn an_event_is_told_in_a_line_without_a_control_character() {
        let mut terminal = Terminal::of_stdout(Colour::Never);
        terminal.now = SystemTime::UNIX_EPOCH;
        for (state, name, expected) in [
            (
                Some("new"),
                "received",
                "○ k7f3q9  support  ada@example.com  \"Re: \\u{1b}]0;x\\u{7} Invoice\"  48.0 KiB",
            ),
            (Some("done"), "done", "✓ k7f3q9  app  204 in 90ms · 15s after it came"),
            (Some("retry"), "retry", "↻ k7f3q9  app  503 Service Unavailable in 90ms · try 2, the next in 15s"),
            (Some("dead"), "dead", "✖ k7f3q9  app  503 Service Unavailable · dead"),
            (None, "target_down", "app is down: 503 Service Unavailable"),
            (None, "paused", "app is paused for support"),
            (None, "later", "later app"),
        ] {
            let line = told(&event(state, name), &terminal);
            assert_eq!(line, format!("2026-11-22 14:02:11  {expected}"));
        }
    }

    #[test]
    fn a_query_holds_for_events_as_for_messages() {
        let (dead, down) = (event(Some("dead"), "dead"), event(None, "target_down"));
        for (words, of_dead, of_down) in [
            ("", true, true),
            ("target:app", true, true),
            ("target:crm", false, false),
            ("state:dead", true, false),
            ("-state:done target:app", true, true),
            ("queue:support error:503", true, true),
            ("from:@example.com subject:invoice", true, true),
        ] {
            let query = Query::parse_line(words).unwrap();
            assert_eq!((query.matches(&Seen(&dead)), query.matches(&Seen(&down))), (of_dead, of_down), "{words}");
        }
    }
}
