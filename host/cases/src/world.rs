//! The capabilities of a case: they answer from it alone, and note what was asked.

mod places;
mod remote;
mod stores;

use std::sync::Arc;

use parking_lot::Mutex;
use tollgate_capabilities::{
    CacheOptions, Capabilities, EmbeddedCache, FixedRandom, Level, LogLine, LogSink, ManualClock,
    MetricSink, Namespace,
};

use crate::{case::Given, got::Step};

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
pub(crate) fn world(given: &Given, plugin: &str) -> (Capabilities, Notes) {
    let notes = Notes::default();
    let clock = Arc::new(ManualClock::at(given.now_ms));
    let namespace = Namespace::of_plugin(plugin);
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
        limits: Arc::new(stores::Limits::new(given, clock.clone(), notes.clone())),
        http: Arc::new(remote::Remote::new(given, notes.clone())),
        cache: Arc::new(EmbeddedCache::new(clock.clone(), &CacheOptions::default())),
        clock,
    };
    (capabilities, notes)
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

fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let mut out: String = characters.by_ref().take(SHOWN_MAX).collect();
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

/// In quotes, cut to length; what is no text by its size.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::Value::from(cut(text)).to_string(),
        Err(_) => format!("({} bytes)", bytes.len()),
    }
}
