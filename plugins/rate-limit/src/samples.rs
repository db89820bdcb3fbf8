//! Exchanges that show that the settings work, made from the settings themselves.

use std::collections::BTreeSet;

use serde_json::json;
use tollgate_sdk::prelude::*;
use tollgate_settings::Pattern;

use crate::{
    limit::{Fact, Limit, Match, OnMissing},
    settings::Settings,
};

/// Every one of them takes a moment of a swap.
const OF_LIMITS_MAX: usize = 16;

/// Each sample has a caller of its own, but limits may be shared: only the first one is
/// sure to find room.
pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let known = |name: &str, place: usize| with_facts(Sample::chat(name), settings, place);
    let streamed = known("a streamed chat", 1).events([
        RawEvent::text("hello"),
        RawEvent::finish("stop"),
        RawEvent::done(),
    ]);
    let mut samples = vec![
        known("a chat that all limits have room for", 0).expect_forwarded(),
        streamed,
    ];
    if settings.limits.iter().any(needs_to_know) {
        let sample = Sample::chat("nobody knows what it counts by");
        samples.push(sample.expect_answer(403));
    }
    let narrow = settings.limits.iter().filter(|limit| is_narrow(limit));
    let aimed = narrow.take(OF_LIMITS_MAX).enumerate();
    samples.extend(aimed.map(|(nth, limit)| aimed_at(limit, settings, nth + 2)));
    samples
}

/// It refuses a chat of nobody: other facts than a chat has by itself, and no exceptions.
fn needs_to_know(limit: &Limit) -> bool {
    let is_own = |name: &str| matches!(name, "route" | "model");
    limit.on_missing == OnMissing::Refuse
        && limit.by.iter().any(|fact| !is_own(fact.as_str()))
        && !is_narrow(limit)
        && limit.applies.routes.is_empty()
}

fn is_narrow(limit: &Limit) -> bool {
    !limit.applies.models.is_empty() || !limit.applies.tiers.is_empty()
}

fn with_facts(sample: Sample, settings: &Settings, place: usize) -> Sample {
    let value = format!("sample-{place}");
    let facts = settings.limits.iter().flat_map(|limit| &limit.by);
    let names: BTreeSet<&str> = facts.map(Fact::as_str).collect();
    let missing = names.into_iter().filter(|name| {
        let is_there = sample.facts.iter().any(|(there, _)| there == name);
        !is_there && !matches!(*name, "route" | "model")
    });
    let missing: Vec<&str> = missing.collect();
    missing
        .into_iter()
        .fold(sample, |sample, name| sample.fact(name, &*value))
}

fn aimed_at(limit: &Limit, settings: &Settings, place: usize) -> Sample {
    let name = format!("a chat that `{}` applies to", limit.name.as_str());
    let Match { models, tiers, .. } = &limit.applies;
    let model = models.first().map(Pattern::example);
    let model = model.unwrap_or_else(|| "sample".to_owned());
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let sample = Sample::chat(name).body(&body);
    let sample = match tiers.first() {
        Some(tier) => sample.fact("tier", tier),
        None => sample,
    };
    with_facts(sample, settings, place)
}
