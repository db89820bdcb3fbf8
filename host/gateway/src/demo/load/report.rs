//! What a load came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

/// The sum of all connections.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Requests sent, whatever became of them.
    pub sent: u64,
    pub ok: u64,
    pub failed: u64,
    /// Of those sent.
    pub plain: u64,
    pub streamed: u64,
    /// Exchanges that had a mark at every place that was looked at: of the others,
    /// `two_generations` proves less.
    pub marked: u64,
    /// Exchanges in which marks of two generations met, or whose mark is another
    /// than the one that their generation showed elsewhere.
    pub two_generations: u64,
    /// How often each failure was seen.
    pub failures: BTreeMap<String, u64>,
    /// Exchanges by the generation that answered.
    pub generations: BTreeMap<u64, u64>,
    /// Events received in whole streams, `[DONE]` not counted.
    pub events: u64,
    /// Connections opened.
    pub connections: u64,
    #[serde(serialize_with = "as_seconds")]
    pub elapsed: Duration,
    /// From sending a plain request to the end of its answer.
    pub plain_latency: Latency,
    /// From sending a streamed request to its first event.
    pub first_event: Latency,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub p50_us: u32,
    pub p99_us: u32,
    pub max_us: u32,
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Latency {
    fn of(mut all: Vec<u32>) -> Self {
        all.sort_unstable();
        let at = |share: usize| {
            all.get((all.len() * share / 100).min(all.len().saturating_sub(1)))
                .copied()
                .unwrap_or(0)
        };
        Self {
            p50_us: at(50),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

impl Report {
    /// Requests answered in full, per second.
    pub fn per_second(&self) -> f64 {
        self.ok as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Nothing failed and no exchange was answered by two generations.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.two_generations == 0
    }
}

/// One exchange as a connection saw it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) streamed: bool,
    pub(super) generation: Option<u64>,
    pub(super) marks: Marks,
    pub(super) events: u64,
    /// Of a plain answer to its end, of a stream to its first event.
    pub(super) latency: Option<Duration>,
    pub(super) outcome: Result<(), Failure>,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("could not connect: {0}")]
    Connect(std::io::ErrorKind),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("status {status}{code}")]
    Status { status: u16, code: String },
    #[error("not JSON")]
    NotJson,
    #[error("the stream carried an error: {0}")]
    ErrorEvent(String),
    #[error("the stream ended without [DONE]")]
    NoDone,
    #[error("the stream ended within an event")]
    HalfEvent,
    #[error("an event came after [DONE]")]
    AfterDone,
    #[error("no end within {0:?}")]
    TimedOut(Duration),
}

/// What one exchange showed at the marked places.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    mark: Mark,
    /// Which places had one.
    places: BTreeSet<usize>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Mark {
    #[default]
    Unseen,
    One(String),
    /// More than one value: two generations met in it.
    Mixed,
}

impl Marks {
    /// Notes a mark at the place of this number.
    pub(super) fn see(&mut self, place: usize, mark: &str) {
        self.places.insert(place);
        match &self.mark {
            Mark::Unseen => self.mark = Mark::One(mark.to_owned()),
            Mark::One(seen) if seen == mark => {}
            Mark::One(_) | Mark::Mixed => self.mark = Mark::Mixed,
        }
    }
}

/// Adds up exchanges.
#[derive(Debug, Default)]
pub(super) struct Tally {
    report: Report,
    plain: Vec<u32>,
    first_events: Vec<u32>,
    /// How many places are looked at for marks.
    places: usize,
    /// The marks that each generation showed, and how often.
    marks: BTreeMap<u64, BTreeMap<String, u64>>,
}

impl Tally {
    pub(super) fn of_marks(places: usize) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }

    pub(super) fn connected(&mut self) {
        self.report.connections += 1;
    }

    pub(super) fn add(&mut self, exchange: Exchange) {
        let report = &mut self.report;
        report.sent += 1;
        let (count, latencies) = match exchange.streamed {
            true => (&mut report.streamed, &mut self.first_events),
            false => (&mut report.plain, &mut self.plain),
        };
        *count += 1;
        latencies.extend(
            exchange
                .latency
                .map(|latency| u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)),
        );
        report.events += exchange.events;
        match exchange.outcome {
            Ok(()) => report.ok += 1,
            Err(failure) => {
                report.failed += 1;
                *report.failures.entry(failure.to_string()).or_default() += 1;
            }
        }
        if let Some(generation) = exchange.generation {
            *report.generations.entry(generation).or_default() += 1;
        }
        if exchange.marks.places.len() == self.places {
            report.marked += 1;
        }
        match (exchange.marks.mark, exchange.generation) {
            (Mark::Mixed, _) => report.two_generations += 1,
            (Mark::One(mark), Some(generation)) => {
                *self
                    .marks
                    .entry(generation)
                    .or_default()
                    .entry(mark)
                    .or_default() += 1;
            }
            (Mark::One(_), None) | (Mark::Unseen, _) => {}
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.report, other.report);
        mine.sent += theirs.sent;
        mine.ok += theirs.ok;
        mine.failed += theirs.failed;
        mine.plain += theirs.plain;
        mine.streamed += theirs.streamed;
        mine.marked += theirs.marked;
        mine.two_generations += theirs.two_generations;
        mine.events += theirs.events;
        mine.connections += theirs.connections;
        for (reason, count) in theirs.failures {
            *mine.failures.entry(reason).or_default() += count;
        }
        for (generation, count) in theirs.generations {
            *mine.generations.entry(generation).or_default() += count;
        }
        for (generation, marks) in other.marks {
            let mine = self.marks.entry(generation).or_default();
            for (mark, count) in marks {
                *mine.entry(mark).or_default() += count;
            }
        }
        self.plain.extend(other.plain);
        self.first_events.extend(other.first_events);
    }

    /// A generation has one mark: whatever showed another one counts as answered by two.
    pub(super) fn report(self, elapsed: Duration) -> Report {
        let strays: u64 = self
            .marks
            .values()
            .map(|marks| marks.values().sum::<u64>() - marks.values().max().copied().unwrap_or(0))
            .sum();
        Report {
            two_generations: self.report.two_generations + strays,
            elapsed,
            plain_latency: Latency::of(self.plain),
            first_event: Latency::of(self.first_events),
            ..self.report
        }
    }
}
