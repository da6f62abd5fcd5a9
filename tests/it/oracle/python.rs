//! What Python's `email` package reads: see tests/oracle/fields.py.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use serde_json::Value;

use super::reading::{Attachment, Mailbox, Reading};
use crate::support::program::{in_the_tests, python};

/// Of all mails in a folder, by the names of their files.
pub fn readings(folder: &Path) -> BTreeMap<String, Reading> {
    let script = in_the_tests("oracle/fields.py");
    let output = Command::new(python()).arg(script).arg(folder).output().expect("Python (tests/run installs it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = str::from_utf8(&output.stdout).unwrap().lines();
    let found = lines.map(|line| serde_json::from_str(line).unwrap());
    found.map(|found: Value| (found["file"].as_str().unwrap().to_owned(), reading(&found))).collect()
}

fn reading(found: &Value) -> Reading {
    let mut reading = Reading::default();
    reading.set_line("subject", found["subject"].as_str());
    for fields in [["from", "from_names"], ["to", "to_names"], ["cc", "cc_names"], ["reply_to", "reply_to_names"]] {
        reading.set_mailboxes(fields, &list(&found[fields[0]], mailbox));
    }
    reading.set("date", found["date"].as_i64());
    reading.set_id("message_id", found["message_id"].as_str());
    reading.set_id("in_reply_to", found["in_reply_to"].as_str());
    reading.set_ids("references", found["references"].as_str());
    reading.set_text("text", found["text"].as_str());
    reading.set_text("html", found["html"].as_str());
    reading.set_attachments(&list(&found["attachments"], attachment));
    reading
}

fn list<T>(found: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    found.as_array().into_iter().flatten().map(read).collect()
}

fn mailbox(found: &Value) -> Mailbox {
    (found[0].as_str().map(str::to_owned), found[1].as_str().unwrap_or_default().to_owned())
}

fn attachment(found: &Value) -> Attachment {
    let media_type = found[1].as_str().unwrap().to_owned();
    let bytes = BASE64.decode(found[2].as_str().unwrap().as_bytes()).unwrap();
    let content = super::reading::content(&media_type, &bytes);
    Attachment { name: found[0].as_str().map(str::to_owned), media_type, content }
}
