//! Exchanges that show that the settings work, made from the settings themselves.

use serde_json::json;
use tollgate_sdk::prelude::*;
use tollgate_settings::Pattern;

use crate::{
    rule::Rule,
    settings::{OtherModels, Settings},
};

/// Every one of them takes a moment of a swap.
const RULES_MAX: usize = 32;

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let rules = settings.rules.iter().take(RULES_MAX);
    let mut samples: Vec<Sample> = rules.flat_map(|rule| of_rule(settings, rule)).collect();
    let stranger = "a model that no rule has";
    if settings.rules.find(&[Some(stranger)]).is_none() {
        let sample = chat(stranger, stranger);
        samples.push(match settings.other_models {
            OtherModels::Allow => sample.expect_forwarded(),
            OtherModels::Refuse => sample.expect_answer(400),
        });
    }
    samples
}

/// A plain chat runs, whatever comes of it: a rule may ask for more. One that asks for too
/// much is refused.
fn of_rule(settings: &Settings, rule: &Rule) -> Vec<Sample> {
    let Some(model) = rule.models.first().map(Pattern::example) else {
        return Vec::new();
    };
    let mut samples = vec![chat(&format!("a chat with {model}"), &model)];
    let found = settings.rules.find(&[Some(&model)]);
    let is_found = found.is_some_and(|(found, _)| std::ptr::eq(found, rule));
    let beyond = rule.max_tokens.and_then(|range| range.max?.checked_add(1));
    if let Some(tokens) = beyond.filter(|_| is_found) {
        let name = format!("too many tokens asked of {model}");
        let body = json!({
            "model": model,
            "messages": [{ "role": "user", "content": "hello" }],
            "max_tokens": tokens,
        });
        samples.push(Sample::chat(name).body(&body).expect_answer(400));
    }
    samples
}

fn chat(name: &str, model: &str) -> Sample {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    Sample::chat(name).body(&body)
}
