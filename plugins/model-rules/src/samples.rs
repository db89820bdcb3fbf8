//! Exchanges that the gateway runs in the sandbox before the policy goes live: the cases,
//! or one for each rule if there are none.

use serde_json::json;
use tollgate_sdk::{RawEvent, Sample};

use crate::{Settings, case::Case, rules::Rule};

/// Every one of them takes a moment of a swap.
const SAMPLES_MAX: usize = 64;

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    if settings.cases.is_empty() {
        settings
            .rules
            .iter()
            .take(SAMPLES_MAX)
            .map(of_rule)
            .collect()
    } else {
        settings
            .cases
            .iter()
            .take(SAMPLES_MAX)
            .map(of_case)
            .collect()
    }
}

fn of_case(case: &Case) -> Sample {
    let mut sample = Sample::chat(case.name.as_str())
        .body(&case.request.body)
        .events(case.raw_events());
    for (name, value) in case.request.headers.iter() {
        sample = sample.header(name.as_str(), value.as_str());
    }
    if let Some(response) = &case.response {
        sample = sample.response(response.status, &response.body);
    }
    let is_refused = case
        .expect
        .as_ref()
        .is_some_and(|expect| expect.refused.is_some());
    if is_refused {
        sample.expect_answer(400)
    } else {
        sample.expect_forwarded()
    }
}

fn of_rule(rule: &Rule) -> Sample {
    let model = rule
        .models
        .first()
        .map(|pattern| pattern.example())
        .unwrap_or_default();
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let sample = Sample::chat(format!("a chat with {model}")).body(&body);
    if rule.events.is_idle() {
        sample
    } else {
        sample.events([
            RawEvent::text("hello"),
            RawEvent::finish("stop"),
            RawEvent::done(),
        ])
    }
}
