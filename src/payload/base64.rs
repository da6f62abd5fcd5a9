//! Bytes as base64 (RFC 4648 section 4) within JSON.

use super::piece::Piece;
use crate::base64;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use std::borrow::Cow;
use std::io::{self, Write};

/// Bytes that [`write_json`] writes as base64, without a copy of all of it in between.
pub(super) struct Base64<'a>(pub Cow<'a, [u8]>);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// Writes an object as JSON, the [bytes](Base64) in it as base64.
pub(super) fn write_json(object: &impl Serialize, json: &mut Vec<u8>) -> io::Result<()> {
    Ok(object.serialize(&mut serde_json::Serializer::with_formatter(json, BytesAsBase64))?)
}

/// JSON without blanks, in which bytes are a string. No character of base64 has to be escaped.
struct BytesAsBase64;

impl Formatter for BytesAsBase64 {
    fn write_byte_array<W: Write + ?Sized>(&mut self, json: &mut W, bytes: &[u8]) -> io::Result<()> {
        json.write_all(b"\"")?;
        base64::write(bytes, json)?;
        json.write_all(b"\"")
    }
}

/// An object whose last string is empty, with these bytes in that string: they need not be in memory. There must be
/// nothing in them that JSON would have escaped.
pub(super) fn fill_last_string(mut json: Bytes, content: Piece) -> Vec<Piece> {
    let empty = memchr::memmem::rfind(&json, b"\"\"").expect("the last string of the object is empty");
    let end = json.split_off(empty + 1);
    vec![json.into(), content, end.into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;

    #[test]
    fn bytes_of_any_length_are_written_as_base64() {
        for length in [0, 1, 2, 3, 767, 768, 769, 5000] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut written = Vec::new();
            write_json(&[Base64(Cow::Borrowed(&bytes))], &mut written).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), format!("[\"{}\"]", BASE64.encode(&bytes)));
        }
    }

    #[test]
    fn what_is_not_in_memory_comes_into_the_last_string() {
        let json = Bytes::from_static(br#"{"a":"","b":[{"c":""}],"d":1}"#);
        let pieces = fill_last_string(json, Bytes::from_static(b"QQ==").into());
        let written: Vec<u8> = pieces.into_iter().flatten().flat_map(Result::unwrap).collect();
        assert_eq!(String::from_utf8(written).unwrap(), r#"{"a":"","b":[{"c":"QQ=="}],"d":1}"#);
    }
}
