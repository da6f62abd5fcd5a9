//! The body of a request, of which files are streamed.

use crate::payload::{Payload, Piece};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::io;
use std::iter::Flatten;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

/// The body for a payload.
pub(super) fn body(payload: &Payload) -> reqwest::Body {
    match &payload.pieces[..] {
        [Piece::Bytes(bytes)] => bytes.clone().into(),
        _ => reqwest::Body::wrap(PieceBody::of(payload)),
    }
}

/// Pieces, of which files are read as they are sent. Its length is known, so there is a `Content-Length` and no
/// chunks.
pub(super) struct PieceBody {
    chunks: Flatten<vec::IntoIter<Piece>>,
    left: u64,
}

/// The message could not be read while it was sent.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub(super) struct BodyError(io::Error);

impl PieceBody {
    /// The body for a payload.
    pub(super) fn of(payload: &Payload) -> Self {
        PieceBody::new(payload.pieces.clone())
    }

    fn new(pieces: Vec<Piece>) -> Self {
        let left = pieces.iter().map(Piece::len).sum();
        PieceBody { chunks: pieces.into_iter().flatten(), left }
    }
}

impl http_body::Body for PieceBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.chunks.next().map(|bytes| {
            let bytes = bytes.map_err(BodyError)?;
            self.left -= bytes.len() as u64;
            Ok(Frame::data(bytes))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body;
    use std::fs::File;
    use std::io::Write;
    use std::sync::Arc;
    use std::task::Waker;

    fn written(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn file(bytes: &[u8], length: u64) -> Piece {
        Piece::File { head: Bytes::new(), file: written(bytes).into(), length }
    }

    /// The next bytes as a connection asks for them.
    fn next(body: &mut PieceBody) -> Option<Result<Bytes, BodyError>> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(frame) => {
                frame.map(|frame| frame.map(|frame| frame.into_data().expect("there are no trailers")))
            }
            Poll::Pending => panic!("a file is read at once"),
        }
    }

    #[test]
    fn every_piece_is_sent_once_and_in_order() {
        let long = vec![b'a'; 100_000];
        let text = |text: &'static str| Piece::Bytes(Bytes::from_static(text.as_bytes()));
        let encoded = Piece::Base64 { file: Arc::new(written(b"abcd")), length: 4 };
        let pieces =
            vec![text(""), text("<"), file(&long, 100_000), file(b"", 0), text(""), encoded, text(">"), text("")];
        let mut body = PieceBody::new(pieces);
        assert_eq!(body.size_hint().exact(), Some(100_010));
        let mut sent = Vec::new();
        while let Some(bytes) = next(&mut body) {
            let bytes = bytes.unwrap();
            assert!(!bytes.is_empty() && bytes.len() < 100_000, "{}", bytes.len());
            sent.extend_from_slice(&bytes);
        }
        assert_eq!(sent, [b"<", &*long, b"YWJjZA==>"].concat());
        assert_eq!(body.size_hint().exact(), Some(0));
    }

    #[test]
    fn a_file_that_has_become_shorter_ends_the_request() {
        let mut body = PieceBody::new(vec![file(b"ab", 3)]);
        let error = next(&mut body).unwrap().unwrap_err();
        assert_eq!(error.0.kind(), io::ErrorKind::UnexpectedEof);
    }
}
