//! Exchanges that show that the settings work, made from the settings themselves.

use serde_json::json;
use tollgate_sdk::prelude::*;

use crate::{
    settings::{Budget, OnMissingCaller, Settings},
    settle::Used,
};

/// A sample takes from a budget, so a small one may not be there for the next.
const ROOM: u64 = 8;

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let Some((tier, budget)) = largest(settings) else {
        return Vec::new();
    };
    let known = |name: &str| with_facts(Sample::chat(name), settings, tier);
    let example = settings
        .prices
        .as_ref()
        .and_then(|prices| prices.models.example());
    let model = example.as_deref().unwrap_or("sample");
    let question = |max_tokens| question(model, max_tokens);
    let streamed = known("a streamed chat").body(&question(1)).events([
        RawEvent::text("hello"),
        RawEvent::finish("stop"),
        RawEvent::done(),
    ]);
    let mut samples = vec![
        expect_fit(
            known("a chat within the budget").body(&question(1)),
            settings,
            budget,
            1,
        ),
        expect_fit(streamed, settings, budget, ROOM),
    ];
    if let Some(too_many) = budget.tokens.checked_add(1) {
        let sample = known("a chat that never fits").body(&question(too_many.get()));
        samples.push(sample.expect_answer(400));
    }
    let stranger = "a model without a price";
    if settings.price_of(Some(stranger)).is_err() {
        let body = self::question(stranger, 1);
        samples.push(known(stranger).body(&body).expect_answer(403));
    }
    if settings.default.is_none() {
        let unlisted = unlisted(settings);
        let sample = Sample::chat("a tier without a budget");
        samples.push(with_facts(sample, settings, Some(&unlisted)).expect_answer(403));
    }
    if settings.on_missing_caller == OnMissingCaller::Refuse && settings.scope.0 != "tier" {
        let sample = tier
            .into_iter()
            .fold(Sample::chat("nobody knows whose"), |sample, tier| {
                sample.fact("tier", tier)
            });
        samples.push(sample.expect_answer(403));
    }
    samples
}

fn question(model: &str, max_tokens: u64) -> serde_json::Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }], "max_tokens": max_tokens })
}

fn largest(settings: &Settings) -> Option<(Option<&str>, &Budget)> {
    let tiers = settings
        .tiers
        .iter()
        .map(|(tier, budget)| (Some(tier.as_str()), budget));
    let default = settings.default.iter().map(|budget| (None, budget));
    tiers.chain(default).max_by_key(|(_, budget)| budget.tokens)
}

fn with_facts(sample: Sample, settings: &Settings, tier: Option<&str>) -> Sample {
    let scope = settings.scope.0.as_str();
    let sample = match (scope, tier) {
        ("tier", _) => sample,
        (scope, _) => sample.fact(scope, "sample"),
    };
    match tier {
        Some(tier) => sample.fact("tier", tier),
        None if scope == "tier" => sample.fact("tier", unlisted(settings)),
        None => sample,
    }
}

/// `room`: how many times it has to fit to be sure of it.
fn expect_fit(sample: Sample, settings: &Settings, budget: &Budget, room: u64) -> Sample {
    let bytes = sample.body.len() as u64;
    let used = Used {
        input: bytes.div_ceil(settings.bytes_per_token.get()),
        cached: 0,
        output: 1,
    };
    let example = settings
        .prices
        .as_ref()
        .and_then(|prices| prices.models.example());
    let price = settings.price_of(example.as_deref()).ok().flatten();
    let cost = price.map_or(0, |price| price.cost(used));
    let money = budget
        .money
        .iter()
        .flat_map(|money| [money.day, money.month]);
    let is_enough = money
        .flatten()
        .all(|amount| cost.saturating_mul(room) <= amount.micros());
    if used.total().saturating_mul(room) <= budget.tokens.get() && is_enough {
        sample.expect_forwarded()
    } else {
        sample
    }
}

fn unlisted(settings: &Settings) -> String {
    let mut name = "unlisted".to_owned();
    while settings.tiers.contains_key(&name) {
        name.push('-');
    }
    name
}
