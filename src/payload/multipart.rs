//! `multipart/form-data` (RFC 7578).

use super::piece::{Payload, Piece};
use crate::engine::Id;
use crate::mail::Attachment;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use memchr::memmem::Finder;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;

/// Pieces up to this length, in bytes, are put together: a copy of them costs less than a frame.
const SMALL: usize = 8 * 1024;

/// A form, in which every field is a part.
#[derive(Default)]
pub(super) struct Multipart(Vec<Part>);

/// One part of a form.
pub(super) struct Part {
    name: String,
    file_name: Option<String>,
    media_type: Option<String>,
    content: Vec<Piece>,
}

impl Part {
    /// A field with some text.
    pub(super) fn text(name: impl Into<String>, text: impl Into<Bytes>) -> Self {
        Part::field(name, vec![Piece::Bytes(text.into())])
    }

    /// A message as a file.
    pub(super) fn message(name: impl Into<String>, content: Piece) -> Self {
        let part = Part { file_name: Some("message.eml".into()), ..Part::field(name, vec![content]) };
        part.with_type("message/rfc822")
    }

    /// A field with these bytes, which is no file.
    pub(super) fn field(name: impl Into<String>, content: Vec<Piece>) -> Self {
        Part { name: name.into(), file_name: None, media_type: None, content }
    }

    /// An attachment as a file. It always has a file name, for that is what tells a file from a text.
    pub(super) fn attachment(name: String, attachment: &Attachment<'_>, content: Piece) -> Self {
        let file_name = attachment.name.clone().unwrap_or_else(|| {
            let extension = if attachment.media_type == "message/rfc822" { ".eml" } else { "" };
            format!("{name}{extension}")
        });
        let media_type = Some(media_type(attachment));
        Part { name, file_name: Some(file_name), media_type, content: vec![content] }
    }

    /// The same, of this media type.
    pub(super) fn with_type(self, media_type: &str) -> Self {
        Part { media_type: Some(media_type.into()), ..self }
    }

    /// The header of this part.
    fn header(&self) -> String {
        let mut header = format!("Content-Disposition: form-data; name=\"{}\"", quoted(&self.name));
        if let Some(file_name) = &self.file_name {
            let _ = write!(header, "; filename=\"{}\"", quoted(file_name));
        }
        if let Some(media_type) = &self.media_type {
            let _ = write!(header, "\r\nContent-Type: {media_type}");
        }
        header
    }
}

impl Multipart {
    /// Adds a part at the end.
    pub(super) fn add(&mut self, part: Part) {
        self.0.push(part);
    }

    /// All of it. What stands between the parts is made of the id, so that it is the same at every attempt.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn payload(self, id: Id) -> io::Result<Payload> {
        let boundary = self.boundary(id)?;
        let mut pieces = Pieces::default();
        for part in self.0 {
            let header = format!("--{boundary}\r\n{}\r\n\r\n", part.header());
            pieces.push(Piece::Bytes(header.into()));
            part.content.into_iter().for_each(|piece| pieces.push(piece));
            pieces.push(Piece::Bytes(Bytes::from_static(b"\r\n")));
        }
        pieces.push(Piece::Bytes(format!("--{boundary}--\r\n").into()));
        Ok(Payload { content_type: format!("multipart/form-data; boundary={boundary}").into(), pieces: pieces.done() })
    }

    /// A line that stands in none of the parts.
    fn boundary(&self, id: Id) -> io::Result<String> {
        for number in 0_u64.. {
            let digest = Sha256::digest(format!("multipart {id} {number}"));
            let boundary = format!("maildirq-{}", &HEXLOWER.encode(&digest)[..32]);
            let mut is_free = true;
            for part in &self.0 {
                is_free = is_free && !part.header().contains(&boundary);
                for piece in &part.content {
                    is_free = is_free && !holds(piece, boundary.as_bytes())?;
                }
            }
            if is_free {
                return Ok(boundary);
            }
        }
        unreachable!("no form holds all boundaries")
    }
}

/// Whether these bytes stand anywhere in a piece.
fn holds(piece: &Piece, sought: &[u8]) -> io::Result<bool> {
    let finder = Finder::new(sought);
    if let Piece::Bytes(bytes) = piece {
        return Ok(finder.find(bytes).is_some());
    }
    let mut found = false;
    let mut window: Vec<u8> = Vec::new();
    piece.each_chunk(|chunk| {
        window.extend_from_slice(chunk);
        found = found || finder.find(&window).is_some();
        window.drain(..window.len().saturating_sub(sought.len() - 1));
        Ok(())
    })?;
    Ok(found)
}

/// Pieces, the small ones put together.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    small: Vec<u8>,
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) if bytes.len() <= SMALL => self.small.extend_from_slice(&bytes),
            piece => {
                self.flush();
                self.done.push(piece);
            }
        }
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.done.push(Piece::Bytes(std::mem::take(&mut self.small).into()));
        }
    }

    fn done(mut self) -> Vec<Piece> {
        self.flush();
        self.done
    }
}

/// A name as HTML forms write it (WHATWG HTML, multipart/form-data encoding algorithm): UTF-8, with these three
/// characters spelled out.
fn quoted(name: &str) -> String {
    name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22")
}

/// The media type of an attachment, with its charset. What a stranger wrote there must not end the header.
pub(super) fn media_type(attachment: &Attachment<'_>) -> String {
    let is_type = attachment.media_type.split('/').count() == 2 && attachment.media_type.split('/').all(is_token);
    let media_type = if is_type { &attachment.media_type } else { "application/octet-stream" };
    match attachment.charset.as_deref().filter(|charset| is_type && is_token(charset)) {
        Some(charset) => format!("{media_type}; charset={charset}"),
        None => media_type.to_owned(),
    }
}

/// RFC 2045 section 5.1.
fn is_token(text: &str) -> bool {
    let is_special = |byte: u8| br#"()<>@,;:\"/[]?="#.contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !is_special(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::tests::text_of;
    use std::os::unix::fs::FileExt;

    fn id() -> Id {
        Id::from_digest(&[7; 32])
    }

    fn form(parts: Vec<Part>) -> (String, String) {
        let payload = Multipart(parts).payload(id()).unwrap();
        let boundary = payload.content_type.strip_prefix("multipart/form-data; boundary=").unwrap().to_owned();
        (text_of(&payload), boundary)
    }

    #[test]
    fn every_field_is_a_part() {
        let message = Piece::Bytes(Bytes::from_static(b"Subject: x\n\n"));
        let (written, boundary) = form(vec![Part::text("say \"a\"\r\n", "one"), Part::message("email", message)]);
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"say %22a%22%0D%0A\"\r\n\r\none\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"email\"; filename=\"message.eml\"\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: x\n\n\r\n--{boundary}--\r\n"
        );
        assert_eq!(written, expected);
        assert_eq!(form(vec![]).1, boundary, "it is the same each time");
    }

    #[test]
    fn what_stands_between_the_parts_stands_in_none_of_them() {
        let (_, first) = form(vec![]);
        let (written, second) = form(vec![Part::text("a", format!("x{first}x"))]);
        assert_ne!(first, second);
        assert_eq!(written.matches(&second).count(), 2);
        let (_, third) = form(vec![Part::text("a", first.clone()), Part::text(second.clone(), "b")]);
        assert!(third != first && third != second);

        // Also across two chunks of a file.
        let file = tempfile::tempfile().unwrap();
        for offset in [0, 48 * 1024 - 20, 48 * 1024 - 1, 96 * 1024] {
            file.set_len(0).unwrap();
            file.write_all_at(first.as_bytes(), offset).unwrap();
            let length = file.metadata().unwrap().len();
            let piece = Piece::File { head: Bytes::new(), file: file.try_clone().unwrap().into(), length };
            assert!(holds(&piece, first.as_bytes()).unwrap(), "{offset}");
            assert!(!holds(&piece, second.as_bytes()).unwrap(), "{offset}");
        }
    }

    #[test]
    fn large_pieces_are_not_copied() {
        let large = Bytes::from(vec![b'a'; SMALL + 1]);
        let payload = Multipart(vec![Part::text("a", "b"), Part::text("c", large.clone())]).payload(id()).unwrap();
        assert_eq!(payload.pieces.len(), 3);
        assert!(matches!(&payload.pieces[1], Piece::Bytes(bytes) if bytes.as_ptr() == large.as_ptr()));
    }

    #[test]
    fn only_a_token_gets_into_a_media_type() {
        for (text, expected) in
            [("utf-8", true), ("", false), ("a b", false), ("a\r\nb", false), ("a\"", false), ("\u{e9}", false)]
        {
            assert_eq!(is_token(text), expected, "{text:?}");
        }
    }
}
