//! The capabilities of a case: they answer from it alone, and note what was asked.

mod places;
mod remote;
mod stores;

use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tollgate_capabilities::{
    CacheOptions, Capabilities, EmbeddedCache, FixedRandom, Level, LogLine, LogSink, ManualClock,
    MetricSink, Namespace,
};

use crate::{case::Given, got::Step};
use remote::Remote;
use stores::Limits;

/// Lines noted of one hook; what comes after is counted.
const NOTES_MAX: usize = 1_000;
/// Of a text in a note.
const SHOWN_MAX: usize = 200;

/// What was asked since the last hook.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    calls: Lines,
    log: Lines,
    metrics: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    kept: Vec<String>,
    more: usize,
}

impl Lines {
    fn add(&mut self, line: String) {
        if self.kept.len() < NOTES_MAX {
            self.kept.push(line);
        } else {
            self.more += 1;
        }
    }

    fn take(&mut self) -> Vec<String> {
        let more = std::mem::take(&mut self.more);
        let mut lines = std::mem::take(&mut self.kept);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

impl Notes {
    fn call(&self, line: String) {
        self.0.lock().calls.add(line);
    }

    /// Moves what was noted into the step.
    pub(crate) fn take_into(&self, step: &mut Step) {
        let mut noted = self.0.lock();
        step.calls = noted.calls.take();
        step.log = noted.log.take();
        step.metrics = noted.metrics.take();
    }
}

/// The capabilities of a case, and the notes they make.
pub(crate) struct World {
    pub(crate) capabilities: Capabilities,
    pub(crate) notes: Notes,
    limits: Arc<Limits>,
    remote: Arc<Remote>,
}

impl World {
    pub(crate) fn new(given: &Given, plugin: &str) -> Self {
        let notes = Notes::default();
        let clock = Arc::new(ManualClock::at(given.now_ms));
        let namespace = Namespace::of_plugin(plugin);
        let limits = Arc::new(Limits::new(given, clock.clone(), notes.clone()));
        let remote = Arc::new(Remote::new(given, notes.clone()));
        let capabilities = Capabilities {
            log: Arc::new(notes.clone()),
            metrics: Arc::new(notes.clone()),
            random: Arc::new(FixedRandom::new(given.seed)),
            secrets: Arc::new(places::Secrets::new(given, notes.clone())),
            geo: Arc::new(places::Places::new(given, notes.clone())),
            kv: Arc::new(stores::Kv::new(
                given,
                (clock.clone(), &namespace),
                notes.clone(),
            )),
            limits: limits.clone(),
            http: remote.clone(),
            cache: Arc::new(EmbeddedCache::new(clock.clone(), &CacheOptions::default())),
            clock,
        };
        Self {
            capabilities,
            notes,
            limits,
            remote,
        }
    }

    /// What the case gives and nobody asked for, by name.
    pub(crate) fn unused(&self) -> Vec<String> {
        let buckets = self.limits.unused().into_iter();
        let buckets = buckets.map(|bucket| format!("given.limits: {}", shown(bucket.as_bytes())));
        let calls = self.remote.unused().into_iter();
        let calls = calls.map(|call| format!("given.calls: {}", cut(&call)));
        calls.chain(buckets).collect()
    }
}

impl LogSink for Notes {
    fn write(&self, line: LogLine<'_>) {
        let level = match line.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let fields = line.fields.iter();
        let fields = fields.map(|(name, value)| format!(" {name}={}", cut(value)));
        let fields: String = fields.take(32).collect();
        let noted = format!("{level}: {}{fields}", cut(line.message));
        self.0.lock().log.add(noted);
    }
}

impl MetricSink for Notes {
    fn count(&self, _policy: &str, name: &str, labels: &[(String, String)], by: u64) {
        let noted = format!("{}{} +{by}", cut(name), in_braces(labels));
        self.0.lock().metrics.add(noted);
    }

    fn gauge(&self, _policy: &str, name: &str, labels: &[(String, String)], value: f64) {
        let noted = format!("{}{} = {value}", cut(name), in_braces(labels));
        self.0.lock().metrics.add(noted);
    }
}

fn in_braces(labels: &[(String, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels = labels.iter().take(32);
    let labels = labels.map(|(name, value)| format!("{}={}", cut(name), shown(value.as_bytes())));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

/// Cut to length; what is cut is told apart by its size and hash.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}… ({})", &text[..end], size(text.as_bytes())),
        None => text.to_owned(),
    }
}

/// In quotes, cut to length; what is no text by its size and hash.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::Value::from(cut(text)).to_string(),
        Err(_) => format!("({})", size(bytes)),
    }
}

/// So many bytes, and the first eight digits of their SHA-256.
fn size(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let digits: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes, sha256 {digits}", bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_told_apart_by_what_is_not_shown() {
        let long = |end: &str| format!("{}{end}", "é".repeat(SHOWN_MAX));
        assert_eq!(cut(&long("")), long(""));
        let (one, other) = (cut(&long("a")), cut(&long("b")));
        assert!(one.starts_with(&long("… (401 bytes, sha256 ")), "{one}");
        assert_ne!(one, other);
        assert_eq!(cut("a\"b"), "a\"b");
        assert_eq!(shown(b"a\"b"), r#""a\"b""#);
        assert_eq!(shown(&[0xff]), "(1 bytes, sha256 a8100ae6)");
    }
}
