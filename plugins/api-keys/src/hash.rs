//! The SHA-256 of a key, all that is known of it.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use subtle::ConstantTimeEq;

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    /// The first eight bytes, by which stored hashes are found.
    pub(crate) fn prefix(&self) -> u64 {
        prefix(&self.0)
    }

    /// In constant time.
    pub(crate) fn is_of(&self, presented: &[u8; 32]) -> bool {
        words(&self.0).ct_eq(&words(presented)).into()
    }
}

/// Fewer steps than bytes.
fn words(hash: &[u8; 32]) -> [u64; 4] {
    let (words, _) = hash.as_chunks();
    std::array::from_fn(|nth| u64::from_le_bytes(words[nth]))
}

pub(crate) fn prefix(hash: &[u8; 32]) -> u64 {
    hash[..8]
        .iter()
        .fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}

impl FromStr for KeyHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the SHA-256 of a key: 64 hex digits";
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return Err(EXPECTED);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(EXPECTED);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(hash))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Enough to tell keys apart in a test.
impl fmt::Debug for KeyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:02x}{:02x}…", self.0[0], self.0[1])
    }
}
