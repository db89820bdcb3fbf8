//! What the gateway says of itself: log lines, the access log, metrics.
//!
//! An event is a struct that writes its line and counts its metric together; an
//! exchange is one line and a few counters. Nothing here ever waits for a reader,
//! and neither a secret nor a body reaches it.

mod access;
mod counters;
mod escape;
pub(crate) mod event;
pub(crate) mod exposition;
mod lines;

use std::{io, sync::Arc};

use tracing_subscriber::EnvFilter;

pub(crate) use access::{ending, failure_word};
pub(crate) use counters::Counters;
pub(crate) use escape::{is_hidden, plain_json};
pub use lines::{Line, Lines};

use crate::serve::{Observe, Record};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For a person at a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Sends the process's log to standard error, through a buffer that never blocks.
///
/// `level` is a filter such as `info` or `tollgate=debug,warn`. Keep what it
/// returns, and flush it before the process ends.
///
/// # Errors
/// When the writing thread cannot be started, the filter cannot be read, or a log
/// was set up before.
pub fn init(format: LogFormat, level: &str) -> anyhow::Result<Lines> {
    let lines = Lines::to(io::stderr())?;
    let filter = EnvFilter::try_new(level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines.clone());
    match format {
        LogFormat::Human => builder
            .with_target(false)
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!(error))?;
    Ok(lines)
}

/// Counts every exchange and writes its line.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) counters: Arc<Counters>,
    pub(crate) access: Option<Lines>,
}

impl Observe for Observer {
    fn finished(&self, record: &Record) {
        self.counters.count(record);
        if let Some(journal) = &record.journal {
            journal.end(record);
        }
        if let Some(lines) = &self.access {
            access::log(lines, record);
        }
    }
}
