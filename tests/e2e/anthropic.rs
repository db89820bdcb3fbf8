//! `anthropic` on real traffic: OpenAI's clients before a server that speaks Anthropic's
//! Messages, and Anthropic's clients before one that speaks OpenAI's chat completions.

use serde_json::{Value, json};

use crate::{
    client::{Ask, Collected},
    fixture::{Site, either_way},
    scripted::Scripted,
};

mod broken;
pub(crate) mod claude;
mod from_anthropic;
mod from_openai;

/// The policy `dialect` at the one target of the model `small`. `upstream` is what stands
/// under its name besides `stream_end`.
fn dialect(isolation: &str, settings: &str, path: &str, upstream: &str) -> String {
    format!(
        r#"
policies:
  dialect:
    plugin: anthropic
    on_error: refuse
    isolation: {isolation}
    limits: {{ hook_time: 500ms }}
    settings: {{ {settings} }}
upstreams: {{ model: {{ {upstream}, stream_end: transport }} }}
models: {{ small: {{ targets: [ {{ upstream: model, model: inner, policies: [ dialect ] }} ] }} }}
routes:
  - {{ name: chat, match: {{ path: {path} }} }}
"#
    )
}

/// The events that are JSON; of those with a name, what is behind it.
fn chunks(stream: &Collected) -> Vec<Value> {
    let data = stream.events.iter().map(|event| match event.find('{') {
        Some(at) => &event[at..],
        None => event.as_str(),
    });
    data.filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

/// The names of the events.
fn names(stream: &Collected) -> Vec<&str> {
    let named = stream
        .events
        .iter()
        .filter_map(|event| event.split_once(":{"));
    named.map(|(name, _)| name).collect()
}

async fn collected(ask: &Ask) -> Collected {
    let stream = ask.stream().await;
    assert_eq!(stream.status, 200);
    let kind = stream.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    stream.collect().await
}

/// What the access log says was used: input, output, cached.
fn used(line: &Value) -> [u64; 3] {
    ["input_tokens", "output_tokens", "cached_tokens"].map(|name| line[name].as_u64().unwrap_or(0))
}

async fn counted(site: &Site, kind: &str, tokens: f64) {
    let name = format!(r#"tollgate_tokens_total{{model="small",kind="{kind}"}}"#);
    site.metric_becomes(&name, tokens).await;
}

fn tools() -> Value {
    json!([{ "type": "function", "function": {
        "name": "look",
        "description": "Looks at a place.",
        "parameters": { "type": "object", "properties": { "place": { "type": "string" } }, "required": [ "place" ] },
    } }])
}

/// A site behind which somebody speaks as Anthropic does.
async fn before_claude(isolation: &str, settings: &str) -> (Site, Scripted) {
    let claude = Scripted::start(claude::answer).await;
    let upstream = format!(
        r#"endpoints: [ "http://{}" ], headers: {{ x-api-key: key-of-the-upstream }}"#,
        claude.addr
    );
    let settings = format!("client: openai, {settings}");
    let config = dialect(isolation, &settings, "/v1/chat/completions", &upstream);
    (Site::start(&config).await, claude)
}

/// A site behind which the stand-in speaks as OpenAI does.
async fn before_openai(isolation: &str, settings: &str) -> Site {
    let settings = format!("client: anthropic, {settings}");
    let upstream = r#"endpoints: [ "http://UPSTREAM" ]"#;
    let config = dialect(isolation, &settings, "/v1/messages", upstream);
    Site::start_with(&config, "").await
}
