//! The engine and everything else that outlives a generation; loads policies.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tollgate_capabilities::{Capabilities, GeoLocator, SecretStore};
use tollgate_config::{CompileLimits, Grants};
use wasmtime::{
    Engine, Linker, Module, WasmBacktrace,
    component::{self, Component, HasSelf},
};

use crate::{
    compile::{self, Artefact, Code, Compiler, Form, Job, JobLimits, Refusal, Task},
    contract::Plugin,
    direct,
    engine::{self, PoolSize},
    failure::Trapped,
    host::{Shared, State},
    place::{Origin, Trail},
    policy::Policy,
    prepared::{self, Prepared},
    program::Program,
    prove,
    tender::Tender,
    wasi,
};

/// How the process runs its plugins; fixed for its life.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The program that compiles: it is run as `<program> compile-worker` and is
    /// expected to call [`compile_worker`](crate::compile_worker). `None` compiles
    /// in this process, without limits on CPU and memory, and a plugin that crashes the
    /// compiler takes the process along: for tests of one's own plugins.
    pub compiler: Option<PathBuf>,
    /// Where compiled plugins are kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// The most instances alive at once, of all policies together.
    pub instances: u32,
    /// The largest memory that any plugin may be given, in bytes; a policy of more is refused.
    pub memory_bytes: usize,
}

impl Default for SandboxOptions {
    /// Compiles in this process and keeps nothing; 4,096 instances of at most 64 MiB.
    fn default() -> Self {
        Self {
            compiler: None,
            cache: None,
            instances: 4096,
            memory_bytes: 64 << 20,
        }
    }
}

/// What one policy is to be.
#[derive(Clone)]
pub struct PolicySpec {
    /// The name that the configuration gives it.
    pub name: String,
    /// The bytes of its plugin's file.
    pub wasm: Bytes,
    /// What the configuration says of it.
    pub config: tollgate_config::Policy,
    /// Limits of the compiling child.
    pub compile: CompileLimits,
    /// The secrets of its generation.
    pub secrets: Arc<dyn SecretStore>,
    /// Where addresses are, as its generation knows it.
    pub geo: Arc<dyn GeoLocator>,
}

/// Why a policy could not be loaded; `Display` is a whole message for the operator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("policy `{policy}` (plugin `{plugin}`): {reason}")]
pub struct LoadError {
    /// The policy's name.
    pub policy: String,
    /// Its plugin's name.
    pub plugin: String,
    /// A stable word: `not_wasm`, `truncated`, `invalid`, `too_large`, `contract_version`, `not_a_policy`,
    /// `unknown_import`, `not_granted`, `settings`, `settings_schema`, `configure`, `start`,
    /// `compile`, `compile_budget`, `no_instance`, `sample`,
    /// `restart_needed`.
    pub code: String,
    /// What is wrong and, where there is one, what to do.
    pub reason: String,
    /// Every mistake in the settings, where that is the reason.
    pub settings_errors: Vec<SettingError>,
}

/// One mistake in the settings of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// JSON pointer into the settings.
    pub pointer: String,
    /// What is wrong there.
    pub reason: String,
}

/// Why there is no sandbox on this machine.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine's pools cannot be reserved.
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
    /// The cache folder cannot be used, or is open to others.
    #[error("{0}")]
    Cache(String),
    /// The clock of the deadlines could not be started.
    #[error("the epoch clock cannot be started: {0}")]
    Clock(#[from] std::io::Error),
}

/// The engine and everything that outlives a generation.
pub struct Sandbox {
    engine: Engine,
    components: component::Linker<State>,
    modules: Linker<State>,
    compiler: Arc<Compiler>,
    tender: Arc<Tender>,
    capabilities: Capabilities,
    memory_bytes: usize,
}

impl Sandbox {
    /// Sets up the engine. Call it within a tokio runtime, once for the life of the process.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn new(
        options: SandboxOptions,
        capabilities: Capabilities,
    ) -> Result<Arc<Self>, SandboxError> {
        let pool = PoolSize {
            instances: options.instances,
            memory_bytes: options.memory_bytes,
        };
        let unusable = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let engine = engine::runner(pool).map_err(unusable)?;
        engine::start_clock(&engine)?;
        let mut components = component::Linker::new(&engine);
        Plugin::add_to_linker::<_, HasSelf<_>>(&mut components, |state| state).map_err(unusable)?;
        let mut modules = Linker::new(&engine);
        direct::add_to_linker(&mut modules).map_err(unusable)?;
        // Whether a file has lines is part of its hash.
        let configurer = engine::configurer(false).map_err(unusable)?;
        let engines = (&engine, &configurer);
        let compiler = Compiler::new(engines, options.compiler, options.cache)
            .map_err(|error| SandboxError::Cache(error.to_string()))?;
        Ok(Arc::new(Self {
            engine,
            components,
            modules,
            compiler: Arc::new(compiler),
            tender: Tender::start(options.instances),
            capabilities,
            memory_bytes: options.memory_bytes,
        }))
    }

    /// Loads, compiles, configures and proves one policy, off the data path.
    ///
    /// # Errors
    /// Everything that is wrong with the plugin, its settings or its grants.
    pub async fn load(&self, spec: PolicySpec) -> Result<Arc<Policy>, LoadError> {
        let (name, plugin) = (spec.name.clone(), spec.config.plugin.clone());
        self.load_inner(spec)
            .await
            .map_err(|refusal| LoadError::of(&name, &plugin, refusal))
    }

    async fn load_inner(&self, spec: PolicySpec) -> Result<Arc<Policy>, Refusal> {
        let capabilities = self.capabilities.with_secrets(spec.secrets.clone());
        let capabilities = capabilities.with_geo(spec.geo.clone());
        let prepared = self.prepare_inner(spec).await?;
        let observed = prove::prove(&prepared.policy(capabilities.scratch())).await?;
        let policy = prepared.policy(capabilities);
        policy.note(observed);
        policy.warm().await;
        self.tender.look_after(&policy);
        Ok(policy)
    }

    /// Compiles and configures one policy, and runs nothing of it: to try it on
    /// capabilities of the caller's own.
    ///
    /// # Errors
    /// As [`Sandbox::load`], save for what its samples show.
    pub async fn prepare(&self, spec: PolicySpec) -> Result<Prepared, LoadError> {
        let (name, plugin) = (spec.name.clone(), spec.config.plugin.clone());
        self.prepare_inner(spec)
            .await
            .map_err(|refusal| LoadError::of(&name, &plugin, refusal))
    }

    async fn prepare_inner(&self, spec: PolicySpec) -> Result<Prepared, Refusal> {
        self.check_memory(&spec)?;
        let hash = compile::hex(&Sha256::digest(&spec.wasm));
        let artefact = self
            .compiler
            .artefact(spec.wasm.clone(), self.job(&spec))
            .await?;
        let scratch = Arc::new(prepared::shared(&spec, self.capabilities.scratch()));
        let program = self.program(&artefact, scratch).await?;
        Ok(Prepared {
            spec,
            facts: artefact.facts,
            program,
            tender: self.tender.clone(),
            hash,
        })
    }

    /// The pool's memories were laid out when the process started.
    fn check_memory(&self, spec: &PolicySpec) -> Result<(), Refusal> {
        let (asked, most) = (spec.config.sandbox.memory_bytes, self.memory_bytes);
        if asked <= most {
            return Ok(());
        }
        Err(Refusal::new(
            "restart_needed",
            format!(
                "its `limits.memory` (or `sandbox.memory`) is {asked} bytes, and the process was started with room for {most}: restart the gateway to give it more"
            ),
        ))
    }

    fn job(&self, spec: &PolicySpec) -> Job {
        let mut limits = JobLimits::from(&spec.compile);
        limits.guest_memory_bytes = spec.config.sandbox.memory_bytes;
        limits.guest_table_elements = spec.config.sandbox.table_elements;
        Job {
            settings: spec.config.settings.to_string(),
            granted: granted(&spec.config.grants),
            limits,
            task: Task::Compile,
        }
    }

    /// Links what the compiling child made, and tries it.
    async fn program(&self, artefact: &Artefact, scratch: Arc<Shared>) -> Result<Program, Refusal> {
        let permit = self.tender.permit().await.ok_or_else(|| {
            let reason = "all instances are in use, so it cannot be tried; load it again later";
            Refusal::new("no_instance", reason)
        })?;
        let code = &artefact.code;
        match &artefact.facts.form {
            Form::Module { map_bytes, .. } => {
                let module = self.module(code).map_err(|error| not_loaded(&error))?;
                let pre = self.modules.instantiate_pre(&module);
                let pre = pre.map_err(|error| mismatch(&error))?;
                Program::module(pre, *map_bytes, scratch, permit).await
            }
            Form::Component { because } => {
                tracing::debug!(policy = %scratch.policy, %because, "a plugin runs as a component");
                let component = self.component(code).map_err(|error| not_loaded(&error))?;
                let mut linker = self.components.clone();
                wasi::link(&mut linker, &component).map_err(|error| mismatch(&error))?;
                let pre = linker.instantiate_pre(&component);
                let pre = pre.map_err(|error| mismatch(&error))?;
                let interfaces = (&*compile::exported(), &*compile::timer());
                Program::component(pre, interfaces, scratch).await
            }
        }
        .map_err(|error| mismatch(&error))
    }

    #[expect(
        unsafe_code,
        reason = "see `Code`: nobody but our own compiler wrote it"
    )]
    fn module(&self, code: &Code) -> wasmtime::Result<Module> {
        match code {
            Code::Bytes(bytes) => unsafe { Module::deserialize(&self.engine, bytes) },
            Code::File(path) => unsafe { Module::deserialize_file(&self.engine, path) },
        }
    }

    #[expect(
        unsafe_code,
        reason = "see `Code`: nobody but our own compiler wrote it"
    )]
    fn component(&self, code: &Code) -> wasmtime::Result<Component> {
        match code {
            Code::Bytes(bytes) => unsafe { Component::deserialize(&self.engine, bytes) },
            Code::File(path) => unsafe { Component::deserialize_file(&self.engine, path) },
        }
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

fn mismatch(error: &wasmtime::Error) -> Refusal {
    let is_of_the_guest = error.is::<WasmBacktrace>() || error.is::<wasmtime::Trap>();
    let reason = if is_of_the_guest {
        let trail = Trail::of(error, Origin::Component);
        let trapped = Trapped::of(error, None, &trail);
        format!("it cannot be started: {trapped}")
    } else {
        format!("it does not fit the contract: {error:#}")
    };
    Refusal::new("invalid", reason)
}

fn not_loaded(error: &wasmtime::Error) -> Refusal {
    let reason = format!("the compiled plugin cannot be loaded: {error:#}");
    Refusal::new("compile", reason)
}

fn granted(grants: &Grants) -> Vec<String> {
    [
        (grants.kv, "kv"),
        (grants.limits, "limits"),
        (!grants.secrets.is_empty(), "secrets"),
        (grants.geo, "geo"),
        (grants.http_call.is_some(), "http-call"),
        (grants.cache, "cache"),
        (grants.shadow, "shadow"),
        (grants.endpoints, "endpoints"),
    ]
    .into_iter()
    .filter(|(granted, _)| *granted)
    .map(|(_, name)| name.to_owned())
    .collect()
}
