//! A reply in HTML without what it quotes.
//!
//! Mail programs mark the quotation by elements of their own. Where one of these begins, the HTML is cut,
//! if nothing but quotation follows.

use super::separator::{Separator, separator};
use super::tags::{Tag, Tags, Token};
use html_escape::decode_html_entities;
use std::collections::HashMap;

/// How deep elements may lie within one another above the quotation.
const DEEPEST: usize = 500;
/// Classes of elements that have the quotation in them: Gmail, Yahoo, Proton, Tuta, Zoho.
const QUOTING_CLASSES: &[&str] =
    &["gmail_quote", "gmail_quote_container", "yahoo_quoted", "protonmail_quote", "tutanota_quote", "zmail_extra"];
/// Classes of elements that may stand below or above one: Thunderbird's `… wrote:`, signatures.
const BESIDE_CLASSES: &[&str] = &["moz-cite-prefix", "moz-signature", "gmail_signature"];
/// Ids of elements after which all is quotation: Outlook on the web, for Mac and on telephones.
const LAST_IDS: &[&str] =
    &["appendonsend", "divrplyfwdmsg", "olk_src_body_section", "mail-editor-reference-message-container"];
/// How the style begins and ends of the line that Outlook for Windows draws above the header of the mail that
/// is answered, without blanks. In between is its colour.
const OUTLOOK_RULE: (&str, &str) = ("border:none;border-top:solid#", "1.0pt;padding:3.0pt");

/// What was written, without the quotation. Elements that are open where it is cut are closed.
///
/// None where nothing is known to be a quotation, or where no simple cut is right: nothing stands above it,
/// something stands below it, or it is a mail that is forwarded.
pub(super) fn reply_html(html: &str) -> Option<String> {
    let mut tags = Tags::new(html);
    let mut open = Open::default();
    let mut has_text = false;
    loop {
        let start = tags.position();
        match tags.next()? {
            Token::Text(text) => has_text |= !is_blank(text),
            Token::Close(name) => open.close(&name),
            Token::Open(tag) => {
                if let Some(mark) = mark(&tag).filter(|mark| *mark != Mark::Signature) {
                    let is_quotation = has_text && (mark == Mark::Last || is_all_quotation(tags, &tag.name));
                    return is_quotation.then(|| closed(&html[..start], &open.names));
                }
                has_text |= tag.name == "img";
                if !tag.is_void() {
                    // These need no end where the next of them begins.
                    let is_next = matches!(tag.name.as_str(), "p" | "li" | "tr" | "td" | "th" | "dt" | "dd");
                    if is_next && open.names.last() == Some(&tag.name) {
                        open.close(&tag.name);
                    }
                    open.push(tag.name);
                }
                if open.names.len() > DEEPEST {
                    return None;
                }
            }
        }
    }
}

/// The elements that are open.
#[derive(Default)]
struct Open {
    /// The outermost first.
    names: Vec<String>,
    /// How many there are of each name, so that an end tag of none costs no look at all of them.
    counts: HashMap<String, usize>,
}

impl Open {
    fn push(&mut self, name: String) {
        *self.counts.entry(name.clone()).or_default() += 1;
        self.names.push(name);
    }

    /// Closes the innermost element of this name and those within it; nothing where none is open.
    fn close(&mut self, name: &str) {
        if self.counts.get(name).is_none_or(|&count| count == 0) {
            return;
        }
        while let Some(last) = self.names.pop() {
            if let Some(count) = self.counts.get_mut(&last) {
                *count -= 1;
            }
            if last == name {
                break;
            }
        }
    }
}

/// What an element is known for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It has the quotation in it, or the words above it.
    Quotation,
    /// The quotation begins here, and reaches to the end.
    Last,
    /// It is a signature, or the like.
    Signature,
}

fn mark(tag: &Tag<'_>) -> Option<Mark> {
    let is_cited = || tag.attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("cite"));
    if tag.name == "blockquote" && is_cited() {
        return Some(Mark::Quotation);
    }
    let has_class =
        |classes: &[&str]| tag.attribute("class")?.split_ascii_whitespace().find(|class| classes.contains(class));
    if has_class(QUOTING_CLASSES).is_some() {
        return Some(Mark::Quotation);
    }
    if let Some(class) = has_class(BESIDE_CLASSES) {
        return Some(if class == "moz-cite-prefix" { Mark::Quotation } else { Mark::Signature });
    }
    if tag.attribute("id").is_some_and(|id| LAST_IDS.contains(&id.to_ascii_lowercase().as_str())) {
        return Some(Mark::Last);
    }
    let style = tag.attribute("style").filter(|_| tag.name == "div")?;
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let is_rule = style.strip_prefix(OUTLOOK_RULE.0).and_then(|rest| rest.get(6..)?.strip_prefix(OUTLOOK_RULE.1));
    is_rule.map(|_| Mark::Last)
}

/// Whether all that follows is quotation, from within an element of this name on.
fn is_all_quotation(tags: Tags<'_>, name: &str) -> bool {
    let mut within = Some((name.to_owned(), 1_usize));
    let mut is_begun = false;
    for token in tags {
        match (token, &mut within) {
            (Token::Text(text), Some(_)) if !is_begun && !is_blank(text) => {
                is_begun = true;
                if separator(&[&decode_html_entities(text)]) == Some(Separator::Forward) {
                    return false;
                }
            }
            (Token::Text(text), None) if !is_blank(text) => return false,
            (Token::Open(tag), Some((name, depth))) if tag.name == *name => *depth += 1,
            (Token::Open(tag), None) => match mark(&tag) {
                Some(Mark::Last) => return true,
                Some(Mark::Quotation | Mark::Signature) => within = Some((tag.name, 1)),
                None => {}
            },
            (Token::Close(closed), Some((name, depth))) if closed == *name => {
                *depth -= 1;
                if *depth == 0 {
                    within = None;
                }
            }
            _ => {}
        }
    }
    true
}

fn is_blank(text: &str) -> bool {
    decode_html_entities(text).trim().is_empty()
}

fn closed(html: &str, open: &[String]) -> String {
    let mut closed = html.to_owned();
    for name in open.iter().rev() {
        closed.push_str("</");
        closed.push_str(name);
        closed.push('>');
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_of_many_programs_are_cut_off() {
        let cases = [
            (
                r#"<div dir="ltr">Yes<br></div><br><div class="gmail_quote x"><div class="gmail_attr">On 4 Nov Ada wrote:</div><blockquote><div>Come?</div></blockquote></div>"#,
                r#"<div dir="ltr">Yes<br></div><br>"#,
            ),
            (
                r#"<html><body><p>Yes<p>Ada<div id="appendonsend"></div><hr><div>Come?</div></body></html>"#,
                "<html><body><p>Yes<p>Ada</p></body></html>",
            ),
            (
                "<body>Yes<div><br><blockquote type=\"cite\">Come?</blockquote></div></body>",
                "<body>Yes<div><br></div></body>",
            ),
            (
                "<body>Yes<div class=\"moz-cite-prefix\">On 4 Nov, Ada wrote:<br></div><blockquote type=cite>Come?</blockquote><pre class=moz-signature>-- \nBob</pre></body>",
                "<body>Yes</body>",
            ),
            (
                "<div>Yes<div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><b>From:</b> Ada</div></div></div><p>Come?",
                "<div>Yes<div></div></div>",
            ),
            (
                r#"<div><b><i>Yes</b></i></div></div></u><b><div class="gmail_quote">Come?</div></b>"#,
                "<div><b><i>Yes</b></i></div></div></u><b></b>",
            ),
            (
                r#"<p>Look:</p><img src="cid:1"><div class="yahoo_quoted">Come?</div>"#,
                r#"<p>Look:</p><img src="cid:1">"#,
            ),
            (
                r#"Yes<div class="gmail_signature">Bob</div><div class="gmail_quote">Come?"#,
                r#"Yes<div class="gmail_signature">Bob</div>"#,
            ),
        ];
        for (html, expected) in cases {
            assert_eq!(reply_html(html).as_deref(), Some(expected), "{html}");
        }
    }

    #[test]
    fn end_tags_of_nothing_take_no_look_at_all_that_is_open() {
        let mut open = Open::default();
        for name in ["a", "b", "a", "c"] {
            open.push(name.to_owned());
        }
        for (name, left) in [("x", 4), ("a", 2), ("c", 2), ("a", 0), ("a", 0), ("b", 0)] {
            open.close(name);
            assert_eq!(open.names.len(), left, "{name}");
            assert_eq!(open.counts.values().sum::<usize>(), left, "{name}");
        }
    }

    #[test]
    fn nothing_is_cut_where_that_may_be_wrong() {
        let deep = format!("Yes{}<div class=gmail_quote>", "<div>".repeat(DEEPEST + 1));
        for html in [
            "",
            "<p>Yes",
            "<p>Yes<blockquote>To be or not to be</blockquote>",
            "<div class=gmail_quote>Come?</div>Yes",
            "Hello<div class=gmail_quote>Come?</div>Yes",
            "Hello<blockquote type=cite>Come?</blockquote>Yes<blockquote type=cite>When?</blockquote>Now",
            "Yes<div class=gmail_quote><div>---------- Forwarded message ---------<br>From: Ada</div></div>",
            "&nbsp;<div id=appendonsend></div><div>From: Ada</div>",
            deep.as_str(),
        ] {
            assert_eq!(reply_html(html), None, "{html}");
        }
    }
}
