//! What a policy decided about requests like this one before.
//!
//! A hook that asked for parts of a request, and for nothing else, decided by them alone: its
//! instance begins with the same memory in every exchange, and WebAssembly computes the same
//! from the same. So where all those parts are what they were, the decision is known, and the
//! policy need not be asked. (Memoization: Donald Michie, "Memo Functions and Machine
//! Learning", Nature 218, 1968.)
//!
//! A hook that asked for anything else (a capability, the body as bytes) is asked each time:
//! its host calls are more than what was noted. Only tokens that it held for the exchange are
//! data: they are held again for each request, by the host, and where there is not enough left
//! for them the policy is asked. Kept are the decision, whose edits may repeat what was read,
//! what was held, and a digest of what was read.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use crate::{
    Message, Side,
    charge::Hold,
    contract::{Decision, Edit, Head, Value, Verdict},
    edit::{Steps, check_edits},
    json::Pointer,
    recording::Part,
};

const SHARDS: usize = 8;
/// Of one decision as it came. It is kept as it is applied, too.
const DECISION_BYTES_MAX: usize = 4096;
/// What there is to read is not worth it beyond.
const KEY_BYTES_MAX: usize = 8192;
/// The most parts that a policy asks for, in all its exchanges together.
const PARTS_MAX: usize = 32;
/// The most holds of one decision.
const HOLDS_MAX: usize = 16;
/// Of a part's name.
const NAME_BYTES_MAX: usize = 256;
/// A hook costs several lookups, so a hit makes up for so many misses.
const HIT: u32 = 4;
/// After so many misses that no hit made up for, nothing is looked up for a while.
const MISSES_MAX: u32 = 64;
/// So many exchanges long.
const REST: u32 = 4096;
/// Misses after a rest.
const TRIES: u32 = 16;

/// What a plugin says that it saw of the head, by the SDK's `tollgate_seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(u32);

impl Seen {
    const BODY_BYTES: u32 = 1;
    const DEADLINE: u32 = 1 << 1;
    const HAS_BODY: u32 = 1 << 2;
    const LEAVES: u32 = 1 << 3;
    const STATELESS: u32 = 1 << 31;
    /// Of a plugin that does not say.
    pub(crate) const ALL: Self = Self(Self::BODY_BYTES | Self::DEADLINE | Self::HAS_BODY);

    pub(crate) fn of(word: u32) -> Option<Self> {
        let known = Self::ALL.0 | Self::LEAVES | Self::STATELESS;
        (word & !known == 0).then_some(Self(word))
    }

    /// Whether the session wants no other hook.
    pub(crate) fn leaves(self) -> bool {
        self.has(Self::LEAVES)
    }

    /// Without what it says besides.
    fn of_head(self) -> Self {
        Self(self.0 & Self::ALL.0)
    }

    /// Whether it keeps nothing from one exchange to the next.
    pub(crate) fn is_stateless(self) -> bool {
        self.0 & Self::STATELESS != 0
    }

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a hook read of a request.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    parts: Vec<(Part, String)>,
    holds: Vec<Hold>,
    /// With those that were read again.
    times: u32,
}

impl Reads {
    /// One that is not noted was a host call all the same: see [`Basis::is_all`].
    pub(crate) fn note(&mut self, part: Part, name: &str) {
        let is_it = |(known, its): &(Part, String)| (*known, its.as_str()) == (part, name);
        if !self.parts.iter().any(is_it) {
            if name.len() > NAME_BYTES_MAX || self.parts.len() == PARTS_MAX {
                return;
            }
            self.parts.push((part, name.to_owned()));
        }
        self.times = self.times.saturating_add(1);
    }

    /// As [`Reads::note`].
    pub(crate) fn note_hold(&mut self, hold: Hold) {
        if self.holds.len() < HOLDS_MAX {
            self.holds.push(hold);
            self.times = self.times.saturating_add(1);
        }
    }
}

/// What a decision came of.
#[derive(Debug)]
pub(crate) struct Basis {
    /// `None`: of more than the host can know, such as the exchange before.
    pub(crate) seen: Option<Seen>,
    pub(crate) reads: Reads,
    /// All that were made.
    pub(crate) host_calls: u32,
    /// Whether no other hook of the exchange can follow.
    pub(crate) is_last: bool,
}

impl Basis {
    /// Whether it is all that the decision came of, and the decision all that comes of it.
    fn is_all(&self) -> bool {
        self.is_last && self.reads.times == self.host_calls
    }
}

/// What became of a lookup.
#[derive(Debug)]
pub(crate) enum Recalled {
    Known(Remembered),
    Unknown,
    /// It is not worth it now; what the policy decides is not to be learned either.
    Resting,
}

/// What was decided, and what is held with it.
#[derive(Debug)]
pub(crate) struct Known {
    decision: Decision,
    /// Its edits, which were checked when it was learned.
    steps: Steps,
    pub(crate) holds: Box<[Hold]>,
}

/// What a policy decided about such a request before.
#[derive(Debug, Clone)]
pub struct Remembered(pub(super) Arc<Known>);

impl Remembered {
    /// As it came from the policy. [`Message::apply_again`] applies its edits.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.0.decision
    }

    pub(crate) fn steps(&self) -> &Steps {
        &self.0.steps
    }
}

/// What is known of an exchange besides its request, of which a policy is told, too: method, path
/// and the facts `caller` and `tier`.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The route's name.
    pub route: &'a str,
    /// As the client asked for it.
    pub model: Option<&'a str>,
    /// Whether the client asks for a stream.
    pub streaming: bool,
    /// Of the request, as it came; `None`: nobody knows.
    pub body_bytes: Option<u64>,
    /// When the whole exchange is out of time.
    pub deadline: Instant,
    /// Whether what its guests ask the host is written down: see [`crate::Recording`].
    pub recorded: bool,
}

impl About<'_> {
    /// Whether that is what a session is told by this head; the time left is another matter.
    pub(crate) fn is_told(&self, head: &Head, request: &Message) -> bool {
        let Head {
            route,
            method,
            path,
            model,
            caller,
            tier,
            streaming,
            body_bytes,
            deadline_ms: _,
        } = head;
        route == self.route
            && model.as_deref() == self.model
            && *streaming == self.streaming
            && *body_bytes == self.body_bytes
            && method == request.method.as_str()
            && *path == request.path
            && caller.as_deref() == request.fact("caller")
            && tier.as_deref() == request.fact("tier")
    }

    /// Time left, in milliseconds.
    #[must_use]
    pub fn deadline_ms(&self) -> u32 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
    }
}

type Key = [u8; 32];

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
struct Table {
    seen: Seen,
    parts: Vec<(Part, String)>,
    /// The same.
    fields: Fields,
    shards: Box<[RwLock<Shard>]>,
    /// Of one shard.
    most: usize,
}

#[derive(Default)]
struct Shard {
    decisions: HashMap<Key, Arc<Known>, BuildHasherDefault<AsItIs>>,
    /// The same keys, to draw from.
    keys: Vec<Key>,
}

/// A digest is as good as a hash of it.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    /// By its end: all of a shard begin alike.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    /// A length, which is that of each.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Table {
    /// With room for `most` decisions; there is one.
    fn new(seen: Seen, parts: Vec<(Part, String)>, most: usize) -> Self {
        let shards = SHARDS.min(most).max(1);
        Self {
            seen,
            fields: Fields::of(&parts),
            parts,
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            most: most / shards,
        }
    }

    /// Of a session that was told of so much time, or that would be told of what is left;
    /// `None`: it would be too long.
    fn key(
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
            let key = written.map(|()| Sha256::digest(words.written()).into());
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

    fn shard(&self, key: &Key) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(key[0]) % self.shards.len())
    }

    fn get(&self, key: &Key) -> Option<Arc<Known>> {
        self.shard(key)?.read().decisions.get(key).cloned()
    }

    /// In place of any other one, if there are as many as there may be.
    fn put(&self, key: Key, known: Arc<Known>) {
        let Some(mut shard) = self.shard(&key).map(RwLock::write) else {
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
        let drawn = usize::from(u16::from_le_bytes([key[1], key[2]])) % self.most;
        decisions.remove(&std::mem::replace(&mut keys[drawn], key));
    }
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

    fn text(&mut self, bytes: &[u8]) -> Option<()> {
        // Cut short where there is no room for as many.
        self.put((bytes.len() as u16).to_le_bytes())?;
        let end = self.end.checked_add(bytes.len())?;
        self.room.get_mut(self.end..end)?.copy_from_slice(bytes);
        self.end = end;
        Some(())
    }

    fn optional(&mut self, bytes: Option<&[u8]>) -> Option<()> {
        self.put([bytes.is_some().into()])?;
        bytes.map_or(Some(()), |bytes| self.text(bytes))
    }

    fn written(&self) -> &[u8] {
        &self.room[..self.end]
    }

    fn wipe(&mut self) {
        self.room[..self.end].fill(0);
    }
}

/// See the module.
pub(crate) struct Memo {
    most: usize,
    table: ArcSwapOption<Table>,
    misses: AtomicU32,
    rest: AtomicU32,
    /// Whether any session left with its first hook, of requests that ask for no stream and of
    /// those that do.
    leaves: [AtomicBool; 2],
}

impl Memo {
    /// With so many decisions at most; 0: none is remembered.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            table: ArcSwapOption::empty(),
            misses: AtomicU32::new(0),
            rest: AtomicU32::new(0),
            leaves: Default::default(),
        }
    }

    pub(crate) fn recall(&self, about: &About<'_>, request: &mut Message) -> Recalled {
        if self.most == 0 || self.rests() {
            return Recalled::Resting;
        }
        let table = self.table.load();
        let known = table.as_ref().and_then(|table| {
            let key = table.key(about, None, request)?;
            table.get(&key)
        });
        match known {
            Some(known) => {
                let misses = self.misses.load(Relaxed);
                if misses > 0 {
                    // Two at once may count as one: it is a score, not an account.
                    self.misses.store(misses.saturating_sub(HIT), Relaxed);
                }
                Recalled::Known(Remembered(known))
            }
            None => Recalled::Unknown,
        }
    }

    /// Whether a policy with other hooks has ever left with the first, of such a request.
    pub(crate) fn knows_of_leaving(&self, streaming: bool) -> bool {
        self.leaves[usize::from(streaming)].load(Relaxed)
    }

    pub(crate) fn note_leaving(&self, streaming: bool) {
        // Most find it noted, and the line is not to travel between cores.
        if !self.knows_of_leaving(streaming) {
            self.leaves[usize::from(streaming)].store(true, Relaxed);
        }
    }

    fn rests(&self) -> bool {
        self.rest.load(Relaxed) > 0
            && self
                .rest
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    fn missed(&self) {
        if self.misses.fetch_add(1, Relaxed) + 1 >= MISSES_MAX {
            self.misses.store(MISSES_MAX - TRIES, Relaxed);
            self.rest.store(REST, Relaxed);
        }
    }

    /// Keeps a decision about a request, which is as the hook saw it. One that was not known and
    /// lets the request go on was a miss; refusals are decided each time, and count for nothing.
    pub(crate) fn learn(
        &self,
        (about, deadline_ms, request): (&About<'_>, u32, &mut Message),
        basis: Basis,
        decision: &Decision,
    ) {
        if !matches!(decision.verdict, Verdict::Next | Verdict::GoTo(_)) {
            return;
        }
        self.missed();
        let held: usize = basis.reads.holds.iter().map(Hold::bytes).sum();
        if !basis.is_all() || size(decision) + held > DECISION_BYTES_MAX {
            return;
        }
        // One that does not hold is its policy's failure, each time.
        let Ok(steps) = check_edits(decision.edits.clone(), Side::Request) else {
            return;
        };
        let Reads { parts, holds, .. } = basis.reads;
        let table = basis
            .seen
            .and_then(|seen| self.table_for(seen.of_head(), parts));
        if let Some(table) = table
            && let Some(key) = table.key(about, Some(deadline_ms), request)
        {
            let known = Known {
                decision: decision.clone(),
                steps,
                holds: holds.into(),
            };
            table.put(key, Arc::new(known));
        }
    }

    /// The table if its keys have all these parts in them; else a new one, whose keys have.
    fn table_for(&self, seen: Seen, read: Vec<(Part, String)>) -> Option<Arc<Table>> {
        let before = self.table.load_full();
        let (mut all_seen, mut parts) = match &before {
            Some(table) => (table.seen, table.parts.clone()),
            None => (seen, Vec::new()),
        };
        if let Some(table) = before
            && all_seen.with(seen) == all_seen
            && read.iter().all(|part| parts.contains(part))
        {
            return Some(table);
        }
        all_seen = all_seen.with(seen);
        for part in read {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if parts.len() > PARTS_MAX {
            return None;
        }
        let table = Arc::new(Table::new(all_seen, parts, self.most));
        // Of two at once one is lost, and what it knew is learned again.
        self.table.store(Some(table.clone()));
        Some(table)
    }
}

/// About what it takes.
fn size(decision: &Decision) -> usize {
    let verdict = match &decision.verdict {
        Verdict::GoTo(to) => {
            [&to.model, &to.upstream].map(|name| name.as_ref().map_or(0, String::len))
        }
        Verdict::Next | Verdict::Reply(_) | Verdict::Refuse(_) => [0; 2],
    };
    let edits = decision.edits.iter().map(|edit| {
        size_of::<Edit>()
            + match edit {
                Edit::SetHeader(header) | Edit::AppendHeader(header) => {
                    header.name.len() + header.value.len()
                }
                Edit::RemoveHeader(text)
                | Edit::RemoveJson(text)
                | Edit::SetMethod(text)
                | Edit::SetPath(text) => text.len(),
                Edit::SetJson((name, Value::Text(text) | Value::Json(text))) => {
                    name.len() + text.len()
                }
                Edit::SetJson((name, _)) => name.len(),
                Edit::ReplaceBody(body) => body.len(),
                Edit::SetFact((name, value)) => name.len() + value.len(),
                Edit::SetStatus(_) => 0,
            }
    });
    verdict.into_iter().chain(edits).sum()
}

#[cfg(test)]
mod tests;
