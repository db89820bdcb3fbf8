//! A plugin under test, and the policy it becomes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Runtime;
use tollgate_capabilities::{
    Capabilities, EmbeddedGeo, EmbeddedOptions, EmbeddedSecrets, GeoFileError, GeoLocator, NoGeo,
};
use tollgate_config::{
    CompileLimits, Grants, Isolation, Location, OnError, SandboxLimits, SecretSource,
};
use tollgate_sandbox::{
    Failure, LoadError, Policy, PolicySpec, PolicyStats, Sandbox, SandboxError, SandboxOptions,
};

use crate::{BuildError, Exchange, Run, RunError, build};

/// A `.wasm` file and what the operator would write about it.
#[derive(Debug, Clone)]
pub struct Plugin {
    wasm: Bytes,
    name: String,
    settings: Value,
    grants: Grants,
    isolation: Isolation,
    limits: SandboxLimits,
    secrets: Vec<(String, PathBuf)>,
    geo: Option<Arc<EmbeddedGeo>>,
}

impl Plugin {
    /// Builds the crate in `folder` to WebAssembly.
    ///
    /// # Errors
    /// See [`BuildError`].
    ///
    /// # Example
    /// ```no_run
    /// let plugin = tollgate_testkit::Plugin::build(env!("CARGO_MANIFEST_DIR")).unwrap();
    /// ```
    pub fn build(folder: impl AsRef<Path>) -> Result<Self, BuildError> {
        Self::build_with(folder, &[])
    }

    /// As [`Plugin::build`], with features of the crate.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build_with(folder: impl AsRef<Path>, features: &[&str]) -> Result<Self, BuildError> {
        Self::open(build::build(folder.as_ref(), features)?)
    }

    /// Takes a file that is built already.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .replace('_', "-");
        Ok(Self::from_bytes(&name, std::fs::read(path)?))
    }

    /// Takes the bytes of a plugin of this name.
    #[must_use]
    pub fn from_bytes(name: &str, wasm: impl Into<Bytes>) -> Self {
        Self {
            wasm: wasm.into(),
            name: name.to_owned(),
            settings: Value::Object(serde_json::Map::new()),
            grants: Grants::default(),
            isolation: Isolation::Exchange,
            limits: SandboxLimits {
                hook_time: Duration::from_millis(50),
                exchange_time: Duration::from_secs(2),
                tick_time: Duration::from_secs(10),
                memory_bytes: 16 << 20,
                table_elements: 10_000,
                host_calls: 1000,
                edits: 64,
                log_lines: 20,
                remembered_decisions: 0,
            },
            secrets: Vec::new(),
            geo: None,
        }
    }

    /// The settings, as in the configuration.
    #[must_use]
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// What the policy is granted; nothing by default.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// `exchange` by default.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// The bounds of an instance.
    #[must_use]
    pub fn limits(mut self, limits: impl FnOnce(&mut SandboxLimits)) -> Self {
        limits(&mut self.limits);
        self
    }

    /// A secret, read from a file. It has to be granted as well.
    #[must_use]
    pub fn secret(mut self, name: &str, file: impl Into<PathBuf>) -> Self {
        self.secrets.push((name.to_owned(), file.into()));
        self
    }

    /// The content of a database in MaxMind's format, for `geo`, which has to be granted
    /// as well.
    ///
    /// # Errors
    /// When it is none.
    pub fn geo(mut self, database: impl Into<Bytes>) -> Result<Self, GeoFileError> {
        self.geo = Some(Arc::new(EmbeddedGeo::new(database.into())?));
        Ok(self)
    }

    /// Compiles, configures and proves it, as the gateway does before a swap.
    ///
    /// # Errors
    /// What the gateway would refuse it for.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let laboratory = laboratory();
        let secrets = self
            .secrets
            .iter()
            .map(|(name, file)| (name.clone(), SecretSource::File(file.clone())));
        let spec = PolicySpec {
            name: self.name.clone(),
            wasm: self.wasm.clone(),
            config: tollgate_config::Policy {
                plugin: self.name.clone(),
                on_error: OnError::Refuse,
                isolation: self.isolation,
                grants: self.grants.clone(),
                settings: self.settings.clone(),
                settings_at: Location::default(),
                sandbox: self.limits.clone(),
            },
            compile: CompileLimits {
                cpu_time: Duration::from_secs(60),
                memory_bytes: 2 << 30,
                input_bytes: 64 << 20,
            },
            secrets: Arc::new(EmbeddedSecrets::new(secrets.collect())),
            geo: match &self.geo {
                Some(geo) => Arc::clone(geo) as Arc<dyn GeoLocator>,
                None => Arc::new(NoGeo),
            },
        };
        let policy = laboratory.runtime.block_on(laboratory.sandbox.load(spec))?;
        Ok(Loaded { policy })
    }
}

/// A policy that is ready for exchanges.
#[derive(Debug, Clone)]
pub struct Loaded {
    policy: Arc<Policy>,
}

impl Loaded {
    /// Runs one exchange through every hook that the plugin has.
    ///
    /// # Errors
    /// What the gateway would apply `on_error` for.
    pub fn run(&self, exchange: Exchange) -> Result<Run, RunError> {
        laboratory().runtime.block_on(exchange.run(&self.policy))
    }

    /// Has the plugin tick once: in how long it wants to be asked again, or `None` for never.
    ///
    /// # Errors
    /// What the gateway would log, and try again after a while.
    pub fn tick(&self) -> Result<Option<Duration>, Failure> {
        laboratory().runtime.block_on(self.policy.tick())
    }

    /// The policy itself, for what this kit has no word for.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Its counters so far.
    #[must_use]
    pub fn stats(&self) -> PolicyStats {
        self.policy.stats()
    }

    /// Runs a future where the sandbox runs.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        laboratory().runtime.block_on(future)
    }
}

struct Laboratory {
    runtime: Runtime,
    sandbox: Arc<Sandbox>,
}

/// One engine for all tests of a process: its pools reserve much address space.
#[expect(
    clippy::expect_used,
    reason = "a test kit without a sandbox can only say so"
)]
fn laboratory() -> &'static Laboratory {
    static LABORATORY: OnceLock<Laboratory> = OnceLock::new();
    LABORATORY.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a tokio runtime");
        let sandbox = {
            let _inside = runtime.enter();
            // One that cannot be used is no reason not to test.
            sandbox(compiled())
                .or_else(|_| sandbox(None))
                .expect("a sandbox")
        };
        Laboratory { runtime, sandbox }
    })
}

fn sandbox(cache: Option<PathBuf>) -> Result<Arc<Sandbox>, SandboxError> {
    let options = SandboxOptions {
        instances: 512,
        cache,
        ..SandboxOptions::default()
    };
    Sandbox::new(options, Capabilities::embedded(EmbeddedOptions::default()))
}

/// Where `tollgate plugin test` keeps what it compiled, too: the same plugin with the same
/// settings is compiled once.
fn compiled() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    // target/PROFILE/deps/TEST
    let guests = test.ancestors().nth(3)?.join("guests");
    guests.is_dir().then(|| guests.join(".compiled"))
}
