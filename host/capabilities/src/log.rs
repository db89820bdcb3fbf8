//! Lines of plugins in the gateway's log.
//!
//! Bounded in number and length, and escaped: a line can neither flood the log nor
//! look like another line. Field values are the plugin's own responsibility.

mod tracing_log;

pub use tracing_log::{LogOptions, TracingLog};

use std::sync::Arc;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// One line, as the plugin wrote it.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// The policy that wrote it.
    pub policy: &'a str,
    /// How much it matters.
    pub level: Level,
    /// Any text.
    pub message: &'a str,
    /// Names and values, any text.
    pub fields: &'a [(String, String)],
    /// Of the exchange that it was written in.
    pub request_id: Option<&'a str>,
}

/// Takes the lines.
pub trait LogSink: Send + Sync {
    /// Writes one line, or drops it when there are too many.
    fn write(&self, line: LogLine<'_>);

    /// How many lines of each policy were dropped since the start.
    fn dropped(&self) -> Vec<(Arc<str>, u64)> {
        Vec::new()
    }
}

/// Takes the lines nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn write(&self, _line: LogLine<'_>) {}
}
