//! What the file says: the keys that an operator may write, and nothing else.
//!
//! These types give the JSON schema too, so their docs are the operator's. Texts
//! with a spelling of their own (times, sizes, URLs, names) stay texts here;
//! `resolve` reads them, so that all mistakes come out together.

mod attempts;
mod balance;
mod endpoints;
mod health;
mod overload;
mod passage;

use std::borrow::Cow;

pub(crate) use balance::*;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use attempts::{Cause, Hedge, OrOff, Retries, Waits};
pub(crate) use endpoints::{Endpoints, Found, Listed};
pub(crate) use health::{Active, Breaker, Health, Passive, PeriodOrOff, Switch};
pub(crate) use overload::{Concurrency, Overload, Priorities, Queue};

use crate::{
    model,
    one_key::OneKey,
    place::{At, Named},
};
pub(crate) use passage::Mirror;

/// The configuration of a Tollgate gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate configuration")]
pub(crate) struct File {
    /// Where clients connect: an IP address and a port. Default: 127.0.0.1:8080.
    pub(crate) listen: Option<At<String>>,
    /// Makes the listener speak TLS.
    pub(crate) tls: Option<At<Tls>>,
    /// Where the admin port listens. Default: 127.0.0.1:9901.
    pub(crate) admin: Option<At<String>>,
    /// The name of the secret that whoever watches exchanges has to show. Default: none.
    pub(crate) admin_token: Option<At<String>>,
    /// The folder whose `*.wasm` files are the plugins. Default: `plugins/`.
    pub(crate) plugins: Option<At<String>>,
    /// Where compiled plugins are kept, or `off`. Default: `.tollgate/cache`.
    pub(crate) cache: Option<At<String>>,
    /// Where secrets are read from, by name.
    #[serde(default)]
    pub(crate) secrets: Named<OneKey<Secret>>,
    /// Where the capability `geo` looks addresses up.
    pub(crate) geo: Option<At<Geo>>,
    /// Whose `x-forwarded-for` is believed: addresses, or networks such as `10.0.0.0/8`.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<At<String>>,
    /// Uses of plugins, by name.
    #[serde(default)]
    pub(crate) policies: Named<Policy>,
    /// Groups of endpoints that answer alike, by name.
    #[serde(default)]
    pub(crate) upstreams: Named<Upstream>,
    /// The models that clients may ask for, by the name they use.
    #[serde(default)]
    pub(crate) models: Named<Model>,
    /// The first that matches serves.
    #[serde(default)]
    pub(crate) routes: Vec<At<Route>>,
    /// Bounds of the data path.
    pub(crate) limits: Option<At<Limits>>,
    /// How long the data path waits, and for what.
    pub(crate) timeouts: Option<At<Timeouts>>,
    /// How much is taken on at once.
    pub(crate) overload: Option<At<Overload>>,
    /// Bounds of a plugin instance, where its policy sets none of its own.
    pub(crate) sandbox: Option<At<Sandbox>>,
    /// Bounds of the process that compiles plugins.
    pub(crate) compile: Option<At<Compile>>,
}

/// PEM files; read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    #[schemars(required)]
    pub(crate) certificate: Option<At<String>>,
    #[schemars(required)]
    pub(crate) key: Option<At<String>>,
    /// The CAs whose certificates clients may show. Without it, none is asked for.
    pub(crate) client_ca: Option<At<String>>,
    /// Whether a client has to show one. Written beside `client_ca`; there is no default.
    pub(crate) client_auth: Option<ClientAuth>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuth {
    /// No connection without one.
    Required,
    /// One that is shown has to hold; policies see whether there is one.
    Optional,
}

/// Where addresses are looked up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Geo {
    /// A database in MaxMind's format; read again when it changes.
    pub(crate) file: At<String>,
}

/// Where a secret is read from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum Secret {
    /// An environment variable.
    Env(At<String>),
    /// A file; one newline at its end is not part of the secret.
    File(At<String>),
}

/// One use of a plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// The plugin's name: its file in the plugins folder without `.wasm`.
    #[schemars(required)]
    pub(crate) plugin: Option<At<String>>,
    /// What an exchange gets when the policy fails. There is no default.
    #[schemars(required)]
    pub(crate) on_error: Option<OnError>,
    /// Whether an instance serves one exchange or one after another. Default: exchange.
    pub(crate) isolation: Option<Isolation>,
    /// The capabilities that it may use.
    #[serde(default)]
    pub(crate) grants: Grants,
    /// What the plugin itself is set to; the plugin says what may stand here.
    pub(crate) settings: Option<At<Value>>,
    /// Bounds of its instances, where they differ from `sandbox`.
    pub(crate) limits: Option<Sandbox>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    /// The exchange is refused.
    Refuse,
    /// The exchange goes on without the policy.
    Bypass,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Isolation {
    /// An instance serves one exchange and is thrown away.
    Exchange,
    /// An instance serves one exchange after another.
    Shared,
}

/// Capabilities beyond `log`, `metrics`, `clock` and `random`, which are always there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Grants {
    /// A store of keys and values, its own.
    pub(crate) kv: bool,
    /// Budgets and rate limits.
    pub(crate) limits: bool,
    /// Where an address is, from the file that `geo` names.
    pub(crate) geo: Option<At<bool>>,
    /// Names of `secrets` that it may read.
    pub(crate) secrets: Vec<At<String>>,
    /// Calls over HTTP.
    #[serde(rename = "http-call")]
    pub(crate) http_call: Option<HttpCall>,
    /// Answers that the gateway keeps and gives to requests that are alike.
    pub(crate) cache: bool,
    /// Copies of requests for a second target.
    pub(crate) shadow: bool,
    /// The endpoints of a target or upstream with their load, to score them.
    pub(crate) endpoints: bool,
}

/// Calls over HTTP, to these hosts alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpCall {
    /// `scheme://host` or `scheme://host:port`.
    #[schemars(length(min = 1))]
    pub(crate) hosts: At<Vec<At<String>>>,
    /// Of one call. Default: 500ms.
    pub(crate) timeout: Option<At<Period>>,
    /// Of one answer. Default: 64KiB.
    pub(crate) max_response: Option<At<Size>>,
    /// In one exchange. Default: 4.
    #[schemars(range(min = 1, max = model::CALLS_MAX))]
    pub(crate) max_calls: Option<At<u64>>,
}

/// Bounds of one plugin instance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// Of one hook. Default: 10ms.
    pub(crate) hook_time: Option<At<Period>>,
    /// Of all hooks of an exchange together. Default: 1s.
    pub(crate) exchange_time: Option<At<Period>>,
    /// Of one tick, which is of no exchange, waiting included. Default: 10s.
    pub(crate) tick_time: Option<At<Period>>,
    /// Default: 16MiB.
    pub(crate) memory: Option<At<Size>>,
    /// Of each table. Default: 10000.
    #[schemars(range(min = 1, max = model::SandboxLimits::TABLE_ELEMENTS_MAX))]
    pub(crate) table_elements: Option<At<u64>>,
    /// In one hook. Default: 1000.
    #[schemars(range(min = 1, max = model::HOST_CALLS_MAX))]
    pub(crate) host_calls: Option<At<u64>>,
    /// Of one decision. Default: 64.
    #[schemars(range(min = 1, max = model::EDITS_MAX))]
    pub(crate) edits: Option<At<u64>>,
    /// In one exchange. Default: 20.
    #[schemars(range(min = 0, max = model::LOG_LINES_MAX))]
    pub(crate) log_lines: Option<At<u64>>,
    /// How many decisions of the whole policy are remembered, so that it need not be asked about
    /// the same again. 0: none. Default: 1024.
    #[schemars(range(min = 0, max = model::REMEMBERED_DECISIONS_MAX))]
    pub(crate) remembered_decisions: Option<At<u64>>,
}

/// A group of endpoints that answer alike.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// What its bodies mean. Default: openai.
    pub(crate) dialect: Option<Dialect>,
    /// A list of URLs, or where they are found.
    pub(crate) endpoints: At<Endpoints>,
    /// When an endpoint is left alone.
    pub(crate) health: Option<Health>,
    /// How much it is given at once.
    pub(crate) concurrency: Option<At<Concurrency>>,
    /// How an endpoint is picked. Default: round-robin.
    pub(crate) balance: Option<At<Balance>>,
    /// Headers of every request to it; `${secret:NAME}` stands for a secret.
    #[serde(default)]
    pub(crate) headers: Named<At<String>>,
    /// Policies that run for each try at it, behind those of the target.
    #[serde(default)]
    pub(crate) policies: Vec<At<String>>,
    /// A PEM file of roots to trust besides the usual ones.
    pub(crate) ca: Option<At<String>>,
    /// What ends a stream. Default: done-event for openai and anthropic, else transport.
    pub(crate) stream_end: Option<StreamEnd>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dialect {
    /// Chat completions, completions, embeddings, responses, audio, images, files.
    #[serde(rename = "openai")]
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

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StreamEnd {
    /// The last event of the API: `[DONE]`, or one such as `response.completed` or
    /// `message_stop` where the API names its events.
    DoneEvent,
    /// The clean end of the transport.
    Transport,
}

/// A model that clients may ask for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// Who serves it, by weight.
    #[schemars(length(min = 1, max = model::TARGETS_MAX))]
    pub(crate) targets: At<Vec<Target>>,
    /// Who is asked next, in this order, when a try has failed. Default: nobody.
    #[schemars(length(min = 1, max = model::FALLBACK_MAX))]
    pub(crate) fallback: Option<At<Vec<NextTarget>>>,
    /// After which failures. Default: all but the client's own, by status 429, 500, 502 to 504, 529.
    pub(crate) fallback_on: Option<At<Vec<At<Cause>>>>,
    /// How a try that failed is made again at the same target, or `off`. Default: the route's.
    pub(crate) retries: Option<At<OrOff<Retries>>>,
    /// Asks a second endpoint where the first is late. Default: the route's.
    pub(crate) hedge: Option<At<Hedge>>,
    /// How long is waited. Default: as the route says.
    pub(crate) timeouts: Option<At<Waits>>,
}

/// One of those in line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextTarget {
    /// A name of `upstreams`.
    pub(crate) upstream: At<String>,
    /// The upstream's name for the model. Default: the client's.
    pub(crate) model: Option<At<String>>,
    /// Policies that run for each try at this target.
    #[serde(default)]
    pub(crate) policies: Vec<At<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// A name of `upstreams`.
    pub(crate) upstream: At<String>,
    /// The upstream's name for the model. Default: the client's.
    pub(crate) model: Option<At<String>>,
    /// Its share among the targets. Default: 1.
    #[schemars(range(min = 0, max = model::TARGET_WEIGHT_MAX))]
    pub(crate) weight: Option<At<u64>>,
    /// Policies that run for each try at this target.
    #[serde(default)]
    pub(crate) policies: Vec<At<String>>,
}

/// Which requests, through which policies, to where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// For logs and metrics; unique. Default: made of the path.
    pub(crate) name: Option<At<String>>,
    /// Which requests; all that is given must hold. Default: every request.
    #[serde(default, rename = "match")]
    pub(crate) matches: Match,
    /// Names of `policies`, in the order in which they see the request.
    #[serde(default)]
    pub(crate) policies: Vec<At<String>>,
    /// A name of `upstreams`. Default: the upstream that serves the request's model.
    pub(crate) upstream: Option<At<String>>,
    /// What its clients speak, and so what errors look like. Default: told by the path.
    pub(crate) dialect: Option<Dialect>,
    /// The protocols that a connection may change to, such as `websocket`. Default: none.
    pub(crate) upgrades: Option<At<Vec<At<String>>>>,
    /// Where copies of requests go whose answers nobody gets.
    pub(crate) mirror: Option<At<Mirror>>,
    /// How a try that failed is made again, or `off`. Default: once, at another endpoint, if
    /// nothing was sent.
    pub(crate) retries: Option<At<OrOff<Retries>>>,
    /// Asks a second endpoint where the first is late. Default: nothing is asked twice.
    pub(crate) hedge: Option<At<Hedge>>,
    /// How long is waited. Default: as `timeouts` says.
    pub(crate) timeouts: Option<At<Waits>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Match {
    /// A host name, or `*.example.com`; without a port.
    pub(crate) host: Option<At<String>>,
    /// The exact path, or whole segments in front: `/v1/*`.
    pub(crate) path: Option<At<String>>,
    /// The same as `methods` with one entry.
    pub(crate) method: Option<At<String>>,
    /// Any of these.
    pub(crate) methods: Option<At<Vec<At<String>>>>,
    /// Header names and exact values; no value: the header is there.
    pub(crate) headers: Named<Option<At<String>>>,
    /// The same as `models` with one entry.
    pub(crate) model: Option<At<String>>,
    /// Any of these; `*` stands for any text.
    pub(crate) models: Option<At<Vec<At<String>>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Open connections of clients. Default: 10000.
    #[schemars(range(min = 1, max = model::CONNECTIONS_MAX))]
    pub(crate) connections: Option<At<u64>>,
    /// Request line and headers. Default: 32KiB.
    pub(crate) request_header: Option<At<Size>>,
    /// Default: 10MiB.
    pub(crate) request_body: Option<At<Size>>,
    /// All request bodies together that are held whole, for policies, other tries or copies.
    /// Default: 1GiB.
    pub(crate) request_bodies: Option<At<Size>>,
    /// A response body that a policy needs at hand. Default: 4MiB.
    pub(crate) response_buffer: Option<At<Size>>,
    /// One event of a stream. Default: 1MiB.
    pub(crate) event: Option<At<Size>>,
    /// Default: 64.
    #[schemars(range(min = 1, max = model::JSON_DEPTH_MAX))]
    pub(crate) json_depth: Option<At<u64>>,
    /// All answers together that policies have the gateway keep. Default: 64MiB.
    pub(crate) answers: Option<At<Size>>,
    /// One of them; a longer one is not kept. Default: 1MiB.
    pub(crate) answer: Option<At<Size>>,
    /// Connections that changed their protocol, or are about to. Default: 1000.
    #[schemars(range(min = 1, max = model::UPGRADES_MAX))]
    pub(crate) upgrades: Option<At<u64>>,
    /// Mirrored requests under way. Default: 64.
    #[schemars(range(min = 1, max = model::MIRRORS_MAX))]
    pub(crate) mirrors: Option<At<u64>>,
    /// Bodies of all of them together. Default: 16MiB.
    pub(crate) mirror_bodies: Option<At<Size>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// To the end of a request's headers. Default: 10s.
    pub(crate) header: Option<At<Period>>,
    /// Between requests of a connection. Default: 60s.
    pub(crate) idle: Option<At<Period>>,
    /// Between two pieces of a request body. Default: 30s.
    pub(crate) request_body: Option<At<Period>>,
    /// Connecting to an endpoint. Default: 5s.
    pub(crate) connect: Option<At<Period>>,
    /// To the response's headers. Default: 60s.
    pub(crate) first_byte: Option<At<Period>>,
    /// Between two pieces of a response body. Default: 60s.
    pub(crate) between_bytes: Option<At<Period>>,
    /// Of the whole exchange. Default: 10m.
    pub(crate) total: Option<At<Period>>,
    /// Between two pieces, either way, of a connection that changed its protocol. Default: 5m.
    pub(crate) upgrade_idle: Option<At<Period>>,
    /// Of such a connection in whole. Default: 24h.
    pub(crate) upgrade_total: Option<At<Period>>,
    /// The longest total that a client may ask for. Default: no longer than `total`.
    pub(crate) max_total: Option<At<Period>>,
    /// How long a shutdown waits for exchanges in flight. Default: 30s.
    pub(crate) shutdown: Option<At<Period>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compile {
    /// CPU time, in whole seconds. Default: 30s.
    pub(crate) cpu_time: Option<At<Period>>,
    /// Default: 1GiB.
    pub(crate) memory: Option<At<Size>>,
    /// Of the `.wasm` file. Default: 16MiB.
    pub(crate) input: Option<At<Size>>,
}

/// A time such as `10ms`, `30s`, `5m` or `1h`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Period(pub(crate) String);

/// A size such as `64KiB`, `16MiB`, `1GiB`, or a number of bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Size(pub(crate) String);

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time such as `10ms`, `30s`, `5m` or `1h`.",
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h)$",
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size such as `64KiB`, `16MiB`, `1GiB`, or a number of bytes.",
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(KiB|MiB|GiB)?$",
            "minimum": 0,
        })
    }
}

impl From<OnError> for model::OnError {
    fn from(written: OnError) -> Self {
        match written {
            OnError::Refuse => Self::Refuse,
            OnError::Bypass => Self::Bypass,
        }
    }
}

impl From<ClientAuth> for model::ClientAuth {
    fn from(written: ClientAuth) -> Self {
        match written {
            ClientAuth::Required => Self::Required,
            ClientAuth::Optional => Self::Optional,
        }
    }
}

impl From<Isolation> for model::Isolation {
    fn from(written: Isolation) -> Self {
        match written {
            Isolation::Exchange => Self::Exchange,
            Isolation::Shared => Self::Shared,
        }
    }
}

impl From<Dialect> for model::Dialect {
    fn from(written: Dialect) -> Self {
        match written {
            Dialect::OpenAi => Self::OpenAi,
            Dialect::Anthropic => Self::Anthropic,
            Dialect::OpenInference => Self::OpenInference,
            Dialect::Seldon => Self::Seldon,
            Dialect::Opaque => Self::Opaque,
        }
    }
}

impl From<StreamEnd> for model::StreamEnd {
    fn from(written: StreamEnd) -> Self {
        match written {
            StreamEnd::DoneEvent => Self::DoneEvent,
            StreamEnd::Transport => Self::Transport,
        }
    }
}
