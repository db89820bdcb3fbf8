//! The upstreams of the live generation: as JSON, and in numbers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tollgate_upstreams::{
    admission::Counts,
    health::{Out, Standing},
};

use super::Shown;
use crate::{
    serve::{Asked, Endpoint, Fleet, Generation, Upstream},
    telemetry::exposition::{Exposition, Family, Kind},
};

/// States of an endpoint, as they are called here.
const STATES: [&str; 6] = ["in", "slow-start", "probation", "busy", "ejected", "down"];

/// Every endpoint: where it stands and why, what is in flight, how soon it answers.
pub(super) async fn upstreams(State(admin): State<Shown>) -> Json<Value> {
    let live = admin.shared.generation.load();
    let shown: Vec<Value> = sorted(&live).iter().map(|one| upstream(one)).collect();
    Json(json!({ "generation": live.id, "upstreams": shown }))
}

fn sorted(live: &Generation) -> Vec<Arc<Upstream>> {
    let mut upstreams: Vec<_> = live.upstreams().map(|(_, one)| Arc::clone(one)).collect();
    upstreams.sort_by(|one, other| one.care.fleet.name.cmp(&other.care.fleet.name));
    upstreams
}

fn upstream(upstream: &Upstream) -> Value {
    let now = Instant::now();
    let endpoints = upstream.endpoints();
    let breaker = upstream.care.breaker.as_ref();
    json!({
        "upstream": &*upstream.care.fleet.name,
        "breaker": breaker.map(|breaker| if breaker.is_closed() { "closed" } else { "open" }),
        "discovery_error": upstream.care.fleet.failing().map(|error| error.to_string()),
        "gate": upstream.door.as_ref().map(|door| gate(&door.counts())),
        "endpoints": endpoints.iter().map(|one| endpoint(one, upstream, now)).collect::<Vec<_>>(),
    })
}

fn gate(counts: &Counts) -> Value {
    json!({
        "limit": counts.limit,
        "in_use": counts.in_use,
        "waiting": counts.waiting,
    })
}

fn endpoint(endpoint: &Endpoint, upstream: &Upstream, now: Instant) -> Value {
    let notes = endpoint.state.notes.lock().clone();
    let standing = endpoint.state.health.standing(&upstream.care.health, now);
    let share = match standing {
        Standing::In(share) => f64::from(share.thousandths()) / 1_000.0,
        _ => 0.0,
    };
    let report = endpoint.load.report();
    let figures = report.map(|report| {
        json!({
            "age_ms": millis(now.saturating_duration_since(report.at)),
            "running": report.figures.running,
            "waiting": report.figures.waiting,
            "cache_use": report.figures.cache_use,
        })
    });
    let why = notes.why.map(|(why, since)| {
        let ago = now.saturating_duration_since(since);
        json!({ "last": why, "ago_ms": millis(ago) })
    });
    json!({
        "endpoint": &*endpoint.label,
        "state": state(standing),
        "share": share,
        "weight": endpoint.weight,
        "change": why,
        "in_flight": endpoint.load.in_flight(),
        "latency_ms": endpoint.load.latency(now).map(millis),
        "check": notes.check.map(|asked| question(&asked, now)),
        "scrape": notes.scrape.map(|asked| question(&asked, now)),
        "figures": figures,
    })
}

fn results(family: &mut Family<'_>, upstream: &str, [good, bad]: &[AtomicU64; 2]) {
    for (result, count) in [("good", good), ("bad", bad)] {
        let labels = [("upstream", upstream), ("result", result)];
        family.sample(&labels, count.load(Ordering::Relaxed));
    }
}

fn question(asked: &Asked, now: Instant) -> Value {
    json!({
        "age_ms": millis(now.saturating_duration_since(asked.at)),
        "took_ms": millis(asked.took),
        "error": asked.error,
    })
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::In(share) if share.thousandths() == 1_000 => STATES[0],
        Standing::In(_) => STATES[1],
        Standing::OnProbation => STATES[2],
        Standing::Busy => STATES[3],
        Standing::Out(Out::Ejected) => STATES[4],
        Standing::Out(Out::Down) => STATES[5],
    }
}

/// How an endpoint is counted.
type Gauge = (&'static str, &'static str, fn(&Endpoint, &Upstream) -> u32);

const GAUGES: [Gauge; 2] = [
    (
        "tollgate_endpoint_available",
        "1: the endpoint may be asked.",
        |endpoint, upstream| {
            let health = &endpoint.state.health;
            let standing = health.standing(&upstream.care.health, Instant::now());
            u32::from(!matches!(standing, Standing::Out(_)))
        },
    ),
    (
        "tollgate_endpoint_in_flight",
        "Requests sent to the endpoint and not ended.",
        |endpoint, _| endpoint.load.in_flight(),
    ),
];

pub(super) fn render(live: &Generation, out: &mut Exposition) {
    let upstreams = sorted(live);
    by_state(&upstreams, out);
    for (name, help, value) in GAUGES {
        let mut family = out.family(name, Kind::Gauge, help);
        for upstream in &upstreams {
            for endpoint in upstream.endpoints().iter() {
                let labels = [
                    ("upstream", &*upstream.care.fleet.name),
                    ("endpoint", &*endpoint.label),
                ];
                family.sample(&labels, value(endpoint, upstream));
            }
        }
    }
    let mut family = out.family(
        "tollgate_upstream_breaker_open",
        Kind::Gauge,
        "1: the upstream failed as a whole and is left alone.",
    );
    for upstream in &upstreams {
        if let Some(breaker) = &upstream.care.breaker {
            let labels = [("upstream", &*upstream.care.fleet.name)];
            family.sample(&labels, u8::from(!breaker.is_closed()));
        }
    }
    let mut fleets: Vec<&Fleet> = upstreams.iter().map(|one| &*one.care.fleet).collect();
    fleets.dedup_by(|one, other| one.name == other.name);
    counters(&fleets, out);
}

fn by_state(upstreams: &[Arc<Upstream>], out: &mut Exposition) {
    let mut family = out.family(
        "tollgate_endpoints",
        Kind::Gauge,
        "Endpoints of an upstream, by where they stand.",
    );
    for upstream in upstreams {
        let now = Instant::now();
        let endpoints = upstream.endpoints();
        let states = endpoints.iter();
        let states: Vec<_> = states
            .map(|one| state(one.state.health.standing(&upstream.care.health, now)))
            .collect();
        for name in STATES {
            let count = states.iter().filter(|state| **state == name).count();
            let labels = [("upstream", &*upstream.care.fleet.name), ("state", name)];
            family.sample(&labels, count);
        }
    }
}

/// A family of one value an upstream.
type Each = (&'static str, &'static str, fn(&Fleet) -> u64);

const EACH: [Each; 6] = [
    (
        "tollgate_endpoint_spared_total",
        "Times that an endpoint was not ejected since too many were out.",
        |fleet| fleet.counts.spared.load(Ordering::Relaxed),
    ),
    (
        "tollgate_endpoint_returned_total",
        "Times that an ejected endpoint did well again.",
        |fleet| fleet.counts.returned.load(Ordering::Relaxed),
    ),
    (
        "tollgate_endpoint_busy_total",
        "Answers that asked for a pause, by `retry-after`.",
        |fleet| fleet.counts.busy.load(Ordering::Relaxed),
    ),
    (
        "tollgate_upstream_unavailable_total",
        "Tries that found no endpoint.",
        |fleet| fleet.counts.unavailable.load(Ordering::Relaxed),
    ),
    (
        "tollgate_upstream_breaker_opened_total",
        "Times that the upstream was left alone as a whole.",
        |fleet| fleet.counts.breaker_opened.load(Ordering::Relaxed),
    ),
    (
        "tollgate_discovery_changes_total",
        "Times that other endpoints were found.",
        |fleet| fleet.counts.changes.load(Ordering::Relaxed),
    ),
];

fn counters(fleets: &[&Fleet], out: &mut Exposition) {
    let mut family = out.family(
        "tollgate_endpoint_ejected_total",
        Kind::Counter,
        "Times that an endpoint was ejected, by why.",
    );
    for fleet in fleets {
        let reasons = ["errors-in-a-row", "error-rate", "probe"];
        for (reason, count) in reasons.iter().zip(&fleet.counts.ejected) {
            let labels = [("upstream", &*fleet.name), ("reason", reason)];
            family.sample(&labels, count.load(Ordering::Relaxed));
        }
    }
    let mut family = out.family(
        "tollgate_checks_total",
        Kind::Counter,
        "Checks of endpoints, by result.",
    );
    for fleet in fleets {
        results(&mut family, &fleet.name, &fleet.counts.checks);
    }
    let mut family = out.family(
        "tollgate_scrapes_total",
        Kind::Counter,
        "Reads of endpoints' metrics, by result.",
    );
    for fleet in fleets {
        results(&mut family, &fleet.name, &fleet.counts.scrapes);
    }
    let mut family = out.family(
        "tollgate_discovery_failed_total",
        Kind::Counter,
        "Looks for endpoints that came to nothing; those that are known go on.",
    );
    for fleet in fleets {
        let failed = fleet.counts.discovery_failed.load(Ordering::Relaxed);
        family.sample(&[("upstream", &*fleet.name)], failed);
    }
    for (name, help, value) in EACH {
        let mut family = out.family(name, Kind::Counter, help);
        for fleet in fleets {
            family.sample(&[("upstream", &*fleet.name)], value(fleet));
        }
    }
}
