//! What is written down of one exchange while somebody watches.

use std::{
    fmt, mem,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::Serialize;

use super::{
    Attempt, Hidden, Known, Named, Step, Tokens, Trace,
    watchers::{Place, Watchers},
};
use crate::{serve::Record, telemetry};

/// All that the steps of one exchange may take, in bytes of JSON.
const BYTES_MAX: usize = 128 << 10;
/// A step without anything in it.
const STEP_BYTES: usize = 256;

/// See the module. Shared by the policies of an exchange and by those who ask on its behalf.
pub struct Journal {
    watchers: Arc<Watchers>,
    began: Instant,
    time: SystemTime,
    written: Mutex<Written>,
    /// Given once its route is known and wanted; before, nothing is written.
    place: OnceLock<Place>,
}

struct Written {
    steps: Vec<Step>,
    attempts: Vec<Attempt>,
    hidden: Hidden,
    room: Room,
}

/// What a journal may still take.
pub(super) struct Room {
    bytes_left: usize,
    left_out: u64,
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it is not masked yet.
        formatter.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    pub(super) fn new(watchers: Arc<Watchers>, hidden: Hidden) -> Arc<Self> {
        Arc::new(Self {
            watchers,
            began: Instant::now(),
            time: SystemTime::now(),
            written: Mutex::new(Written {
                steps: Vec::new(),
                attempts: Vec::new(),
                hidden,
                room: Room {
                    bytes_left: BYTES_MAX,
                    left_out: 0,
                },
            }),
            place: OnceLock::new(),
        })
    }

    /// Whether it is to be written down, as far as its route tells: somebody may want it,
    /// and there is a place for it.
    pub(crate) fn takes_place(&self, record: &Record) -> bool {
        if self.place.get().is_some() {
            return true;
        }
        let Some(place) = self.watchers.admit(&known(record)) else {
            return false;
        };
        self.place.get_or_init(|| place);
        true
    }

    /// Whether somebody wants it, as far as it came; if not, another may be written down
    /// instead.
    pub(crate) fn is_wanted(&self, record: &Record) -> bool {
        let is_wanted = self.watchers.any_wants(&known(record));
        if !is_wanted && self.place.get().is_some() {
            self.watchers.give_back();
        }
        is_wanted
    }

    /// Since the request arrived.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn hide(&self, secrets: &[Vec<u8>]) {
        let hidden = &mut self.written.lock().hidden;
        secrets.iter().for_each(|secret| hidden.add(secret));
    }

    pub(super) fn leave_out(&self, count: u64) {
        self.written.lock().room.left_out += count;
    }

    pub(super) fn push(&self, step: Step) {
        self.written.lock().push(step);
    }

    /// The one step of a policy that is about events, and how much more it may take.
    pub(super) fn about_events(
        &self,
        policy: &str,
        hook: &str,
        write: impl FnOnce(&mut Step, &mut Room),
    ) {
        let mut written = self.written.lock();
        let written = &mut *written;
        let is_it = |step: &Step| step.policy == policy && step.hook == hook;
        let at = match written.steps.iter().position(is_it) {
            Some(at) => at,
            None if written.room.takes(STEP_BYTES) => {
                written.steps.push(Step::default());
                written.steps.len() - 1
            }
            None => return,
        };
        write(&mut written.steps[at], &mut written.room);
    }

    pub(crate) fn attempt(&self, attempt: Attempt) {
        const ATTEMPTS_MAX: usize = 64;
        let mut written = self.written.lock();
        if written.attempts.len() < ATTEMPTS_MAX {
            written.attempts.push(attempt);
        } else {
            written.room.left_out += 1;
        }
    }

    /// Hands it to those who want it.
    pub(crate) fn end(&self, record: &Record) {
        let has_place = self.place.get().is_some();
        let wanting = self.watchers.wanting(&known(record), has_place);
        if wanting.is_empty() {
            return;
        }
        let (steps, attempts, hidden, left_out) = {
            let mut written = self.written.lock();
            let written = &mut *written;
            (
                mem::take(&mut written.steps),
                mem::take(&mut written.attempts),
                written.hidden.clone(),
                written.room.left_out,
            )
        };
        let trace = Trace {
            time_ms: self
                .time
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| whole(time.as_millis())),
            steps,
            attempts,
            left_out,
            ..of_record(record)
        };
        self.watchers.publish(&wanting, trace, hidden);
    }
}

impl Written {
    fn push(&mut self, mut step: Step) {
        if !self.room.takes(STEP_BYTES) {
            return;
        }
        self.room.keep(&mut step.reads);
        self.room.keep(&mut step.calls);
        self.room.keep(&mut step.edits);
        let mut decision: Vec<_> = step.decision.take().into_iter().collect();
        self.room.keep(&mut decision);
        step.decision = decision.pop();
        self.steps.push(step);
    }
}

impl Room {
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        match left {
            Some(left) => self.bytes_left = left,
            None => self.left_out += 1,
        }
        left.is_some()
    }

    /// Keeps what there is room for.
    pub(super) fn keep<T: Serialize>(&mut self, items: &mut Vec<T>) {
        items.retain(|item| self.takes(bytes(item)));
    }
}

fn bytes(item: &impl Serialize) -> usize {
    serde_json::to_string(item).map_or(0, |json| json.len())
}

fn known(record: &Record) -> Known<'_> {
    Known {
        id: record.id.as_str(),
        route: record.route.as_deref(),
        model: record.model.as_deref(),
        target_model: record.target_model.as_deref(),
        caller: caller(record),
    }
}

fn caller(record: &Record) -> Option<&str> {
    let mut facts = record.facts.iter().rev();
    let caller = facts.find(|(name, _)| name == "caller");
    caller.map(|(_, caller)| caller.as_str())
}

fn of_record(record: &Record) -> Trace {
    let owned = |name: &Arc<str>| name.to_string();
    let named = |(name, value): (&str, &str)| Named {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let facts = record.facts.iter();
    let given = record.given.iter().flat_map(|given| given.iter());
    Trace {
        id: record.id.as_str().to_owned(),
        generation: record.generation,
        route: record.route.as_ref().map(owned),
        method: record.method.as_str().to_owned(),
        path: record
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        model: record.model.clone(),
        target_model: record.target_model.as_ref().map(owned),
        caller: caller(record).map(str::to_owned),
        upstream: record.upstream.as_ref().map(owned),
        stream: record.streaming,
        status: record.status,
        ending: telemetry::ending(record.ending).to_owned(),
        error: record.error.clone(),
        cache: record.cache.map(|cached| cached.as_str().to_owned()),
        given: given.map(|(name, value)| named((name, value))).collect(),
        facts: facts.map(|(name, value)| named((name, value))).collect(),
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        usage: record.usage.map(|usage| Tokens {
            input: usage.input_tokens,
            output: usage.output_tokens,
            cached: usage.cached_tokens,
        }),
        first_byte_us: record.first_byte.map(micros),
        total_us: micros(record.total),
        ..Trace::default()
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    whole(time.as_micros())
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Read;

    #[test]
    fn a_journal_is_bounded_and_counts_what_it_left_out() {
        let watchers = Watchers::new();
        let _watch = watchers.watch(Default::default()).unwrap();
        let journal = watchers.begin("id", Hidden::default).unwrap();
        for _ in 0..1000 {
            let read = Read {
                part: "body".to_owned(),
                name: "0..1000".to_owned(),
                value: Some("x".repeat(1000).into()),
            };
            journal.push(Step {
                reads: vec![read.clone(), read],
                ..Step::default()
            });
        }
        let written = journal.written.lock();
        assert!(bytes(&written.steps) <= BYTES_MAX);
        assert!(written.room.left_out > 900, "{}", written.room.left_out);
    }
}
