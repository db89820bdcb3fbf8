//! One whole pipeline: routes, policies, models and upstreams, every name resolved.
//!
//! Built beside the running one and never changed after. An exchange takes one and
//! keeps it to its end, so it never sees parts of two. Knows nothing of how its
//! policies were loaded.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tollgate_config::{Config, Destination, Retries};
use tollgate_sandbox::{Policy, contract::Hooks};
use tollgate_upstreams::{admission::Gate, discovery::DiscoveryError};

use crate::trace::{Hidden, Values};

use super::{
    admission,
    cache::{self, Shape},
    clients::{ClientError, Clients, Longest},
    headers,
    mirror::Mirror,
    route::{Asks, Conditions, Need, Route, RouteTable, To},
    slot::Placed,
    target::{Model, Target},
    tries::{Manner, Retry},
    upstream::{FirstLook, Upstream},
};

/// See the module.
pub struct Generation {
    /// Counts up from 1.
    pub id: u64,
    /// What it was built from.
    pub config: Arc<Config>,
    /// By name; configured and proven.
    pub policies: BTreeMap<String, Arc<Policy>>,
    pub(super) routes: RouteTable,
    pub(super) models: HashMap<String, Model>,
    /// Each as the target that it is where no model leads to it.
    pub(super) upstreams: HashMap<String, Target>,
    /// Where neither route nor model says how a try is made again.
    pub(super) retry: Retry,
    /// The longest that anything waits for a connection: so long the pools do.
    pub(super) connect: Duration,
    pub(super) header: HeaderValue,
    /// What nobody is shown who watches exchanges.
    pub(super) hidden: Hidden,
    /// Before all upstreams together, where requests are bounded.
    pub(crate) gate: Option<Arc<Gate>>,
    in_flight: AtomicUsize,
}

/// What a generation is made of.
pub struct Ingredients<'a> {
    /// See [`Generation::id`].
    pub id: u64,
    /// Proven right.
    pub config: Arc<Config>,
    /// One for each of the configuration's.
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// The process's own.
    pub clients: &'a Clients,
    /// At the endpoints of upstreams, by name.
    pub(crate) looks: HashMap<String, FirstLook>,
    /// The live generation: what is counted under the same settings goes on.
    pub(crate) before: Option<&'a Generation>,
    /// A secret by the name that the configuration gives it; `None`: cannot be read.
    pub secret: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

/// Why a generation cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// TLS towards an upstream.
    #[error("upstream `{upstream}`: {source}")]
    Client {
        /// Its name.
        upstream: String,
        /// What is wrong.
        source: ClientError,
    },
    /// A header that cannot be sent, or is the gateway's own to write.
    #[error("upstream `{upstream}`: the header `{header}` cannot be set")]
    Header {
        /// Its name.
        upstream: String,
        /// The header's.
        header: String,
    },
    /// A secret that cannot be read, or is no header's value.
    #[error(
        "upstream `{upstream}`: the secret `{secret}` of the header `{header}` cannot be read or is not fit for one"
    )]
    Secret {
        /// Its name.
        upstream: String,
        /// The header's.
        header: String,
        /// The secret's.
        secret: String,
    },
    /// A file of endpoints that cannot be read.
    #[error("upstream `{upstream}`: {source}")]
    Endpoints {
        /// Its name.
        upstream: String,
        /// What is wrong.
        source: DiscoveryError,
    },
    /// A method or header that can never match.
    #[error("route `{0}`: a method or header in `match` can never be sent")]
    Route(String),
    /// A name that the configuration should have resolved.
    #[error("`{0}` is not there")]
    Missing(String),
}

impl Generation {
    /// Resolves everything, so that a request looks nothing up by name but its model.
    ///
    /// # Errors
    /// Roots, secrets and headers that cannot be read or sent.
    pub fn new(ingredients: Ingredients<'_>) -> Result<Self, GenerationError> {
        let Ingredients {
            id,
            config,
            policies,
            clients,
            mut looks,
            before,
            secret,
        } = ingredients;
        let longest = longest(&config);
        let mut upstreams = HashMap::new();
        for (name, written) in &config.upstreams {
            let ways =
                clients
                    .ways(written, longest)
                    .map_err(|source| GenerationError::Client {
                        upstream: name.clone(),
                        source,
                    })?;
            let headers = upstream_headers(name, written, secret)?;
            let look = looks.remove(name);
            let look = look.unwrap_or_else(|| FirstLook::none(clients.fleet(name)));
            let upstream = Upstream::new(written, headers, ways, look, &config.overload).map_err(
                |source| GenerationError::Endpoints {
                    upstream: name.clone(),
                    source,
                },
            )?;
            let own = named(&policies, &written.policies)?;
            upstreams.insert(name.clone(), Target::direct(upstream, own));
        }
        let parts = Parts {
            config: &config,
            policies: &policies,
            upstreams: &upstreams,
            before: Former::of(before),
            ahead: names_ahead(&config).collect(),
            secret,
        };
        let models = config
            .models
            .iter()
            .map(|(name, model)| Ok((name.clone(), parts.model(name, model)?)));
        let models: HashMap<_, _> = models.collect::<Result<_, GenerationError>>()?;
        let at_targets = models.values().flat_map(Model::policies);
        let at_targets: Vec<_> = at_targets.map(|policy| Asks::of(policy)).collect();
        let routes = config
            .routes
            .iter()
            .map(|route| parts.route(route, &at_targets));
        let routes = RouteTable(routes.collect::<Result<_, _>>()?);
        Ok(Self {
            id,
            policies,
            routes,
            models,
            upstreams,
            retry: Retry::new(Retries::default(), before.map(|before| &before.retry)),
            connect: longest.connect,
            header: HeaderValue::from(id),
            hidden: hidden(&config, secret),
            gate: clients.gate.of(&config.overload),
            in_flight: AtomicUsize::new(0),
            config,
        })
    }

    /// From now on its bounds hold for all upstreams together.
    pub(crate) fn take_over(&self) {
        if let Some(gate) = &self.gate {
            admission::follow(gate, &self.config.overload);
        }
    }

    /// Its upstreams, by name.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (&String, &Arc<Upstream>)> {
        let upstreams = self.upstreams.iter();
        upstreams.map(|(name, target)| (name, &target.upstream))
    }

    /// Exchanges that it serves right now, their last hooks included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }
}

/// The configuration's secrets, and what stands in headers that are called as such.
fn hidden(config: &Config, secret: &dyn Fn(&str) -> Option<Vec<u8>>) -> Hidden {
    let mut hidden = Values::default();
    let secrets = config.secrets.keys();
    for value in secrets.filter_map(|name| secret(name)) {
        hidden.add(&value);
    }
    let headers = config
        .upstreams
        .values()
        .flat_map(|upstream| &upstream.headers);
    for header in headers {
        if let tollgate_config::HeaderValue::Plain(value) = &header.value {
            hidden.add_header(&header.name, value.as_bytes());
        }
    }
    Hidden::beside(&hidden)
}

/// How the live generation tries, by the names of its models and of its routes.
#[derive(Default)]
struct Former<'a> {
    models: HashMap<&'a str, &'a Manner>,
    routes: HashMap<&'a str, &'a Manner>,
}

impl<'a> Former<'a> {
    fn of(before: Option<&'a Generation>) -> Self {
        let Some(before) = before else {
            return Self::default();
        };
        let models = before.models.iter();
        let routes = before.routes.0.iter();
        Self {
            models: models
                .map(|(name, model)| (name.as_str(), &model.manner))
                .collect(),
            routes: routes.map(|route| (&*route.name, &route.manner)).collect(),
        }
    }
}

/// Of the policies of all targets and upstreams: any of them may be gone to.
fn names_ahead(config: &Config) -> impl Iterator<Item = &str> {
    let models = config.models.values();
    let targets = models.flat_map(tollgate_config::Model::all_targets);
    let at_targets = targets.flat_map(|target| &target.policies);
    let upstreams = config.upstreams.values();
    let names = at_targets.chain(upstreams.flat_map(|upstream| &upstream.policies));
    names.map(String::as_str)
}

/// The policies of these names.
fn named(
    policies: &BTreeMap<String, Arc<Policy>>,
    names: &[String],
) -> Result<Vec<Arc<Policy>>, GenerationError> {
    let find = |name: &String| {
        policies
            .get(name)
            .cloned()
            .ok_or_else(|| GenerationError::Missing(name.clone()))
    };
    names.iter().map(find).collect()
}

struct Parts<'a> {
    config: &'a Config,
    policies: &'a BTreeMap<String, Arc<Policy>>,
    upstreams: &'a HashMap<String, Target>,
    before: Former<'a>,
    /// Policies of any target or upstream, by name.
    ahead: HashSet<&'a str>,
    secret: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

impl Parts<'_> {
    fn upstream(&self, name: &str) -> Result<&Target, GenerationError> {
        self.upstreams
            .get(name)
            .ok_or_else(|| GenerationError::Missing(name.to_owned()))
    }

    fn model(&self, name: &str, model: &tollgate_config::Model) -> Result<Model, GenerationError> {
        let manner = Manner::new(
            (model.retries.as_ref(), model.hedge.as_ref()),
            &model.timeouts,
            std::iter::empty(),
            self.before.models.get(name).copied(),
        );
        let in_line = (self.targets(&model.fallback)?, model.fallback_on.clone());
        Ok(Model::new(self.targets(&model.targets)?, in_line, manner))
    }

    fn targets(&self, targets: &[tollgate_config::Target]) -> Result<Vec<Target>, GenerationError> {
        let ready = |target: &tollgate_config::Target| {
            let policies = named(self.policies, &target.policies)?;
            let direct = self.upstream(&target.upstream)?;
            let model = target.model.as_deref().map(Arc::from);
            Ok(direct.of_model(model, target.weight, policies))
        };
        targets.iter().map(ready).collect()
    }

    fn route(
        &self,
        route: &tollgate_config::Route,
        at_targets: &[Asks],
    ) -> Result<Arc<Route>, GenerationError> {
        let policies = named(self.policies, &route.policies)?;
        let to = match &route.to {
            Destination::Model => To::Model,
            Destination::Upstream(name) => To::Upstream(self.upstream(name)?.clone()),
        };
        let on_route: Vec<_> = policies.iter().map(|policy| Asks::of(policy)).collect();
        let ahead = match &to {
            To::Model => at_targets.to_vec(),
            To::Upstream(target) => target.policies.iter().map(|one| Asks::of(one)).collect(),
        };
        Ok(Arc::new(Route {
            name: route.name.as_str().into(),
            conditions: Conditions::new(&route.matches)
                .ok_or_else(|| GenerationError::Route(route.name.clone()))?,
            need_of_policies: Need::of_policies(&on_route, &ahead),
            has_policies_ahead: !ahead.is_empty(),
            shape: self.shape(route, &policies),
            policies: self.placed(policies),
            to,
            dialect: route.dialect,
            mirror: route.mirror.as_ref().map(Mirror::new),
            upgrades: route
                .upgrades
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            manner: Manner::new(
                (route.retries.as_ref(), route.hedge.as_ref()),
                &route.timeouts,
                self.config.models.keys(),
                self.before.routes.get(route.name.as_str()).copied(),
            ),
        }))
    }

    /// On a route; who stands at no target is never asked about an attempt.
    fn placed(&self, policies: Vec<Arc<Policy>>) -> Vec<Placed> {
        let placed = policies.into_iter().map(|policy| {
            let hooks = match self.ahead.contains(policy.name()) {
                true => policy.hooks(),
                false => policy.hooks() & !Hooks::ATTEMPT,
            };
            Placed { policy, hooks }
        });
        placed.collect()
    }

    /// With the policies of all targets and upstreams.
    fn shape(&self, route: &tollgate_config::Route, policies: &[Arc<Policy>]) -> Option<Shape> {
        let plans = |policy: &Arc<Policy>| policy.imports().iter().any(|import| import == "cache");
        if !policies.iter().any(plans) {
            return None;
        }
        let ahead = names_ahead(self.config).filter_map(|name| self.policies.get(name));
        let all = policies.iter().chain(ahead).map(|policy| &**policy);
        Some(cache::shape(self.config, self.secret, route, all))
    }
}

fn longest(config: &Config) -> Longest {
    let of_routes = config.routes.iter().map(|route| &route.timeouts);
    let of_models = config.models.values().map(|model| &model.timeouts);
    let all = of_routes.chain(of_models);
    let (connect, first_byte) = (config.timeouts.connect, config.timeouts.first_byte);
    all.fold(
        Longest {
            connect,
            write: first_byte,
        },
        |longest, waits| Longest {
            connect: longest.connect.max(waits.connect.unwrap_or_default()),
            write: longest.write.max(waits.first_byte.unwrap_or_default()),
        },
    )
}

fn upstream_headers(
    name: &str,
    upstream: &tollgate_config::Upstream,
    secret: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<(HeaderName, HeaderValue)>, GenerationError> {
    let mut lines = Vec::with_capacity(upstream.headers.len());
    for header in &upstream.headers {
        let unfit = || GenerationError::Header {
            upstream: name.to_owned(),
            header: header.name.clone(),
        };
        let field = HeaderName::from_bytes(header.name.as_bytes())
            .ok()
            .filter(headers::is_free)
            .ok_or_else(unfit)?;
        let value = match &header.value {
            tollgate_config::HeaderValue::Plain(text) => {
                HeaderValue::from_str(text).map_err(|_| unfit())?
            }
            tollgate_config::HeaderValue::Secret {
                prefix,
                name: secret_name,
                suffix,
            } => {
                let filled = secret(secret_name).and_then(|secret| {
                    HeaderValue::from_bytes(
                        &[prefix.as_bytes(), &secret, suffix.as_bytes()].concat(),
                    )
                    .ok()
                });
                let mut value = filled.ok_or_else(|| GenerationError::Secret {
                    upstream: name.to_owned(),
                    header: header.name.clone(),
                    secret: secret_name.clone(),
                })?;
                value.set_sensitive(true);
                value
            }
        };
        lines.push((field, value));
    }
    Ok(lines)
}

/// A generation in the hands of one exchange.
pub(super) struct Held(Arc<Generation>);

impl Held {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        generation.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(generation)
    }

    pub(super) fn shared(&self) -> Arc<Generation> {
        self.0.clone()
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Deref for Held {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
