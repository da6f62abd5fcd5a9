//! What is known of one message.

use super::envelope::Envelope;
use crate::mail::Header;
use bytes::{Bytes, BytesMut};
use data_encoding::BASE32_NOPAD;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The identity of a message: 26 characters of lower-case base32 (RFC 4648), the first 130 bits of
/// a SHA-256. The same for every process, host and attempt; the application gets it as
/// `webhook-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; Id::BYTES]);

impl Id {
    /// How many characters an id has.
    pub const CHARACTERS: usize = 26;
    const BYTES: usize = 17;

    /// The id that a digest stands for.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let mut bits = [0; Self::BYTES];
        bits.copy_from_slice(&digest[..Self::BYTES]);
        bits[Self::BYTES - 1] &= 0b1100_0000;
        Id(bits)
    }

    /// The id as it is written, in ASCII.
    pub fn characters(self) -> [u8; Id::CHARACTERS] {
        let mut text = [0; 28];
        BASE32_NOPAD.encode_mut(&self.0, &mut text);
        text.make_ascii_lowercase();
        *text.first_chunk().expect("two of them are padding")
    }

    /// A hash of it, for tables: it is one itself.
    pub fn hashed(self) -> u64 {
        u64::from_ne_bytes(*self.0.first_chunk().expect("it has 17 bytes"))
    }

    /// The id written as `text`, where that is one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::CHARACTERS {
            return None;
        }
        let padded = format!("{}AA", text.to_ascii_uppercase());
        let bits = BASE32_NOPAD.decode(padded.get(..28)?.as_bytes()).ok()?;
        Some(Id(bits.get(..Self::BYTES)?.try_into().ok()?)).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.characters()).expect("base32 is ASCII"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The bytes of a message: in memory where they are few, else to be read from the claimed file.
#[derive(Clone, Debug)]
pub enum Body {
    /// All of them.
    Whole(Bytes),
    /// The first [`HEADER_LIMIT`](crate::mail::HEADER_LIMIT) bytes, and the file that holds all `length` of them.
    File {
        /// The beginning of the message.
        head: Bytes,
        /// The claimed file; read it by position, for others share its offset.
        file: Arc<File>,
        /// Its length in bytes.
        length: u64,
    },
}

impl Body {
    /// The message's length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Body::Whole(bytes) => bytes.len() as u64,
            Body::File { length, .. } => *length,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of its bytes; those of a file are read here, which may take as long as the disk does.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub fn bytes(&self) -> io::Result<Bytes> {
        match self {
            Body::Whole(bytes) => Ok(bytes.clone()),
            Body::File { head, file, length } => {
                let length = usize::try_from(*length).map_err(io::Error::other)?;
                let mut bytes = BytesMut::with_capacity(length);
                bytes.extend_from_slice(head);
                bytes.resize(length, 0);
                file.read_exact_at(&mut bytes[head.len()..], head.len() as u64)?;
                Ok(bytes.freeze())
            }
        }
    }
}

/// What happened to a message so far, counted from when it was new or a person asked for it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Attempts so far, whoever was to blame.
    pub tries: u32,
    /// Attempts that failed by the message's own fault.
    pub charged: u32,
    /// When the first of those was.
    pub first_charged: Option<SystemTime>,
    /// When the last attempt of any kind was.
    pub last_try: Option<SystemTime>,
    /// Why that one failed.
    pub last_reason: String,
    /// The target that a person has chosen for the message, whatever its route.
    pub target: Option<Arc<str>>,
}

impl History {
    /// Counts one more failed attempt.
    pub fn add_try(&mut self, at: SystemTime, charged: bool) {
        self.tries = self.tries.saturating_add(1);
        self.last_try = Some(at);
        if charged {
            self.charged = self.charged.saturating_add(1);
            self.first_charged.get_or_insert(at);
        }
    }
}

/// One message in hand.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its identity.
    pub id: Id,
    /// The name by which its queue knows it (a file name), fit to be shown.
    pub name: String,
    /// The queue that it came from.
    pub queue: Arc<str>,
    /// Where in its queue it lies, where that has several places (the path of a Maildir).
    pub place: Option<Arc<str>>,
    /// The route that was found for it; empty where there is none.
    pub route: Arc<str>,
    /// Who it is from and to.
    pub envelope: Envelope,
    /// When it came.
    pub arrived: SystemTime,
    /// Its bytes.
    pub body: Body,
    /// The claimed file itself, where there is one. It is read by position; whoever gives it to another
    /// process has to rewind it.
    pub file: Option<Arc<File>>,
    /// What happened to it so far.
    pub history: History,
}

impl Message {
    /// A bounded look at its header fields.
    pub fn header(&self) -> Header<'_> {
        match &self.body {
            Body::Whole(bytes) => Header::of(bytes),
            Body::File { head, .. } => Header::of(head),
        }
    }

    /// Lets go of the claimed file. Of a large message only the beginning is left.
    pub(super) fn let_go(&mut self) {
        self.file = None;
        if let Body::File { head, .. } = &self.body {
            self.body = Body::Whole(head.clone());
        }
    }

    /// How long after its arrival this is. A name of the form that maildir(5) has tells the second, and most deliveries
    /// the microsecond, too (`M123456`).
    pub fn waited(&self, at: SystemTime) -> Duration {
        at.duration_since(self.arrived + self.micros_of_arrival()).unwrap_or_default()
    }

    fn micros_of_arrival(&self) -> Duration {
        let is_by_name = self.arrived.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|time| time.subsec_nanos() == 0);
        let delivery = self.name.split('.').nth(1).filter(|_| is_by_name).unwrap_or_default();
        let digits = delivery.split('M').skip(1).find_map(|rest| rest.get(..6)?.parse::<u64>().ok());
        Duration::from_micros(digits.unwrap_or_default())
    }

    /// The number of the coming attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.history.tries.saturating_add(1)
    }
}

#[cfg(test)]
impl Message {
    /// A message without anything particular.
    pub(crate) fn sample() -> Self {
        Message {
            id: Id::from_digest(&[1; 32]),
            name: "1762087331.sample.mx1".into(),
            queue: "main".into(),
            place: None,
            route: "".into(),
            envelope: Envelope::default(),
            arrived: SystemTime::UNIX_EPOCH,
            body: Body::Whole(Bytes::from_static(b"Subject: sample\n\nbody\n")),
            file: None,
            history: History::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_message_has_waited_is_counted_from_the_microsecond_of_its_delivery() {
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_762_087_331);
        let millis = Duration::from_millis;
        for (name, arrived, waited) in [
            ("1762087331.V801I2a0f3cM250000.mx1", second, 750),
            ("1762087331.M250000P7Q0R00000000.mx1", second, 750),
            ("1762087331.1234.mx1", second, 1000),
            ("1762087331.M12.M250000", second, 1000),
            ("1762087331.Mé50000x.mx1", second, 1000),
            ("report.M250000.eml", second + millis(100), 900),
            ("1762087331.M999999P1.mx1", second + Duration::from_hours(1), 0),
        ] {
            let message = Message { name: name.into(), arrived, ..Message::sample() };
            assert_eq!(message.waited(second + millis(1000)), millis(waited), "{name}");
        }
    }

    #[test]
    fn an_id_is_26_characters_of_base32_and_reads_back() {
        for seed in 0..=255u8 {
            let id = Id::from_digest(&[seed; 32]);
            let text = id.to_string();
            assert_eq!(text.len(), Id::CHARACTERS);
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
            assert_eq!(Id::parse(&text), Some(id));
        }
        for wrong in
            ["", "short", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0bcdefghijklmnopqrstuvwxyz", "bcdefghijklmnopqrstuvwxyé"]
        {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_body_in_a_file_is_read_whole_or_not_at_all_and_its_head_once() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"Subject: x\n\nbody\n").unwrap();
        let body =
            |length| Body::File { head: Bytes::from_static(b"SUB"), file: file.try_clone().unwrap().into(), length };
        assert_eq!(body(17).bytes().unwrap(), "SUBject: x\n\nbody\n");
        assert_eq!(body(18).bytes().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Body::Whole(Bytes::from_static(b"x")).bytes().unwrap(), "x");
    }

    #[test]
    fn an_id_is_the_front_of_the_plain_base32_of_the_digest() {
        let digest: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 37 % 256).unwrap());
        let whole = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
        assert_eq!(Id::from_digest(&digest).to_string(), whole[..26]);
    }
}
