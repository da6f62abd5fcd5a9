//! How long ordinary mail is on its way, from `new/` to the application, without hostile mail beside it and with it:
//!
//!     cargo bench --bench hostile                # or with options: -- --help
//!
//! Each round has a run without and one with it, over the same ordinary mail at the same pace. What counts is the
//! ratio within a round. The hostile mail is of the classes of `tests/it/hostile/classes.rs`, one after the other. A
//! run in which ordinary mail was lost ends the benchmark with exit code 1.

#[path = "../../tests/it/hostile/classes.rs"]
mod classes;
#[path = "../support/endpoint.rs"]
mod endpoint;
mod receiver;

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use receiver::Receiver;

#[derive(Parser)]
struct Options {
    /// Pairs of runs
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Ordinary messages in a run
    #[arg(long, default_value = "4000")]
    messages: usize,
    /// Ordinary messages in a second
    #[arg(long, default_value = "200")]
    pace: u32,
    /// Ordinary messages to each hostile one
    #[arg(long, default_value = "100")]
    between: usize,
    /// The length of a hostile message in bytes; Postfix takes 10240000
    #[arg(long, default_value = "10000000")]
    size: usize,
    /// Where the Maildir lies [default: /dev/shm if writable, else TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long it took to have all that was delivered, at most.
const PATIENCE: Duration = Duration::from_mins(2);
const TEXT: &str = "please confirm the order and reply tomorrow at noon\n";

/// How long half of the ordinary mail took at most, and 99 of a hundred, and all.
struct Latency([Duration; 3]);

fn main() -> Result<()> {
    // `cargo bench` passes --bench; `cargo test --all-targets` does not, and only wants to see that it works.
    let options = if env::args().any(|arg| arg == "--bench") {
        Options::parse()
    } else {
        Options::parse_from(["hostile", "--rounds=1", "--messages=50", "--between=25", "--size=100000"])
    };
    let dir = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?,
    };
    let load = fs::read_to_string("/proc/loadavg")?;
    println!("{} cores (load {})\n", thread::available_parallelism()?, &load[..4]);
    println!("hostile mail beside it    p50         p99         longest     p99 to the line above");
    let mut ratios = Vec::new();
    for _ in 0..options.rounds.max(1) {
        let without = run(&options, &dir, 0)?;
        row(0, &without, "");
        let beside = options.messages / options.between;
        let with = run(&options, &dir, beside)?;
        let ratio = with.0[1].as_secs_f64() / without.0[1].as_secs_f64();
        row(beside, &with, &format!("{ratio:.2}"));
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("\np99 with to p99 without: median {:.2} ({ratios:.2?})", ratios[ratios.len() / 2]);
    Ok(())
}

fn row(hostile: usize, Latency([half, most, all]): &Latency, ratio: &str) {
    let [half, most, all] = [half, most, all].map(|time| format!("{:.2} ms", time.as_secs_f64() * 1e3));
    println!("{hostile:<24}  {half:<10}  {most:<10}  {all:<10}  {ratio}");
}

/// The same ordinary mail each time, and so many hostile messages spread over it.
fn run(options: &Options, dir: &TempDir, hostile: usize) -> Result<Latency> {
    let maildir = Maildir::new(dir.path().join("Maildir"))?;
    let classes = [classes::HEADERS, classes::PARTS, classes::TEXTS].concat();
    for (number, (_, make)) in classes.iter().cycle().take(hostile).enumerate() {
        maildir.write(&format!("hostile.{number}"), &make(options.size))?;
    }
    let receiver = Receiver::start(options.messages)?;
    let mut watch = watch(&maildir, &receiver.address)?;
    maildir.deliver_ordinary(usize::MAX)?;
    receiver.wait_for_one(PATIENCE).context("maildirq did not start")?;

    let begin = Instant::now();
    let mut left = Vec::new();
    for number in 0..options.messages {
        let due = Duration::from_secs(1) * u32::try_from(number)? / options.pace;
        thread::sleep(due.saturating_sub(begin.elapsed()));
        if hostile > 0 && number.is_multiple_of(options.between) && number / options.between < hostile {
            maildir.release(&format!("hostile.{}", number / options.between))?;
        }
        left.push(maildir.deliver_ordinary(number)?);
    }
    let arrived = receiver.wait_for_all(PATIENCE);
    kill_process(Pid::from_child(&watch), Signal::TERM)?;
    ensure!(watch.wait()?.success(), "maildirq did not end well");
    fs::remove_dir_all(&maildir.0)?;

    let arrived = arrived.context("ordinary mail was lost")?;
    let mut times: Vec<_> = arrived.iter().zip(&left).map(|(at, left)| at.saturating_duration_since(*left)).collect();
    times.sort();
    let of_a_hundred = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    Ok(Latency([of_a_hundred(50), of_a_hundred(99), of_a_hundred(100)]))
}

/// `MAILDIRQ_BIN`: another build, to compare.
fn watch(maildir: &Maildir, address: &str) -> Result<Child> {
    let config = maildir.0.with_extension("toml");
    let target = format!("[target.app]\nurl = \"http://{address}/\"\nformat = \"json\"\n");
    fs::write(&config, format!("maildir = \"{}\"\n{target}", maildir.0.display()))?;
    fs::set_permissions(&config, Permissions::from_mode(0o600))?;
    let program = env::var_os("MAILDIRQ_BIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_maildirq")));
    let mut command = Command::new(program);
    command.arg("watch").arg("--config").arg(config).stdin(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?)
}

struct Maildir(PathBuf);

impl Maildir {
    fn new(path: PathBuf) -> Result<Self> {
        for folder in ["tmp", "new", "cur"] {
            fs::create_dir_all(path.join(folder))?;
        }
        Ok(Maildir(path))
    }

    fn place(&self, folder: &str, name: &str) -> PathBuf {
        Path::new(&self.0).join(folder).join(format!("1767225600.{name}.bench"))
    }

    fn write(&self, name: &str, mail: &[u8]) -> Result<()> {
        Ok(fs::write(self.place("tmp", name), mail)?)
    }

    fn release(&self, name: &str) -> Result<()> {
        Ok(fs::rename(self.place("tmp", name), self.place("new", name))?)
    }

    /// Returns the moment at which it was there.
    fn deliver_ordinary(&self, number: usize) -> Result<Instant> {
        let name = format!("ordinary.{number}");
        let head = format!("{}{number}@example.com>\nSubject: ordinary\n\n", endpoint::FIRST_LINE);
        self.write(&name, [head.as_bytes(), &TEXT.repeat(100).into_bytes()].concat().as_slice())?;
        File::open(self.place("tmp", &name))?.sync_all()?;
        let now = Instant::now();
        self.release(&name)?;
        Ok(now)
    }
}
