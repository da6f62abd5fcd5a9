//! What we read.

use maildirq::mail;

use super::reading::{Attachment, Mailbox, Reading, content};

pub fn reading(bytes: &[u8]) -> Reading {
    let found = mail::read(bytes);
    assert!(found.refusal.is_none(), "{:?}", found.refusal);
    let mut reading = Reading::default();
    reading.set_line("subject", found.subject.as_deref());
    reading.set_mailboxes(["from", "from_names"], &mailboxes(&found.from));
    reading.set_mailboxes(["to", "to_names"], &mailboxes(&found.to));
    reading.set_mailboxes(["cc", "cc_names"], &mailboxes(&found.cc));
    reading.set_mailboxes(["reply_to", "reply_to_names"], &mailboxes(&found.reply_to));
    reading.set("date", found.date.map(jiff::Timestamp::as_second));
    reading.set_id("message_id", found.message_id.as_deref());
    reading.set_id("in_reply_to", found.in_reply_to.as_deref());
    reading.set_ids("references", (!found.references.is_empty()).then(|| found.references.join(" ")).as_deref());
    reading.set_text("text", found.text.as_deref());
    reading.set_text("html", found.html.as_deref());
    let attachments: Vec<_> = found.attachments.iter().map(attachment).collect();
    reading.set_attachments(&attachments);
    reading
}

fn mailboxes(found: &[mail::Mailbox]) -> Vec<Mailbox> {
    found.iter().map(|mailbox| (mailbox.name.clone(), mailbox.address.clone())).collect()
}

fn attachment(found: &mail::Attachment<'_>) -> Attachment {
    let content = content(&found.media_type, &found.content());
    Attachment { name: found.name.clone(), media_type: found.media_type.clone(), content }
}
