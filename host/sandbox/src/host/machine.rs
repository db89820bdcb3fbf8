//! What is behind WASI in an exchange: the capabilities that need no grant.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};
use tollgate_capabilities as capability;

use super::State;
use crate::{
    recording::{Note, text},
    wasi::{Lines, Machine, Stream},
};

/// Lines that have begun, of each stream.
#[derive(Debug, Default)]
pub(crate) struct Output {
    out: Lines,
    err: Lines,
}

impl Machine for State {
    fn enter(&mut self) -> wasmtime::Result<()> {
        State::enter(self)
    }

    fn enter_for(&mut self, items: usize) -> wasmtime::Result<()> {
        State::enter_for(self, items)
    }

    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.shared.capabilities.clock.now_ms())
    }

    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        Ok(self.shared.capabilities.clock.monotonic_us())
    }

    fn random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        let filled = self.shared.capabilities.random.fill(bytes);
        filled.map_err(wasmtime::Error::new)
    }

    fn insecure_random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        self.random(bytes)
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut output = std::mem::take(&mut self.output);
        output
            .of(stream)
            .write(bytes, |line| self.say(stream, line));
        self.output = output;
    }
}

impl Output {
    fn of(&mut self, stream: Stream) -> &mut Lines {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }
}

impl State {
    /// Writes lines that a hook has left without an end.
    pub(super) fn end_lines(&mut self) {
        if self.output.out.is_empty() && self.output.err.is_empty() {
            return;
        }
        let mut output = std::mem::take(&mut self.output);
        for stream in [Stream::Out, Stream::Err] {
            output.of(stream).flush(|line| self.say(stream, line));
        }
    }

    /// One line for the log, as if the plugin had called `log`; `false`: no more.
    fn say(&mut self, stream: Stream, line: &str) -> bool {
        let (level, name) = match stream {
            Stream::Out => (capability::Level::Info, "info"),
            Stream::Err => (capability::Level::Warn, "warn"),
        };
        if matches!(stream, Stream::Err) {
            self.heard(line);
        }
        self.recorded.note(|to| {
            let what = json!({ "level": name, "message": text(line.as_bytes()), "fields": {} });
            to.call("log.write", what, Value::Null);
        });
        self.log_lines += 1;
        if self.log_lines > self.shared.bounds.log_lines {
            self.shared.counters.log_dropped.fetch_add(1, Relaxed);
            return false;
        }
        self.shared.capabilities.log.write(capability::LogLine {
            policy: &self.shared.policy,
            level,
            message: line,
            fields: &[],
            request_id: Some(&self.exchange.request_id),
        });
        true
    }
}
