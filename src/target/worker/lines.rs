//! What a worker says on its standard output: lines of a bounded length.

use super::protocol::{Breach, LONGEST_LINE};
use memchr::memchr;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at a time, in bytes. Answers are short.
const PIECE: usize = 4 * 1024;

/// The lines that come from a pipe that does not block.
pub(super) struct Lines<P> {
    pipe: P,
    read: Vec<u8>,
    /// How much of what was read is known to hold no end of a line.
    searched: usize,
}

/// What a process has said that nobody has asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unasked {
    /// Nothing, as it should be.
    Nothing,
    /// It has said something.
    Said(Breach),
    /// It will say nothing any more.
    End,
}

impl<P: AsyncRead + AsFd + Unpin> Lines<P> {
    pub fn new(pipe: P) -> Self {
        Lines { pipe, read: Vec::new(), searched: 0 }
    }

    /// The next line, without its end. Nothing where nobody can say anything any more. What comes behind it is kept;
    /// so is what was read when this is dropped.
    pub async fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, Breach>>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            self.read.reserve(PIECE);
            if self.pipe.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next line of a process that has ended: all that it has said is there. Nothing where it has said no more.
    pub fn last(&mut self) -> io::Result<Option<Result<Vec<u8>, Breach>>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if matches!(self.read_now()?, None | Some(0)) {
                return Ok(None);
            }
        }
    }

    /// What is there without having been asked for, as far as that is known now.
    pub fn unasked(&mut self) -> io::Result<Unasked> {
        if self.read.is_empty() {
            match self.read_now()? {
                None => return Ok(Unasked::Nothing),
                Some(0) => return Ok(Unasked::End),
                Some(_) => {}
            }
        }
        let line = self.read.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Ok(Unasked::Said(Breach::by(line)))
    }

    /// Reads what is there, without waiting for more: nothing where there may be more later.
    fn read_now(&mut self) -> io::Result<Option<usize>> {
        self.read.reserve(PIECE);
        loop {
            match rustix::io::read(&self.pipe, rustix::buffer::spare_capacity(&mut self.read)) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self) -> Option<Result<Vec<u8>, Breach>> {
        let found = memchr(b'\n', &self.read[self.searched..]).map(|place| self.searched + place);
        self.searched = self.read.len();
        if found.unwrap_or(self.read.len()) > LONGEST_LINE {
            let said = Breach::by(&self.read[..LONGEST_LINE]).what;
            return Some(Err(Breach::of(format!("a line of more than {} KiB; {said}", LONGEST_LINE / 1024))));
        }
        let end = found?;
        let rest = self.read.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.read, rest);
        line.truncate(end);
        self.searched = 0;
        Some(Ok(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::net::unix::pipe;

    fn with_pipe<T>(test: impl AsyncFnOnce(&mut Lines<pipe::Receiver>, &mut io::PipeWriter) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (read, mut write) = io::pipe().unwrap();
            let read = pipe::Receiver::from_owned_fd(read.into()).unwrap();
            test(&mut Lines::new(read), &mut write).await
        })
    }

    #[test]
    fn lines_are_read_whole_whatever_the_pieces() {
        with_pipe(async |lines, write| {
            write.write_all(b"one\n\ntwo\nthr").unwrap();
            for expected in ["one", "", "two"] {
                assert_eq!(lines.next().await.unwrap().unwrap().unwrap(), expected.as_bytes());
            }
            write.write_all(b"ee\nrest").unwrap();
            assert_eq!(lines.next().await.unwrap().unwrap().unwrap(), b"three");
            assert_eq!(lines.unasked().unwrap(), Unasked::Said(Breach::by(b"rest")));
        });
    }

    #[test]
    fn what_a_dead_process_has_said_is_read_though_somebody_holds_its_pipe() {
        with_pipe(async |lines, write| {
            assert_eq!((lines.last().unwrap(), lines.unasked().unwrap()), (None, Unasked::Nothing));
            write.write_all(b"one\ntwo").unwrap();
            assert_eq!(lines.last().unwrap(), Some(Ok(b"one".to_vec())));
            assert_eq!(lines.last().unwrap(), None);
        });
    }

    #[test]
    fn nothing_is_left_to_say_when_the_pipe_is_closed() {
        with_pipe(async |lines, write| {
            let (_, other) = io::pipe().unwrap();
            drop(std::mem::replace(write, other));
            assert_eq!(lines.unasked().unwrap(), Unasked::End);
            assert_eq!(lines.next().await.unwrap(), None);
        });
    }

    #[test]
    fn a_line_has_a_longest_length() {
        with_pipe(async |lines, write| {
            let mut write = write.try_clone().unwrap();
            let writing = std::thread::spawn(move || {
                write.write_all(&vec![b'x'; LONGEST_LINE]).unwrap();
                write.write_all(b"\n").unwrap();
                write.write_all(&vec![b'y'; LONGEST_LINE + 1]).unwrap();
            });
            assert_eq!(lines.next().await.unwrap().unwrap().unwrap().len(), LONGEST_LINE);
            let breach = lines.next().await.unwrap().unwrap().unwrap_err();
            assert!(breach.what.starts_with("a line of more than 64 KiB; it said: yyy"), "{}", breach.what);
            assert!(lines.read.len() < LONGEST_LINE + 2 * PIECE);
            writing.join().unwrap();
        });
    }
}
