//! The JSON Schema of the file, for editors.

use super::keys::{Key, Kind, Place};
use serde_json::{Map, Value, json};
use toml::de::DeValue;

/// The JSON Schema (2020-12) of the file.
pub fn json_schema() -> Value {
    let mut schema = of_place(Place::Top);
    let definitions: Map<_, _> =
        Place::ALL.iter().filter(|place| **place != Place::Top).map(|place| (name(*place), of_place(*place))).collect();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "maildirq.toml".into();
    schema["$defs"] = definitions.into();
    schema
}

fn name(place: Place) -> String {
    format!("{place:?}").to_lowercase()
}

fn reference(place: Place) -> Value {
    json!({ "$ref": format!("#/$defs/{}", name(place)) })
}

fn of_place(place: Place) -> Value {
    let properties: Map<_, _> = Key::of(place).map(|key| (key.name.to_owned(), of_key(key))).collect();
    let mut schema = json!({
        "type": "object",
        "description": place.about(),
        "properties": properties,
        "additionalProperties": false,
    });
    match place {
        Place::Route => schema["required"] = json!(["target"]),
        Place::Queue => schema["required"] = json!(["maildir"]),
        Place::Secret | Place::FormField => {
            schema["minProperties"] = json!(1);
            schema["maxProperties"] = json!(1);
        }
        Place::Target => {
            schema["oneOf"] = json!([{ "required": ["url"] }, { "required": ["command"] }, { "required": ["worker"] }]);
        }
        _ => {}
    }
    schema
}

fn of_key(key: &Key) -> Value {
    let mut schema = of_kind(key.kind);
    schema["description"] = key.doc().into();
    schema["examples"] = json!([value_of(key.example)]);
    if let (Some(default), None) = (key.default, key.default_of_program) {
        schema["default"] = value_of(default);
    }
    schema
}

fn of_kind(kind: Kind) -> Value {
    let text = json!({ "type": "string" });
    let some_text = json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] });
    let secret = json!({ "anyOf": [text, reference(Place::Secret)] });
    match kind {
        Kind::Duration | Kind::Lifetime | Kind::Size | Kind::SizeBound | Kind::Text | Kind::Rate => text,
        Kind::Character => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Words(words) => json!({ "anyOf": [
            { "enum": words },
            { "type": "array", "items": { "enum": words }, "minItems": 1 },
        ] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count(most) => json!({ "type": "integer", "minimum": 1, "maximum": most }),
        Kind::Program => json!({ "type": "array", "items": text, "minItems": 1 }),
        Kind::Maildirs | Kind::Patterns => some_text,
        Kind::Code => json!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 599 }, text] }),
        Kind::Codes => json!({ "type": "array", "items": of_kind(Kind::Code) }),
        Kind::Secret => secret,
        Kind::Secrets => json!({ "anyOf": [secret, { "type": "array", "items": secret, "minItems": 1 }] }),
        Kind::FormField => json!({ "anyOf": [text, reference(Place::FormField)] }),
        Kind::FormFields => json!({ "type": "object", "additionalProperties": of_kind(Kind::FormField) }),
        Kind::Headers | Kind::Variables => json!({ "type": "object", "additionalProperties": secret }),
        Kind::HeaderPatterns => json!({ "type": "object", "additionalProperties": some_text }),
        Kind::One(place) => reference(place),
        Kind::OneOrText(place) => json!({ "anyOf": [text, reference(place)] }),
        Kind::Named(place) => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "additionalProperties": reference(place),
        }),
        Kind::Many(place) => json!({ "type": "array", "items": reference(place) }),
    }
}

/// What is written in TOML, in JSON.
fn value_of(written: &str) -> Value {
    let value = DeValue::parse(written).expect("the table of keys is tested");
    json_of(value.get_ref())
}

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => number.as_str().parse::<i64>().expect("the table of keys is tested").into(),
        DeValue::Boolean(is) => (*is).into(),
        DeValue::Array(list) => list.iter().map(|value| json_of(value.get_ref())).collect(),
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())));
            entries.collect::<Map<_, _>>().into()
        }
        DeValue::Float(_) | DeValue::Datetime(_) => unreachable!("no key takes a fraction or a date"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_schema_of_its_place() {
        let schema = json_schema();
        for place in Place::ALL {
            let of_place = if *place == Place::Top { &schema } else { &schema["$defs"][name(*place)] };
            assert_eq!(of_place["additionalProperties"], false, "{place:?}");
            for key in Key::of(*place) {
                let property = &of_place["properties"][key.name];
                assert_eq!(property["description"], key.doc(), "{place:?} {}", key.name);
                assert!(!property["examples"][0].is_null(), "{place:?} {}", key.name);
            }
        }
        assert_eq!(schema["properties"]["rescan"]["default"], "30s");
        assert_eq!(schema["properties"]["concurrency"]["default"], 8);
    }

    #[test]
    fn every_reference_in_the_schema_leads_somewhere() {
        let schema = json_schema();
        let text = schema.to_string();
        for part in text.split("\"#/$defs/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schema["$defs"][name].is_object(), "{name}");
        }
        assert!(text.matches("#/$defs/secret").count() >= 5);
    }
}
