//! What a bounce tells: who was not reached, and why.
//!
//! Mail servers tell it in a part of its own (RFC 3464, RFC 6533), [old ones](super::notice) in their texts.

use super::header::Header;
use super::ids::ids;
use super::kind::is_bounce;
use super::notice;
use super::part::Part;
use super::words::decode;
use std::ops::ControlFlow;

/// How many recipients of one bounce are told.
const RECIPIENT_LIMIT: usize = 1000;
/// The longest text that is told, in bytes.
const TEXT_LIMIT: usize = 1024;

/// What a mail tells whose [kind](super::Kind) is a bounce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounce {
    /// Who could not be reached, or not yet, see [`FailedRecipient::action`]: at most 1000. Those whom the
    /// mail did reach are left out. So it is empty where all is well (RFC 3461 has senders ask to be told
    /// that), and where the report names nobody: no address is to be given up for it.
    pub recipients: Vec<FailedRecipient>,
    /// The `Message-ID` of the mail that came back, with its angle brackets.
    pub message_id: Option<String>,
    /// The mail server that reports it.
    pub reporting_mta: Option<String>,
}

/// One recipient who could not be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedRecipient {
    /// The address that the mail was sent to; where that is not told, the one that it was passed on to.
    pub address: String,
    /// In lower case: `failed`, or `delayed` where the mail server still tries.
    pub action: Option<String>,
    /// The enhanced status code (RFC 3463), as `5.1.1`.
    pub status: Option<String>,
    /// What the other mail server said, on one line of at most 1 KiB.
    pub diagnostic: Option<String>,
}

impl FailedRecipient {
    /// A recipient for whom a mail server has given up, with what it says of that.
    pub(super) fn failed(address: &str, diagnostic: &str) -> Self {
        let diagnostic = line(diagnostic);
        FailedRecipient {
            address: line(address).unwrap_or_default(),
            action: Some("failed".to_owned()),
            status: diagnostic.as_deref().and_then(status),
            diagnostic,
        }
    }
}

/// What is told by a mail whose outermost part this is, if it is a bounce: its header must say so, since
/// anybody can attach a report to a letter, or write one that looks like a notice.
pub(super) fn bounce(root: &Part<'_>) -> Option<Bounce> {
    let report = find(root, is_report);
    let is_told = report.is_some() || notice::may_be_one(root);
    if !(is_told && is_bounce(root.header.beginning())) {
        return None;
    }
    let mut bounce = match report {
        Some(report) => delivery_status(&report.content()),
        None => notice::read(root)?,
    };
    bounce.recipients.truncate(RECIPIENT_LIMIT);
    if let Some(original) = find(root, is_original) {
        bounce.message_id = message_id(&original.content()).or(bounce.message_id);
    }
    // Gmail and Exchange say what they answer to.
    bounce.message_id = bounce.message_id.or_else(|| first_id(root.field("In-Reply-To")?));
    Some(bounce)
}

/// The `Message-ID` in the header of this mail.
pub(super) fn message_id(mail: &[u8]) -> Option<String> {
    first_id(Header::of(mail).get("Message-ID")?)
}

fn first_id(value: &[u8]) -> Option<String> {
    let id = ids(value).into_iter().next()?;
    (id.len() <= TEXT_LIMIT).then_some(id)
}

fn is_report(part: &Part<'_>) -> bool {
    matches!(part.media_type.as_str(), "message/delivery-status" | "message/global-delivery-status")
}

fn is_original(part: &Part<'_>) -> bool {
    let kinds =
        ["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global", "message/global-headers"];
    kinds.contains(&part.media_type.as_str())
}

/// The first part of this kind.
fn find<'p, 'a>(root: &'p Part<'a>, is_wanted: fn(&Part<'a>) -> bool) -> Option<&'p Part<'a>> {
    let mut open = vec![root];
    while let Some(part) = open.pop() {
        if is_wanted(part) {
            return Some(part);
        }
        open.extend(part.parts.iter().rev());
    }
    None
}

/// Reads a delivery status (RFC 3464 section 2.1): fields of the mail, then those of each recipient.
fn delivery_status(content: &[u8]) -> Bounce {
    let mut bounce = Bounce::default();
    // The end of each block stops the walk where there are recipients enough.
    let _ = blocks(content).try_for_each(|block| {
        read_block(Header::of(block), &mut bounce);
        if bounce.recipients.len() < RECIPIENT_LIMIT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    bounce
}

/// The blocks between blank lines.
fn blocks(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let mut length = 0;
        for line in rest.split_inclusive(|&byte| byte == b'\n') {
            let is_blank = line.trim_ascii().is_empty();
            if is_blank && length > 0 {
                break;
            }
            length += line.len();
            if is_blank {
                // Blank lines before a block are none of it.
                rest = &rest[length..];
                length = 0;
            }
        }
        let (block, after) = rest.split_at(length);
        rest = after;
        (!block.is_empty()).then_some(block)
    })
}

fn read_block(block: Header<'_>, bounce: &mut Bounce) {
    if let Some(mta) = block.get("Reporting-MTA").and_then(|value| line(&untyped(&decode(value)))) {
        bounce.reporting_mta.get_or_insert(mta);
    }
    if let Some(id) = block.get("X-Original-Message-ID").and_then(first_id) {
        bounce.message_id.get_or_insert(id);
    }
    if let Some(recipient) = recipient(block) {
        bounce.recipients.push(recipient);
    }
}

fn recipient(block: Header<'_>) -> Option<FailedRecipient> {
    let addresses = || ["Original-Recipient", "Final-Recipient"].iter().filter_map(|name| address(block.get(name)?));
    let address = addresses().find(|address| address.contains('@')).or_else(|| addresses().next_back())?;
    let action = block.get("Action").and_then(action);
    if action.as_deref().is_some_and(|action| matches!(action, "delivered" | "relayed" | "expanded")) {
        return None;
    }
    let diagnostic = block.get("Diagnostic-Code").and_then(|value| line(&untyped(&decode(value))));
    let told = block.get("Status").and_then(|value| status(&decode(value)));
    // Exim says 5.0.0 whatever it is: what the other server said may tell more.
    let is_vague = told.as_deref().is_none_or(|told| told.ends_with(".0.0"));
    let said = diagnostic.as_deref().filter(|_| is_vague).and_then(status);
    let status = match (told, said) {
        (Some(told), Some(said)) if said.as_bytes().first() == told.as_bytes().first() => Some(said),
        (told, said) => told.or(said),
    };
    Some(FailedRecipient { address, action, status, diagnostic })
}

/// An address behind its type (RFC 3464 section 2.3.1), as `rfc822; ada@example.com`.
fn address(value: &[u8]) -> Option<String> {
    let text = decode(value);
    let address = match text.split_once(';') {
        Some((kind, address)) if kind.trim().eq_ignore_ascii_case("utf-8") => unescaped(address).into(),
        Some((_, address)) => address.into(),
        None => text,
    };
    // A comment may follow.
    let address = line(&address)?;
    let end = if address.contains('"') { None } else { address.find([' ', '(']) };
    let address = address[..end.unwrap_or(address.len())].trim_start_matches('<').trim_end_matches('>');
    (!address.is_empty()).then(|| address.to_owned())
}

/// Characters of an address that are written as `\x{e9}` (RFC 6533 section 3).
fn unescaped(address: &str) -> String {
    let mut pieces = address.split("\\x{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let character = piece
            .split_once('}')
            .and_then(|(code, rest)| Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, rest)));
        if let Some((character, rest)) = character {
            text.push(character);
            text.push_str(rest);
        } else {
            text.push_str("\\x{");
            text.push_str(piece);
        }
    }
    text
}

/// A value without its type, as `smtp;` or `dns;`.
fn untyped(value: &str) -> String {
    let is_type = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match value.split_once(';') {
        Some((kind, text)) if is_type(kind.trim()) => text.to_owned(),
        _ => value.to_owned(),
    }
}

/// What was done (RFC 3464 section 2.3.3). Some say `failure` or `error`.
fn action(value: &[u8]) -> Option<String> {
    let text = decode(value).to_ascii_lowercase();
    let word = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(|word| !word.is_empty())?;
    let word = if word.starts_with("fail") || word == "error" { "failed" } else { word };
    (word.len() <= TEXT_LIMIT).then(|| word.to_owned())
}

/// The first enhanced status code (RFC 3463 section 2) in a text. An IP address is none.
fn status(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.map(|word| word.trim_end_matches('.')).find(|word| is_status(word)).map(str::to_owned)
}

fn is_status(word: &str) -> bool {
    let mut numbers = word.split('.');
    let is_short = |number: Option<&str>| number.is_some_and(|number| (1..=3).contains(&number.len()));
    matches!(numbers.next(), Some("2" | "4" | "5"))
        && is_short(numbers.next())
        && is_short(numbers.next())
        && numbers.next().is_none()
}

/// A text on one line, with single blanks, without control characters and not too long.
fn line(text: &str) -> Option<String> {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > TEXT_LIMIT {
            line.truncate(line.floor_char_boundary(TEXT_LIMIT));
            break;
        }
    }
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
#[path = "bounce_tests.rs"]
mod tests;
