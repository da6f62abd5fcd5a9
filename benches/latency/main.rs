//! How long a message is on its way: from rename into `new/` to the last byte of the request.
//!
//!     cargo bench --bench latency                # or with options: -- --help
//!
//! First one message at a time, then many at half of the rate that was found possible. This program delivers and is the
//! application, too, so there is one clock. Each round has a run of the least program that does the job (`--bench
//! drain` has the same as its ceiling) and one of each of the others. What counts is the ratio within a round.

#[path = "../drain/bare.rs"]
mod bare;
#[path = "../support/endpoint.rs"]
mod endpoint;
mod least;
mod post;
mod program;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result};
use clap::Parser;
use post::Post;
use program::Program;

#[derive(Parser)]
struct Options {
    /// Rounds of runs
    #[arg(long, default_value = "5")]
    rounds: usize,
    /// Messages that come one at a time in a run
    #[arg(long, default_value = "1000")]
    messages: usize,
    /// Seconds of steady load in a run; 0: none
    #[arg(long, default_value = "5")]
    seconds: u32,
    /// Where the Maildir lies [default: /dev/shm if writable, else TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    bench: bool,
}

/// A pause between messages that come one at a time: so long that everybody is asleep again.
const PAUSE: Duration = Duration::from_millis(2);
/// How many messages are delivered at once to find the highest rate.
const BURST: u32 = 8000;

/// Of one run: p50 and p99.
type Spread = [Duration; 2];

fn main() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    // `cargo bench` passes --bench; `cargo test --all-targets` does not, and only wants to see that it works.
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["least", new, address] => least::run(new.as_ref(), address),
        _ if args.iter().any(|arg| arg == "--bench") => bench(&Options::parse()),
        _ => bench(&Options::parse_from(["latency", "--rounds=1", "--messages=20", "--seconds=0"])),
    }
}

fn bench(options: &Options) -> Result<()> {
    let dir = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?,
    };
    let load = fs::read_to_string("/proc/loadavg")?;
    println!("{} cores (load {}), {}\n", thread::available_parallelism()?, &load[..4], dir.path().display());
    let programs = program::all();
    let mut runs: Vec<_> = programs.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds.max(1) {
        for (program, runs) in programs.iter().zip(&mut runs) {
            runs.push(one_at_a_time(program, options, dir.path()).with_context(|| program.name.to_owned())?);
        }
    }
    println!("one at a time       p50         p99         to the first: p50, p99");
    table(&programs, &runs);
    if options.seconds == 0 {
        return Ok(());
    }
    println!("\nsteady load         p50         p99         messages/s");
    for program in &programs {
        let (rate, [half, most]) = steady(program, options, dir.path())?;
        println!("{:18}  {:<10}  {:<10}  {rate}", program.name, micros(half), micros(most));
    }
    Ok(())
}

fn table(programs: &[Program], runs: &[Vec<Spread>]) {
    for (program, of_it) in programs.iter().zip(runs) {
        let [half, most] = [0, 1].map(|which| middle(of_it.iter().map(|run| run[which].as_secs_f64()).collect()));
        let to_first = |which: usize| {
            let pairs = of_it.iter().zip(&runs[0]);
            middle(pairs.map(|(run, first)| run[which].as_secs_f64() / first[which].as_secs_f64()).collect())
        };
        let [half, most] = [half, most].map(|seconds| micros(Duration::from_secs_f64(seconds)));
        println!("{:18}  {half:<10}  {most:<10}  {:.2}, {:.2}", program.name, to_first(0), to_first(1));
    }
}

fn micros(time: Duration) -> String {
    format!("{} us", time.as_micros())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn spread(mut times: Vec<Duration>) -> Spread {
    times.sort();
    [50, 99].map(|share| times[(times.len() * share / 100).min(times.len() - 1)])
}

/// The next one comes when the last one has come through, and all are asleep.
fn one_at_a_time(program: &Program, options: &Options, dir: &std::path::Path) -> Result<Spread> {
    let mut post = Post::open(dir, options.messages)?;
    let _running = program.start(&mut post)?;
    let mut times = Vec::with_capacity(options.messages);
    for number in 0..options.messages {
        thread::sleep(PAUSE);
        let sent = post.deliver(number)?;
        let (_, came) = post.next()?;
        times.push(came.saturating_duration_since(sent));
    }
    Ok(spread(times))
}

/// The messages a second, and how long they took.
fn steady(program: &Program, options: &Options, dir: &std::path::Path) -> Result<(u32, Spread)> {
    let mut post = Post::open(dir, BURST as usize)?;
    let running = program.start(&mut post)?;
    let begin = Instant::now();
    for number in 0..BURST as usize {
        post.deliver(number)?;
    }
    for _ in 0..BURST {
        post.next()?;
    }
    let pause = begin.elapsed() / BURST * 2;
    drop((running, post));

    let count = (Duration::from_secs(options.seconds.into()).as_nanos() / pause.as_nanos().max(1)) as usize;
    let mut post = Post::open(dir, count)?;
    let _running = program.start(&mut post)?;
    let (begin, mut sent) = (Instant::now(), Vec::with_capacity(count));
    for number in 0..count {
        let due = begin + pause * u32::try_from(number)?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.push(post.deliver(number)?);
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let (number, came) = post.next()?;
        times.push(came.saturating_duration_since(sent[number]));
    }
    Ok((u32::try_from(Duration::from_secs(1).as_nanos() / pause.as_nanos().max(1))?, spread(times)))
}
