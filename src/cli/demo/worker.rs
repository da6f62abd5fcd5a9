//! The worker: a real `maildirq watch` in a process of its own, so that it can really be killed.

use anyhow::Context;
use serde::Deserialize;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

/// A running worker. It ends with this.
pub struct Worker {
    child: Child,
    showing: JoinHandle<()>,
}

impl Worker {
    /// Starts it, and shows what it does.
    pub fn start(config: &Path, is_shown: bool) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find maildirq itself")?;
        let mut child = Command::new(program)
            .args(["watch", "--log", "json", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start maildirq watch")?;
        let log = child.stderr.take().context("the worker has no log")?;
        Ok(Worker { child, showing: tokio::spawn(show(log, is_shown)) })
    }

    /// Kills it with SIGKILL.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        self.showing.await?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(id) = id {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        let status = self.child.wait().await?;
        self.showing.await?;
        anyhow::ensure!(status.success(), "maildirq watch has ended with {status}");
        Ok(())
    }
}

/// The part of a log line that is shown.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    dur_ms: u64,
    #[serde(default)]
    reason: String,
    #[serde(default, rename = "try")]
    attempt: u32,
}

async fn show(log: ChildStderr, is_shown: bool) {
    let mut lines = BufReader::new(log).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let (true, Ok(line)) = (is_shown, serde_json::from_str::<Line>(&line)) {
            describe(&line);
        }
    }
}

fn describe(line: &Line) {
    let id: String = line.id.chars().take(6).collect();
    let Line { dur_ms, reason, attempt, .. } = line;
    let text = match (line.event.as_str(), line.outcome.as_str()) {
        ("attempt", "done") => format!("  ✓ {id}  taken in {dur_ms} ms, try {attempt}"),
        ("attempt", _) => format!("  ↻ {id}  {reason}"),
        ("dead", _) => format!("  ✖ {id}  {reason}: set aside"),
        ("recovered", _) => "  · took over what the killed worker held".to_owned(),
        _ => return,
    };
    super::tell(&text);
}
