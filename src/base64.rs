//! Base64 (RFC 4648 section 4) in bulk, by the vector instructions of this machine where it has some.

use ::base64::Engine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use ::base64::engine::GeneralPurpose;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use ::base64::engine::Simd;
use ::base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use std::io::{self, Write};
use std::sync::LazyLock;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::standard(STRICT));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static ENGINE: LazyLock<GeneralPurpose> = LazyLock::new(|| GeneralPurpose::new(&::base64::alphabet::STANDARD, STRICT));

const STRICT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
/// How much is encoded at a time, in bytes. A multiple of three: only the end has padding.
const CHUNK: usize = 6 * 1024;

/// Adds what these quads of characters stand for. Where there is anything else among them, be it padding, nothing is
/// added, and this tells so.
#[must_use]
pub(crate) fn decode_quads(quads: &[u8], decoded: &mut Vec<u8>) -> bool {
    let start = decoded.len();
    decoded.resize(start + quads.len() / 4 * 3, 0);
    let is_decoded = quads.len().is_multiple_of(4) && ENGINE.decode_slice(quads, &mut decoded[start..]).is_ok();
    if !is_decoded {
        decoded.truncate(start);
    }
    is_decoded
}

/// These bytes as one line with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}

/// Writes these bytes as one line with padding.
///
/// # Errors
/// It cannot be written there.
pub(crate) fn write(bytes: &[u8], out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let mut encoded = [0; CHUNK / 3 * 4];
    bytes.chunks(CHUNK).try_for_each(|chunk| {
        let length = ENGINE.encode_slice(chunk, &mut encoded).map_err(io::Error::other)?;
        out.write_all(&encoded[..length])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;

    #[test]
    fn bytes_of_any_length_become_what_the_standard_says_and_come_back() {
        for length in (0..200).chain([CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 2]) {
            let bytes: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            let expected = BASE64.encode(&bytes);
            let (mut written, mut decoded) = (Vec::new(), b"before".to_vec());
            write(&bytes, &mut written).unwrap();
            assert_eq!((encode(&bytes).as_bytes(), &*written), (expected.as_bytes(), expected.as_bytes()));
            let has_padding = !length.is_multiple_of(3);
            assert_eq!(decode_quads(expected.as_bytes(), &mut decoded), !has_padding);
            let expected = if has_padding { b"before".to_vec() } else { [b"before", &*bytes].concat() };
            assert_eq!(decoded, expected);
        }
    }

    #[test]
    fn only_whole_quads_of_the_alphabet_are_decoded() {
        let quads = "QUJD".repeat(60);
        for place in 0..quads.len() {
            for foreign in [b'\n', b' ', b'=', b'-', b'_', 0, 0x80, 0xff] {
                let mut bytes = quads.clone().into_bytes();
                bytes[place] = foreign;
                assert!(!decode_quads(&bytes, &mut Vec::new()), "{foreign} at {place}");
            }
            assert_eq!(decode_quads(&quads.as_bytes()[place..], &mut Vec::new()), place % 4 == 0);
        }
    }
}
