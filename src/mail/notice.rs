//! Bounces that are only a text: qmail's (QSBMF, <https://cr.yp.to/proto/qsbmf.txt>) and those of older Exim.

use super::address::mailboxes;
use super::bounce::{Bounce, FailedRecipient, message_id};
use super::header::line_length;
use super::kind::is_from_daemon;
use super::part::Part;
use memchr::memmem;
use std::borrow::Cow;
use std::collections::HashMap;

/// How much of the text is looked at, in bytes. The mail that came back stands below it.
const SEARCHED: usize = 256 * 1024;
/// How qmail's first line begins, and what stands in it before the host: `Hi. This is the qmail-send program
/// at mx.example.com.` QSBMF has no more than the beginning, by which people begin letters, too.
const INTRODUCTION: (&[u8], &[u8]) = (b"Hi. This is the ", b" program at ");
/// How many recipients are looked for.
const RECIPIENT_LIMIT: usize = 1000;

/// Whether a mail whose outermost part this is looks like one of these, were it a bounce.
pub(super) fn may_be_one(root: &Part<'_>) -> bool {
    root.field("X-Failed-Recipients").is_some() || may_be_qmail(root)
}

/// What the text of a bounce tells whose outermost part this is, if it is written in one of these ways.
pub(super) fn read(root: &Part<'_>) -> Option<Bounce> {
    let text = || {
        let content = if root.media_type == "text/plain" { root.content() } else { Cow::default() };
        String::from_utf8_lossy(&content[..content.len().min(SEARCHED)]).replace("\r\n", "\n")
    };
    let failed = root.field("X-Failed-Recipients").map(failed_recipients).unwrap_or_default();
    match () {
        () if !failed.is_empty() => Some(exim(&failed, &text())),
        () if may_be_qmail(root) => qmail(&text()),
        () => None,
    }
}

/// Whoever runs qmail may write an introduction of his own.
fn may_be_qmail(root: &Part<'_>) -> bool {
    is_introduced(root.raw) || root.field("From").is_some_and(is_from_daemon)
}

fn is_introduced(content: &[u8]) -> bool {
    let content = content.trim_ascii_start();
    let line = &content[..line_length(content)];
    line.strip_prefix(INTRODUCTION.0).is_some_and(|rest| memmem::find(rest, INTRODUCTION.1).is_some())
}

fn failed_recipients(value: &[u8]) -> Vec<String> {
    let addresses = mailboxes(value).into_iter().map(|mailbox| mailbox.address);
    addresses.filter(|address| !address.is_empty()).take(RECIPIENT_LIMIT).collect()
}

/// Exim names who has failed in the header, and says why in the text: each address on a line of its own,
/// and what is said of it below, up to a blank line.
fn exim(failed: &[String], text: &str) -> Bounce {
    let (notice, original) = split_at_line(text, |line| line.starts_with("--") && line.contains("copy of"));
    let mut said: HashMap<&str, Option<String>> = failed.iter().map(|address| (address.as_str(), None)).collect();
    let mut last = None;
    for line in notice.lines().map(str::trim) {
        let address = line.trim_end_matches(':');
        if line.is_empty() {
            last = None;
        } else if said.get(address).is_some_and(Option::is_none) {
            said.insert(address, Some(String::new()));
            last = Some(address);
        } else if let Some(Some(said)) = last.and_then(|address| said.get_mut(address)) {
            said.push_str(line);
            said.push(' ');
        }
    }
    let told = |address: &String| {
        let diagnostic = said.get(address.as_str()).and_then(Option::as_deref);
        FailedRecipient::failed(address, diagnostic.unwrap_or_default())
    };
    let recipients = failed.iter().map(told).collect();
    Bounce { recipients, message_id: original.and_then(|mail| message_id(mail.as_bytes())), reporting_mta: None }
}

/// qmail's paragraphs: one that begins with `Hi. This is the`, then `<address>:` and why for each recipient,
/// then one that begins with a dash, and the mail.
fn qmail(text: &str) -> Option<Bounce> {
    let text = text.trim_start();
    let (notice, original) = split_at_line(text, |line| line.starts_with('-'));
    let mut recipients: Vec<FailedRecipient> = Vec::new();
    for paragraph in notice.split("\n\n").map(|paragraph| paragraph.trim_start_matches('\n')) {
        let told = paragraph.strip_prefix('<').and_then(|rest| {
            let (first, reasons) = rest.split_once('\n').unwrap_or((rest, ""));
            Some((first.trim_end().strip_suffix(">:")?, reasons))
        });
        if let Some((address, reasons)) = told.filter(|(address, _)| !address.is_empty()) {
            recipients.push(FailedRecipient::failed(address, reasons));
        }
        if recipients.len() >= RECIPIENT_LIMIT {
            break;
        }
    }
    if recipients.is_empty() {
        // It is another text of a mail server's.
        return None;
    }
    let reporting_mta = text.lines().next().and_then(|line| {
        let (_, host) = line.trim_end().trim_end_matches('.').rsplit_once(" at ")?;
        (!host.contains(' ') && host.len() <= 255).then(|| host.to_owned())
    });
    Some(Bounce { recipients, message_id: original.and_then(|mail| message_id(mail.as_bytes())), reporting_mta })
}

/// What stands above the first line of this kind, and what stands below it and the blank lines after it.
fn split_at_line(text: &str, is_wanted: impl Fn(&str) -> bool) -> (&str, Option<&str>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if is_wanted(line) {
            return (&text[..start], Some(text[start + line.len()..].trim_start_matches('\n')));
        }
        start += line.len();
    }
    (text, None)
}
