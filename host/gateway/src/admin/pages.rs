//! What the admin port shows as JSON: generations, policies, the outcome of a reload.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tollgate_capabilities::{MetricRow, MetricValue};
use tollgate_config::{Config, Grants, Isolation, OnError};
use tollgate_sandbox::{Hook, Policy};

use super::Shown;

/// The generations that are alive, and the refusal that stands, if one does.
pub(super) async fn generations(State(admin): State<Shown>) -> Json<Value> {
    Json(json!({
        "generation": admin.shared.generation.load().id,
        "generations": admin.status.generations.shown(),
        "last_refusal": admin.status.last_refusal(),
    }))
}

/// The live generation's policies. No settings, since those may hold what is private.
pub(super) async fn policies(State(admin): State<Shown>) -> Json<Value> {
    let live = admin.shared.generation.load();
    let policies: Vec<Value> = live
        .policies
        .values()
        .filter_map(|policy| {
            Some(policy_shown(
                policy,
                live.config.policies.get(policy.name())?,
                &live.config,
            ))
        })
        .collect();
    Json(json!({ "generation": live.id, "policies": policies }))
}

/// One metric of the plugins' own, by the name that they give it, the largest number first.
pub(super) async fn metric(State(admin): State<Shown>, Path(name): Path<String>) -> Response {
    let mut rows = admin.plugin_metrics.rows(&name);
    if rows.is_empty() {
        let message = "no policy has counted anything under this name\n";
        return (StatusCode::NOT_FOUND, message).into_response();
    }
    let size = |row: &MetricRow| match row.value {
        MetricValue::Count(count) => count as f64,
        MetricValue::Gauge(gauge) => gauge,
    };
    rows.sort_by(|one, other| {
        let by_size = size(other).total_cmp(&size(one));
        by_size.then_with(|| (&one.policy, &one.labels).cmp(&(&other.policy, &other.labels)))
    });
    let shown = rows.into_iter().map(|row| {
        let labels = row.labels.into_iter();
        let labels: Map<String, Value> =
            labels.map(|(label, value)| (label, value.into())).collect();
        let value = match row.value {
            MetricValue::Count(count) => json!(count),
            MetricValue::Gauge(gauge) => json!(gauge),
        };
        json!({ "policy": row.policy, "labels": labels, "value": value })
    });
    Json(json!({ "metric": name, "rows": shown.collect::<Vec<_>>() })).into_response()
}

fn policy_shown(policy: &Policy, written: &tollgate_config::Policy, config: &Config) -> Value {
    let stats = policy.stats();
    let routes: Vec<&str> = config
        .routes
        .iter()
        .filter(|route| route.policies.iter().any(|name| name == policy.name()))
        .map(|route| route.name.as_str())
        .collect();
    let hooks = Hook::ALL.into_iter().filter(|hook| policy.has(*hook));
    json!({
        "policy": policy.name(),
        "plugin": policy.plugin(),
        "version": policy.version(),
        "sha256": policy.hash(),
        "runs_as": policy.runs_as(),
        "snapshot": policy.is_snapshot(),
        "hooks": hooks.map(Hook::name).collect::<Vec<_>>(),
        "on_error": match policy.on_error() { OnError::Refuse => "refuse", OnError::Bypass => "bypass" },
        "isolation": match written.isolation { Isolation::Exchange => "exchange", Isolation::Shared => "shared" },
        "grants": grants(&written.grants),
        "routes": routes,
        "quarantined": stats.quarantined,
        "calls": stats.calls.iter().sum::<u64>(),
        "errors": stats.failures.iter().sum::<u64>(),
        "instances": stats.live,
        "memory_peak_bytes": stats.memory_peak_bytes,
    })
}

fn grants(grants: &Grants) -> Vec<&'static str> {
    // Each by name, so that none is left out.
    let Grants {
        kv,
        limits,
        geo,
        secrets,
        http_call,
        cache,
        shadow,
        endpoints,
    } = grants;
    [
        (*kv, "kv"),
        (*limits, "limits"),
        (!secrets.is_empty(), "secrets"),
        (*geo, "geo"),
        (http_call.is_some(), "http-call"),
        (*cache, "cache"),
        (*shadow, "shadow"),
        (*endpoints, "endpoints"),
    ]
    .into_iter()
    .filter_map(|(granted, name)| granted.then_some(name))
    .collect()
}

/// Looks at the files now, and answers with what came of it.
pub(super) async fn reload(State(admin): State<Shown>) -> Response {
    match admin.reloads.reload().await {
        Ok(reloaded) => Json(json!({ "result": "ok", "reloaded": reloaded })).into_response(),
        Err(refused) => {
            let status = match refused.code.as_str() {
                "stopping" => StatusCode::SERVICE_UNAVAILABLE,
                "restart_needed" | "unstable" => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let generation = admin.shared.generation.load().id;
            (
                status,
                Json(json!({ "result": "refused", "generation": generation, "refused": refused })),
            )
                .into_response()
        }
    }
}
