//! A reply without what it quotes.
//!
//! Mail programs do not mark what they quote in any agreed way, so this is the best effort there is; the
//! whole text is always told beside it. These are the rules:
//!
//! - What a program puts above the mail that it answers begins the quotation, which then reaches to the
//!   end: `-----Original Message-----`, `From: … Sent: … Subject: …`, or `On … wrote:` where no `>` follows.
//! - Of lines with `>`, a last block is a quotation, together with an `On … wrote:` above it. So is one
//!   block with such a line that stands above the answer. Where answers stand between several blocks, they
//!   are kept all, since the answers mean nothing without them.
//! - What is forwarded is no quotation: it is what the mail is about. Then all is kept. Outlook
//!   forwards as it answers: that nothing stands above the other mail tells it.
//! - A signature is what follows a line `-- ` (RFC 3676 section 4.3), and lines such as
//!   `Sent from my phone` at the end.
//!
//! A mail that is nothing but a quotation is an empty reply.

use super::attribution::{attribution_above, attribution_at};
use super::separator::{Separator, separator};
use super::signature::split_signature;
use memchr::{memchr_iter, memchr2};

/// How many lines are looked at. What comes after them counts as one line.
const LINE_LIMIT: usize = 50_000;

/// The parts of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What was written, without quotations and signature, and without blank lines around it.
    pub text: String,
    /// The signature, without the line that announces it. Empty if there is none.
    pub signature: String,
}

/// Takes a plain text with lines ending in `\n` apart, as well as can be.
pub(super) fn reply(text: &str) -> Reply {
    let lines = lines(text);
    let head = match end_of_reply(&lines) {
        End::Forward => return Reply { text: joined(&lines, &[]), signature: String::new() },
        End::At(end) => &lines[..end],
    };
    let reply = head;
    let (head, lower) = split_signature(reply);
    let (above, below) = without_quotation(head);
    // A signature stands above the quotation, or below it, or a mailing list has put one of its own there.
    let (below, own) = split_signature(below);
    // Where nothing was taken off, there was none above.
    let is_shorter = above.len() < reply.len();
    let (above, upper) = if below.is_empty() && is_shorter { split_signature(above) } else { (above, own) };
    let signature = [upper, own, lower].into_iter().find(|signature| !signature.is_empty()).unwrap_or_default();
    Reply { text: joined(above, below), signature: joined(signature, &[]) }
}

/// The lines of a text, without their ends.
fn lines(text: &str) -> Vec<&str> {
    const USUAL_LINE: usize = 64;
    let mut lines = Vec::with_capacity((text.len() / USUAL_LINE + 1).min(LINE_LIMIT));
    let mut start = 0;
    for end in memchr_iter(b'\n', text.as_bytes()).take(LINE_LIMIT - 1) {
        lines.push(&text[start..end]);
        start = end + 1;
    }
    lines.push(&text[start..]);
    lines
}

/// Where the reply ends.
enum End {
    /// Before this line.
    At(usize),
    /// Nowhere: something is forwarded.
    Forward,
}

fn end_of_reply(lines: &[&str]) -> End {
    let is_blank = |line: &&str| line.trim().is_empty();
    for at in 0..lines.len() {
        if !may_end_reply(lines[at]) || is_quoted(lines[at]) {
            continue;
        }
        match separator(&lines[at..]) {
            Some(Separator::Forward) => return End::Forward,
            Some(Separator::Original) if split_signature(&lines[..at]).0.iter().all(is_blank) => return End::Forward,
            Some(Separator::Original) => return End::At(at),
            None => {}
        }
        if let Some(attribution) = attribution_at(lines, at) {
            let is_marked = lines[at + 1..].iter().find(|line| !is_blank(line)).is_some_and(|line| is_quoted(line));
            if !is_marked && attribution.is_certain {
                return End::At(attribution.start);
            }
        }
    }
    End::At(lines.len())
}

/// Whether a line is worth a closer look. Most are not: what ends a reply has a colon, `:` or the wide `：`,
/// or begins with a mark.
fn may_end_reply(line: &str) -> bool {
    const FIRST_OF_WIDE_COLON: u8 = "：".as_bytes()[0];
    memchr2(b':', FIRST_OF_WIDE_COLON, line.as_bytes()).is_some() || line.trim_start().starts_with(['-', '_'])
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// What stands above and below the quotation that is taken out.
fn without_quotation<'l, 't>(lines: &'l [&'t str]) -> (&'l [&'t str], &'l [&'t str]) {
    let Some((start, end)) = last_block(lines) else { return (lines, &[]) };
    let attribution = attribution_above(lines, start);
    let below = trimmed(&lines[end..]);
    if below.is_empty() {
        return (&lines[..attribution.unwrap_or(start)], &[]);
    }
    let names_author = |line: &&str| attribution_at(&[line.trim_start_matches(['>', ' '])], 0).is_some();
    let above = match attribution {
        Some(attribution) => &lines[..attribution],
        None if lines[start..end].iter().take(3).any(names_author) => &lines[..start],
        None => return (lines, &[]),
    };
    if above.iter().any(|line| is_quoted(line)) { (lines, &[]) } else { (above, below) }
}

/// The last block of quoted lines: its first line, and the one after it. Blank lines part no block.
fn last_block(lines: &[&str]) -> Option<(usize, usize)> {
    let last = lines.iter().rposition(|line| is_quoted(line))?;
    let within = |line: &&str| is_quoted(line) || line.trim().is_empty();
    let above = lines[..last].iter().rposition(|line| !within(line)).map_or(0, |at| at + 1);
    let start = lines[above..].iter().position(|line| is_quoted(line))? + above;
    Some((start, last + 1))
}

/// Without blank lines at either end.
fn trimmed<'l, 't>(lines: &'l [&'t str]) -> &'l [&'t str] {
    let is_text = |line: &&str| !line.trim().is_empty();
    match (lines.iter().position(is_text), lines.iter().rposition(is_text)) {
        (Some(first), Some(last)) => &lines[first..=last],
        _ => &[],
    }
}

/// Two pieces of text as one, with a blank line in between.
fn joined(above: &[&str], below: &[&str]) -> String {
    let (mut text, below) = (trimmed(above).join("\n"), trimmed(below).join("\n"));
    if !text.is_empty() && !below.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(&below);
    // The last line may be many, see `LINE_LIMIT`.
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
