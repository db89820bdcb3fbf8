//! What a policy decided about requests like this one before.
//!
//! A hook that asked for parts of a request, and for nothing else, decided by them alone: its
//! instance begins with the same memory in every exchange, and WebAssembly computes the same
//! from the same. So where all those parts are what they were, the decision is known, and the
//! policy need not be asked. (Memoization: Donald Michie, "Memo Functions and Machine
//! Learning", Nature 218, 1968.)
//!
//! A hook that asked for anything else (a capability, the body as bytes) is asked each time:
//! its host calls are more than the parts that were noted. Kept are the decision and a digest
//! of the parts, not the parts.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use crate::{
    Message,
    contract::{Decision, Edit, Head, Value, Verdict},
    recording::Part,
};

const SHARDS: usize = 8;
/// Of one decision, in memory.
const DECISION_BYTES_MAX: usize = 4096;
/// What there is to read is not worth it beyond.
const KEY_BYTES_MAX: usize = 8192;
/// The most parts that a policy asks for, in all its exchanges together.
const PARTS_MAX: usize = 32;
/// Of a part's name.
const NAME_BYTES_MAX: usize = 256;
/// A lookup costs about a fifth of a hook, so a hit makes up for so many misses.
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
    const STATELESS: u32 = 1 << 31;
    /// Of a plugin that does not say.
    pub(crate) const ALL: Self = Self(Self::BODY_BYTES | Self::DEADLINE);

    pub(crate) fn of(word: u32) -> Option<Self> {
        let known = Self::BODY_BYTES | Self::DEADLINE | Self::STATELESS;
        (word & !known == 0).then_some(Self(word))
    }

    /// Whether it keeps nothing from one exchange to the next.
    pub(crate) fn is_stateless(self) -> bool {
        self.0 & Self::STATELESS != 0
    }

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The parts of a request that a hook asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    parts: Vec<(Part, String)>,
    /// With those that were asked for again.
    times: u32,
}

impl Asked {
    /// One that is not noted has been asked for all the same: see [`Asked::is_all`].
    pub(crate) fn note(&mut self, part: Part, name: &str) {
        if name.len() > NAME_BYTES_MAX {
            return;
        }
        self.times = self.times.saturating_add(1);
        let is_known = |(known, its): &(Part, String)| (*known, its.as_str()) == (part, name);
        if self.parts.len() <= PARTS_MAX && !self.parts.iter().any(is_known) {
            self.parts.push((part, name.to_owned()));
        }
    }

    /// Whether that is all that the hook did, which made so many host calls.
    fn is_all(&self, host_calls: u32) -> bool {
        self.times == host_calls && self.parts.len() <= PARTS_MAX
    }
}

/// What became of a lookup.
#[derive(Debug)]
pub(crate) enum Recalled {
    Known(Decision),
    Unknown,
    /// It is not worth it now; what the policy decides is not to be learned either.
    Resting,
}

type Key = [u8; 32];
type Shard = RwLock<HashMap<Key, Decision>>;

/// Decisions by the parts that any of them came of.
struct Table {
    seen: Seen,
    parts: Vec<(Part, String)>,
    shards: [Shard; SHARDS],
}

impl Table {
    fn new(seen: Seen, parts: Vec<(Part, String)>) -> Self {
        Self {
            seen,
            parts,
            shards: Default::default(),
        }
    }

    /// `None`: it would be too long.
    fn key(&self, head: &Head, request: &mut Message) -> Option<Key> {
        let mut words = Words(Vec::with_capacity(512));
        for text in [&head.route, &head.method, &head.path] {
            words.text(text.as_bytes())?;
        }
        for text in [&head.model, &head.caller, &head.tier] {
            words.optional(text.as_ref().map(String::as_bytes))?;
        }
        words.0.push(head.streaming.into());
        if self.seen.has(Seen::BODY_BYTES) {
            let bytes = head.body_bytes.map(u64::to_le_bytes);
            words.optional(bytes.as_ref().map(<[u8; 8]>::as_slice))?;
        }
        if self.seen.has(Seen::DEADLINE) {
            words.0.extend(head.deadline_ms.to_le_bytes());
        }
        for (part, name) in &self.parts {
            match part {
                Part::Header => words.optional(request.header(name))?,
                Part::Fact => words.optional(request.fact(name).map(str::as_bytes))?,
                // As it is written: what is written alike is read alike.
                Part::Json => match request.read_json() {
                    // A policy that did not ask for it must not fail by it.
                    Ok(Some(json)) => words.optional(json.peek(name).ok()?.as_deref())?,
                    Ok(None) | Err(_) => words.optional(None)?,
                },
                // Never noted.
                Part::Body => return None,
            }
        }
        Some(Sha256::digest(&words.0).into())
    }

    fn shard(&self, key: &Key) -> &Shard {
        &self.shards[key[0] as usize % SHARDS]
    }

    fn get(&self, key: &Key) -> Option<Decision> {
        self.shard(key).read().get(key).cloned()
    }

    /// In place of any other one, if there are as many as there may be.
    fn put(&self, key: Key, decision: Decision, most: usize) {
        let most = most.div_ceil(SHARDS);
        let mut shard = self.shard(&key).write();
        if shard.len() >= most && !shard.contains_key(&key) {
            // A digest is as good as a die.
            let nth = usize::from(u16::from_le_bytes([key[1], key[2]])) % shard.len();
            if let Some(any) = shard.keys().nth(nth).copied() {
                shard.remove(&any);
            }
        }
        shard.insert(key, decision);
    }
}

/// Values in a row, each such that it cannot be taken for others.
struct Words(Vec<u8>);

impl Words {
    /// `None`: that is too long.
    fn text(&mut self, bytes: &[u8]) -> Option<()> {
        if self.0.len() + bytes.len() > KEY_BYTES_MAX {
            return None;
        }
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        Some(())
    }

    fn optional(&mut self, bytes: Option<&[u8]>) -> Option<()> {
        self.0.push(bytes.is_some().into());
        match bytes {
            Some(bytes) => self.text(bytes),
            None => Some(()),
        }
    }
}

/// See the module.
pub(crate) struct Memo {
    most: usize,
    table: ArcSwapOption<Table>,
    misses: AtomicU32,
    rest: AtomicU32,
}

impl Memo {
    /// With so many decisions at most; 0: none is remembered.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            table: ArcSwapOption::empty(),
            misses: AtomicU32::new(0),
            rest: AtomicU32::new(0),
        }
    }

    pub(crate) fn recall(&self, head: &Head, request: &mut Message) -> Recalled {
        if self.most == 0 || self.rests() {
            return Recalled::Resting;
        }
        let table = self.table.load();
        let known = table.as_ref().and_then(|table| {
            let key = table.key(head, request)?;
            table.get(&key)
        });
        match known {
            Some(decision) => {
                let misses = self.misses.load(Relaxed);
                if misses > 0 {
                    // Two at once may count as one: it is a score, not an account.
                    self.misses.store(misses.saturating_sub(HIT), Relaxed);
                }
                Recalled::Known(decision)
            }
            None => {
                self.missed();
                Recalled::Unknown
            }
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

    /// Keeps a decision about a request, which is as the hook saw it.
    pub(crate) fn learn(
        &self,
        (head, request): (&Head, &mut Message),
        (seen, asked, host_calls): (Seen, Asked, u32),
        decision: &Decision,
    ) {
        let goes_on = matches!(decision.verdict, Verdict::Next | Verdict::GoTo(_));
        if !goes_on || !asked.is_all(host_calls) || size(decision) > DECISION_BYTES_MAX {
            return;
        }
        let Some(table) = self.table_for(seen, asked.parts) else {
            return;
        };
        if let Some(key) = table.key(head, request) {
            table.put(key, decision.clone(), self.most);
        }
    }

    /// The table if its keys have all these parts in them; else a new one, whose keys have.
    fn table_for(&self, seen: Seen, asked: Vec<(Part, String)>) -> Option<Arc<Table>> {
        let before = self.table.load_full();
        let (mut all_seen, mut parts) = match &before {
            Some(table) => (table.seen, table.parts.clone()),
            None => (seen, Vec::new()),
        };
        let is_known = |part: &(Part, String)| parts.contains(part);
        if let Some(table) = &before
            && all_seen.and(seen) == all_seen
            && asked.iter().all(is_known)
        {
            return before.clone().filter(|_| table.parts.len() <= PARTS_MAX);
        }
        all_seen = all_seen.and(seen);
        for part in asked {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if parts.len() > PARTS_MAX {
            return None;
        }
        let table = Arc::new(Table::new(all_seen, parts));
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
