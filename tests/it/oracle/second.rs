//! What the `mail-parser` crate reads.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Address, Encoding, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::reading::{Attachment, Mailbox, Reading, content};

pub fn reading(mail: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let Some(message) = MessageParser::default().parse(mail) else { return reading };
    reading.set_line("subject", message.subject());
    reading.set_mailboxes(["from", "from_names"], &mailboxes(message.from()));
    reading.set_mailboxes(["to", "to_names"], &mailboxes(message.to()));
    reading.set_mailboxes(["cc", "cc_names"], &mailboxes(message.cc()));
    reading.set_mailboxes(["reply_to", "reply_to_names"], &mailboxes(message.reply_to()));
    reading.set("date", message.date().filter(|date| date.is_valid()).map(mail_parser::DateTime::to_timestamp));
    reading.set_id("message_id", message.message_id());
    reading.set_id("in_reply_to", ids(message.in_reply_to()).first().copied());
    reading.set("references", Some(ids(message.references())));

    let body = |ids: &[u32], media_type: &str| {
        let mut parts = ids.iter().filter_map(|&id| message.part(id));
        parts.find(|part| media_type_of(part) == media_type)
    };
    let (plain, html) = (body(&message.text_body, "text/plain"), body(&message.html_body, "text/html"));
    reading.set_text("text", plain.and_then(MessagePart::text_contents));
    reading.set_text("html", html.and_then(MessagePart::text_contents));
    let is_body = |part: &MessagePart<'_>| [plain, html].into_iter().flatten().any(|body| std::ptr::eq(body, part));
    let is_leaf = |part: &&MessagePart<'_>| !matches!(part.body, PartType::Multipart(_)) && !is_body(part);
    let attachments: Vec<_> = message.parts.iter().filter(is_leaf).map(|part| attachment(&message, part)).collect();
    reading.set_attachments(&attachments);
    reading
}

fn mailboxes(found: Option<&Address<'_>>) -> Vec<Mailbox> {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let mailboxes = found.into_iter().flat_map(Address::iter);
    mailboxes.map(|mailbox| (own(mailbox.name()), own(mailbox.address()).unwrap_or_default())).collect()
}

fn ids<'a>(found: &'a HeaderValue<'_>) -> Vec<&'a str> {
    found.as_text_list().into_iter().flatten().map(|id| &**id).collect()
}

fn media_type_of(part: &MessagePart<'_>) -> String {
    let usual = match part.body {
        PartType::Message(_) => "message/rfc822",
        PartType::Text(_) => "text/plain",
        PartType::Html(_) => "text/html",
        _ => "application/octet-stream",
    };
    let given = part.content_type().and_then(|found| Some(format!("{}/{}", found.ctype(), found.subtype()?)));
    given.unwrap_or_else(|| usual.to_owned()).to_ascii_lowercase()
}

fn attachment(message: &Message<'_>, part: &MessagePart<'_>) -> Attachment {
    let media_type = media_type_of(part);
    let bytes = match &part.body {
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
        PartType::Message(inner) => inner.raw_message().to_vec(),
        // It has the text only; the bytes are what was there before the charset was taken off.
        _ => {
            let raw = &message.raw_message[part.offset_body as usize..part.offset_end as usize];
            let decoded = match part.encoding {
                Encoding::None => None,
                Encoding::QuotedPrintable => quoted_printable_decode(raw),
                Encoding::Base64 => base64_decode(raw),
            };
            decoded.unwrap_or_else(|| raw.to_vec())
        }
    };
    let content = content(&media_type, &bytes);
    Attachment { name: part.attachment_name().map(str::to_owned), media_type, content }
}
