//! What is told of any bytes is what they say, and fit to be passed on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maildirq::engine::{Envelope, EnvelopeRules, text::is_harmless};
use maildirq::mail::{self, HEADER_LIMIT, Header, Mail, TEXT_LIMIT};

fuzz_target!(|input: &[u8]| {
    let read = mail::read(input);
    check_header(&read, input);
    let texts = [&read.text, &read.html].map(|text| text.as_deref().unwrap_or_default());
    for text in texts {
        assert!(text.len() <= TEXT_LIMIT.min(4 * input.len()) && !text.contains("\r\n"));
        let reply = mail::reply(text);
        assert!(reply.text.len() + reply.signature.len() <= text.len());
    }
    mail::reply_html(texts[1]);
    mail::reply(&mail::text_of_html(texts[1]));
    for attachment in &read.attachments {
        let name = attachment.name.as_deref().unwrap_or("a");
        assert!(!name.is_empty() && name.len() <= 255 && is_harmless(name), "{name:?}");
        assert!(!name.starts_with('.') && !name.contains(['/', '\\']), "{name:?}");
        assert!(attachment.content().len() <= input.len());
    }
    if input.len() <= HEADER_LIMIT {
        let header = mail::read_header(input);
        assert_eq!((&header.subject, header.date), (&read.subject, read.date));
        assert_eq!((&header.from, &header.to, &header.message_id), (&read.from, &read.to, &read.message_id));
    }
});

fn check_header(read: &Mail<'_>, input: &[u8]) {
    for field in &read.fields {
        // A fold leaves the tab that it was made with.
        assert!(!field.value.contains(|c: char| c.is_control() && c != '\t'), "{field:?}");
        assert!(!field.name.contains(char::is_control), "{field:?}");
    }
    let ids = [&read.message_id, &read.in_reply_to].into_iter().flatten().chain(&read.references);
    for id in ids {
        assert!(id.starts_with('<') && id.ends_with('>') && !id.contains(char::is_control), "{id:?}");
    }
    for mailbox in [&read.from, &read.to, &read.cc, &read.reply_to].into_iter().flatten() {
        assert!(!mailbox.address.contains(char::is_control), "{mailbox:?}");
        assert!(!mailbox.name.as_deref().unwrap_or_default().contains(char::is_control), "{mailbox:?}");
    }
    let envelope = Envelope::read(Header::of(input), &EnvelopeRules::default());
    for told in [&envelope.from, &envelope.to, &envelope.detail].into_iter().flatten() {
        assert!(is_harmless(told) && told.len() <= 512, "{told:?}");
    }
    mail::kind(Header::of(input), envelope.from.as_deref());
}
