//! Mail that a person hands to a command: from a file, or from standard input.

use super::{Exit, complain};
use crate::config::{Config, Queue};
use crate::engine::text::printable;
use crate::engine::{Body, Envelope, EnvelopeRules, History, Id, Message};
use crate::mail::{HEADER_LIMIT, Header};
use crate::maildir::arrived;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, stdin};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// What stands for standard input.
pub const STDIN: &str = "-";

/// A message that was handed over.
#[derive(Debug)]
pub struct Mail {
    /// Its bytes.
    pub body: Body,
    /// The file that they are in.
    pub file: Option<Arc<File>>,
    /// When it came, as far as its file tells; else never, so that it is the same each time.
    pub arrived: SystemTime,
}

impl Mail {
    /// One that is in no file.
    pub fn new(bytes: Bytes) -> Self {
        Mail { body: Body::Whole(bytes), file: None, arrived: SystemTime::UNIX_EPOCH }
    }
}

/// Reads the message in the file at `path`, or on standard input.
///
/// # Errors
/// There is none; it was told of, and this is how to end.
pub fn read(path: &Path) -> Result<Mail, Exit> {
    let shown = shown(path);
    let mail = if path == Path::new(STDIN) {
        let mut bytes = Vec::new();
        stdin().lock().read_to_end(&mut bytes).map(|_| Mail::new(bytes.into()))
    } else {
        open(path)
    };
    let mail = mail.map_err(|error| {
        complain(format_args!("cannot read {shown}: {error}"));
        Exit::NoInput
    })?;
    let (Body::Whole(head) | Body::File { head, .. }) = &mail.body;
    if Header::of(head).fields().next().is_none() {
        let what = if mail.body.is_empty() { "it is empty" } else { "it does not begin with header fields" };
        complain(format_args!(
            "{shown} is not a message: {what}\n  = try: a file of mail as it lies in a Maildir (.eml)"
        ));
        return Err(Exit::DataError);
    }
    Ok(mail)
}

/// The message in the file at `path`, whatever is in there.
///
/// # Errors
/// It cannot be read, or is no regular file.
pub fn open(path: &Path) -> io::Result<Mail> {
    // A pipe that nobody writes to must not hold us up, and whoever owns a Maildir may put anything into it.
    let file = Arc::new(File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?);
    let status = file.metadata()?;
    if !status.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut head = Vec::new();
    (&*file).take(HEADER_LIMIT as u64).read_to_end(&mut head)?;
    let head = Bytes::from(head);
    let length = status.len();
    let is_large = length > head.len() as u64;
    let body = if is_large { Body::File { head, file: Arc::clone(&file), length } } else { Body::Whole(head) };
    Ok(Mail { body, file: Some(file), arrived: arrived(path.file_name().unwrap_or_default(), status.modified()?) })
}

/// The message without these fields of its header.
pub fn without_fields(mail: &[u8], names: &[&str]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(mail.len());
    let mut rest = mail;
    let mut is_dropped = false;
    for line in mail.split_inclusive(|&byte| byte == b'\n') {
        if line.trim_ascii_end().is_empty() {
            break;
        }
        rest = &rest[line.len()..];
        // A folded line belongs to the one above it.
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii_end();
            is_dropped = names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
        }
        if !is_dropped {
            kept.extend_from_slice(line);
        }
    }
    kept.extend_from_slice(rest);
    kept
}

/// Its name, fit to be shown.
pub fn shown(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".into() } else { printable(path.as_os_str().as_encoded_bytes()) }
}

/// The message that this would be in a queue, from and to whom it says unless others are given. Its id is
/// made of its bytes: as long as it is not delivered it has no other.
pub fn message(mail: Mail, queue: &Queue, from: Option<&str>, to: Option<&str>) -> Message {
    let Mail { body, file, arrived } = mail;
    let (Body::Whole(head) | Body::File { head, .. }) = &body;
    let mut envelope = Envelope::read(Header::of(head), &queue.envelope);
    if let Some(to) = to {
        // Read again, for its detail is part of it.
        let rules = EnvelopeRules { recipient: Some(to.to_owned()), ..queue.envelope.clone() };
        envelope = Envelope { from: envelope.from, ..Envelope::read(Header::of(b""), &rules) };
    }
    if let Some(from) = from {
        envelope.from = Some(from.trim_start_matches('<').trim_end_matches('>').to_owned());
    }
    Message {
        place: None,
        id: Id::from_digest(&Sha256::digest(head).into()),
        name: "dry-run".into(),
        queue: queue.name.as_str().into(),
        route: "".into(),
        envelope,
        arrived,
        body,
        file,
        history: History::default(),
    }
}

/// The queue of this name, or the first.
///
/// # Errors
/// There is none of this name; it was told of, and this is how to end.
pub fn queue<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Queue, Exit> {
    let found = config.queues.iter().find(|queue| name.is_none_or(|name| name == queue.name));
    found.ok_or_else(|| {
        let names: Vec<_> = config.queues.iter().map(|queue| queue.name.as_str()).collect();
        complain(format_args!(
            "there is no queue `{}`\n  = there are: {}",
            printable(name.unwrap_or_default().as_bytes()),
            names.join(", ")
        ));
        Exit::Usage
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn mail(text: &'static str) -> Mail {
        Mail::new(Bytes::from_static(text.as_bytes()))
    }

    fn config() -> Config {
        Config::of_flags("/m".into(), "http://127.0.0.1/".parse().unwrap())
    }

    #[test]
    fn what_is_given_counts_instead_of_what_the_mail_says() {
        let config = config();
        let text = "Return-Path: <ada@example.com>\nDelivered-To: a+1@x\n\n";
        for (from, to, expected) in [
            (None, None, ("ada@example.com", "a+1@x", Some("1"))),
            (Some("<>"), None, ("", "a+1@x", Some("1"))),
            (Some("bob@x"), Some("b+2@x"), ("bob@x", "b+2@x", Some("2"))),
            (None, Some("b@x"), ("ada@example.com", "b@x", None)),
        ] {
            let Envelope { from, to, detail } = message(mail(text), &config.queues[0], from, to).envelope;
            assert_eq!(
                (from.as_deref(), to.as_deref(), detail.as_deref()),
                (Some(expected.0), Some(expected.1), expected.2)
            );
        }
    }

    #[test]
    fn a_large_file_is_not_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.eml");
        fs::write(&path, format!("Subject: x\n\n{}", "x".repeat(HEADER_LIMIT))).unwrap();
        let Mail { body, .. } = read(&path).unwrap();
        assert!(matches!(&body, Body::File { head, .. } if head.len() == HEADER_LIMIT));
        assert_eq!(body.len(), fs::metadata(&path).unwrap().len());
        assert_eq!(body.bytes().unwrap(), fs::read(&path).unwrap());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.eml");
        for (text, exit) in [("", Exit::DataError), ("\n\nbody", Exit::DataError), ("hello\n", Exit::DataError)] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).err(), Some(exit), "{text:?}");
        }
        fs::write(&path, "Subject: x").unwrap();
        assert!(read(&path).is_ok());
        assert_eq!(read(folder.path()).err(), Some(Exit::NoInput));
        assert_eq!(read(&folder.path().join("none")).err(), Some(Exit::NoInput));
    }

    #[test]
    fn fields_can_be_left_out_and_all_else_stays() {
        let mail = b"Return-Path: <a@x>\nDELIVERED-TO :\n b@x\n\tc\nSubject: Delivered-To\n d\n\nDelivered-To: body\n";
        for (names, expected) in [
            (&[][..], &mail[..]),
            (&["Delivered-To"], b"Return-Path: <a@x>\nSubject: Delivered-To\n d\n\nDelivered-To: body\n"),
            (&["return-path", "Delivered-To", "Subject"], b"\nDelivered-To: body\n"),
        ] {
            assert_eq!(without_fields(mail, names), expected, "{names:?}");
        }
        assert_eq!(without_fields(b"Subject: x", &["Subject"]), b"");
    }

    #[test]
    fn a_queue_goes_by_its_name_and_the_first_is_usual() {
        let config = config();
        assert_eq!(queue(&config, None).unwrap().name, "main");
        assert_eq!(queue(&config, Some("main")).unwrap().name, "main");
        assert_eq!(queue(&config, Some("other")).err(), Some(Exit::Usage));
    }
}
