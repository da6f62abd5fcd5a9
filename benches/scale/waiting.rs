//! Many messages that wait for a retry of tomorrow.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use maildirq::engine::{Claim, Note, Queue, Settlement};
use maildirq::maildir::{Keep, Layout, MaildirQueue, Options as How, Settings};

use crate::Options;
use crate::application::Application;
use crate::maildir::Maildir;
use crate::process::Process;

pub fn measure(options: &Options) -> Result<()> {
    println!("\nwaiting   messages  start      first out  MiB    wake-ups/s  calls in {} s", options.seconds);
    let none = watch(options, 0)?;
    let many = watch(options, options.messages)?;
    let each = (many - none) * f64::from(1 << 20) / options.messages as f64;
    println!("          memory for each: {each:.0} bytes");
    Ok(())
}

/// The memory that it takes, in MiB.
fn watch(options: &Options, messages: usize) -> Result<f64> {
    let folder = options.folder()?;
    let maildir = Maildir::with(folder.path().join("Maildir"), messages)?;
    fail_all(maildir.path(), messages)?;
    let endpoint = Application::start(Duration::ZERO)?;
    let toml = format!("maildir = \"{}\"\n[target.app]\nurl = {:?}\n", maildir.path().display(), endpoint.url);
    let watch = Process::start("watch", &folder.path().join("config"), &toml)?;
    let sent = maildir.deliver(messages)?;
    let first = endpoint.next()?.duration_since(sent);
    let start = sent.elapsed() + watch.settle()?;
    let memory = watch.resident()?;
    let (wakeups, _) = watch.observe(options.seconds)?;
    let calls = watch.calls(&folder.path().join("calls"), options.seconds)?;
    let calls = calls.map_or("no strace".to_owned(), |calls| calls.to_string());
    let [start, first] = [start, first].map(|time| format!("{:6.0} ms", time.as_secs_f64() * 1e3));
    println!("          {messages:8}  {start}  {first}  {memory:5.1}  {wakeups:10.2}  {calls}");
    Ok(memory)
}

/// Lets each message fail once, as an endpoint would that says 503, without one.
fn fail_all(maildir: &Path, messages: usize) -> Result<()> {
    let settings = Settings { watch: false, ..Settings::default() };
    let queue = MaildirQueue::of_one(Layout::open(maildir, Keep::Remove)?, How::default(), settings)?;
    let fail = async {
        let mut left = messages;
        while left > 0 {
            if let Some(Claim { mut lease, .. }) = queue.claim(SystemTime::now(), &|_| true) {
                let is_written = lease.sending();
                is_written.then_some(()).context("no slot")?;
                lease.settle(tomorrow()).await?;
                left -= 1;
            } else {
                tokio::task::yield_now().await;
            }
        }
        anyhow::Ok(())
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        tokio::select! {
            done = fail => done,
            () = queue.tend() => Ok(()),
        }
    })
}

fn tomorrow() -> Settlement {
    let at = SystemTime::now();
    let reason = "503 Service Unavailable".to_owned();
    let note = Note { at, target: "app".into(), status: Some(503), took: Duration::from_millis(5), reason };
    Settlement::Retry { due: at + Duration::from_hours(24), charged: true, note }
}
