//! What a plugin says of itself, without a configuration.
//!
//! The compiling child reads it and calls its `describe`, with every import a trap; so
//! any file may be looked at.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tollgate_config::CompileLimits;

use crate::{
    Hook, LoadError,
    compile::{self, Form, Job, JobLimits, Task},
};

/// A plugin's memory while it describes itself.
const MEMORY_BYTES: usize = 256 << 20;

/// What a plugin is and wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// As it calls itself.
    pub name: String,
    /// Of the plugin.
    pub version: String,
    /// Of the contract that it speaks.
    pub contract: String,
    /// The hooks it may want, such as `on_request`; settings may narrow them.
    pub hooks: Vec<&'static str>,
    /// What may have to be at hand, such as `request_json`.
    pub needs: Vec<&'static str>,
    /// The capabilities that it imports, beyond views of the exchange.
    pub capabilities: Vec<String>,
    /// Of them, those that an operator has to grant.
    pub grants: Vec<String>,
    /// The JSON schema of its settings.
    pub settings_schema: serde_json::Value,
    /// `module` or `component`.
    pub form: &'static str,
    /// Of the file.
    pub bytes: u64,
    /// Of the file, in hex.
    pub sha256: String,
}

/// What a plugin is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Inspector<'a> {
    /// The program that is run as `<program> compile-worker`; `None`: this process looks,
    /// without limits on CPU and memory.
    pub program: Option<&'a Path>,
    /// What looking may take.
    pub limits: &'a CompileLimits,
    /// Where what was compiled for it is kept, for a [`Sandbox`](crate::Sandbox) that keeps its
    /// compiled plugins in the same folder.
    pub cache: Option<&'a Path>,
}

/// Looks at a plugin's file.
///
/// # Errors
/// What the file would be refused for with every capability granted and no settings read.
pub async fn inspect(
    with: Inspector<'_>,
    (name, wasm): (&str, Bytes),
) -> Result<Inspected, LoadError> {
    let mut bounds = JobLimits::from(with.limits);
    bounds.guest_memory_bytes = MEMORY_BYTES;
    bounds.guest_table_elements = tollgate_config::SandboxLimits::TABLE_ELEMENTS_MAX;
    let job = Job {
        settings: String::new(),
        granted: compile::ON_GRANT.map(str::to_owned).to_vec(),
        limits: bounds,
        task: Task::Describe {
            keeps_setup: with.cache.is_some(),
        },
    };
    let (bytes, sha256) = (wasm.len() as u64, compile::hex(&Sha256::digest(&wasm)));
    let refused = |refusal| LoadError::of(name, name, refusal);
    let facts = compile::describe((with.program, with.cache), wasm, &job)
        .await
        .map_err(refused)?;
    let is = |names: &[&'static str], on: &[bool]| {
        let pairs = names.iter().zip(on);
        pairs
            .filter(|(_, on)| **on)
            .map(|(name, _)| *name)
            .collect()
    };
    let hooks = [&facts.hooks[..], &[facts.ticks]].concat();
    let mut capabilities = facts.imports;
    capabilities.retain(|import| !matches!(import.as_str(), "types" | "exchange"));
    Ok(Inspected {
        name: facts.name,
        version: facts.version,
        contract: format!(
            "{}@{}",
            compile::PACKAGE.trim_end_matches('/'),
            compile::VERSION
        ),
        hooks: is(&Hook::ALL.map(Hook::name), &hooks),
        needs: is(&NEEDS, &facts.needs),
        grants: (capabilities.iter())
            .filter(|import| compile::ON_GRANT.contains(&import.as_str()))
            .cloned()
            .collect(),
        capabilities,
        settings_schema: serde_json::from_str(&facts.settings_schema).unwrap_or_default(),
        form: match facts.form {
            Form::Module { .. } => "module",
            Form::Component { .. } => "component",
        },
        bytes,
        sha256,
    })
}

const NEEDS: [&str; 4] = [
    "request_json",
    "request_body",
    "response_json",
    "response_body",
];

/// The component that a plugin's module is taken for; one that came as a component as it is.
///
/// # Errors
/// When it is no plugin.
pub fn componentize(name: &str, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    compile::componentize(wasm).map_err(|refusal| LoadError::of(name, name, refusal))
}
