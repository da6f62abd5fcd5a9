//! A maildirq that runs, and what the system tells of it. See proc(5).

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

pub struct Process(Child);

/// What a process has used up to now.
#[derive(Clone, Copy, Default)]
pub struct Used {
    pub cpu: Duration,
    pub wakeups: u64,
}

impl Process {
    /// `MAILDIRQ_BIN`: another build, to compare.
    pub fn start(verb: &str, config: &Path, toml: &str) -> Result<Self> {
        fs::write(config, toml)?;
        let program = env::var_os("MAILDIRQ_BIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_maildirq")));
        let mut command = Command::new(program);
        command.arg(verb).arg("--config").arg(config);
        Ok(Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    fn about(&self, what: &str) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{what}", self.0.id()))?)
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let status = self.about("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("it has ended")?;
        let kib: f64 = line.trim_start_matches(':').trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Its memory now, in MiB.
    pub fn resident(&self) -> Result<f64> {
        self.memory("VmRSS")
    }

    /// Its memory at most up to now, in MiB.
    pub fn peak(&self) -> Result<f64> {
        self.memory("VmHWM")
    }

    /// Of the threads that it has now.
    pub fn used(&self) -> Result<Used> {
        let mut used = Used::default();
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let task = task?.path();
            // A thread may have ended since.
            let Ok(ran) = fs::read_to_string(task.join("schedstat")) else { continue };
            let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
            used.cpu += Duration::from_nanos(ran.split(' ').next().unwrap_or_default().parse()?);
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            used.wakeups += switches.unwrap_or("0").trim().parse::<u64>()?;
        }
        Ok(used)
    }

    /// What it uses in so many seconds: wake-ups a second, and the share of a core.
    pub fn observe(&self, seconds: u64) -> Result<(f64, f64)> {
        let (before, begin) = (self.used()?, Instant::now());
        thread::sleep(Duration::from_secs(seconds));
        let (after, time) = (self.used()?, begin.elapsed().as_secs_f64());
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        Ok((after.wakeups.saturating_sub(before.wakeups) as f64 / time, cpu / time))
    }

    /// Until it has done nothing for a second. Returns how long it was busy.
    pub fn settle(&self) -> Result<Duration> {
        let (begin, mut since, mut before) = (Instant::now(), Instant::now(), self.used()?);
        while since.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(20));
            let now = self.used()?;
            if now.cpu > before.cpu + Duration::from_micros(500) {
                (since, before) = (Instant::now(), now);
            }
        }
        Ok(since.duration_since(begin))
    }

    /// How many system calls it makes in so many seconds. None where there is no strace.
    pub fn calls(&self, log: &Path, seconds: u64) -> Result<Option<usize>> {
        let strace = Command::new("timeout")
            .args(["--signal=INT", &seconds.to_string(), "strace", "-f", "-qq", "-o"])
            .arg(log)
            .args(["-p", &self.0.id().to_string()])
            .stderr(Stdio::null())
            .status()?;
        if strace.code() == Some(127) {
            return Ok(None);
        }
        // What each thread was in when strace came is told, too.
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id()))?.count();
        Ok(Some(fs::read_to_string(log)?.lines().count().saturating_sub(threads)))
    }

    /// Waits for its end, and looks at its memory meanwhile. Returns the most of it.
    pub fn wait(mut self) -> Result<f64> {
        let mut peak: f64 = 0.0;
        let status = loop {
            if let Some(status) = self.0.try_wait()? {
                break status;
            }
            // It has no memory in the moment between its end and our wait.
            peak = peak.max(self.peak().unwrap_or_default());
            thread::sleep(Duration::from_millis(5));
        };
        ensure!(status.success(), "maildirq: {status}");
        Ok(peak)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // What cannot be told has ended.
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}
