//! What the type of the object says, as a page of the documentation.

use super::object::json_schema;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The page of the documentation about the object, with this one as its example.
fn markdown(example: &str) -> String {
    let schema = json_schema();
    let mut page = String::from(
        "# The JSON object\n\n\
         <!-- Made from src/payload/object.rs; a test holds the two together. -->\n\n\
         What `format = \"json\"` sends for each message: by POST, as `application/json`. Its JSON Schema is \
         [payload.schema.json](payload.schema.json), which `maildirq gen payload` prints, too. \
         The other formats are told of in [formats.md](formats.md).\n",
    );
    chapter(&mut page, "The object", &schema);
    let definitions = schema["$defs"].as_object().expect("the object is made of others");
    for (name, definition) in definitions {
        chapter(&mut page, name, definition);
    }
    let _ = write!(page, "\n## An example\n\n```json\n{}\n```\n", example.trim_end());
    page
}

fn chapter(page: &mut String, title: &str, schema: &Value) {
    let about = schema["description"].as_str().unwrap_or_default();
    let _ = write!(page, "\n## {title}\n\n{}\n\n| field | type | what it is |\n|---|---|---|\n", on_one_line(about));
    let fields: &Map<_, _> = schema["properties"].as_object().expect("each part of it is an object");
    for (name, field) in fields {
        let about = field["description"].as_str().unwrap_or_default();
        let _ = writeln!(page, "| `{name}` | {} | {} |", kind(field), on_one_line(about));
    }
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What can stand there, in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let of_one = |name: &str| match name {
        "array" if schema["maxItems"] == 2 => format!("pair of {}", kind(&schema["items"])),
        "array" => format!("list of {}", kind(&schema["items"])),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => of_one(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(of_one).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_file;
    use crate::engine::{Body, Envelope, EnvelopeRules, Id, Message};
    use crate::mail::Header;
    use crate::payload::{Attachments, Format};
    use std::time::{Duration, SystemTime};

    /// The object of a mail of the fixtures, as it is sent, but on several lines.
    fn example() -> String {
        let mail = include_bytes!("../../fixtures/mail/reply.eml");
        let message = Message {
            id: Id::from_digest(&[0x5a; 32]),
            queue: "support".into(),
            route: "app".into(),
            envelope: Envelope::read(Header::of(mail), &EnvelopeRules::default()),
            arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(1_762_092_131),
            body: Body::Whole(mail.as_slice().into()),
            ..Message::sample()
        };
        let format = Format::Json { attachments: Attachments::Inline, describe_above: None };
        let mut sent = Vec::new();
        format.payload(&message, SystemTime::now()).unwrap().write_to(&mut sent).unwrap();
        let object: Value = serde_json::from_slice(&sent).unwrap();
        format!("{object:#}")
    }

    #[test]
    fn the_page_about_the_object_is_what_its_type_says() {
        let page = markdown(&example());
        for row in page.lines().filter(|row| row.starts_with('|')) {
            assert_eq!(row.matches('|').count(), 4, "{row}");
        }
        assert_file("docs/payload.md", &page);
    }

    #[test]
    fn the_schema_in_the_documentation_is_that_of_the_type() {
        assert_file("docs/payload.schema.json", &format!("{:#}\n", json_schema()));
    }
}
