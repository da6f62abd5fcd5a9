//! Signatures by which an application knows that a request is ours (Standard Webhooks 1.0.0).

use crate::engine::Id;
use crate::payload::Payload;
use crate::secret::Secret;
use data_encoding::{BASE64, BASE64_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io;
use std::time::SystemTime;

/// What a key begins with.
const PREFIX: &str = "whsec_";
/// How long a key is, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// What is said of a request to prove that it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// `webhook-timestamp`: when, in seconds since 1970.
    pub timestamp: u64,
    /// `webhook-signature`: one for each key, with blanks between them.
    pub signatures: String,
}

/// The key that `text` is: `whsec_` and base64 of 24 to 64 bytes.
///
/// # Errors
/// It is none; the text says why, and nothing of what was given.
pub fn signing_key(text: &str) -> Result<Secret<Vec<u8>>, String> {
    let wrong = |what: String| format!("{what}; make one: echo \"{PREFIX}$(openssl rand -base64 32)\"");
    let encoded = text.strip_prefix(PREFIX).ok_or_else(|| wrong(format!("a key begins with {PREFIX}")))?;
    let key = BASE64_NOPAD.decode(encoded.trim_end_matches('=').as_bytes());
    let key = key.map_err(|_| wrong(format!("behind {PREFIX} stands base64 (A-Z a-z 0-9 + /) and no blank")))?;
    if LENGTHS.contains(&key.len()) {
        Ok(Secret::of_bytes(key))
    } else {
        Err(wrong(format!("a key has {} to {} bytes, not {}", LENGTHS.start(), LENGTHS.end(), key.len())))
    }
}

/// Signs a request by every key; its body is read once.
///
/// # Errors
/// The body cannot be read.
pub(super) fn sign(keys: &[Secret<Vec<u8>>], id: Id, now: SystemTime, payload: &Payload) -> io::Result<Signature> {
    let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let signatures = signatures(keys, &id.to_string(), timestamp, payload)?;
    Ok(Signature { timestamp, signatures })
}

fn signatures(keys: &[Secret<Vec<u8>>], id: &str, timestamp: u64, payload: &Payload) -> io::Result<String> {
    let mac = |key: &Secret<Vec<u8>>| {
        Hmac::<Sha256>::new_from_slice(key.reveal_bytes()).expect("a key may be of any length (RFC 2104)")
    };
    let mut macs: Vec<_> = keys.iter().map(mac).collect();
    let mut update = |bytes: &[u8]| macs.iter_mut().for_each(|mac| mac.update(bytes));
    update(format!("{id}.{timestamp}.").as_bytes());
    for piece in &payload.pieces {
        piece.each_chunk(|chunk| {
            update(chunk);
            Ok(())
        })?;
    }
    let signature = |mac: Hmac<Sha256>| format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    Ok(macs.into_iter().map(signature).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Piece;
    use bytes::Bytes;

    fn payload(pieces: &[&'static str]) -> Payload {
        let pieces = pieces.iter().map(|text| Piece::Bytes(Bytes::from_static(text.as_bytes()))).collect();
        Payload { content_type: "application/json".into(), pieces }
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"];
        let keys = keys.map(|key| signing_key(key).unwrap());
        for body in [&["{\"test\": 2432232314}"][..], &["{\"test\"", "", ": 2432232314}"]] {
            let sign = |keys: &[Secret<Vec<u8>>]| {
                signatures(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, &payload(body)).unwrap()
            };
            let first = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
            assert_eq!(sign(&keys[..1]), first);
            assert_eq!(sign(&keys), format!("{first} {}", sign(&keys[1..])));
        }
    }

    #[test]
    fn what_is_no_key_is_explained_without_repeating_it() {
        let of_length = |length: usize| format!("whsec_{}", BASE64.encode(&vec![7; length]));
        for length in [24, 25, 32, 64] {
            assert_eq!(signing_key(&of_length(length)).unwrap(), Secret::of_bytes(vec![7; length]));
            assert_eq!(
                signing_key(of_length(length).trim_end_matches('=')).unwrap(),
                Secret::of_bytes(vec![7; length])
            );
        }
        for (text, explained) in [
            ("hunter2", "begins with whsec_"),
            ("", "begins with whsec_"),
            ("whsec_hunter-2", "base64"),
            ("whsec_hunt", "24 to 64 bytes, not 3"),
            (&of_length(23), "24 to 64 bytes, not 23"),
            (&of_length(65), "24 to 64 bytes, not 65"),
        ] {
            let error = signing_key(text).unwrap_err();
            assert!(error.contains(explained) && !error.contains("hunt"), "{error}");
        }
    }
}
