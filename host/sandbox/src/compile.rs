//! From a plugin's bytes to an artefact that can be run: componentized, checked,
//! configured, snapshotted, compiled.
//!
//! Compiling is not safe work: a module of a megabyte was seen to take eight
//! seconds and half a gigabyte. So it happens in a child process that limits
//! itself, and only that child's output is ever loaded.

mod adapt;
mod cache;
mod child;
mod configure;
mod lines;
mod mistake;
mod pipeline;
mod setting_up;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
pub use child::compile_worker;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tollgate_config::CompileLimits;
use wasmtime::Engine;

use crate::{LoadError, contract, sandbox::SettingError};
pub(crate) use cache::Cache;
pub(crate) use lines::{Lines, Spot};
pub(crate) use pipeline::{ON_GRANT, PACKAGE, VERSION, componentize, exported, timer};

/// What is asked of the compiling child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) settings: String,
    /// The interfaces that may be imported, such as `kv`.
    pub(crate) granted: Vec<String>,
    pub(crate) limits: JobLimits,
    pub(crate) task: Task,
}

/// How far a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Up to machine code.
    Compile,
    /// The facts, before any settings are read.
    Describe {
        /// And what was compiled for it: see [`Made::setup`].
        keeps_setup: bool,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobLimits {
    pub(crate) cpu_seconds: u64,
    pub(crate) address_bytes: u64,
    pub(crate) input_bytes: u64,
    /// Of the guest while it configures itself.
    pub(crate) guest_memory_bytes: usize,
    pub(crate) guest_table_elements: usize,
}

/// What a plugin says of itself, and whether its memory was snapshotted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) version: String,
    /// As in the contract: request, attempt, response, events, finish.
    pub(crate) hooks: [bool; 5],
    /// request-json, request-body, response-json, response-body.
    pub(crate) needs: [bool; 4],
    /// Whether it has `on_tick`, which is no flag of the contract's.
    pub(crate) ticks: bool,
    pub(crate) samples: Vec<SampleText>,
    pub(crate) imports: Vec<String>,
    /// `false`: the component's shape cannot be snapshotted, so every instance
    /// is configured when it is made.
    pub(crate) snapshotted: bool,
    pub(crate) form: Form,
    /// JSON.
    pub(crate) settings_schema: String,
    /// Of a plugin with debug information.
    #[serde(with = "lines::shared")]
    pub(crate) lines: Option<Arc<Lines>>,
}

/// What a plugin was compiled as.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Form {
    /// Adapted to run without its component.
    Module {
        /// Of the memory in it that is the host's.
        map_bytes: usize,
        /// Where in its memory the word is that [`SEEN`](crate::direct::SEEN) names.
        seen: Option<u32>,
    },
    Component {
        /// Why it is not a module.
        because: String,
    },
}

/// A [`contract::Sample`] that can be stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SampleText {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: String,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) response_status: u16,
    pub(crate) response_body: String,
    pub(crate) events: Vec<(Option<String>, Vec<u8>)>,
    pub(crate) expect: Expect,
}

/// A [`contract::Expectation`] that can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expect {
    Runs,
    Forwarded,
    Answered(u16),
}

impl From<contract::Sample> for SampleText {
    fn from(sample: contract::Sample) -> Self {
        Self {
            name: sample.name,
            method: sample.method,
            path: sample.path,
            headers: sample
                .headers
                .into_iter()
                .map(|h| (h.name, h.value))
                .collect(),
            body: sample.body,
            facts: sample.facts,
            response_status: sample.response_status,
            response_body: sample.response_body,
            events: sample
                .events
                .into_iter()
                .map(|e| (e.name, e.data))
                .collect(),
            expect: match sample.expect {
                contract::Expectation::Runs => Expect::Runs,
                contract::Expectation::Forwarded => Expect::Forwarded,
                contract::Expectation::Answered(status) => Expect::Answered(status),
            },
        }
    }
}

/// Why a job came to nothing: a stable word and a sentence for the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) reason: String,
    /// Each mistake in the settings, as `<json pointer>: <message>`.
    #[serde(default)]
    pub(crate) settings_errors: Vec<String>,
}

impl Refusal {
    pub(crate) fn new(code: &str, reason: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            reason: reason.into(),
            settings_errors: Vec::new(),
        }
    }
}

/// A compiled policy: its facts, and the machine code wasmtime made.
#[derive(Debug, Clone)]
pub(crate) struct Artefact {
    pub(crate) facts: Facts,
    pub(crate) code: Code,
}

/// Machine code that our own compiler made.
#[derive(Debug, Clone)]
pub(crate) enum Code {
    /// Of this process, or of its own child, from a pipe that only the child writes to.
    Bytes(Bytes),
    /// In the cache, which none but us can write; its hash was checked.
    File(PathBuf),
}

/// What a job leaves.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) artefact: Artefact,
    /// Machine code that configures the plugin whatever its settings are, if it was made
    /// anew. Jobs with the same file run it, and nobody else.
    pub(crate) setup: Option<Bytes>,
}

/// Where artefacts come from.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) program: Option<PathBuf>,
    pub(crate) cache: Option<Cache>,
    /// Tells artefacts of another wasmtime, or of other settings of it, apart.
    pub(crate) fingerprint: String,
    /// The same of what configures.
    setup_fingerprint: String,
}

impl Compiler {
    pub(crate) fn new(
        (engine, configurer): (&Engine, &Engine),
        program: Option<PathBuf>,
        cache: Option<PathBuf>,
    ) -> Result<Self, cache::CacheError> {
        Ok(Self {
            program,
            cache: cache.map(Cache::open).transpose()?,
            fingerprint: fingerprint(engine),
            setup_fingerprint: fingerprint(configurer),
        })
    }

    /// Takes the artefact from the cache, or makes it and keeps it there.
    pub(crate) async fn artefact(
        self: &Arc<Self>,
        wasm: Bytes,
        job: Job,
    ) -> Result<Artefact, Refusal> {
        let key = self.key(&wasm, &job);
        if let Some(found) = self.cache.as_ref().and_then(|cache| cache.get(&key)) {
            return Ok(found);
        }
        let setup_key = setup_key(&self.setup_fingerprint, &wasm);
        let setup = self
            .cache
            .as_ref()
            .and_then(|cache| cache.setup(&setup_key));
        let made = make(self.program.as_deref(), wasm, &job, setup).await?;
        let Some(cache) = &self.cache else {
            return Ok(made.artefact);
        };
        let kept = made
            .setup
            .map_or(Ok(()), |code| cache.put_setup(&setup_key, &code))
            .and_then(|()| cache.put(&key, &made.artefact));
        match kept {
            Ok(kept) => Ok(kept),
            Err(error) => {
                tracing::warn!(%error, "a compiled plugin could not be kept; it will be compiled again next time");
                Ok(made.artefact)
            }
        }
    }

    fn key(&self, wasm: &[u8], job: &Job) -> String {
        let mut hash = Sha256::new();
        for part in [
            self.fingerprint.as_bytes(),
            &Sha256::digest(wasm),
            job.settings.as_bytes(),
            job.granted.join(",").as_bytes(),
            &job.limits.guest_memory_bytes.to_le_bytes(),
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }
}

/// Whether compiled plugins may be kept in this folder, which is made if it is not there: nobody
/// else may write to it.
///
/// # Example
/// ```
/// let target = tempfile::tempdir()?;
/// assert!(tollgate_sandbox::may_cache_in(&target.path().join("compiled")));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn may_cache_in(folder: &Path) -> bool {
    Cache::open(folder.to_owned()).is_ok()
}

/// What configures a plugin depends on its file alone.
fn setup_key(fingerprint: &str, wasm: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(fingerprint.as_bytes());
    hash.update(Sha256::digest(wasm));
    hex(&hash.finalize())
}

/// The facts of a plugin, before any settings are read. What was compiled for it is left in
/// `cache`, if it can be: a [`Compiler`] with the same folder has half its work done then.
pub(crate) async fn describe(
    (program, cache): (Option<&Path>, Option<&Path>),
    wasm: Bytes,
    job: &Job,
) -> Result<Facts, Refusal> {
    let kept = cache.and_then(|folder| {
        let engine = crate::engine::configurer(false).ok()?;
        let key = setup_key(&fingerprint(&engine), &wasm);
        Some((Cache::open(folder.to_owned()).ok()?, key))
    });
    let setup = kept.as_ref().and_then(|(cache, key)| cache.setup(key));
    let made = make(program, wasm, job, setup).await?;
    if let (Some((cache, key)), Some(code)) = (kept, made.setup) {
        // It is made again then.
        let _ = cache.put_setup(&key, &code);
    }
    Ok(made.artefact.facts)
}

/// Runs a job in a child of `program`, or in this process. `setup` is what an earlier job
/// with the same file left.
async fn make(
    program: Option<&Path>,
    wasm: Bytes,
    job: &Job,
    setup: Option<Bytes>,
) -> Result<Made, Refusal> {
    let Some(program) = program else {
        let job = job.clone();
        return tokio::task::spawn_blocking(move || pipeline::run(&job, &wasm, setup.as_deref()))
            .await
            .map_err(|panic| Refusal::new("compile", format!("the compiler failed: {panic}")))?;
    };
    child::compile(program, job, &wasm, setup.as_deref()).await
}

impl From<&CompileLimits> for JobLimits {
    fn from(limits: &CompileLimits) -> Self {
        Self {
            cpu_seconds: limits.cpu_time.as_secs().max(1),
            address_bytes: limits.memory_bytes,
            input_bytes: limits.input_bytes,
            guest_memory_bytes: 0,
            guest_table_elements: 0,
        }
    }
}

fn fingerprint(engine: &Engine) -> String {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    crate::direct::revision().hash(&mut hasher);
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl LoadError {
    pub(crate) fn of(policy: &str, plugin: &str, refusal: Refusal) -> Self {
        Self {
            policy: policy.to_owned(),
            plugin: plugin.to_owned(),
            code: refusal.code,
            reason: plain(&refusal.reason),
            settings_errors: refusal
                .settings_errors
                .iter()
                .map(|error| SettingError::of(error))
                .collect(),
        }
    }
}

impl LoadError {
    /// JSON pointer into the settings, where the reason lies there.
    #[must_use]
    pub fn settings_pointer(&self) -> Option<&str> {
        let first = self.settings_errors.first()?;
        Some(first.pointer.as_str())
    }
}

impl SettingError {
    fn of(error: &str) -> Self {
        let (pointer, reason) = error.split_once(": ").unwrap_or(("", error));
        let is_pointer = configure::is_pointer(pointer);
        Self {
            pointer: if is_pointer { pointer } else { "" }.to_owned(),
            reason: plain(if pointer.is_empty() { reason } else { error }),
        }
    }
}

/// The longest reason, in bytes; it may hold words of the plugin's own.
const REASON_BYTES_MAX: usize = 4096;

/// On one line, cut to length, and with nothing in it that steers a terminal.
fn plain(reason: &str) -> String {
    let kept = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut out = String::with_capacity(kept.len());
    for character in kept.chars() {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(character.escape_default());
            }
            character if character.is_control() => out.extend(character.escape_default()),
            character => out.push(character),
        }
    }
    if kept.len() < reason.len() {
        out.push('…');
    }
    out
}
