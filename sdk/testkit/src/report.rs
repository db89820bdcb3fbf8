//! What an exchange cost.

use std::{fmt, time::Duration};

/// What one exchange cost in the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// In all hooks together, opening the session included.
    pub time: Duration,
    /// The largest memory of any instance of the policy so far, in bytes.
    pub memory_bytes: u64,
    /// Imports called.
    pub host_calls: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.time.as_nanos() as f64 / 1000.0;
        write!(
            formatter,
            "{micros:.1} µs in hooks, {} KiB of memory at most, {} host calls",
            self.memory_bytes >> 10,
            self.host_calls
        )
    }
}
