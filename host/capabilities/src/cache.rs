//! Answers that are kept, and given to requests that are alike.
//!
//! The key is a digest of everything that may shape an answer; whose answer it is and
//! what the digest is made of is the caller's business. Every answer has an end.

mod embedded;

pub use embedded::{CacheOptions, EmbeddedCache};

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::Answer;

/// A digest of all that tells answers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(pub [u8; 32]);

/// An answer, whole and good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its status.
    pub status: u16,
    /// What describes the body; nothing of the exchange that it came in.
    pub headers: Vec<(String, Bytes)>,
    /// All of the body.
    pub body: Bytes,
    /// What the body is made of.
    pub form: Form,
}

/// What a body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// One document.
    Document,
    /// The events of a stream.
    Stream {
        /// Where each piece ends that goes out at once: whole events.
        ends: Vec<u32>,
        /// `[DONE]` is what ends it.
        ends_with_done: bool,
    },
}

impl KeptAnswer {
    /// What it is taken to cost, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        const EACH: usize = 256;
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        let ends = match &self.form {
            Form::Document => 0,
            Form::Stream { ends, .. } => size_of_val(ends.as_slice()),
        };
        EACH + headers + self.body.len() + ends
    }
}

/// An answer that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The answer.
    pub answer: Arc<KeptAnswer>,
    /// How long it has been kept.
    pub age: Duration,
}

/// Why a call of [`AnswerCache`] did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// It would take too much of the store.
    #[error("the answer is longer than the store keeps")]
    TooLarge,
    /// The store cannot be reached.
    #[error("the store cannot be reached")]
    Unavailable,
}

/// What a store holds and has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers that are kept now, also those whose time is over.
    pub answers: u64,
    /// What they cost together.
    pub bytes: u64,
    /// Answers stored since the start.
    pub stored: u64,
    /// Answers given up for others before their time was over.
    pub evicted: u64,
}

/// A store of answers. One that is out of reach is a store without answers: the
/// exchange goes on.
pub trait AnswerCache: Send + Sync {
    /// The answer of this key, if its time is not over.
    fn get(&self, key: &CacheKey) -> Answer<Result<Option<Found>, CacheError>>;

    /// Keeps an answer for so long, in place of one that is there.
    fn put(
        &self,
        key: &CacheKey,
        answer: KeptAnswer,
        ttl: Duration,
    ) -> Answer<Result<(), CacheError>>;

    /// Holds at most so many bytes from now on.
    fn resize(&self, bytes_max: usize);

    /// What it holds and has done.
    fn stats(&self) -> CacheStats;
}
