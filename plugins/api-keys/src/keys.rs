//! The known keys, found by hash.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

/// One key and whose it is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The SHA-256 of the key, as 64 hex digits: `printf %s "$KEY" | sha256sum`.
    #[schemars(with = "String", regex(pattern = "^(sha256:)?[0-9a-fA-F]{64}$"))]
    #[serde(alias = "hash")]
    pub sha256: KeyHash,
    /// Who calls with this key; the fact `caller`.
    pub caller: String,
    /// The fact `tier`, if it is given.
    #[serde(default)]
    pub tier: Option<String>,
    #[serde(skip)]
    pub(crate) position: usize,
}

/// All keys, in the order of their hashes.
///
/// A presented key is hashed, then compared in constant time with those stored hashes that
/// have the same first eight bytes. How long finding these takes depends on the hash of
/// what was presented, which says nothing of use: to steer it towards a stored hash one
/// would have to invert SHA-256, and the eight bytes do not help to find the key. So
/// thousands of keys cost a dozen comparisons, and still no key is guessed byte by byte.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<Key>")]
pub struct Keys(Vec<Key>);

impl Keys {
    pub(crate) fn find(&self, presented: &[u8; 32]) -> Option<&Key> {
        let prefix = prefix(presented);
        let start = self.0.partition_point(|key| key.sha256.prefix() < prefix);
        let mut found = None;
        for key in self.0[start..]
            .iter()
            .take_while(|key| key.sha256.prefix() == prefix)
        {
            if bool::from(key.sha256.0.ct_eq(presented)) {
                found = Some(key);
            }
        }
        found
    }

    /// Every mistake that the types let through.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.0.is_empty() {
            mistakes.push("/keys: at least one key is needed".to_owned());
        }
        for key in &self.0 {
            for (name, value) in [("caller", Some(&key.caller)), ("tier", key.tier.as_ref())] {
                if value.is_some_and(|value| !is_fact(value)) {
                    let at = key.position;
                    mistakes.push(format!(
                        "/keys/{at}/{name}: 1 to 256 bytes without control characters"
                    ));
                }
            }
        }
        for pair in self
            .0
            .windows(2)
            .filter(|pair| pair[0].sha256 == pair[1].sha256)
        {
            let (one, other) = (pair[0].position, pair[1].position);
            mistakes.push(format!("/keys/{other}/sha256: the same key as /keys/{one}"));
        }
        mistakes
    }
}

impl From<Vec<Key>> for Keys {
    fn from(mut keys: Vec<Key>) -> Self {
        for (position, key) in keys.iter_mut().enumerate() {
            key.position = position;
        }
        keys.sort_unstable_by_key(|key| (key.sha256, key.position));
        Self(keys)
    }
}

fn is_fact(value: &str) -> bool {
    !value.is_empty() && value.len() <= 256 && !value.contains(char::is_control)
}

impl KeyHash {
    fn prefix(&self) -> u64 {
        prefix(&self.0)
    }
}

fn prefix(hash: &[u8; 32]) -> u64 {
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

/// Enough to tell keys apart in a log.
impl fmt::Debug for KeyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:02x}{:02x}…", self.0[0], self.0[1])
    }
}
