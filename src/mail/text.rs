//! The text of a part: decoded, with its lines put right, and bounded.

use super::charset;
use super::flowed::unflow;
use super::part::Part;
use memchr::memchr2;
use std::borrow::Cow;

/// How long a text or an HTML can be, in bytes of UTF-8. What is longer is cut.
pub const TEXT_LIMIT: usize = 1024 * 1024;

/// How many bytes of a text are decoded. UTF-16 takes 2 for one of UTF-8, and others hardly more than 1.
const BYTES_LIMIT: usize = 2 * TEXT_LIMIT;
/// Where HTML tells its charset: the standard has browsers look into its first 1,024 bytes.
const META_LIMIT: usize = 1024;

/// A text, at most [`TEXT_LIMIT`] bytes long.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub text: Cow<'a, str>,
    /// Whether this is only its beginning.
    pub is_cut: bool,
}

/// The text of a part that is plain text.
pub(super) fn plain<'a>(part: &Part<'a>) -> Text<'a> {
    let content_type = &part.content_type;
    let decoded = decoded(part, |_| content_type.get("charset").map(str::to_owned));
    let is = |name: &str, value: &str| content_type.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    if !is("format", "flowed") {
        return decoded;
    }
    Text { text: unflow(&decoded.text, is("delsp", "yes")).into(), ..decoded }
}

/// The HTML of a part that is HTML.
pub(super) fn html<'a>(part: &Part<'a>) -> Text<'a> {
    decoded(part, |bytes| part.content_type.get("charset").map(str::to_owned).or_else(|| meta_charset(bytes)))
}

fn decoded<'a>(part: &Part<'a>, label: impl FnOnce(&[u8]) -> Option<String>) -> Text<'a> {
    match part.transfer().unwrap_start(part.raw, BYTES_LIMIT + 1) {
        Cow::Borrowed(content) => readable(content, label),
        Cow::Owned(content) => {
            let Text { text, is_cut } = readable(&content, label);
            Text { text: text.into_owned().into(), is_cut }
        }
    }
}

fn readable(content: &[u8], label: impl FnOnce(&[u8]) -> Option<String>) -> Text<'_> {
    let label = label(content);
    let is_short = content.len() <= BYTES_LIMIT;
    let bytes = if is_short { content } else { whole_characters(&content[..BYTES_LIMIT], label.as_deref()) };
    let text = charset::text(bytes, label.as_deref());
    let cut = cut(put_right(text));
    Text { is_cut: cut.is_cut || !is_short, ..cut }
}

/// `bytes` without what may be half a character at its end: a charset that does not fit is not believed.
fn whole_characters<'a>(bytes: &'a [u8], label: Option<&str>) -> &'a [u8] {
    let is_wide = label.is_some_and(|label| label.to_ascii_lowercase().starts_with("utf-16"));
    match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(line_end) if !is_wide => &bytes[..line_end],
        _ => bytes,
    }
}

/// Lines end in `\n`, and NUL, which databases refuse in text, is what stands for unknown characters.
fn put_right(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr2(b'\r', b'\0', text.as_bytes()).is_none() {
        return text;
    }
    let mut right = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' => right.push('\n'),
            '\0' => right.push(char::REPLACEMENT_CHARACTER),
            other => right.push(other),
        }
    }
    right.into()
}

fn cut(text: Cow<'_, str>) -> Text<'_> {
    if text.len() <= TEXT_LIMIT {
        return Text { text, is_cut: false };
    }
    let end = text.floor_char_boundary(TEXT_LIMIT);
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            text.shrink_to_fit();
            Cow::Owned(text)
        }
    };
    Text { text, is_cut: true }
}

/// The charset that HTML tells in a `<meta>`.
fn meta_charset(html: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&html[..html.len().min(META_LIMIT)]).to_ascii_lowercase();
    let meta = &head[head.find("<meta")?..];
    let value = meta[meta.find("charset")? + "charset".len()..].trim_start().strip_prefix('=')?;
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    let end = value.find(|character: char| !character.is_ascii_alphanumeric() && !"-_.:".contains(character));
    let label = &value[..end.unwrap_or(value.len())];
    // What can be read as ASCII is not UTF-16, and the standard says so, too.
    let is_possible = !label.is_empty() && !label.starts_with("utf-16");
    is_possible.then(|| label.to_owned())
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
