//! An endpoint that takes its time: the rate is to be concurrency by latency.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Options;
use crate::application::Application;
use crate::maildir::Maildir;
use crate::process::Process;

const LATENCY: Duration = Duration::from_millis(20);
/// How often each connection is used.
const TURNS: usize = 100;

pub fn measure(options: &Options) -> Result<()> {
    println!("\nslow      concurrency  messages/s  of what is possible  peak MiB");
    let turns = TURNS.min(options.few / 10);
    for concurrency in [8, 64, 512] {
        let (folder, messages) = (options.folder()?, concurrency * turns);
        let maildir = Maildir::with(folder.path().join("Maildir"), messages)?;
        let endpoint = Application::start(LATENCY)?;
        let toml = format!(
            "maildir = \"{}\"\n[target.app]\nurl = {:?}\nconcurrency = {concurrency}\n",
            maildir.path().display(),
            endpoint.url
        );
        let drain = Process::start("drain", &folder.path().join("config"), &toml)?;
        let peak = drain.wait()?;
        let mut came = endpoint.all();
        came.sort();
        let (first, last) = (*came.first().context("nothing came")?, *came.last().context("nothing came")?);
        // The last ones were answered a latency after they had come.
        let rate = came.len() as f64 / (last - first + LATENCY).as_secs_f64();
        let possible = concurrency as f64 / LATENCY.as_secs_f64();
        println!("          {concurrency:11}  {rate:10.0}  {:17.1} %  {peak:8.1}", rate / possible * 100.0);
    }
    Ok(())
}
