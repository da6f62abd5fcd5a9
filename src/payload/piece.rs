//! The body of a request: some bytes in memory, and files that are read as they are sent.

use crate::base64;
use crate::engine::Body;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

/// How much of a file is in memory at a time, in bytes. A multiple of three, for base64.
const CHUNK: usize = 48 * 1024;

/// The body of a request.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Its media type, fit for a `Content-Type` header: nothing in it comes from a mail.
    pub content_type: Cow<'static, str>,
    /// Its bytes.
    pub pieces: Vec<Piece>,
}

/// Some bytes of a body.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Bytes(Bytes),
    /// A whole file, to be read by position.
    File {
        /// Its first bytes, where they were read before.
        head: Bytes,
        /// The file.
        file: Arc<File>,
        /// Its length in bytes.
        length: u64,
    },
    /// A whole file as base64 without line breaks (RFC 4648 section 4), to be read by position.
    Base64 {
        /// The file.
        file: Arc<File>,
        /// The length of the file itself in bytes.
        length: u64,
    },
}

/// The bytes of a piece in order, not many at a time where they are read from a file.
#[derive(Debug)]
pub struct Chunks {
    piece: Piece,
    /// How much of a file is read.
    offset: u64,
}

impl Payload {
    /// A body that is in memory.
    pub(super) fn whole(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Payload { content_type: content_type.into(), pieces: vec![Piece::Bytes(bytes.into())] }
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// A file cannot be read or has become shorter, or this cannot be written to.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| piece.each_chunk(|chunk| out.write_all(chunk)))
    }
}

impl Piece {
    /// All bytes of a message.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Whole(bytes) => Piece::Bytes(bytes.clone()),
            Body::File { head, file, length } => {
                Piece::File { head: head.clone(), file: file.clone(), length: *length }
            }
        }
    }

    /// All bytes of a message as base64 without line breaks (RFC 4648 section 4). Those of a file are encoded as they
    /// are read.
    pub fn base64(body: &Body) -> Self {
        match body {
            Body::Whole(bytes) => Piece::Bytes(base64::encode(bytes).into()),
            Body::File { file, length, .. } => Piece::Base64 { file: file.clone(), length: *length },
        }
    }

    /// Its length in bytes, as it is sent.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File { length, .. } => *length,
            Piece::Base64 { length, .. } => length.div_ceil(3) * 4,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives all its bytes in order, not many at a time where they are read from a file.
    ///
    /// # Errors
    /// The file cannot be read or has become shorter, or `take` says so.
    pub fn each_chunk(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.clone().into_iter().try_for_each(|chunk| take(&chunk?))
    }
}

impl IntoIterator for Piece {
    type Item = io::Result<Bytes>;
    type IntoIter = Chunks;

    fn into_iter(self) -> Chunks {
        Chunks { piece: self, offset: 0 }
    }
}

impl Iterator for Chunks {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let (file, length) = match &mut self.piece {
            Piece::Bytes(bytes) => return (!bytes.is_empty()).then(|| Ok(mem::take(bytes))),
            Piece::File { head, .. } if !head.is_empty() => {
                self.offset = head.len() as u64;
                return Some(Ok(mem::take(head)));
            }
            Piece::File { file, length, .. } | Piece::Base64 { file, length } => (file, *length),
        };
        if self.offset >= length {
            return None;
        }
        let left = usize::try_from(length - self.offset).unwrap_or(CHUNK);
        let chunk = match read_at(file, self.offset, left.min(CHUNK)) {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(error)),
        };
        self.offset += chunk.len() as u64;
        let is_base64 = matches!(self.piece, Piece::Base64 { .. });
        Some(Ok(if is_base64 { base64::encode(&chunk).into() } else { chunk.into() }))
    }
}

/// So many bytes of a file. No memory is cleared for them before.
fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let place = offset + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), place) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Piece::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Message;
    use crate::payload::tests::{in_file, text_of};
    use data_encoding::BASE64;

    #[test]
    fn what_is_in_memory_and_what_is_in_a_file_become_one_body() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * CHUNK + 7).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let length = bytes.len() as u64;
        let file = Piece::File { head: Bytes::new(), file: file.into(), length };
        let pieces = vec![Piece::Bytes(Bytes::from_static(b"<")), file.clone(), Piece::Bytes(Bytes::from_static(b">"))];
        let payload = Payload { content_type: "text/plain".into(), pieces };
        let mut written = Vec::new();
        payload.write_to(&mut written).unwrap();
        assert_eq!(written, [b"<", &bytes[..], b">"].concat());
        assert_eq!((payload.len(), payload.is_empty()), (length + 2, false));

        let mut lengths = Vec::new();
        let count = |chunk: &[u8]| {
            lengths.push(chunk.len());
            Ok(())
        };
        file.each_chunk(count).unwrap();
        assert_eq!(lengths, [CHUNK, CHUNK, CHUNK, 7]);
    }

    #[test]
    fn what_was_read_of_a_file_before_is_not_read_again() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"Subject: x\n\nbody\n").unwrap();
        let body = Body::File { head: Bytes::from_static(b"SUB"), file: file.into(), length: 17 };
        let payload = Payload { content_type: "message/rfc822".into(), pieces: vec![Piece::of(&body)] };
        assert_eq!(text_of(&payload), "SUBject: x\n\nbody\n");
    }

    #[test]
    fn base64_is_one_line_however_long() {
        for length in [0, 1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 2] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            for message in [in_file(&bytes), Message { body: Body::Whole(bytes.clone().into()), ..Message::sample() }] {
                let piece = Piece::base64(&message.body);
                let payload = Payload { content_type: "text/plain".into(), pieces: vec![piece] };
                assert_eq!(text_of(&payload), BASE64.encode(&bytes));
            }
        }
    }

    #[test]
    fn a_file_is_encoded_as_it_is_read() {
        let body = Body::File { head: Bytes::new(), file: tempfile::tempfile().unwrap().into(), length: 3 << 40 };
        let piece = Piece::base64(&body);
        assert_eq!(piece.len(), 4 << 40);
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let piece = Piece::File { head: Bytes::new(), file: tempfile::tempfile().unwrap().into(), length: 1 };
        assert_eq!(piece.each_chunk(|_| Ok(())).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
