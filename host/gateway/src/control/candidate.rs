//! From files to a generation, each step a type of its own.
//!
//! [`Loaded`] → [`Compiled`] → [`Proven`], and only a [`Proven`] can be swapped in.
//! A policy whose plugin, settings, grants and limits are those of the present one
//! is kept as it is. Knows nothing of why a candidate is built, or when.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
    sync::Arc,
};

use futures_util::{
    future::BoxFuture,
    stream::{self, StreamExt},
};
use tollgate_capabilities::{EmbeddedSecrets, GeoLocator, SecretStore};
use tollgate_config::{CompileLimits, Config, Endpoints, Location, SecretSource};
use tollgate_sandbox::{LoadError, Policy, PolicySpec, Sandbox};

use super::{
    generations::{Generations, InFlight},
    needed,
    picture::Digest,
    places::Places,
    refused::{Refused, Stage, policy_at, token},
    snapshot::{Part, Snapshot},
};
use crate::serve::{Clients, FirstLook, Generation, GenerationError, Ingredients, Shared, TlsKeys};

/// Plugins compiled at once; each in a process of its own.
const COMPILED_AT_ONCE: usize = 2;

impl InFlight for Generation {
    fn in_flight(&self) -> u64 {
        Self::in_flight(self) as u64
    }
}

/// All that a policy depends on. Where its settings stand is not among it.
#[derive(Debug, Clone, PartialEq)]
struct Identity {
    digest: Digest,
    config: tollgate_config::Policy,
    compile: CompileLimits,
    /// Of the secrets that it is granted.
    secrets: Vec<Option<SecretSource>>,
    /// Of the file of places, if it may ask it.
    geo: Option<Digest>,
}

impl Identity {
    fn new(
        digest: Digest,
        policy: &tollgate_config::Policy,
        (config, geo): (&Config, Option<Digest>),
    ) -> Self {
        Self {
            digest,
            geo: geo.filter(|_| policy.grants.geo),
            config: tollgate_config::Policy {
                settings_at: Location::default(),
                ..policy.clone()
            },
            compile: config.compile.clone(),
            secrets: policy
                .grants
                .secrets
                .iter()
                .map(|name| config.secrets.get(name).cloned())
                .collect(),
        }
    }
}

/// The policies of a generation, to be kept by the next where they are the same.
#[derive(Clone, Default)]
pub(crate) struct Policies {
    by_name: BTreeMap<String, (Identity, Arc<Policy>)>,
}

impl Policies {
    fn same(&self, name: &str, identity: &Identity) -> Option<Arc<Policy>> {
        let (former, policy) = self.by_name.get(name)?;
        (former == identity).then(|| Arc::clone(policy))
    }

    /// The policies by name.
    pub(crate) fn arcs(&self) -> BTreeMap<String, Arc<Policy>> {
        self.by_name
            .iter()
            .map(|(name, (_, policy))| (name.clone(), Arc::clone(policy)))
            .collect()
    }
}

/// A configuration that holds, and its plugins' bytes.
pub(crate) struct Loaded {
    snapshot: Snapshot,
}

/// All its policies are compiled, configured and have run their samples.
pub(crate) struct Compiled {
    config: Arc<Config>,
    policies: Policies,
    secrets: Arc<EmbeddedSecrets>,
    loaded: usize,
}

/// What a generation is built upon, besides what it is made from.
pub(crate) struct Ground<'a> {
    pub(crate) clients: &'a Clients,
    /// At the endpoints of its upstreams, by name.
    pub(crate) looks: HashMap<String, FirstLook>,
    /// The live generation, if there is one.
    pub(crate) before: Option<&'a Generation>,
}

/// A whole generation that may go live.
pub(crate) struct Proven {
    pub(crate) generation: Arc<Generation>,
    pub(crate) policies: Policies,
    /// Policies that were not those of the generation before.
    pub(crate) loaded: usize,
}

impl Loaded {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot }
    }

    /// Compiles, configures and tries every policy that `present` does not have.
    ///
    /// # Errors
    /// All policies that were refused, each with its file and line.
    pub(crate) async fn compile(
        self,
        sandbox: &Arc<Sandbox>,
        places: &Places,
        present: &Policies,
        source: &Path,
    ) -> Result<Compiled, Refused> {
        let Snapshot {
            config,
            plugins,
            geo,
            missing,
        } = self.snapshot;
        let secrets = Arc::new(EmbeddedSecrets::new(config.secrets.clone()));
        let loading = Loading {
            sandbox,
            config: &config,
            secrets: &secrets,
            geo: (places.open(geo.as_ref())?, geo.map(|part| part.digest)),
            present,
            source,
        };
        let mut under_way: Vec<BoxFuture<'_, _>> = Vec::new();
        for (name, policy) in &config.policies {
            if let Some(plugin) = plugins.get(&policy.plugin) {
                under_way.push(Box::pin(loading.policy(name, policy, plugin)));
            }
        }
        let results: Vec<_> = stream::iter(under_way)
            .buffered(COMPILED_AT_ONCE)
            .collect()
            .await;
        let mut compiled = Compiled {
            config: Arc::clone(&config),
            policies: Policies::default(),
            secrets: Arc::clone(&secrets),
            loaded: 0,
        };
        let mut refused = missing;
        for result in results {
            match result {
                Ok((name, identity, policy, is_new)) => {
                    compiled.loaded += usize::from(is_new);
                    compiled
                        .policies
                        .by_name
                        .insert(name.to_owned(), (identity, policy));
                }
                Err(error) => refused.push(error),
            }
        }
        if !refused.is_empty() {
            refused.extend(needed::missing(&compiled.config, &secrets, source));
        }
        Refused::all(refused).map_or(Ok(compiled), Err)
    }
}

/// What every policy of a candidate is loaded with.
struct Loading<'a> {
    sandbox: &'a Arc<Sandbox>,
    config: &'a Config,
    secrets: &'a Arc<EmbeddedSecrets>,
    geo: (Arc<dyn GeoLocator>, Option<Digest>),
    present: &'a Policies,
    /// Where the configuration was read from.
    source: &'a Path,
}

impl Loading<'_> {
    /// Tells as well whether the policy is a new one.
    async fn policy<'a>(
        &self,
        name: &'a str,
        policy: &tollgate_config::Policy,
        plugin: &Part,
    ) -> Result<(&'a str, Identity, Arc<Policy>, bool), Refused> {
        let identity = Identity::new(plugin.digest, policy, (self.config, self.geo.1));
        if let Some(kept) = self.present.same(name, &identity) {
            return Ok((name, identity, kept, false));
        }
        let spec = PolicySpec {
            name: name.to_owned(),
            wasm: plugin.bytes()?,
            config: policy.clone(),
            compile: self.config.compile.clone(),
            secrets: Arc::clone(self.secrets) as Arc<dyn SecretStore>,
            geo: Arc::clone(&self.geo.0),
        };
        let tried = spec.clone();
        let loaded = self.sandbox.load(spec).await;
        let loaded = loaded.map_err(|error| self.refused(&error, policy, plugin))?;
        if let Err(disproof) = tollgate_cases::prove(self.sandbox, &tried).await {
            loaded.retire();
            let at = policy_at(self.source, (name, policy), "plugin");
            let (file, of) = (plugin.file.display(), &policy.plugin);
            let why = format_args!("{file}: policy `{name}` (plugin `{of}`): {disproof}");
            return Err(Refused::at(Stage::Prove, "case", at, why));
        }
        Ok((name, identity, loaded, true))
    }
}

impl Loading<'_> {
    /// What is to be mended in the configuration is shown there; of everything else, the line
    /// that names the plugin.
    fn refused(
        &self,
        error: &LoadError,
        policy: &tollgate_config::Policy,
        plugin: &Part,
    ) -> Refused {
        let code = error.code.as_str();
        let at = |at, reason: &dyn fmt::Display| Refused::at(Stage::Compile, code, at, reason);
        let (name, plugin_name) = (&error.policy, &error.plugin);
        let each = error.settings_errors.iter().map(|mistake| {
            let reason = &mistake.reason;
            let place = policy.locate_setting(&mistake.pointer);
            at(
                place,
                &format_args!(
                    "policy `{name}` (plugin `{plugin_name}`): the settings are refused: {reason}"
                ),
            )
        });
        if let Some(refused) = Refused::all(each.collect()) {
            return refused;
        }
        let own = |key| policy_at(self.source, (name, policy), key);
        match code {
            "settings" => at(policy.locate_setting(""), error),
            "not_granted" => at(own("grants"), error),
            "restart_needed" => at(own("limits"), error),
            _ => {
                let file = plugin.file.display();
                at(own("plugin"), &format_args!("{file}: {error}"))
            }
        }
    }
}

impl Compiled {
    /// What it is made from.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Builds the whole generation and tries what only the whole can show: that
    /// every secret can be read, every key pair and root fits, every route leads
    /// somewhere.
    ///
    /// # Errors
    /// What does not hold.
    pub(crate) fn prove(
        self,
        id: u64,
        ground: Ground<'_>,
        source: &Path,
    ) -> Result<Proven, Refused> {
        let secrets = &self.secrets;
        let missing = needed::missing(&self.config, secrets, source);
        if let Some(refused) = Refused::all(missing) {
            return Err(refused);
        }
        if let Some(tls) = &self.config.tls {
            TlsKeys::load(tls).map_err(|error| Refused {
                file: Some(tls.certificate.clone()),
                ..Refused::new(Stage::Prove, "tls", error)
            })?;
        }
        let ingredients = Ingredients {
            id,
            config: self.config,
            policies: self.policies.arcs(),
            clients: ground.clients,
            looks: ground.looks,
            before: ground.before,
            secret: &|name| {
                secrets
                    .get(name)
                    .ok()
                    .map(|secret| secret.expose().to_vec())
            },
        };
        let config = Arc::clone(&ingredients.config);
        let generation = Generation::new(ingredients)
            .map_err(|error| refused_generation(&error, (source, &config)))?;
        Ok(Proven {
            generation: Arc::new(generation),
            policies: self.policies,
            loaded: self.loaded,
        })
    }
}

fn refused_generation(error: &GenerationError, (source, config): (&Path, &Config)) -> Refused {
    let at = match error {
        GenerationError::Client { upstream, .. }
        | GenerationError::Header { upstream, .. }
        | GenerationError::Secret { upstream, .. }
        | GenerationError::Endpoints { upstream, .. } => {
            format!("/upstreams/{}", token(upstream))
        }
        GenerationError::Route(_) => "/routes".to_owned(),
        GenerationError::Missing(_) => String::new(),
    };
    let endpoints = match error {
        GenerationError::Endpoints { upstream, .. } => config.upstreams.get(upstream),
        _ => None,
    };
    let awaits = endpoints.and_then(|upstream| match &upstream.endpoints {
        Endpoints::File(file) => Some(Box::new(file.path.clone())),
        Endpoints::Listed(_) | Endpoints::Dns(_) => None,
    });
    Refused {
        awaits,
        ..Refused::written(Stage::Prove, "generation", (source, &at), error)
    }
}

impl Proven {
    /// Makes it the generation that new exchanges take: one swap.
    pub(crate) fn swap_in(&self, shared: &Shared, generations: &Generations<Generation>) {
        generations.went_live(self.generation.id, &self.generation);
        let before = shared.generation.swap(Arc::clone(&self.generation));
        // Exchanges that hold it go on; none begins with it any more.
        let now = &self.generation.policies;
        for (name, policy) in &before.policies {
            if !now.get(name).is_some_and(|kept| Arc::ptr_eq(kept, policy)) {
                policy.retire();
            }
        }
    }
}
