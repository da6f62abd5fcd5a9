//! The endpoint: a process of its own, which reads each request to its end, notes which message it
//! was and answers 204. The benchmark talks to it over its stdin and stdout.

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::{env, mem, thread};

use anyhow::{Context, Result};

use crate::corpus::id_of;

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
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| converse(stream));
        }
    });
    for count in io::stdin().lines() {
        let next = Ledger { requests: 0, bytes: 0, seen: vec![false; count?.parse()?] };
        let last = mem::replace(&mut *LEDGER.lock().unwrap(), next);
        let different = last.seen.iter().filter(|seen| **seen).count();
        println!("{} {different} {}", last.requests, last.bytes);
    }
    Ok(())
}

/// One kept-alive connection. A request without a length (chunked) closes it.
fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
    let (mut line, mut length, mut body) = (String::new(), None, Vec::new());
    while reader.read_line(&mut line)? > 0 {
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        } else if line == "\r\n" {
            body.resize(length.take().ok_or(io::ErrorKind::InvalidData)?, 0);
            reader.read_exact(&mut body)?;
            enter(&body);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        }
        line.clear();
    }
    Ok(())
}

fn enter(message: &[u8]) {
    let mut ledger = LEDGER.lock().unwrap();
    ledger.requests += 1;
    ledger.bytes += message.len();
    if let Some(seen) = id_of(message).and_then(|id| ledger.seen.get_mut(id)) {
        *seen = true;
    }
}
