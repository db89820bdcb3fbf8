//! Keys and values that a plugin keeps in the host.
//!
//! Each call is atomic. Namespaces are parts of the key, never glued to it.

mod embedded;

pub use embedded::{EmbeddedKv, KvOptions};

use std::time::Duration;

use bytes::Bytes;

use crate::{Answer, Namespace};

/// Why a call of [`KvStore`] did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The namespace's share of entries or bytes is used up.
    #[error("the plugin's share of entries or bytes is used up")]
    Full,
    /// A key or value is longer than allowed.
    #[error("the key or value is longer than allowed")]
    TooLarge,
    /// `increment` met a value, or would make one, that is no 64-bit decimal number.
    #[error("the value is not a number")]
    NotANumber,
    /// The store cannot be reached.
    #[error("the store cannot be reached")]
    Unavailable,
}

/// A key-value store. A time to live of zero keeps the entry for good.
pub trait KvStore: Send + Sync {
    /// The value, if there is one that has not expired.
    fn get(&self, namespace: &Namespace, key: &str) -> Answer<Result<Option<Bytes>, KvError>>;

    /// Sets the value and its time to live, whatever was there.
    fn put(
        &self,
        namespace: &Namespace,
        key: &str,
        value: &[u8],
        ttl: Duration,
    ) -> Answer<Result<(), KvError>>;

    /// Takes the entry away, if there is one.
    fn remove(&self, namespace: &Namespace, key: &str) -> Answer<Result<(), KvError>>;

    /// Puts if the present value is `expected` (`None`: if there is none) and
    /// tells whether it did.
    fn compare_and_put(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Duration,
    ) -> Answer<Result<bool, KvError>>;

    /// Adds to a number, kept as decimal text, from 0 if there is none, and
    /// returns it. The time to live starts with the entry and is not renewed.
    fn increment(
        &self,
        namespace: &Namespace,
        key: &str,
        by: i64,
        ttl: Duration,
    ) -> Answer<Result<i64, KvError>>;
}
