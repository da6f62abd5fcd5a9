//! The application of the benchmarks: it reads each request to its end, tells what came, and answers 204.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// How every message begins that counts; its number follows.
pub const FIRST_LINE: &str = "Return-Path: <bench+";
/// What tells that sender, as the mail itself or in an object, within the first bytes.
const SENDER: &[u8] = b"bench+";
const FIRST_BYTES: usize = 1024;

/// Where the application is reached. Of each message it tells on the thread of its connection; its threads end with the
/// process.
///
/// # Errors
/// There is no port to be had.
pub fn listen(tell: impl Fn(&[u8]) + Clone + Send + 'static) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The standard library asks for a queue of 128, which is short of hundreds of connections at once.
    rustix::net::listen(&listener, 1024)?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || converse(stream, tell));
        }
    });
    Ok(address)
}

/// One kept-alive connection. A request without a length (chunked) closes it.
fn converse(mut stream: TcpStream, tell: impl Fn(&[u8])) -> io::Result<()> {
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
            tell(&body);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        }
        line.clear();
    }
    Ok(())
}

/// The number of a message, also of one that comes as an object in which its sender is told. None where it has none.
pub fn number_of(message: &[u8]) -> Option<usize> {
    let head = &message[..message.len().min(FIRST_BYTES)];
    let at = head.windows(SENDER.len()).position(|bytes| bytes == SENDER)? + SENDER.len();
    let digits = head[at..].split(|byte| !byte.is_ascii_digit()).next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}
