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
//! what was held, a digest of what was read, the facts that a policy which may come back was told
//! of, and the decision's part of a log line.

mod basis;
mod table;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwapOption;

use basis::PARTS_MAX;
pub(crate) use basis::{Basis, Reads, Seen};
use table::Table;

use crate::{
    Message, Side,
    charge::Hold,
    contract::{Decision, Edit, Head, Value, Verdict},
    edit::{Steps, check_edits},
    recording::Part,
};

/// Of one decision as it came. It is kept as it is applied, too.
const DECISION_BYTES_MAX: usize = 4096;
/// A hook costs several lookups, so a hit makes up for so many misses.
const HIT: u32 = 4;
/// After so many misses that no hit made up for, nothing is looked up for a while.
const MISSES_MAX: u32 = 64;
/// So many exchanges long.
const REST: u32 = 4096;
/// Misses after a rest.
const TRIES: u32 = 16;

/// Whether it is known what a policy would decide about a request.
#[derive(Debug)]
pub enum Recalled {
    /// It decided about such a request before, and need not be asked.
    Known(Remembered),
    /// It has to be asked.
    Unknown,
    /// It has to be asked, and what it decides is not to be learned.
    Resting,
}

/// What was decided, and what is held with it.
#[derive(Debug)]
pub(crate) struct Known {
    decision: Decision,
    /// Its edits, which were checked when it was learned.
    steps: Steps,
    /// The facts `caller` and `tier`, of which the policy was told, where it may come back.
    told: [Option<Box<str>>; 2],
    pub(crate) holds: Box<[Hold]>,
    note: OnceLock<Box<[u8]>>,
}

/// What a policy decided about such a request before.
#[derive(Clone)]
pub struct Remembered(pub(super) Arc<Known>);

/// Edits may have in them what a request said.
impl fmt::Debug for Remembered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remembered").finish_non_exhaustive()
    }
}

impl Remembered {
    /// As it came from the policy. [`Message::apply_again`] applies its edits.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.0.decision
    }

    /// The facts `caller` and `tier`, as the policy would have been told of them; nothing of them
    /// where it has no hook for events, or the request asks for a stream.
    #[must_use]
    pub fn told(&self) -> [Option<&str>; 2] {
        self.0.told.each_ref().map(Option::as_deref)
    }

    /// What the caller notes of the decision, which is its part of a log line: as it was made the
    /// first time, and kept as long as the decision is. It must be short, and come of the policy
    /// and the decision alone.
    pub fn note(&self, make: impl FnOnce() -> Box<[u8]>) -> &[u8] {
        self.0.note.get_or_init(make)
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

/// See the module.
pub(crate) struct Memo {
    most: usize,
    /// Whether a policy that left is asked about a stream that comes all the same.
    comes_back: bool,
    table: ArcSwapOption<Table>,
    misses: AtomicU32,
    rest: AtomicU32,
    /// Whether any session left with its first hook, of requests that ask for no stream and of
    /// those that do.
    leaves: [AtomicBool; 2],
}

impl Memo {
    /// With so many decisions at most; 0: none is remembered.
    pub(crate) fn new(most: usize, comes_back: bool) -> Self {
        Self {
            most,
            comes_back,
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
            table.get(key)
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
        let comes_back = self.comes_back && !about.streaming;
        let fact = |name| request.fact(name).filter(|_| comes_back).map(Box::from);
        let told: [Option<Box<str>>; 2] = [fact("caller"), fact("tier")];
        let kept = told.iter().flatten().map(|fact| fact.len()).sum::<usize>() + held;
        if !basis.is_all() || size(decision) + kept > DECISION_BYTES_MAX {
            return;
        }
        // One that does not hold is its policy's failure, each time.
        let Ok(mut steps) = check_edits(decision.edits.clone(), Side::Request) else {
            return;
        };
        steps.prepare();
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
                told,
                holds: holds.into(),
                note: OnceLock::new(),
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
