//! The body of a large message, streamed from its file.

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How much of a large message is in memory at a time, in bytes.
const PIECE: usize = 64 * 1024;

/// The bytes of a claimed file, read as they are sent. Its length is known, so there is a
/// `Content-Length` and no chunks.
pub(super) struct FileBody {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

/// The message could not be read while it was sent.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub(super) struct BodyError(io::Error);

impl FileBody {
    /// All `length` bytes of the file.
    pub(super) fn new(file: Arc<File>, length: u64) -> Self {
        FileBody { file, offset: 0, length }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let left = self.length - self.offset;
        if left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::zeroed(usize::try_from(left).unwrap_or(PIECE).min(PIECE));
        match self.file.read_at(&mut piece, self.offset) {
            Ok(0) => Poll::Ready(Some(Err(BodyError(io::ErrorKind::UnexpectedEof.into())))),
            Ok(count) => {
                self.offset += count as u64;
                piece.truncate(count);
                Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
            }
            Err(error) => Poll::Ready(Some(Err(BodyError(error)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.offset)
    }
}
