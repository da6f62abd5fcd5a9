//! Takes a mail apart at its boundaries (RFC 2046 section 5.1), in one pass.
//!
//! A line is compared with the boundaries of the multiparts that are open, the innermost first, and with
//! the whole line: where one boundary begins with another, each gets its own.

use super::guard::Refusal;
use super::header::{Header, Line, line_length};
use super::params::Params;
use super::part::{Part, media_type, params};
use memchr::memmem::Finder;
use std::mem;

/// How deep multiparts are looked into. One below that is a leaf. Real mail has up to 6.
const DEPTH_LIMIT: usize = 20;
/// How many parts a mail may have: each takes memory, and may be as short as 4 bytes.
pub(super) const PART_LIMIT: usize = 1_000;

/// The tree of a mail's parts. So many of its bytes are known to be lines of its header.
pub(super) fn tree(mail: &[u8], header: usize) -> Result<Part<'_>, Refusal> {
    let mut splitter = Splitter {
        mail,
        open: Vec::new(),
        place: Place::Header { start: 0 },
        count: 0,
        closed: None,
        dashes: Finder::new(b"\n--"),
    };
    let mut at = header;
    while at < mail.len() {
        let line = &mail[at..at + line_length(&mail[at..])];
        splitter.line(at, line)?;
        at = splitter.next(at + line.len());
    }
    splitter.end_part(mail.len(), mail.len())?;
    while !splitter.open.is_empty() {
        splitter.close_innermost(mail.len());
    }
    Ok(splitter.closed.expect("what is begun first is closed last"))
}

struct Splitter<'a> {
    mail: &'a [u8],
    /// The multiparts whose end has not come, the outermost first.
    open: Vec<Multipart<'a>>,
    place: Place<'a>,
    /// How many parts there were so far.
    count: usize,
    /// The outermost part, once it is whole.
    closed: Option<Part<'a>>,
    /// Finds the beginnings of lines that can be delimiters.
    dashes: Finder<'static>,
}

/// A multipart whose end has not come.
struct Multipart<'a> {
    part: Part<'a>,
    boundary: Vec<u8>,
    /// Where its body begins in the mail.
    body: usize,
}

/// Where in the mail a line is.
enum Place<'a> {
    /// Before the first part of a multipart, or behind the last.
    Outside,
    /// In the header of a part.
    Header { start: usize },
    /// In the body of a leaf.
    Body { part: Part<'a>, start: usize },
}

impl<'a> Splitter<'a> {
    fn line(&mut self, at: usize, line: &'a [u8]) -> Result<(), Refusal> {
        let after = at + line.len();
        if let Place::Header { start } = self.place
            && self.delimited(line).is_none()
        {
            match Line::of(line) {
                Line::Header => return Ok(()),
                Line::Blank => return self.begin_body(start, at, after),
                // It can be the first delimiter of the multipart that begins here.
                Line::Text => self.begin_body(start, at, at)?,
            }
        }
        let Some((level, is_last)) = self.delimited(line) else { return Ok(()) };
        // RFC 2046 section 5.1.1: the line end before a delimiter belongs to it.
        let before = &self.mail[..at];
        let before = before.strip_suffix(b"\n").map_or(before, |rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        self.end_part(at, before.len())?;
        while self.open.len() > level + 1 {
            self.close_innermost(before.len());
        }
        if is_last {
            self.close_innermost(before.len());
        } else {
            self.place = Place::Header { start: after };
        }
        Ok(())
    }

    /// Where the next line begins that is to be looked at, from a line on that begins here. Between headers
    /// these are only delimiters.
    fn next(&self, at: usize) -> usize {
        let rest = &self.mail[at..];
        match self.place {
            Place::Header { .. } => at,
            Place::Outside | Place::Body { .. } if self.open.is_empty() => self.mail.len(),
            Place::Outside | Place::Body { .. } if rest.starts_with(b"--") => at,
            Place::Outside | Place::Body { .. } => {
                self.dashes.find(rest).map_or(self.mail.len(), |line_end| at + line_end + 1)
            }
        }
    }

    /// The place in `open` of the multipart that this line delimits, and whether it is its last line.
    fn delimited(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        let places = self.open.iter().enumerate().rev();
        places.filter_map(|(place, multipart)| Some((place, line.strip_prefix(&*multipart.boundary)?))).find_map(
            |(place, rest)| match rest {
                b"" => Some((place, false)),
                b"--" => Some((place, true)),
                _ => None,
            },
        )
    }

    /// Goes from a header, which stands from `start` to `end`, to the body that begins at `body`.
    fn begin_body(&mut self, start: usize, end: usize, body: usize) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > PART_LIMIT {
            return Err(Refusal::Parts);
        }
        let header = Header::of_lines(&self.mail[start..end]);
        let content_type = params(header, "Content-Type");
        let disposition = params(header, "Content-Disposition");
        // RFC 2046 section 5.1.5.
        let is_in_digest = self.open.last().is_some_and(|multipart| multipart.part.media_type == "multipart/digest");
        let default = if is_in_digest { "message/rfc822" } else { "text/plain" };
        let media_type = media_type(&content_type, &disposition, default);
        let boundary = boundary(&media_type, &content_type);
        let mut part = Part { header, content_type, disposition, media_type, raw: b"", parts: Vec::new() };
        self.place = match boundary {
            Boundary::Of(boundary) if self.open.len() < DEPTH_LIMIT => {
                self.open.push(Multipart { part, boundary, body });
                Place::Outside
            }
            Boundary::None | Boundary::Of(_) => Place::Body { part, start: body },
            Boundary::Missing => {
                "text/plain".clone_into(&mut part.media_type);
                Place::Body { part, start: body }
            }
        };
        Ok(())
    }

    /// Ends the part that a line at `at` is in, if any. Its body ends at `end`.
    fn end_part(&mut self, at: usize, end: usize) -> Result<(), Refusal> {
        match self.place {
            // Between two delimiters in a row there is nothing.
            Place::Header { start } if start == at && !self.open.is_empty() => self.place = Place::Outside,
            Place::Header { start } => self.begin_body(start, at, at)?,
            Place::Body { .. } | Place::Outside => {}
        }
        if let Place::Body { part, start } = mem::replace(&mut self.place, Place::Outside) {
            self.add(Part { raw: &self.mail[start..end.max(start)], ..part });
        }
        Ok(())
    }

    /// Closes the innermost multipart, whose body ends at `end`.
    fn close_innermost(&mut self, end: usize) {
        let Some(Multipart { mut part, body, .. }) = self.open.pop() else { return };
        let preamble = &self.mail[body..end.max(body)];
        if part.parts.is_empty() && !preamble.trim_ascii().is_empty() {
            // Nothing that somebody wrote is to be lost.
            "text/plain".clone_into(&mut part.media_type);
            part.raw = preamble;
        }
        self.add(part);
    }

    /// Puts a part where it belongs.
    fn add(&mut self, part: Part<'a>) {
        match self.open.last_mut() {
            Some(multipart) => multipart.part.parts.push(part),
            None => self.closed = Some(part),
        }
    }
}

/// What parts are separated by.
enum Boundary {
    /// Nothing: it is no multipart.
    None,
    /// It is a multipart, and does not tell.
    Missing,
    /// Lines with this.
    Of(Vec<u8>),
}

fn boundary(media_type: &str, content_type: &Params) -> Boundary {
    if !media_type.starts_with("multipart/") {
        return Boundary::None;
    }
    // It cannot end in a blank (RFC 2046 section 5.1.1), which hosts on the way take off.
    let boundary = content_type.get("boundary").unwrap_or_default().trim_ascii_end();
    if boundary.is_empty() { Boundary::Missing } else { Boundary::Of(boundary.as_bytes().to_vec()) }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
