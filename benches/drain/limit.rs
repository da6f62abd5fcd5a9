//! What maildirq is held against. Each of these runs in a process of its own too.

use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use anyhow::{Context, Result, ensure};

/// The ceiling: the system calls that the job cannot do without, and nothing parsed, remembered or
/// tried again. Threads and blocking calls; a kept-alive connection each.
pub fn ceiling(new: &Path, address: &str, connections: usize) -> Result<()> {
    share_out(new, connections, |names| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut body = vec![0; 1 << 20];
        for name in names {
            let mut file = File::open(name)?;
            file.try_lock()?; // flock(2)
            let length = usize::try_from(file.metadata()?.len())?;
            file.read_exact(&mut body[..length])?;
            post(&mut stream, address, &body[..length])?;
            fs::remove_file(name)?;
        }
        Ok(())
    })
}

fn post(stream: &mut TcpStream, host: &str, body: &[u8]) -> Result<()> {
    let (kind, length) = ("message/rfc822", body.len());
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    let sent = stream.write_vectored(&[IoSlice::new(head.as_bytes()), IoSlice::new(body)])?;
    stream.write_all(&head.as_bytes()[sent.min(head.len())..])?;
    stream.write_all(&body[sent.saturating_sub(head.len())..])?;
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer)?;
    ensure!(answer[..length].starts_with(b"HTTP/1.1 204"), "the answer was not 204");
    Ok(())
}

/// The other end of the scale: a process per message, as an MTA's pipe to a script starts it.
pub fn curl(new: &Path, address: &str, processes: usize) -> Result<()> {
    share_out(new, processes, |names| {
        for name in names {
            let status = Command::new("curl")
                .args(["-sSf", "-H", "Content-Type: message/rfc822", "-H", "Expect:", address, "--data-binary"])
                .arg(format!("@{}", name.display()))
                .status()?;
            ensure!(status.success(), "curl: {status}");
            fs::remove_file(name)?;
        }
        Ok(())
    })
}

/// Each worker gets the next name until there are no more. They are relative to `new`.
fn share_out(
    new: &Path,
    workers: usize,
    work: impl Fn(&mut dyn Iterator<Item = &PathBuf>) -> Result<()> + Sync,
) -> Result<()> {
    env::set_current_dir(new)?;
    let names: Vec<_> = fs::read_dir(".")?.map(|entry| Ok(entry?.file_name().into())).collect::<Result<_>>()?;
    let next = AtomicUsize::new(0);
    let take = || work(&mut std::iter::from_fn(|| names.get(next.fetch_add(1, Ordering::Relaxed))));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(take)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().ok().context("a panic")?)
    })
}
