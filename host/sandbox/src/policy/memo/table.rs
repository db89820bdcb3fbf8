//! Decisions by a digest of what they came of.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::Arc,
};

use http::{HeaderName, HeaderValue};
use parking_lot::RwLock;
use siphasher::sip128::SipHasher13;

use super::{About, Known, basis::Seen};
use crate::{Message, json::Pointer, recording::Part};

const SHARDS: usize = 8;
/// What there is to read is not worth it beyond.
pub(super) const KEY_BYTES_MAX: usize = 8192;

/// A digest by a key of its table's own, so nobody can look for two requests that have the same.
pub(super) type Key = u128;

/// Parts of a request, as they are looked up.
#[derive(Default)]
struct Fields {
    /// `None`: no header has such a name.
    headers: Vec<Option<HeaderName>>,
    facts: Vec<String>,
    json: Vec<Pointer>,
}

impl Fields {
    fn of(parts: &[(Part, String)]) -> Self {
        let mut fields = Self::default();
        for (part, name) in parts {
            match part {
                Part::Header => fields.headers.push(HeaderName::try_from(name).ok()),
                Part::Fact => fields.facts.push(name.clone()),
                Part::Json => fields.json.push(Pointer::of(name.clone())),
                // Never noted.
                Part::Body => {}
            }
        }
        fields
    }
}

/// Decisions by the parts that any of them came of.
pub(super) struct Table {
    pub(super) seen: Seen,
    pub(super) parts: Vec<(Part, String)>,
    /// The same.
    fields: Fields,
    /// SipHash-1-3, with 128 bits and a key of this table's own, which nobody is told. (Jean-Philippe
    /// Aumasson and Daniel J. Bernstein, "SipHash: a fast short-input PRF", 2012; with one round a
    /// word, as the standard library has it: who does not see digests cannot look for two alike.)
    hasher: SipHasher13,
    pub(super) shards: Box<[RwLock<Shard>]>,
    /// Of one shard.
    most: usize,
}

#[derive(Default)]
pub(super) struct Shard {
    pub(super) decisions: HashMap<Key, Arc<Known>, BuildHasherDefault<AsItIs>>,
    /// The same keys, to draw from.
    pub(super) keys: Vec<Key>,
}

/// A digest is as good as a hash of it.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    /// By its upper half: all of a shard are alike in some of the lower.
    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64;
    }

    /// Nothing else is a key.
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Table {
    /// With room for `most` decisions; there is one.
    pub(super) fn new(seen: Seen, parts: Vec<(Part, String)>, most: usize) -> Self {
        let shards = SHARDS.min(most).max(1);
        Self {
            seen,
            fields: Fields::of(&parts),
            hasher: hasher(),
            parts,
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            most: most / shards,
        }
    }

    /// Of a session that was told of so much time, or that would be told of what is left;
    /// `None`: it would be too long.
    pub(super) fn key(
        &self,
        about: &About<'_>,
        deadline_ms: Option<u32>,
        request: &mut Message,
    ) -> Option<Key> {
        thread_local! {
            static ROOM: RefCell<[u8; KEY_BYTES_MAX]> = const { RefCell::new([0; KEY_BYTES_MAX]) };
        }
        ROOM.with_borrow_mut(|room| {
            let mut words = Words { room, end: 0 };
            let written = self.write_key((about, deadline_ms), request, &mut words);
            let key = written.map(|()| self.hasher.hash(words.written()).as_u128());
            // Keys of callers may be among them.
            words.wipe();
            key
        })
    }

    fn write_key(
        &self,
        (about, deadline_ms): (&About<'_>, Option<u32>),
        request: &mut Message,
        words: &mut Words<'_>,
    ) -> Option<()> {
        // Whatever a session is told when it opens has to be in it: see `About::is_told`.
        let About {
            route,
            model,
            streaming,
            body_bytes,
            deadline: _,
            recorded: _,
        } = *about;
        for text in [route, request.method.as_str(), &request.path] {
            words.text(text.as_bytes())?;
        }
        for text in [model, request.fact("caller"), request.fact("tier")] {
            words.optional(text.map(str::as_bytes))?;
        }
        words.put([streaming.into()])?;
        if self.seen.has(Seen::BODY_BYTES) {
            let bytes = body_bytes.map(u64::to_le_bytes);
            words.optional(bytes.as_ref().map(<[u8; 8]>::as_slice))?;
        }
        if self.seen.has(Seen::HAS_BODY) {
            // Zero, more, or nobody knows.
            words.put([body_bytes.map_or(2, |bytes| u8::from(bytes > 0))])?;
        }
        if self.seen.has(Seen::DEADLINE) {
            let left = deadline_ms.unwrap_or_else(|| about.deadline_ms());
            words.put(left.to_le_bytes())?;
        }
        let Fields {
            headers,
            facts,
            json: pointers,
        } = &self.fields;
        for name in headers {
            let value = name.as_ref().and_then(|name| request.headers.get(name));
            words.optional(value.map(HeaderValue::as_bytes))?;
        }
        for name in facts {
            words.optional(request.fact(name).map(str::as_bytes))?;
        }
        if pointers.is_empty() {
            return Some(());
        }
        let mut json = request.peek_json();
        for pointer in pointers {
            // Who asks by it may find a fault on the way, which is to be found each time.
            if !pointer.is_one() {
                return None;
            }
            let written = match &mut json {
                // A request must not fail by what its policy would not have read.
                Some(json) => json.peek(pointer).ok()?,
                None => None,
            };
            // As it is written: what is written alike is read alike.
            words.optional(written.as_deref())?;
        }
        Some(())
    }

    fn shard(&self, key: Key) -> Option<&RwLock<Shard>> {
        self.shards.get(key as usize % self.shards.len())
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<Known>> {
        self.shard(key)?.read().decisions.get(&key).cloned()
    }

    /// In place of any other one, if there are as many as there may be.
    pub(super) fn put(&self, key: Key, known: Arc<Known>) {
        let Some(mut shard) = self.shard(key).map(RwLock::write) else {
            return;
        };
        let Shard { decisions, keys } = &mut *shard;
        if decisions.insert(key, known).is_some() {
            return;
        }
        if keys.len() < self.most {
            keys.push(key);
            return;
        }
        // A digest is as good as a die.
        let drawn = (key as usize >> 8) % self.most;
        decisions.remove(&std::mem::replace(&mut keys[drawn], key));
    }
}

/// With a key that is drawn anew.
fn hasher() -> SipHasher13 {
    let drawn = RandomState::new();
    SipHasher13::new_with_keys(drawn.hash_one(0), drawn.hash_one(1))
}

/// Values in a row, each such that it cannot be taken for others. What finds no room is too
/// long: `None`.
struct Words<'a> {
    room: &'a mut [u8; KEY_BYTES_MAX],
    end: usize,
}

impl Words<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        let place = self.room.get_mut(self.end..)?.first_chunk_mut()?;
        *place = bytes;
        self.end += N;
        Some(())
    }

    /// Behind its length and one, so that it is not taken for one that is not there.
    // Not inlined, as `Message::fact`.
    #[inline(never)]
    fn text(&mut self, bytes: &[u8]) -> Option<()> {
        let room = self.room.get_mut(self.end..)?;
        let (length, room) = room.split_first_chunk_mut()?;
        room.get_mut(..bytes.len())?.copy_from_slice(bytes);
        // No room has so many that this would be cut short.
        *length = (bytes.len() as u16 + 1).to_le_bytes();
        self.end += length.len() + bytes.len();
        Some(())
    }

    fn optional(&mut self, bytes: Option<&[u8]>) -> Option<()> {
        match bytes {
            Some(bytes) => self.text(bytes),
            None => self.put([0; 2]),
        }
    }

    fn written(&self) -> &[u8] {
        &self.room[..self.end]
    }

    fn wipe(&mut self) {
        self.room[..self.end].fill(0);
    }
}
