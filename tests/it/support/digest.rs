//! SHA-256 as the hexadecimal text that `sha256sum` prints.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
