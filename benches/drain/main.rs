//! How fast `maildirq drain` is, as a share of what the machine allows:
//!
//!     cargo bench --bench drain                  # or with options: -- --help
//!
//! Each round has a run of the ceiling (`limit.rs`) and runs of maildirq and others over the same mail. What
//! counts is the ratio within a round: its runs see the same machine in much the same state. A run
//! in which mail was lost, cut short or doubled ends the benchmark with exit code 1.
//! `benches/compare.sh` runs it on several file systems.

mod bare;
mod corpus;
#[path = "../support/endpoint.rs"]
mod endpoint;
mod handler;
mod limit;
mod peers;
mod promises;
mod receiver;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, iter, thread, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use corpus::Corpus;
use handler::Handlers;
use peers::{CEILING, CURL, ECHO, JSON, Job, MAILDIRQ, NOBODY, PREFORK, PROMISES, PYTHON, SPAWN, TRUE, WORKER};
use receiver::Receiver;
use tempfile::TempDir;
use wait4::Wait4;

#[derive(Parser)]
struct Options {
    /// Messages in a run
    #[arg(long, default_value = "20000", default_value_if("quick", "true", "3000"))]
    messages: usize,
    /// Pairs of runs
    #[arg(long, default_value = "5", default_value_if("quick", "true", "3"))]
    rounds: usize,
    /// Connections, or processes at a time
    #[arg(long, default_value = "8")]
    concurrency: usize,
    /// Messages in a large backlog, held against a tenth of it; 0: none
    #[arg(long, default_value = "100000", default_value_if("quick", "true", "20000"))]
    backlog: usize,
    /// Where the Maildir lies [default: /dev/shm if writable, else TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Small numbers, for a first look
    #[arg(long)]
    quick: bool,
    #[arg(long, hide = true)]
    bench: bool,
}

struct Run {
    rate: f64,   // messages per second, from the start of the process to its end
    cpu: f64,    // its user and system time per message, in microseconds; not that of workers
    memory: f64, // its peak resident memory in MiB; below about 4, the benchmark's own
}

fn main() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    // The benchmark's other processes are this program too. `cargo bench` passes --bench;
    // `cargo test --all-targets` does not, and only wants to see that it works.
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receiver"] => receiver::serve(),
        [CEILING, new, address, count] => limit::ceiling(new.as_ref(), address, count.parse()?),
        [PROMISES, new, address, count] => limit::promises(new.as_ref(), address, count.parse()?),
        [SPAWN, new, _, count] => limit::spawn(new.as_ref(), count.parse()?),
        ["echo", ledger] => handler::echo(ledger.as_ref()),
        [CURL, new, address, count] => limit::curl(new.as_ref(), address, count.parse()?),
        _ if args.iter().any(|arg| arg == "--bench") => bench(&Options::parse()),
        _ => bench(&Options::parse_from(["drain", "--messages=200", "--rounds=1", "--backlog=0"])),
    }
}

fn bench(options: &Options) -> Result<()> {
    let dir = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?,
    };
    println!("{}, {} connections\n", machine(dir.path())?, options.concurrency);
    let connections = options.concurrency.to_string();
    let handlers = Handlers::new(dir.path())?;
    let mut bench = Bench { dir, connections, corpus: Corpus::new(), receiver: Receiver::start()?, handlers };
    for peer in [CEILING, MAILDIRQ, JSON] {
        bench.run((peer, 200)).context("warming up")?;
    }
    let (n, rounds) = (options.messages.max(1), options.rounds.max(1));
    println!("{:16}  messages  messages/s  CPU us/message  peak MiB", "");
    bench.compare_all(n, rounds)?;
    if options.backlog >= 10 {
        for peer in [CEILING, MAILDIRQ] {
            bench.compare(&[(peer, options.backlog / 10), (peer, options.backlog)], rounds.min(3))?;
        }
    }
    println!("\nCompare the ratios, which are of runs next to each other: median (lowest to highest). On a busy");
    println!("machine go by those of CPU. Messages/s of two machines, or of two days, say little. Rates include");
    println!("start-up; CPU is without the receiver's. In every run each message arrived once and whole.");
    Ok(())
}

fn machine(dir: &Path) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let stat = Command::new("stat").args(["-f", "-c", "%T"]).arg(dir).output()?.stdout;
    let (kernel, load, fs) = (kernel.trim(), &load[..4], String::from_utf8_lossy(&stat));
    Ok(format!("{cores} cores (load {load}), Linux {kernel}, {} on {}", dir.display(), fs.trim()))
}

struct Bench {
    dir: TempDir,
    connections: String,
    corpus: Corpus,
    receiver: Receiver,
    handlers: Handlers,
}

impl Bench {
    /// The ceiling, and everybody who can be held against it.
    fn compare_all(&mut self, n: usize, rounds: usize) -> Result<()> {
        let few = n.div_ceil(40);
        self.compare(&[(CEILING, n), (PROMISES, n), (MAILDIRQ, n), (JSON, n), (ECHO, n)], rounds)?;
        self.compare(&[(MAILDIRQ, n), (JSON, n)], rounds)?;
        match peers::why_no_prefork() {
            None => self.compare(&[(CEILING, n), (PREFORK, n)], rounds.min(3))?,
            Some(why) => println!("{PREFORK:16}  SKIPPED: {why}"),
        }
        self.compare(&[(SPAWN, n.div_ceil(10)), (TRUE, n.div_ceil(10))], rounds)?;
        if self.handlers.have_python() {
            self.compare_handlers(n, rounds)?;
        } else {
            println!("{WORKER:16}  SKIPPED: there is no python3");
        }
        if Command::new("curl").arg("--version").output().is_ok() {
            row((CURL, few), &[self.run((CURL, few))?]);
        } else {
            println!("{CURL:16}  SKIPPED: there is no curl");
        }
        Ok(())
    }

    /// `rounds` runs of each, in one order and in the other by turns. The first is what the others are held against.
    fn compare(&mut self, jobs: &[Job], rounds: usize) -> Result<()> {
        let mut runs: Vec<_> = jobs.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            for turn in 0..jobs.len() {
                let which = if round % 2 == 0 { turn } else { jobs.len() - 1 - turn };
                runs[which].push(self.run(jobs[which])?);
            }
        }
        row(jobs[0], &runs[0]);
        for (job, runs_of_it) in iter::zip(jobs, &runs).skip(1) {
            row(*job, runs_of_it);
            let rate = ratio(runs_of_it, &runs[0], |run| run.rate);
            let cpu = ratio(runs_of_it, &runs[0], |run| run.cpu);
            println!("{:16}  to {}: rate {rate}, CPU {cpu}", "", jobs[0].0);
        }
        Ok(())
    }

    /// An interpreter for each message against one that stays; and what handing a message to the one that stays costs
    /// us, beside what each message costs in any case.
    fn compare_handlers(&mut self, messages: usize, rounds: usize) -> Result<()> {
        self.compare(&[(PYTHON, messages.div_ceil(40)), (WORKER, messages)], rounds)?;
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            runs[0].push(self.run((NOBODY, messages))?);
            runs[1].push(self.run((WORKER, messages))?);
        }
        row((NOBODY, messages), &runs[0]);
        row((WORKER, messages), &runs[1]);
        let added = iter::zip(&runs[0], &runs[1]).map(|(nobody, worker)| worker.cpu - nobody.cpu);
        let [lowest, median, highest] = spread(added);
        println!("{:16}  the workers add {median:.1} us of our own CPU a message ({lowest:.1} to {highest:.1})", "");
        Ok(())
    }

    /// Fails if a message was lost, cut short or sent twice: such a run has no speed.
    fn run(&mut self, (peer, messages): Job) -> Result<Run> {
        let (maildir, log) = (self.dir.path().join("Maildir"), self.dir.path().join("stderr"));
        let bytes = self.corpus.deliver(&maildir, messages)?;
        self.receiver.expect(messages)?;
        let mut command = self.command(peer, &maildir)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);

        let start = Instant::now();
        let end = command.spawn()?.wait4()?;
        let seconds = start.elapsed().as_secs_f64();

        let log = fs::read_to_string(log)?;
        let last = log.lines().last().unwrap_or_default();
        let left = fs::read_dir(maildir.join("new"))?.count();
        let due = format!("{messages} {messages} {bytes}");
        let noted = self.handlers.noted(messages)?;
        let arrived = match peer {
            PYTHON | WORKER | ECHO => noted.arrived,
            NOBODY | SPAWN | TRUE => due.clone(),
            _ => self.receiver.expect(0)?,
        };
        // How long an object is, is for the tests to know.
        let is_complete = arrived == due || (peer == JSON && arrived.starts_with(&format!("{messages} {messages} ")));
        ensure!(
            is_complete && left == 0 && end.status.success(),
            "{peer}: requests, different messages, bytes: {arrived} instead of {due}; {left} left in new/; {}; {last}",
            end.status
        );
        fs::remove_dir_all(maildir)?;
        Ok(Run {
            rate: messages as f64 / seconds,
            cpu: ((end.rusage.utime + end.rusage.stime).as_secs_f64() * 1e6 - noted.cpu) / messages as f64,
            memory: end.rusage.maxrss as f64 / f64::from(1 << 20),
        })
    }
}

fn row((peer, messages): Job, runs: &[Run]) {
    let median = |figure: fn(&Run) -> f64| spread(runs.iter().map(figure))[1];
    let (rate, cpu, memory) = (median(|run| run.rate), median(|run| run.cpu), median(|run| run.memory));
    println!("{peer:16}  {messages:8}  {rate:10.0}  {cpu:14.1}  {memory:8.1}");
}

/// Pair by pair.
fn ratio(over: &[Run], under: &[Run], figure: fn(&Run) -> f64) -> String {
    let [lowest, median, highest] = spread(iter::zip(over, under).map(|(a, b)| figure(a) / figure(b)));
    format!("{median:.2} ({lowest:.2} to {highest:.2})")
}

/// The lowest, the median and the highest.
fn spread(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let last = figures.len() - 1;
    [figures[0], f64::midpoint(figures[last / 2], figures[last.div_ceil(2)]), figures[last]]
}
