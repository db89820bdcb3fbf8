//! The first generation: what outlives all generations is made for it.
//!
//! `check` and the server come through here alike, so both accept the same input.

use std::{path::PathBuf, sync::Arc};

use tollgate_capabilities::{CacheOptions, Capabilities, EmbeddedOptions};
use tollgate_config::Config;
use tollgate_sandbox::{Sandbox, SandboxOptions};

use super::{
    candidate::{Policies, Proven},
    interest::Interest,
    picture::Picture,
    places::Places,
    refused::{Refused, Stage},
    reload::Builder,
    snapshot,
};
use crate::{Options, serve::Clients};

/// Any plugin may be given this much memory, whatever the first configuration says.
const MEMORY_LEAST: usize = 64 << 20;

/// The first generation, proven, and what the next ones are built with.
pub(crate) struct First {
    pub(crate) builder: Builder,
    pub(crate) capabilities: Capabilities,
    pub(crate) proven: Proven,
    pub(crate) picture: Picture,
    pub(crate) interest: Interest,
}

impl First {
    /// Loads, compiles and proves what `options` names.
    ///
    /// # Errors
    /// As any later candidate is refused.
    pub(crate) async fn build(options: &Options) -> Result<Self, Refused> {
        let (source, plugins) = (options.config.clone(), options.plugins.clone());
        let take = move || snapshot::take(&source, plugins.as_deref(), None);
        let taken = tokio::task::spawn_blocking(take).await;
        let taken = taken
            .map_err(|broken| Refused::file(Stage::Load, "internal", &options.config, broken))?;
        let snapshot = taken.outcome?;
        let capabilities = Capabilities::embedded(EmbeddedOptions {
            cache: CacheOptions {
                bytes_max: snapshot.config.limits.answers_bytes,
            },
            ..EmbeddedOptions::default()
        });
        let sandbox = sandbox(options, &snapshot.config, &capabilities)?;
        let builder = Builder {
            source: options.config.clone(),
            plugins: options.plugins.clone(),
            sandbox,
            clients: Clients::new(),
            places: Places::default(),
        };
        let proven = builder
            .build(snapshot, 1, (&Policies::default(), None))
            .await?;
        Ok(Self {
            builder,
            capabilities,
            proven,
            picture: taken.files.picture,
            interest: taken.files.interest,
        })
    }
}

fn sandbox(
    options: &Options,
    config: &Config,
    capabilities: &Capabilities,
) -> Result<Arc<Sandbox>, Refused> {
    let refuse = |reason: &dyn std::fmt::Display| {
        Refused::file(Stage::Compile, "sandbox", &options.config, reason)
    };
    let compiler = match &options.compiler {
        Some(program) => program.clone(),
        None => this_program().map_err(|error| refuse(&error))?,
    };
    let largest = config
        .policies
        .values()
        .map(|policy| policy.sandbox.memory_bytes)
        .max();
    let sandbox = SandboxOptions {
        compiler: Some(compiler),
        cache: config.cache.clone(),
        instances: options.instances,
        memory_bytes: largest.unwrap_or_default().max(MEMORY_LEAST),
    };
    Sandbox::new(sandbox, capabilities.clone()).map_err(|error| refuse(&error))
}

/// The program that runs, also after its file was replaced by a newer one.
fn this_program() -> std::io::Result<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    if itself.exists() {
        Ok(itself)
    } else {
        std::env::current_exe()
    }
}
