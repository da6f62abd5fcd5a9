//! The application: it notes when each ordinary message has come whole, and answers 204 to everything.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver as Channel, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How every ordinary message begins; its number follows.
pub const FIRST_LINE: &str = "Return-Path: <bench+";
/// How the object tells that sender, within its first bytes.
const SENDER: &[u8] = b"\"from\":\"bench+";
const FIRST_BYTES: usize = 1024;

/// Ends with the process.
pub struct Receiver {
    pub address: String,
    arrivals: Channel<(usize, Instant)>,
    expected: usize,
}

impl Receiver {
    /// For ordinary messages from 0 to `expected`.
    pub fn start(expected: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let (tell, arrivals) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || converse(stream, &tell));
            }
        });
        Ok(Receiver { address, arrivals, expected })
    }

    /// The first message of any number.
    pub fn wait_for_one(&self, patience: Duration) -> Option<usize> {
        self.arrivals.recv_timeout(patience).ok().map(|(number, _)| number)
    }

    /// When each of them came, in the order of their numbers. None where one did not.
    pub fn wait_for_all(&self, patience: Duration) -> Option<Vec<Instant>> {
        let mut arrived = vec![None; self.expected];
        while arrived.contains(&None) {
            let (number, at) = self.arrivals.recv_timeout(patience).ok()?;
            // A repeat is no news.
            if let Some(first @ None) = arrived.get_mut(number) {
                *first = Some(at);
            }
        }
        arrived.into_iter().collect()
    }
}

/// One kept-alive connection.
fn converse(mut stream: TcpStream, tell: &Sender<(usize, Instant)>) -> io::Result<()> {
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
            if let Some(number) = number_of(&body) {
                // The benchmark is over, or has given up.
                let _ = tell.send((number, Instant::now()));
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        }
        line.clear();
    }
    Ok(())
}

/// The number of an ordinary message.
fn number_of(object: &[u8]) -> Option<usize> {
    let head = &object[..object.len().min(FIRST_BYTES)];
    let at = head.windows(SENDER.len()).position(|bytes| bytes == SENDER)? + SENDER.len();
    let digits = head[at..].split(|byte| !byte.is_ascii_digit()).next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}
