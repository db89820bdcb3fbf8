//! What the gateway uses: names resolved, limits typed.
//!
//! Only [`load`](crate::load) makes a [`Config`], so one in hand is right: every
//! name in it exists, every limit is in range. Knows nothing of YAML.

mod attempts;
mod balance;
mod endpoints;
mod health;
mod overload;
mod passage;
mod ranges;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

pub use balance::*;
use ipnet::IpNet;

pub(crate) use attempts::FALLBACK_ON;
pub use attempts::{Cause, FALLBACK_MAX, Hedge, RETRIES_MAX, Retries, Waits};
pub use endpoints::{DnsRecord, Endpoint, EndpointDns, EndpointFile, Endpoints};
pub use health::{Active, Circuit, Health, Passive};
pub use overload::*;
pub use passage::{Mirror, Share};
pub(crate) use ranges::*;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    pub admin: SocketAddr,
    /// A name of [`Config::secrets`]: what whoever watches exchanges has to show.
    pub admin_token: Option<String>,
    /// The folder whose `*.wasm` files are the plugins, absolute.
    pub plugins: PathBuf,
    /// Where compiled plugins are kept, absolute; `None`: nothing is kept.
    pub cache: Option<PathBuf>,
    pub secrets: BTreeMap<String, SecretSource>,
    /// The database that the capability `geo` looks addresses up in.
    pub geo: Option<PathBuf>,
    /// Whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub policies: BTreeMap<String, Policy>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub models: BTreeMap<String, Model>,
    /// In the order of the file; the first that matches serves.
    pub routes: Vec<Route>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub overload: Overload,
    /// Defaults for every plugin; already merged into each [`Policy::sandbox`].
    pub compile: CompileLimits,
}

/// PEM files, read again when they change. Relative paths are resolved against the config's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// `None`: clients are not asked for a certificate.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates of clients hold, and whether one has to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// A PEM file of CAs.
    pub ca: PathBuf,
    pub auth: ClientAuth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No connection without a certificate.
    Required,
    /// One that is shown has to hold.
    Optional,
}

/// Where a secret is read from: an environment variable or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    Env(String),
    File(PathBuf),
}

/// One use of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The plugin's name: its file is `<plugins>/<name with - or _>.wasm`.
    pub plugin: String,
    pub on_error: OnError,
    pub isolation: Isolation,
    pub grants: Grants,
    pub settings: serde_json::Value,
    /// Where `settings` stand, for messages: file, line, column.
    pub settings_at: Location,
    pub sandbox: SandboxLimits,
}

/// A place in a configuration file. Lines and columns count from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
}

/// What an exchange gets when a policy fails (trap, out of time, out of memory, bad decision).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    Refuse,
    Bypass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// An instance serves one exchange.
    #[default]
    Exchange,
    /// An instance serves one exchange after another.
    Shared,
}

/// The capabilities that need a grant. `log`, `metrics`, `clock` and `random` are always there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grants {
    pub kv: bool,
    pub limits: bool,
    /// There is a [`Config::geo`] then.
    pub geo: bool,
    /// Names of [`Config::secrets`].
    pub secrets: Vec<String>,
    pub http_call: Option<HttpCallGrant>,
    /// Answers that are kept and given again.
    pub cache: bool,
    /// Copies of requests for a second target.
    pub shadow: bool,
    /// The endpoints of a target or upstream with their load, to score them.
    pub endpoints: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HttpCallGrant {
    /// `scheme://host:port`, nothing else; the port is always there.
    pub hosts: Vec<String>,
    pub timeout: Duration,
    pub max_response_bytes: usize,
    pub max_calls: u32,
}

/// Bounds of one plugin instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Of the guest at work in one hook; waiting for a capability does not count.
    pub hook_time: Duration,
    /// Of all hooks of an exchange together.
    pub exchange_time: Duration,
    /// Of one tick, waiting included.
    pub tick_time: Duration,
    pub memory_bytes: usize,
    /// Of each table, at most [`TABLE_ELEMENTS_MAX`](Self::TABLE_ELEMENTS_MAX).
    pub table_elements: usize,
    /// In one hook.
    pub host_calls: u32,
    pub edits: usize,
    pub log_lines: u32,
    /// Of the whole policy; 0: none.
    pub remembered_decisions: u32,
}

impl SandboxLimits {
    /// As many elements as each table of the pool can hold.
    pub const TABLE_ELEMENTS_MAX: usize = 20_000;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    pub cpu_time: Duration,
    pub memory_bytes: u64,
    /// Of the `.wasm` file.
    pub input_bytes: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    pub dialect: Dialect,
    pub endpoints: Endpoints,
    /// How an endpoint is picked.
    pub balance: Balance,
    pub health: Health,
    /// `None`: no bound.
    pub concurrency: Option<Concurrency>,
    /// Added to every request, such as a provider's key; overwrites the client's.
    pub headers: Vec<UpstreamHeader>,
    /// Policies whose `on_attempt` runs for each try here, behind those of the target.
    pub policies: Vec<String>,
    /// A PEM file of additional roots for `https`.
    pub ca: Option<PathBuf>,
    /// What ends a stream: see [`StreamEnd`].
    pub stream_end: StreamEnd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamHeader {
    pub name: String,
    /// Text before and after an optional secret: `Bearer ${secret:openai}`.
    pub value: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    Plain(String),
    Secret {
        prefix: String,
        name: String,
        suffix: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Chat completions, completions, embeddings, responses, audio, images, files.
    #[default]
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// The Open Inference Protocol (KServe V2), and KServe V1.
    OpenInference,
    /// Seldon's `/api/v1.0/predictions`.
    Seldon,
    /// Nothing is known of the bodies.
    Opaque,
}

/// When a stream of events counts as complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// When the API's last event came, such as `[DONE]`: the default where there is one.
    DoneEvent,
    /// When the transport ended cleanly.
    Transport,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// At least one, and at least one of a weight above 0.
    pub targets: Vec<Target>,
    /// Who is asked next when a try has failed, in order; their weight is 0.
    pub fallback: Vec<Target>,
    /// After which failures.
    pub fallback_on: Vec<Cause>,
    /// `None`: as the route says.
    pub retries: Option<Retries>,
    pub hedge: Option<Hedge>,
    pub timeouts: Waits,
}

impl Model {
    /// All that may serve it, those in line behind those with a weight.
    pub fn all_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().chain(&self.fallback)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// A name of [`Config::upstreams`].
    pub upstream: String,
    /// The name that the upstream knows the model by; `None`: the client's.
    pub model: Option<String>,
    pub weight: u32,
    /// Policies whose `on_attempt` runs for this target.
    pub policies: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Given, or made of the path: unique.
    pub name: String,
    /// Where it stands, for messages.
    pub at: Location,
    pub matches: Match,
    /// In order.
    pub policies: Vec<String>,
    pub to: Destination,
    /// What its clients speak; `None`: what the path says.
    pub dialect: Option<Dialect>,
    /// Protocols that a connection may change to, in lower case; empty: none.
    pub upgrades: Vec<String>,
    pub mirror: Option<Mirror>,
    /// `None`: [`Retries::default`].
    pub retries: Option<Retries>,
    pub hedge: Option<Hedge>,
    pub timeouts: Waits,
}

/// All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Match {
    /// Lower case, without port; `*.example.com` matches any label in front.
    pub host: Option<String>,
    pub path: Option<PathMatch>,
    /// Empty: any.
    pub methods: Vec<String>,
    /// Name in lower case, and the exact value, or `None`: it is there.
    pub headers: Vec<(String, Option<String>)>,
    /// Exact names, or globs with `*`; empty: any.
    pub models: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    Exact(String),
    /// Whole segments: `/v1` matches `/v1` and `/v1/x`, not `/v1x`. Written `/v1/*`.
    Prefix(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// By the request's model, among [`Config::models`].
    Model,
    /// Always this upstream; the body is not read for it.
    Upstream(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub request_header_bytes: usize,
    /// Of a body that is buffered because something needs it, and of any request body.
    pub request_body_bytes: u64,
    /// Of all request bodies together that are held whole.
    pub request_bodies_bytes: usize,
    /// Of a response body that a policy needs at hand.
    pub response_buffer_bytes: usize,
    /// Of one event of a stream.
    pub event_bytes: usize,
    pub json_depth: usize,
    /// Of all answers together that policies have the gateway keep.
    pub answers_bytes: usize,
    /// Of one of them; a longer one is not kept.
    pub answer_bytes: usize,
    /// Connections that changed their protocol, or are about to.
    pub upgrades: usize,
    /// Mirrored requests under way.
    pub mirrors: usize,
    /// Of the bodies of all of them.
    pub mirror_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a connection or request to the end of its headers.
    pub header: Duration,
    /// Between requests of a connection.
    pub idle: Duration,
    /// Between two pieces of a request body.
    pub request_body: Duration,
    pub connect: Duration,
    /// From the request sent to the response's headers.
    pub first_byte: Duration,
    /// Between two pieces of a response body.
    pub between_bytes: Duration,
    /// Of the whole exchange.
    pub total: Duration,
    /// Between two pieces, either way, of a connection that changed its protocol.
    pub upgrade_idle: Duration,
    /// Of such a connection in whole.
    pub upgrade_total: Duration,
    /// The longest total that a client may ask for; `None`: no longer than the one that holds.
    pub total_max: Option<Duration>,
    /// How long a shutdown waits for exchanges in flight.
    pub shutdown: Duration,
}
