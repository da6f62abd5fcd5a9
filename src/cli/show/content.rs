//! What is in a message: shown only when it is asked for.

use super::super::terminal::{Column, Terminal, without_effect};
use crate::engine::text::printable_within;
use crate::mail::{Mail, PARSE_LIMIT, read, text_of_html};
use crate::maildir::Record;
use bytesize::ByteSize;
use std::io::{self, Read};

fn bytes(record: &Record) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    record.open()?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One line fit to be shown, with its tabs.
fn harmless(line: &str) -> String {
    let pieces: Vec<_> = line.split('\t').map(|piece| printable_within(piece.as_bytes(), usize::MAX)).collect();
    pieces.join("\t")
}

fn lines(text: &str) -> Vec<u8> {
    text.lines().flat_map(|line| (harmless(line) + "\n").into_bytes()).collect()
}

/// Its text; that of its HTML, where it has no other.
pub(super) fn text(record: &Record) -> io::Result<Vec<u8>> {
    let bytes = bytes(record)?;
    let mail = read(&bytes);
    refused(&mail)?;
    let text = mail.text.or_else(|| mail.html.as_deref().map(|html| text_of_html(html).into()));
    Ok(lines(&text.unwrap_or_default()))
}

/// All of it, as it is. A terminal gets nothing that could act on it.
pub(super) fn raw(record: &Record, terminal: &Terminal) -> io::Result<Vec<u8>> {
    let bytes = bytes(record)?;
    if !terminal.is_terminal {
        return Ok(bytes);
    }
    Ok(without_effect(&bytes))
}

/// Its header, decoded, in its order.
pub(super) fn headers(record: &Record) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    record.open()?.take(crate::mail::HEADER_LIMIT as u64).read_to_end(&mut head)?;
    let mail = crate::mail::read_header(&head);
    let line =
        |field: &crate::mail::Field| format!("{}: {}\n", harmless(&field.name), harmless(&field.value)).into_bytes();
    Ok(mail.fields.iter().flat_map(line).collect())
}

/// Its text, its HTML and its attachments, by type and size.
pub(super) fn parts(record: &Record, terminal: &Terminal) -> io::Result<Vec<u8>> {
    let bytes = bytes(record)?;
    let mail = read(&bytes);
    refused(&mail)?;
    let size = |bytes: usize| {
        if terminal.is_terminal { ByteSize::b(bytes as u64).display().iec().to_string() } else { bytes.to_string() }
    };
    let mut rows = Vec::new();
    let texts = [("text", "text/plain", &mail.text), ("html", "text/html", &mail.html)];
    for (what, media_type, text) in texts {
        rows.extend(text.as_ref().map(|text| vec![what.into(), media_type.into(), size(text.len()), String::new()]));
    }
    for part in &mail.attachments {
        let what = if part.is_inline { "inline" } else { "attachment" };
        let name = part.name.as_deref().map(harmless).unwrap_or_default();
        rows.push(vec![what.into(), harmless(&part.media_type), size(part.content().len()), name]);
    }
    let columns = [Column::words("PART"), Column::text("TYPE"), Column::numbers("SIZE"), Column::text("NAME")];
    Ok(terminal.table(&columns, &rows).into_bytes())
}

fn refused(mail: &Mail<'_>) -> io::Result<()> {
    match &mail.refusal {
        None => Ok(()),
        Some(refusal) => Err(io::Error::other(format!(
            "it is not parsed: {refusal} (--raw shows it; at most {} are parsed)",
            ByteSize::b(PARSE_LIMIT).display().iec()
        ))),
    }
}
