//! What a case may cost, and how it is written.

use std::time::Duration;

use tollgate_config::parse_size;

/// What a case may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of the dearest hook.
    pub time: Option<Duration>,
    /// The largest memory of an instance.
    pub memory_bytes: Option<u64>,
    /// Of the hook that makes most.
    pub host_calls: Option<u32>,
}

impl Budget {
    /// Reads `time=1ms,memory=1MiB,host_calls=10`, any of them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not `time=…`, `memory=…` or `host_calls=…`"))?;
            match key.trim() {
                "time" => budget.time = Some(time(value.trim())?),
                "memory" => budget.memory_bytes = Some(memory(value.trim())?),
                "host_calls" => {
                    let count = value.trim().parse();
                    budget.host_calls = Some(count.map_err(|_| format!("`{value}` is no number"))?);
                }
                other => return Err(format!("there is no budget `{other}`")),
            }
        }
        Ok(budget)
    }

    /// What this one says, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            time: self.time.or(other.time),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            host_calls: self.host_calls.or(other.host_calls),
        }
    }
}

pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let micros = match unit {
        "us" | "µs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => 0,
    };
    let number = number.parse::<u64>().ok().filter(|_| micros > 0);
    let total = number.and_then(|number| number.checked_mul(micros));
    total
        .map(Duration::from_micros)
        .ok_or_else(|| format!("`{text}` is no time such as `200us` or `1ms`"))
}

pub(crate) fn memory(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| format!("`{text}` is no size such as `512KiB` or `1MiB`"))
}
