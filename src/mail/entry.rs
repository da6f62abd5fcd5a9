//! What the rest of maildirq calls. All of it goes over text that anybody may have written, so a bug in it
//! costs what is told of that one mail, and never ends the process, which would meet the same mail again.

use super::guard::Refusal;
use super::header::Header;
use super::kind::{self, Kind};
use super::read::{self, Mail};
use super::reply::{self, Reply};
use super::{html, reply_html as html_of_reply, words};
use std::borrow::Cow;
use std::panic::{UnwindSafe, catch_unwind};

/// Reads a mail, whatever it is.
pub fn read(mail: &[u8]) -> Mail<'_> {
    guarded(|| read::read(mail), || Mail { refusal: Some(Refusal::Bug), ..read_header(mail) })
}

/// Reads the header of a mail that is not there whole: at most its first
/// [`HEADER_LIMIT`](super::HEADER_LIMIT) bytes.
pub fn read_header(mail: &[u8]) -> Mail<'_> {
    guarded(|| read::read_header(mail), Mail::default)
}

/// What kind of mail this is, going by its header and by the envelope's sender, empty for `<>`.
pub fn kind(header: Header<'_>, sender: Option<&str>) -> Kind {
    guarded(|| kind::kind(header, sender), || Kind::Human)
}

/// A raw unstructured value as text on one line (RFC 2047): without line ends and control characters, with
/// encoded words decoded.
pub fn decode_text(value: &[u8]) -> Cow<'_, str> {
    guarded(|| words::decode(value), || String::from_utf8_lossy(value))
}

/// Takes a plain text with lines ending in `\n` apart, as well as can be.
pub fn reply(text: &str) -> Reply {
    guarded(|| reply::reply(text), || Reply { text: text.to_owned(), signature: String::new() })
}

/// What was written in a reply in HTML, without the quotation. Elements that are open where it is cut are closed.
///
/// None where nothing is known to be a quotation, or where no simple cut is right: nothing stands above it,
/// something stands below it, or it is a mail that is forwarded.
pub fn reply_html(html: &str) -> Option<String> {
    guarded(|| html_of_reply::reply_html(html), || None)
}

/// What an HTML says, as plain text with lines ending in `\n`.
///
/// A quotation (`blockquote`) has `> ` before each line, as in plain mail. There is no blank line at either
/// end, and never more than one in a row. A text longer than 1 MiB is cut.
pub fn text_of_html(html: &str) -> String {
    guarded(|| html::text_of_html(html), String::new)
}

/// What `read` gives, and `fallback` should that panic.
///
/// What the panic says is not passed on: it may quote the mail.
pub(super) fn guarded<T>(read: impl FnOnce() -> T + UnwindSafe, fallback: impl FnOnce() -> T) -> T {
    catch_unwind(read).unwrap_or_else(|_| fallback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_costs_no_more_than_what_is_told_of_one_mail() {
        let text = "é".to_owned();
        assert_eq!(guarded(|| &text[..1], || "unknown"), "unknown");
        assert_eq!(guarded(|| &text[..2], || "unknown"), "é");
        assert_eq!(Refusal::Bug.to_string(), "a bug in maildirq");
    }
}
