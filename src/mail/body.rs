//! Which parts are the text of a mail, and which are attachments.
//!
//! The body is the first thing that a mail shows, as text, as HTML, or as both where they are the two
//! branches of a `multipart/alternative` (the idea of RFC 8621 section 4.1.4). Text that comes later,
//! such as the footer of a mailing list, is an attachment, so that nothing is lost.

use super::attachment::Attachment;
use super::part::Part;

/// The parts of a mail by what they are.
#[derive(Debug, Default)]
pub(super) struct Body<'p, 'a> {
    /// The text.
    pub text: Option<&'p Part<'a>>,
    /// The HTML.
    pub html: Option<&'p Part<'a>>,
    /// All other leaves, in their order.
    pub attachments: Vec<Attachment<'a>>,
    /// Whether the body is found, and what comes is none of it.
    is_complete: bool,
}

/// What the multiparts around a part make of it.
#[derive(Clone, Copy)]
struct Within {
    rank: Rank,
    is_alternative: bool,
    is_related: bool,
}

/// Whether a part can be the body, or have it inside.
#[derive(Clone, Copy, PartialEq)]
enum Rank {
    Body,
    /// Unless it has the name of a file.
    Later,
    /// No: it only belongs to the body.
    Aside,
}

impl<'p, 'a> Body<'p, 'a> {
    /// Looks for the body of a mail whose outermost part this is.
    pub fn of(root: &'p Part<'a>) -> Self {
        let mut body = Body::default();
        body.take(root, Within { rank: Rank::Body, is_alternative: false, is_related: false });
        body
    }

    /// The depth of this recursion is that of the tree, which is bounded.
    fn take(&mut self, part: &'p Part<'a>, within: Within) {
        if !part.media_type.starts_with("multipart/") || !part.raw.is_empty() {
            return self.take_leaf(part, within);
        }
        let subtype = &part.media_type["multipart/".len()..];
        let root = if subtype == "related" { related_root(part) } else { 0 };
        for (place, child) in part.parts.iter().enumerate() {
            let rank = match subtype {
                // The other parts of these two are no bodies (RFC 2387, RFC 1847).
                "related" | "signed" if place != root => Rank::Aside,
                _ if within.rank == Rank::Aside => Rank::Aside,
                "alternative" => Rank::Body,
                _ if place == 0 => Rank::Body,
                _ => Rank::Later,
            };
            let is_alternative = within.is_alternative || subtype == "alternative";
            self.take(child, Within { rank, is_alternative, is_related: within.is_related || subtype == "related" });
        }
        let ends_alternative = subtype == "alternative" && !within.is_alternative;
        self.is_complete |= ends_alternative && (is_filled(self.text) || is_filled(self.html));
    }

    fn take_leaf(&mut self, part: &'p Part<'a>, within: Within) {
        let place = match &*part.media_type {
            "text/plain" => Some(&mut self.text),
            "text/html" => Some(&mut self.html),
            _ => None,
        };
        let may_show = match within.rank {
            Rank::Body => true,
            Rank::Later => part.file_name().is_none(),
            Rank::Aside => false,
        };
        let is_shown = may_show && !self.is_complete && !part.is_set_apart();
        let aside = match place {
            Some(place) if is_shown && !is_filled(*place) => {
                self.is_complete = !within.is_alternative && is_filled(Some(part));
                place.replace(part)
            }
            _ => Some(part),
        };
        self.attachments.extend(aside.map(|part| Attachment::new(part, within.is_related)));
    }
}

/// The child that the others belong to: the one that `start` names, or the first (RFC 2387 section 3.2).
fn related_root(related: &Part<'_>) -> usize {
    let Some(start) = related.content_type.get("start") else { return 0 };
    let start = start.trim().trim_start_matches('<').trim_end_matches('>');
    related.parts.iter().position(|part| part.content_id().as_deref() == Some(start)).unwrap_or(0)
}

/// Whether there is more than blanks. Some programs put empty texts before what somebody wrote.
fn is_filled(part: Option<&Part<'_>>) -> bool {
    part.is_some_and(|part| !part.raw.trim_ascii().is_empty())
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
