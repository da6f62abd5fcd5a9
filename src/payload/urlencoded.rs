//! `application/x-www-form-urlencoded` (WHATWG URL section 5.2), byte by byte.

use std::io::{self, Write};

/// A form as one line.
pub(super) struct Urlencoded(Vec<u8>);

/// What is written here becomes the value of a field.
pub(super) struct Value<'a>(&'a mut Vec<u8>);

impl Urlencoded {
    /// An empty form with room for this many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Urlencoded(Vec::with_capacity(bytes))
    }

    /// Adds a field, whose value is what is written.
    pub(super) fn field(&mut self, name: &str) -> Value<'_> {
        if !self.0.is_empty() {
            self.0.push(b'&');
        }
        escape(name.as_bytes(), &mut self.0);
        self.0.push(b'=');
        Value(&mut self.0)
    }

    /// Adds a field with this value.
    pub(super) fn add(&mut self, name: &str, value: &[u8]) {
        escape(value, self.field(name).0);
    }

    /// All of it.
    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

impl Write for Value<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        escape(bytes, self.0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How each byte is written: three bytes, and how many of them count.
const ESCAPES: [([u8; 3], u8); 256] = escapes();
/// How much is escaped at a time, in bytes.
const CHUNK: usize = 256;

/// How long a value becomes.
pub(super) fn escaped_length(bytes: &[u8]) -> usize {
    bytes.iter().map(|&byte| usize::from(ESCAPES[usize::from(byte)].1)).sum()
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut escaped = [0; 3 * CHUNK];
    for chunk in bytes.chunks(CHUNK) {
        let mut length = 0;
        for &byte in chunk {
            // All three are written, and those that do not count are written over: that takes no decision.
            let (written, count) = ESCAPES[usize::from(byte)];
            escaped[length..length + 3].copy_from_slice(&written);
            length += usize::from(count);
        }
        out.extend_from_slice(&escaped[..length]);
    }
}

const fn escapes() -> [([u8; 3], u8); 256] {
    let hex = b"0123456789ABCDEF";
    let mut escapes = [([b'+', 0, 0], 1); 256];
    let mut byte = u8::MAX;
    loop {
        let place = byte as usize;
        if is_plain(byte) {
            escapes[place] = ([byte, 0, 0], 1);
        } else if byte != b' ' {
            escapes[place] = ([b'%', hex[place >> 4], hex[place & 15]], 3);
        }
        if byte == 0 {
            return escapes;
        }
        byte -= 1;
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_through() {
        let mut form = Urlencoded::with_capacity(0);
        form.add("issue[project]", b"caf\xe9 & co\r\n\0+");
        write!(form.field("b"), "{} \u{e9}", 1 + 1).unwrap();
        form.add("", b"");
        let written = String::from_utf8(form.done()).unwrap();
        assert_eq!(written, "issue%5Bproject%5D=caf%E9+%26+co%0D%0A%00%2B&b=2+%C3%A9&=");
    }

    #[test]
    fn the_length_is_known_before() {
        let all: Vec<u8> = (0..=255).collect();
        let mut form = Urlencoded::with_capacity(0);
        form.add("a", &all);
        assert_eq!(form.done().len(), 2 + escaped_length(&all));
    }
}
