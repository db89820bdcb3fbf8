//! One sandbox with a well-behaved neighbour in it, and a way to strike.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_capabilities::{
    Capabilities, EmbeddedOptions, GeoError, GeoLocator, Place, Secret, SecretError, SecretStore,
};
use tollgate_config::{Grants, HttpCallGrant, Isolation, OnError, SandboxLimits};
use tollgate_sandbox::{
    About, ExchangeContext, Failure, LoadError, Message, Policy, PolicySpec, Prepared, Sandbox,
    SandboxOptions, Session, Side,
    contract::{
        CachePlan, Decision, Destination, Edit, Ending, Endpoint, Event, Head, Outcome, Target,
    },
};

use crate::guest;

pub(crate) const INSTANCES: u32 = 64;

pub(crate) struct Stage {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) capabilities: Capabilities,
    neighbour: Arc<Policy>,
    answered: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(options()).await
    }

    /// Compiles in a child, as the gateway does.
    pub(crate) async fn with_child() -> Self {
        Self::with(SandboxOptions {
            compiler: Some(guest::compile_worker()),
            ..options()
        })
        .await
    }

    pub(crate) async fn with(options: SandboxOptions) -> Self {
        let capabilities = Capabilities::embedded(EmbeddedOptions::default());
        Self::on(options, capabilities).await
    }

    pub(crate) async fn on(options: SandboxOptions, capabilities: Capabilities) -> Self {
        let sandbox =
            Sandbox::new(options, capabilities.clone()).expect("the sandbox can be set up");
        let mut spec = spec(
            "neighbour",
            guest::hostile(),
            json!({ "text": "neighbour" }),
        );
        spec.config.plugin = "neighbour".to_owned();
        let neighbour = sandbox
            .load(spec)
            .await
            .expect("the neighbour is well-behaved");
        let answered = answer(&neighbour).await;
        assert!(answered.contains("x-neighbour"), "{answered}");
        Self {
            sandbox,
            capabilities,
            neighbour,
            answered,
        }
    }

    pub(crate) async fn the_neighbour_answers_as_before(&self) {
        assert_eq!(answer(&self.neighbour).await, self.answered);
        assert_eq!(
            self.neighbour.stats().failures,
            [0; 6],
            "the neighbour was blamed"
        );
    }

    /// Loads the hostile guest with these settings.
    pub(crate) async fn hostile(&self, settings: Value) -> Arc<Policy> {
        self.load(spec("hostile", guest::hostile(), settings)).await
    }

    pub(crate) async fn load(&self, spec: PolicySpec) -> Arc<Policy> {
        self.sandbox
            .load(spec)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Compiled and configured, for any number of policies.
    pub(crate) async fn prepare(&self, spec: PolicySpec) -> Prepared {
        self.sandbox
            .prepare(spec)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// One with counters of its own, on the stage's capabilities.
    pub(crate) fn policy_of(&self, prepared: &Prepared) -> Arc<Policy> {
        let capabilities = self.capabilities.with_secrets(Arc::new(TwoSecrets));
        prepared.policy(capabilities.with_geo(Arc::new(OnePlace)))
    }

    /// Expects that this is refused, and that the neighbour did not notice.
    pub(crate) async fn refused(&self, spec: PolicySpec) -> LoadError {
        let error = self.sandbox.load(spec).await.expect_err("it is refused");
        assert!(
            !error.reason.contains("panicked"),
            "the host panicked: {error}"
        );
        assert!(
            error.to_string().len() < 8192,
            "a message of {} bytes",
            error.to_string().len()
        );
        assert!(
            !error.reason.chars().any(|c| c.is_control() && c != '\n'),
            "{:?}",
            error.reason
        );
        self.the_neighbour_answers_as_before().await;
        error
    }

    /// Expects that these bytes are refused.
    pub(crate) async fn refused_bytes(&self, wasm: impl Into<Bytes>) -> LoadError {
        self.refused(spec("hostile", wasm.into(), json!({}))).await
    }

    /// Strikes once and looks after the neighbour.
    pub(crate) async fn struck(&self, settings: Value) -> Result<Struck, Failure> {
        let policy = self.hostile(json!({ "mode": "ask" })).await;
        let struck = strike_as(&policy, "/strike", &settings.to_string()).await;
        self.the_neighbour_answers_as_before().await;
        struck
    }

    /// What must fail when it strikes, and not before or after.
    pub(crate) async fn fails(&self, settings: Value) -> Failure {
        let policy = self.hostile(json!({ "mode": "ask" })).await;
        let route = settings.to_string();
        let failure = strike_as(&policy, "/strike", &route)
            .await
            .expect_err(&route);
        assert!(
            failure.to_string().len() < 8192,
            "a message of {} bytes",
            failure.to_string().len()
        );
        self.the_neighbour_answers_as_before().await;
        assert!(
            strike_as(&policy, "/honest", &route).await.is_ok(),
            "the next exchange has an instance of its own"
        );
        failure
    }
}

pub(crate) fn options() -> SandboxOptions {
    SandboxOptions {
        compiler: None,
        cache: Some(shared_cache()),
        instances: INSTANCES,
        memory_bytes: 32 << 20,
    }
}

/// Compiles each plugin with the same settings once a run.
fn shared_cache() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile-plugins-cache");
            let _ = std::fs::remove_dir_all(&folder);
            folder
        })
        .clone()
}

/// Everything granted.
pub(crate) fn spec(name: &str, wasm: Bytes, settings: Value) -> PolicySpec {
    PolicySpec {
        name: name.to_owned(),
        wasm,
        config: tollgate_config::Policy {
            plugin: "hostile".to_owned(),
            on_error: OnError::Refuse,
            isolation: Isolation::Exchange,
            grants: Grants {
                kv: true,
                limits: true,
                geo: true,
                secrets: vec!["granted".to_owned()],
                http_call: Some(HttpCallGrant {
                    hosts: vec!["http://127.0.0.1:9".to_owned()],
                    timeout: Duration::from_millis(100),
                    max_response_bytes: 1024,
                    max_calls: 2,
                }),
                cache: true,
                shadow: true,
                endpoints: true,
            },
            settings,
            settings_at: Default::default(),
            // Ten times what holds by default: the host's side is built without optimisation.
            sandbox: SandboxLimits {
                hook_time: Duration::from_millis(100),
                exchange_time: Duration::from_secs(2),
                ..SandboxLimits::default()
            },
        },
        compile: Default::default(),
        secrets: Arc::new(TwoSecrets),
        geo: Arc::new(OnePlace),
    }
}

/// Knows `192.0.2.1`.
struct OnePlace;

impl GeoLocator for OnePlace {
    fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        match address.to_string().as_str() {
            "192.0.2.1" => Ok(Some(Place {
                country: Some("DE".to_owned()),
                city: Some("München".to_owned()),
                ..Place::default()
            })),
            "192.0.2.2" => Ok(None),
            _ => Err(GeoError::Unavailable),
        }
    }
}

/// Holds `granted` and `others`.
struct TwoSecrets;

impl SecretStore for TwoSecrets {
    fn get(&self, name: &str) -> Result<Secret, SecretError> {
        match name {
            "granted" | "others" => Ok(Secret::new(b"s3cr3t")),
            _ => Err(SecretError::Denied),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Struck {
    pub(crate) request: Decision,
    /// What it planned for the answer.
    pub(crate) plan: Option<Box<CachePlan>>,
    /// Where it wants a copy to go.
    pub(crate) shadow: Option<Box<Destination>>,
    /// What it said when it was asked where the try goes, and what it thinks of each endpoint.
    pub(crate) attempt: Decision,
    pub(crate) scores: Option<Vec<f64>>,
}

impl Struck {
    /// What the guest says it saw.
    pub(crate) fn seen(&self) -> String {
        self.header("x-seen")
    }

    /// What the guest says where it behaves: its settings' text, the path, the host.
    pub(crate) fn neighbour(&self) -> String {
        self.header("x-neighbour")
    }

    /// The same, of the hook that is asked about a try.
    pub(crate) fn seen_at_attempt(&self) -> String {
        header(&self.attempt, "x-seen")
    }

    fn header(&self, name: &str) -> String {
        header(&self.request, name)
    }
}

pub(crate) fn header(decision: &Decision, name: &str) -> String {
    let named = |edit: &Edit| match edit {
        Edit::SetHeader(header) if header.name == name => {
            Some(String::from_utf8_lossy(&header.value).into_owned())
        }
        _ => None,
    };
    decision.edits.iter().find_map(named).unwrap_or_default()
}

/// A whole exchange through every hook; decisions are applied, as the gateway does.
pub(crate) async fn strike(policy: &Arc<Policy>, path: &str) -> Result<Struck, Failure> {
    strike_as(policy, path, "chat").await
}

/// For a guest that is told what to do by the name of the route.
pub(crate) async fn strike_as(
    policy: &Arc<Policy>,
    path: &str,
    route: &str,
) -> Result<Struck, Failure> {
    let (head, mut shown) = (told(path, route), message(path));
    let context = ExchangeContext::default();
    let opened = policy.open_and_request((&head, &context), &mut shown);
    let (session, request) = opened.await?;
    strike_on(session, request?, shown).await
}

/// As [`strike_as`], of a session that opens before it is asked anything.
pub(crate) async fn strike_apart(
    policy: &Arc<Policy>,
    path: &str,
    route: &str,
) -> Result<Struck, Failure> {
    let (head, mut shown) = (told(path, route), message(path));
    let mut session = policy.open(&head, &ExchangeContext::default()).await?;
    let request = session.on_request(&mut shown).await?;
    strike_on(session, request, shown).await
}

fn told(path: &str, route: &str) -> Head {
    Head {
        route: route.to_owned(),
        ..head(path)
    }
}

async fn strike_on(
    mut session: Session,
    request: Decision,
    mut shown: Message,
) -> Result<Struck, Failure> {
    let (plan, shadow) = (shown.plan.take(), shown.shadow.take());
    shown
        .apply(request.edits.clone(), Side::Request)
        .map_err(|bad| session.reject(&bad))?;
    let target = Target {
        upstream: "u".into(),
        dialect: "openai".into(),
        model: None,
        attempt: 1,
    };
    shown.endpoints = Some(endpoints());
    let attempt = session.on_attempt(&target, &mut shown).await?;
    let scores = shown.scores.take();
    shown
        .apply(attempt.edits.clone(), Side::Request)
        .map_err(|bad| session.reject(&bad))?;
    let mut shown = Message {
        status: 200,
        ..Message::default()
    };
    let response = session.on_response(200, &mut shown).await?;
    shown
        .apply(response.edits.clone(), Side::Response)
        .map_err(|bad| session.reject(&bad))?;
    session
        .on_events(&[event("one"), event("two")], false)
        .await?;
    session.on_events(&[], true).await?;
    session.on_finish(&outcome()).await?;
    session.close().await;
    Ok(Struck {
        request,
        plan,
        shadow,
        attempt,
        scores,
    })
}

/// Two that there are to choose from: one has told all, and one nothing.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let busy = Endpoint {
        address: "10.0.0.5:8000".into(),
        weight: 3,
        in_flight: 7,
        latency_ms: Some(41.5),
        running: Some(6),
        waiting: Some(2),
        cache_use: Some(0.75),
        tried: true,
    };
    let idle = Endpoint {
        address: "[::1]:80".into(),
        weight: 1,
        in_flight: 0,
        latency_ms: None,
        running: None,
        waiting: None,
        cache_use: None,
        tried: false,
    };
    vec![busy, idle]
}

async fn answer(policy: &Arc<Policy>) -> String {
    let struck = strike(policy, "/v1/chat/completions").await;
    format!(
        "{:?}",
        struck.unwrap_or_else(|failure| panic!("the neighbour {failure}"))
    )
}

pub(crate) fn event(data: &str) -> Event {
    Event {
        name: None,
        data: data.as_bytes().to_vec(),
    }
}

pub(crate) fn message(path: &str) -> Message {
    Message {
        method: http::Method::POST,
        path: path.to_owned(),
        headers: [
            (
                http::header::HOST,
                http::HeaderValue::from_static("gateway"),
            ),
            (
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("application/json"),
            ),
        ]
        .into_iter()
        .collect(),
        body: Some(Bytes::from_static(br#"{"model":"m"}"#)),
        ..Message::default()
    }
}

pub(crate) fn head(path: &str) -> Head {
    Head {
        route: "chat".to_owned(),
        method: "POST".to_owned(),
        path: path.to_owned(),
        model: None,
        caller: None,
        tier: None,
        streaming: false,
        body_bytes: Some(13),
        // What is left of no time is the same whenever it is looked at.
        deadline_ms: 0,
    }
}

/// What goes with such a head, whose time begins now.
pub(crate) fn about(head: &Head) -> About<'_> {
    About {
        route: &head.route,
        model: head.model.as_deref(),
        streaming: head.streaming,
        body_bytes: head.body_bytes,
        deadline: Instant::now() + Duration::from_millis(head.deadline_ms.into()),
        recorded: false,
    }
}

pub(crate) fn outcome() -> Outcome {
    Outcome {
        ending: Ending::Complete,
        status: 200,
        upstream: None,
        attempts: 1,
        first_byte_us: None,
        total_us: 1,
        usage: None,
    }
}
