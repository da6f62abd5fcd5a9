//! What is not parsed: mail that would take memory out of proportion to its size.
//!
//! All parsing here is one pass, so time is no concern. Memory is: a field of 3 bytes takes 100 when it is
//! decoded, and a mailbox of 2 as many.

use super::header::{self, Line};
use super::split::PART_LIMIT;
use memchr::memchr3_iter;

/// How large a mail is parsed, in bytes: 25 MiB, which is what large providers take, and some room. What
/// is larger is given on, or told by its header.
pub const PARSE_LIMIT: u64 = 26 * 1024 * 1024;

/// How long a header is read, in bytes: what Exim takes by default (`header_maxsize`). Postfix takes a
/// tenth of it in one field.
const HEADER_BYTES: usize = 1024 * 1024;
/// How many lines of a header are read. Real ones have up to 500.
const HEADER_LINES: usize = 20_000;
/// How many marks between addresses, ids and parameters a header can have, three for each of many
/// recipients. More of them do not fit into a header of people's names.
const HEADER_MARKS: usize = 50_000;

/// Why a mail is not parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than [`PARSE_LIMIT`].
    #[error("it is larger than {} MiB", PARSE_LIMIT / 1024 / 1024)]
    Size,
    /// Its header is too long.
    #[error("its header is larger than {} MiB", HEADER_BYTES / 1024 / 1024)]
    Header,
    /// Its header has too many lines.
    #[error("its header has more than {HEADER_LINES} lines")]
    Lines,
    /// Its header has too many addresses or parameters.
    #[error("its header has more than {HEADER_MARKS} of the marks ',', ';' and '<'")]
    Marks,
    /// It has too many parts.
    #[error("it has more than {PART_LIMIT} parts")]
    Parts,
    /// Reading it panicked.
    #[error("a bug in maildirq")]
    Bug,
}

/// Looks over a mail once, without decoding anything, and tells how long its header is.
pub(super) fn look(mail: &[u8]) -> Result<usize, Refusal> {
    if mail.len() as u64 > PARSE_LIMIT {
        return Err(Refusal::Size);
    }
    let (mut bytes, mut lines) = (0, 0);
    for line in header::lines(mail) {
        if Line::of(line) != Line::Header {
            break;
        }
        bytes += line.len();
        lines += 1;
    }
    let marks = || memchr3_iter(b',', b';', b'<', &mail[..bytes]).count();
    match () {
        () if bytes > HEADER_BYTES => Err(Refusal::Header),
        () if lines > HEADER_LINES => Err(Refusal::Lines),
        () if marks() > HEADER_MARKS => Err(Refusal::Marks),
        () => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_too_much_is_refused_with_the_limit() {
        let header = |line: &str, times: usize| format!("{}\nbody", line.repeat(times)).into_bytes();
        for (mail, expected) in [
            (Vec::new(), None),
            (header("Subject: x\n", 1), None),
            (header("X: 1\n", 20_000), None),
            (header("X: 1\n", 20_001), Some("its header has more than 20000 lines")),
            (header(&format!("X: {}\n", "a".repeat(1000)), 1040), None),
            (header(&format!("X: {}\n", "a".repeat(1000)), 1060), Some("its header is larger than 1 MiB")),
            (header(&format!("To: {}\n", ",".repeat(50_000)), 1), None),
            (
                header(&format!("To: {}\n", ",".repeat(50_001)), 1),
                Some("its header has more than 50000 of the marks ',', ';' and '<'"),
            ),
            (header("\n", 30_000), None),
            (vec![b'a'; 27 * 1024 * 1024], Some("it is larger than 26 MiB")),
        ] {
            assert_eq!(look(&mail).err().map(|refusal| refusal.to_string()).as_deref(), expected);
        }
    }
}
