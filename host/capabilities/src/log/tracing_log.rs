//! Writes plugins' lines as `tracing` events of the target `tollgate::plugin`.
//!
//! Each policy has its own share of lines a second; what is beyond is counted, not
//! written. Text is cut to length and everything that could steer a terminal or
//! start a new line is escaped.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{Level, LogLine, LogSink};
use crate::Clock;

const FIELDS_MAX: usize = 16;
const FIELD_NAME_BYTES: usize = 64;
const FIELD_VALUE_BYTES: usize = 1024;
const CUT: &str = "…";

/// Bounds of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Lines of one policy in one second; 100 by default.
    pub lines_per_second: u32,
    /// Bytes of a message, and of all fields together, before escaping; 4 KiB by default.
    pub message_bytes_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            lines_per_second: 100,
            message_bytes_max: 4096,
        }
    }
}

/// Hands lines to `tracing`.
pub struct TracingLog {
    clock: Arc<dyn Clock>,
    options: LogOptions,
    by_policy: RwLock<HashMap<Arc<str>, Arc<Share>>>,
}

/// One policy's share of the present second.
#[derive(Default)]
struct Share {
    second: Mutex<(u64, u32)>,
    dropped: AtomicU64,
}

impl TracingLog {
    /// Seconds go by this clock's monotonic reading.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: LogOptions) -> Self {
        Self {
            clock,
            options,
            by_policy: RwLock::default(),
        }
    }

    fn share(&self, policy: &str) -> Arc<Share> {
        if let Some(share) = self.by_policy.read().get(policy) {
            return share.clone();
        }
        self.by_policy
            .write()
            .entry(policy.into())
            .or_default()
            .clone()
    }

    fn admits(&self, policy: &str) -> bool {
        let share = self.share(policy);
        let now = self.clock.monotonic_us() / 1_000_000;
        let mut second = share.second.lock();
        if second.0 != now {
            *second = (now, 0);
        }
        if second.1 >= self.options.lines_per_second {
            share.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        second.1 += 1;
        true
    }
}

macro_rules! emit {
    ($level:ident, $line:expr, $message:expr, $fields:expr) => {
        tracing::event!(
            target: "tollgate::plugin",
            tracing::Level::$level,
            policy = $line.policy,
            request_id = $line.request_id,
            fields = $fields,
            "{}",
            $message
        )
    };
}

impl LogSink for TracingLog {
    fn write(&self, line: LogLine<'_>) {
        if !self.admits(line.policy) {
            return;
        }
        let mut message = String::new();
        escape_into(&mut message, line.message, self.options.message_bytes_max);
        let fields = rendered(line.fields, self.options.message_bytes_max);
        let fields = (!fields.is_empty()).then_some(fields.as_str());
        match line.level {
            Level::Debug => emit!(DEBUG, line, message, fields),
            Level::Info => emit!(INFO, line, message, fields),
            Level::Warn => emit!(WARN, line, message, fields),
            Level::Error => emit!(ERROR, line, message, fields),
        }
    }

    fn dropped(&self) -> Vec<(Arc<str>, u64)> {
        let shares = self.by_policy.read();
        let count = |share: &Share| share.dropped.load(Ordering::Relaxed);
        shares
            .iter()
            .map(|(policy, share)| (policy.clone(), count(share)))
            .collect()
    }
}

/// `name="value" …`, with `"` and `\` in values escaped.
fn rendered(fields: &[(String, String)], bytes_max: usize) -> String {
    let mut out = String::new();
    let mut left = bytes_max;
    for (index, (name, value)) in fields.iter().enumerate() {
        if index == FIELDS_MAX || left == 0 {
            out.push(' ');
            out.push_str(CUT);
            break;
        }
        if index > 0 {
            out.push(' ');
        }
        for character in name.chars().take(FIELD_NAME_BYTES) {
            let plain = character.is_ascii_alphanumeric() || "_-.".contains(character);
            out.push(if plain { character } else { '_' });
        }
        let length = FIELD_VALUE_BYTES.min(left);
        let mut text = String::new();
        escape_into(&mut text, value, length);
        let _ = write!(
            out,
            "=\"{}\"",
            text.replace('\\', "\\\\").replace('"', "\\\"")
        );
        left -= value.len().min(length);
    }
    out
}

/// Appends at most so many bytes of the text, with a mark where it was cut.
fn escape_into(out: &mut String, text: &str, bytes_max: usize) {
    let kept = &text[..text.floor_char_boundary(bytes_max)];
    for character in kept.chars() {
        if steers(character) {
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    if kept.len() < text.len() {
        out.push_str(CUT);
    }
}

/// Controls, line separators, and what changes the direction of text.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::ManualClock;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Sink {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(act: impl FnOnce(&TracingLog, &ManualClock)) -> String {
        let sink = Sink::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(sink.clone())
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .finish();
        let clock = Arc::new(ManualClock::at(0));
        let log = TracingLog::new(clock.clone(), LogOptions::default());
        tracing::subscriber::with_default(subscriber, || act(&log, &clock));
        String::from_utf8(sink.0.lock().clone()).unwrap()
    }

    fn line(message: &str) -> LogLine<'_> {
        LogLine {
            policy: "p",
            level: Level::Info,
            message,
            fields: &[],
            request_id: None,
        }
    }

    #[test]
    fn a_line_carries_its_policy_request_and_fields() {
        let text = logged(|log, _| {
            let fields = [("caller".to_owned(), "a \"b\"".to_owned())];
            let request_id = Some("r-1");
            log.write(LogLine {
                level: Level::Warn,
                fields: &fields,
                request_id,
                ..line("slow")
            });
        });
        for part in [
            "WARN",
            "tollgate::plugin",
            "slow",
            "policy=\"p\"",
            "r-1",
            "caller=",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn neither_a_message_nor_a_field_can_start_a_line_or_steer_a_terminal() {
        let hostile = "a\r\nERROR forged \u{1b}[31m\u{9b}0m\0\u{202e}\u{2028}é";
        let text = logged(|log, _| {
            let fields = [(hostile.to_owned(), hostile.to_owned())];
            log.write(LogLine {
                fields: &fields,
                ..line(hostile)
            });
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end_matches('\n').chars().any(steers), "{text:?}");
        assert!(text.contains('é'));
    }

    #[test]
    fn long_text_is_cut_on_a_character_boundary() {
        let long = "é".repeat(600_000);
        let text = logged(|log, _| {
            let fields: Vec<_> = (0..1000).map(|_| (long.clone(), long.clone())).collect();
            log.write(LogLine {
                fields: &fields,
                ..line(&long)
            });
        });
        assert!(text.len() < 2 * 4096 + 1024, "{}", text.len());
        assert!(text.contains(CUT));
    }

    #[test]
    fn lines_beyond_the_share_are_dropped_and_counted_for_that_policy_alone() {
        let text = logged(|log, clock| {
            for _ in 0..150 {
                log.write(line("flood"));
            }
            log.write(LogLine {
                policy: "other",
                ..line("calm")
            });
            clock.advance(Duration::from_secs(1));
            log.write(line("after"));
            let mut dropped = log.dropped();
            dropped.sort();
            assert_eq!(dropped, [("other".into(), 0), ("p".into(), 50)]);
        });
        assert_eq!(text.matches("flood").count(), 100);
        assert!(text.contains("calm") && text.contains("after"));
    }
}
