//! The endpoint: a process of its own, which notes which messages have come. The benchmark talks to it over its stdin
//! and stdout.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::{env, mem};

use anyhow::{Context, Result};

use crate::endpoint::{listen, number_of};

/// The benchmark's end of it.
pub struct Receiver {
    pub address: String,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Receiver {
    pub fn start() -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let process = command.arg("receiver").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut answers = BufReader::new(process.stdout.context("no stdout")?).lines();
        let address = answers.next().context("the receiver did not start")??;
        Ok(Self { address, orders: process.stdin.context("no stdin")?, answers })
    }

    /// Expects messages 0 to `count` from now on. Returns the requests that came since the last
    /// time, how many different messages they were, and their bytes.
    pub fn expect(&mut self, count: usize) -> Result<String> {
        writeln!(self.orders, "{count}")?;
        Ok(self.answers.next().context("the receiver is gone")??)
    }
}

struct Ledger {
    requests: usize,
    bytes: usize,
    seen: Vec<bool>,
}

static LEDGER: Mutex<Ledger> = Mutex::new(Ledger { requests: 0, bytes: 0, seen: Vec::new() });

/// The receiver's process; it ends with the benchmark.
pub fn serve() -> Result<()> {
    println!("{}", listen(enter)?);
    for count in io::stdin().lines() {
        let next = Ledger { requests: 0, bytes: 0, seen: vec![false; count?.parse()?] };
        let last = mem::replace(&mut *LEDGER.lock().unwrap(), next);
        let different = last.seen.iter().filter(|seen| **seen).count();
        println!("{} {different} {}", last.requests, last.bytes);
    }
    Ok(())
}

fn enter(message: &[u8]) {
    let mut ledger = LEDGER.lock().unwrap();
    ledger.requests += 1;
    ledger.bytes += message.len();
    if let Some(seen) = number_of(message).and_then(|id| ledger.seen.get_mut(id)) {
        *seen = true;
    }
}
