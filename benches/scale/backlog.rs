//! A large backlog against a small one.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Options;
use crate::application::Application;
use crate::maildir::Maildir;
use crate::process::Process;

pub fn measure(options: &Options) -> Result<()> {
    println!("\nbacklog   messages  messages/s  first out  peak MiB");
    // The small ones around the large one, so that the machine is much the same.
    let before = drain(options, options.few)?;
    let large = drain(options, options.messages)?;
    let after = drain(options, options.few)?;
    println!("          rate to that of the small ones: {:.2}", large * 2.0 / (before + after));
    Ok(())
}

/// Messages a second.
fn drain(options: &Options, messages: usize) -> Result<f64> {
    let folder = options.folder()?;
    let maildir = Maildir::with(folder.path().join("Maildir"), messages)?;
    let endpoint = Application::start(Duration::ZERO)?;
    let toml = format!("maildir = \"{}\"\n[target.app]\nurl = {:?}\n", maildir.path().display(), endpoint.url);
    let begin = Instant::now();
    let drain = Process::start("drain", &folder.path().join("config"), &toml)?;
    let first = endpoint.next()?.duration_since(begin);
    let peak = drain.wait()?;
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    println!("          {messages:8}  {rate:10.0}  {:6.0} ms  {peak:8.1}", first.as_secs_f64() * 1e3);
    Ok(rate)
}
