//! What it costs when there is nothing to do, or nothing that can be done.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::Options;
use crate::application::Application;
use crate::maildir::Maildir;
use crate::process::Process;

/// One Maildir, and no mail.
pub fn idle(options: &Options) -> Result<()> {
    println!("\nidle      Maildirs  MiB    wake-ups/s  calls in {} s", options.seconds);
    let folder = options.folder()?;
    let maildir = Maildir::new(folder.path().join("Maildir"))?;
    let toml = format!("maildir = \"{}\"\n[target.app]\nurl = \"http://127.0.0.1:1/\"\n", maildir.path().display());
    let watch = Process::start("watch", &folder.path().join("config"), &toml)?;
    look_at(&watch, options, 1)
}

fn look_at(watch: &Process, options: &Options, maildirs: usize) -> Result<()> {
    watch.settle()?;
    let log = tempfile::NamedTempFile::new()?;
    let (wakeups, _) = watch.observe(options.seconds)?;
    let calls = watch.calls(log.path(), options.seconds)?;
    let calls = calls.map_or("no strace".to_owned(), |calls| calls.to_string());
    println!("          {maildirs:8}  {:5.1}  {wakeups:10.2}  {calls}", watch.resident()?);
    Ok(())
}

/// Many Maildirs, and one message at a time in any of them.
pub fn many(options: &Options) -> Result<()> {
    const MESSAGES: usize = 500;
    println!("\nmany      Maildirs  MiB    wake-ups/s  calls in {} s", options.seconds);
    let (folder, endpoint) = (options.folder()?, Application::start(Duration::ZERO)?);
    let place = |number: usize| folder.path().join(format!("Maildir.{number}"));
    let maildirs: Vec<_> = (0..options.maildirs).map(|number| Maildir::new(place(number))).collect::<Result<_>>()?;
    let toml = format!(
        "maildir = \"{}\"\n[target.app]\nurl = {:?}\n",
        folder.path().join("Maildir.*").display(),
        endpoint.url
    );
    let watch = Process::start("watch", &folder.path().join("config"), &toml)?;
    look_at(&watch, options, options.maildirs)?;
    let (mut times, mut random) = (Vec::new(), fastrand::Rng::with_seed(0));
    for number in 0..MESSAGES {
        let sent = random.choice(&maildirs).expect("there are some").deliver(number)?;
        times.push(endpoint.next()?.duration_since(sent));
        thread::sleep(Duration::from_millis(2));
    }
    times.sort();
    let [half, most, all] = [50, 99, 100].map(|share| times[(MESSAGES * share / 100).min(MESSAGES - 1)].as_micros());
    println!("          a message in any of them: p50 {half} us, p99 {most} us, longest {all} us");
    Ok(())
}

/// An endpoint that is not there, one that never answers, and a backlog.
pub fn down(options: &Options) -> Result<()> {
    println!("\ndown              messages  MiB    share of a core");
    let messages = options.messages.div_ceil(10);
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let refused = "http://127.0.0.1:1/".to_owned();
    for (what, url) in [("refuses", refused), ("never answers", format!("http://{}/", silent.local_addr()?))] {
        let folder = options.folder()?;
        let maildir = Maildir::with(folder.path().join("Maildir"), messages)?;
        let toml =
            format!("maildir = \"{}\"\n[target.app]\nurl = {url:?}\ntimeout = \"1s\"\n", maildir.path().display());
        let watch = Process::start("watch", &folder.path().join("config"), &toml)?;
        // Until the breaker has opened, and all that was found is known.
        thread::sleep(Duration::from_secs(options.seconds.min(10)));
        watch.settle()?;
        let (_, share) = watch.observe(options.seconds)?;
        println!("  {what:14}  {messages:8}  {:5.1}  {:.2} %", watch.resident()?, share * 100.0);
    }
    Ok(())
}
