//! `demo`: a tour that needs no mail server and leaves nothing behind.
//!
//! A Maildir, a toy app that fails now and then, mail that arrives, and a real `maildirq watch`
//! that is killed half-way with SIGKILL and started again. At the end the books are balanced.

mod app;
mod worker;

use super::{Exit, complain};
use crate::maildir::{Delivery, deliver};
use anyhow::{Context, ensure};
use app::{Books, ToyApp};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};
use worker::Worker;

/// How many mails arrive.
const MAILS: u32 = 120;
/// The time between two of them.
const PACE: Duration = Duration::from_millis(40);
/// The mails that the app refuses for good.
const REFUSED: [u32; 2] = [33, 88];
/// With which mail the worker is killed.
const KILL_AT: u32 = MAILS / 2;
/// How many messages the worker has in hand at a time: at most so many may come twice.
const CONCURRENCY: usize = 4;
/// How long all of it may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// A tour of a few seconds, which leaves nothing behind
///
/// Mail, an app that fails, a kill -9, and nothing lost.
///
/// Example: maildirq demo
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Print only the last line (for CI and smoke tests)
    #[arg(long)]
    headless: bool,
}

/// Shows it. Exit code 0 only if nothing was lost.
pub fn run(args: &Args) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let shown = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                shown = show(args.headless) => shown.map(Some),
                interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| None).map_err(anyhow::Error::from),
            }
        })
    });
    match shown {
        Ok(Some(verdict)) => {
            tell(&verdict.to_string());
            if verdict.is_good() { Exit::Ok } else { Exit::No }
        }
        Ok(None) => Exit::Signal(2),
        Err(error) => {
            complain(format_args!("{error:#}"));
            Exit::No
        }
    }
}

/// Standard output is the show. A reader that has gone away wants no more.
fn tell(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

async fn show(headless: bool) -> anyhow::Result<Verdict> {
    let folder = tempfile::Builder::new().prefix("maildirq-demo-").tempdir().context("no room for a demo")?;
    let maildir = folder.path().join("Maildir");
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir.join(part))?;
    }
    let app = ToyApp::start(REFUSED).await?;
    let config = write_config(&folder, &maildir, app.address())?;
    let say = |line: &str| {
        if !headless {
            tell(line);
        }
    };
    say(&format!("A Maildir:  {}", maildir.display()));
    say(&format!(
        "A toy app:  http://{}/  (fails one request in four, refuses {} mails)",
        app.address(),
        REFUSED.len()
    ));
    say("A worker:   maildirq watch, which will be killed half-way\n");

    let mut worker = Worker::start(&config, !headless)?;
    for number in 1..=MAILS {
        deliver(&maildir, &Delivery::default(), mail(number).as_bytes())?;
        sleep(PACE).await;
        if number == KILL_AT {
            say("\n⚡ kill -9, and another one\n");
            worker.kill().await?;
            worker = Worker::start(&config, !headless)?;
        }
    }
    let deadline = Instant::now() + DEADLINE;
    let is_settled = || app.books().accepted() + dead(&maildir).len() as u64 >= u64::from(MAILS);
    let settled = timeout_at(deadline, async {
        while !is_settled() || has_waiting(&maildir) {
            app.changed().await;
        }
    });
    let _ = settled.await; // Whether all has come to rest is what the verdict says.
    worker.stop().await?;
    let books = app.books();
    Ok(Verdict::of(&books, &maildir))
}

fn write_config(folder: &TempDir, maildir: &Path, address: std::net::SocketAddr) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.path().join("maildirq.toml");
    let maildir = maildir.to_str().context("the temporary folder's name is not UTF-8")?;
    ensure!(!maildir.contains('\''), "the temporary folder's name has a quote in it: {maildir}");
    let text = format!(
        "maildir = '{maildir}'\nconcurrency = {CONCURRENCY}\n\n[target.app]\nurl = 'http://{address}/'\n\
         retry = {{ min_delay = '500ms', max_delay = '1s' }}\nbreaker = {{ probe = '500ms' }}\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn mail(number: u32) -> String {
    let subject = if REFUSED.contains(&number) { "something that the app does not want" } else { "printer on fire" };
    format!(
        "From: Ada <ada@example.com>\r\nTo: support@example.com\r\nSubject: {subject}\r\n\
         Message-ID: <{number}@demo.example.com>\r\nX-Demo: {number}\r\n\r\nThis is mail number {number}.\r\n"
    )
}

fn dead(maildir: &Path) -> BTreeSet<u32> {
    let found = fs::read_dir(maildir.join(".maildirq.dead/new")).into_iter().flatten().flatten();
    found.filter_map(|entry| app::number_of(&fs::read(entry.path()).ok()?)).collect()
}

fn has_waiting(maildir: &Path) -> bool {
    fs::read_dir(maildir.join("new")).is_ok_and(|mut folder| folder.next().is_some())
}

/// The books, balanced.
struct Verdict {
    accepted: u64,
    dead: usize,
    lost: usize,
    failed: u64,
    doubled: usize,
}

impl Verdict {
    fn of(books: &Books, maildir: &Path) -> Self {
        let dead = dead(maildir);
        let is_there = |number: &u32| books.times_accepted(*number) > 0 || dead.contains(number);
        Verdict {
            accepted: books.accepted(),
            dead: dead.len(),
            lost: (1..=MAILS).filter(|number| !is_there(number)).count(),
            failed: books.failed(),
            doubled: (1..=MAILS).filter(|&number| books.times_accepted(number) > 1).count(),
        }
    }

    /// A kill may make what was in hand come twice, and nothing else.
    fn is_good(&self) -> bool {
        self.lost == 0 && self.dead == REFUSED.len() && self.doubled <= CONCURRENCY
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.is_good() { '✓' } else { '✖' };
        let Verdict { accepted, dead, lost, failed, doubled } = self;
        write!(
            f,
            "{sign} {MAILS} mails in · {accepted} done · {dead} dead on purpose · {lost} lost · {failed} retries · 1 kill -9 ({doubled} came twice)"
        )
    }
}
