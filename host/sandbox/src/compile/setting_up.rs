//! The host's side of a guest while it configures itself.
//!
//! What it learned here would be frozen into every instance. So the contract's imports
//! trap, and of WASI there are only the things that runtimes cannot do without, always
//! with the same answers: a plugin with the same settings is the same artefact. Where
//! one of them must not be the same in every instance, no snapshot is taken.

use wasmtime::{Error, ResourceLimiter, StoreLimits};

use crate::wasi::{Lines, Machine, Stream};

/// Of what it wrote, for the operator: the last lines, and all of them together.
const LINES_MAX: usize = 8;
const LINE_BYTES_MAX: usize = 512;
/// As many calls as a runtime may make while it starts and reads its settings.
const CALLS_MAX: u32 = 100_000;

pub(super) struct SettingUp {
    limits: StoreLimits,
    calls: u32,
    /// Resources that it holds.
    held: u32,
    /// It was given bytes that are to be unpredictable.
    drew: bool,
    seed: u64,
    out: Lines,
    err: Lines,
    said: Vec<String>,
}

impl SettingUp {
    pub(super) fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            calls: 0,
            held: 0,
            drew: false,
            seed: 0,
            out: Lines::default(),
            err: Lines::default(),
            said: Vec::new(),
        }
    }

    /// Whether its memory as it is now can be that of every instance. Handles of resources
    /// mean nothing in another one, and random numbers would be the same in all.
    pub(super) fn may_be_shared(&self) -> bool {
        self.held == 0 && !self.drew
    }

    /// What it wrote last, on one line.
    pub(super) fn said(&mut self) -> Option<String> {
        for stream in [Stream::Out, Stream::Err] {
            let said = &mut self.said;
            let lines = match stream {
                Stream::Out => &mut self.out,
                Stream::Err => &mut self.err,
            };
            lines.flush(|line| keep(said, line));
        }
        (!self.said.is_empty()).then(|| self.said.join(" / "))
    }
}

fn keep(said: &mut Vec<String>, line: &str) -> bool {
    if said.len() == LINES_MAX {
        said.remove(0);
    }
    said.push(line[..line.floor_char_boundary(LINE_BYTES_MAX)].to_owned());
    true
}

impl SettingUp {
    fn count(&mut self, calls: usize) -> wasmtime::Result<()> {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.calls = self.calls.saturating_add(calls);
        if self.calls > CALLS_MAX {
            return Err(Error::msg(format!(
                "it made more than {CALLS_MAX} calls of WASI"
            )));
        }
        Ok(())
    }
}

impl Machine for SettingUp {
    fn enter(&mut self) -> wasmtime::Result<()> {
        self.count(1)
    }

    fn enter_for(&mut self, items: usize) -> wasmtime::Result<()> {
        self.count(items.saturating_sub(1))
    }

    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Err(Error::msg(
            "it asked for the time, which a configured plugin would keep",
        ))
    }

    /// No time goes by: runtimes measure what they do.
    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        Ok(0)
    }

    /// Runtimes seed themselves from these before their first call.
    fn random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        self.drew = true;
        self.insecure_random(bytes)
    }

    /// The sequence of SplitMix64 from 0.
    fn insecure_random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        for piece in bytes.chunks_mut(8) {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            piece.copy_from_slice(&mixed.to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let said = &mut self.said;
        let lines = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        lines.write(bytes, |line| keep(said, line));
    }

    fn handed_out(&mut self) {
        self.held += 1;
    }

    fn given_back(&mut self) {
        self.held = self.held.saturating_sub(1);
    }
}

impl ResourceLimiter for SettingUp {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.memory_growing(current, desired, maximum)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
