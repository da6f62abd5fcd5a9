//! What the job cannot do without, for one message: open, flock, read, POST, unlink. Nothing is parsed, remembered or
//! tried again.

use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Result, ensure};

/// A kept-alive connection, and room for a message.
pub struct Bare {
    stream: TcpStream,
    host: String,
    body: Vec<u8>,
}

impl Bare {
    /// Connects to this host and port.
    pub fn new(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Bare { stream, host: address.to_owned(), body: vec![0; 1 << 20] })
    }

    /// Takes the message at this path there.
    pub fn take(&mut self, path: &Path) -> Result<()> {
        let (mut file, length) = claim(path)?;
        self.read(&mut file, length)?;
        self.post(length)?;
        fs::remove_file(path)?;
        Ok(())
    }

    /// Reads a message of this length.
    pub fn read(&mut self, file: &mut File, length: usize) -> Result<()> {
        Ok(file.read_exact(&mut self.body[..length])?)
    }

    /// Sends what was read.
    pub fn post(&mut self, length: usize) -> Result<()> {
        let (kind, host, body) = ("message/rfc822", &self.host, &self.body[..length]);
        let head =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        let sent = self.stream.write_vectored(&[IoSlice::new(head.as_bytes()), IoSlice::new(body)])?;
        self.stream.write_all(&head.as_bytes()[sent.min(head.len())..])?;
        self.stream.write_all(&body[sent.saturating_sub(head.len())..])?;
        let mut answer = [0; 1024];
        let length = self.stream.read(&mut answer)?;
        ensure!(answer[..length].starts_with(b"HTTP/1.1 204"), "the answer was not 204");
        Ok(())
    }
}

/// Opens and locks a message, and tells its length.
pub fn claim(path: &Path) -> Result<(File, usize)> {
    let file = File::open(path)?;
    file.try_lock()?; // flock(2)
    let length = usize::try_from(file.metadata()?.len())?;
    Ok((file, length))
}
