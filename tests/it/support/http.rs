//! As much HTTP/1.1 as the servers here speak, with every byte in sight.

use std::fmt::Display;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use super::wait::Gate;

/// The names of the header fields that a signed request has, whatever its format and its mail.
pub const HEADERS_SENT: [&str; 10] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "maildirq-attempt",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// What came in, as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// In their order on the wire, names in lower case, doubled ones kept.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// `None`: the client closed a connection that it was done with.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
        let Some(mut request) = Request::read_head(from)? else {
            return Ok(None);
        };
        request.body = vec![0; request.content_length()?];
        from.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// The request without its body.
    pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Request>> {
        let Some(start) = read_line(from)? else {
            return Ok(None);
        };
        let mut words = start.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(malformed("request line"));
        };
        let headers = read_headers(from)?;
        Ok(Some(Request { method, path, headers, body: Vec::new() }))
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The id of the message; empty if the client sent none.
    pub fn id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }

    pub fn attempt(&self) -> Option<u32> {
        self.header("maildirq-attempt")?.parse().ok()
    }

    /// It is always sent: a body that ends with the connection could be cut short unseen.
    pub fn content_length(&self) -> io::Result<usize> {
        let length = self.header("content-length").and_then(|length| length.parse().ok());
        length.ok_or_else(|| malformed("content-length"))
    }
}

/// What the app says to a request.
#[derive(Clone)]
pub struct Answer {
    /// 0 stands for hanging up without a word.
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    closes: bool,
    pub(super) delay: Duration,
    pub(super) gate: Option<Gate>,
}

impl Answer {
    pub fn ok() -> Answer {
        Answer::status(200)
    }

    pub fn status(status: u16) -> Answer {
        let (headers, body) = (Vec::new(), Vec::new());
        Answer { status, headers, body, closes: false, delay: Duration::ZERO, gate: None }
    }

    pub fn hang_up() -> Answer {
        Answer::status(0).closing()
    }

    pub fn header(mut self, name: &str, value: impl Display) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    /// Lets the client wait this long.
    pub fn after(mut self, delay: Duration) -> Answer {
        self.delay = delay;
        self
    }

    /// Lets the client wait until the test opens the gate.
    pub fn through(mut self, gate: &Gate) -> Answer {
        self.gate = Some(gate.clone());
        self
    }

    /// Ends the connection after this answer.
    pub fn closing(mut self) -> Answer {
        self.closes = true;
        self
    }

    pub fn is_accepting(&self) -> bool {
        is_accepting(self.status)
    }

    /// Says whether the connection lives on.
    pub fn write(&self, mut to: impl Write) -> io::Result<bool> {
        if self.status != 0 {
            to.write_all(&self.to_bytes())?;
        }
        Ok(!self.closes)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} \r\ncontent-length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if self.closes {
            head += "connection: close\r\n";
        }
        head += "\r\n";
        [head.as_bytes(), &self.body].concat()
    }
}

pub fn is_accepting(status: u16) -> bool {
    (200..300).contains(&status)
}

fn read_headers(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Without its line end; `None` at the end of the stream.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    const LONGEST: u64 = 64 * 1024;
    let mut line = Vec::new();
    from.take(LONGEST).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| malformed("line end"))?;
    String::from_utf8(line.to_vec()).map(Some).map_err(|_| malformed("text"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what} in a request"))
}
