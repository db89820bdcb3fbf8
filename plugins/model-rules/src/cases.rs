//! Cases: exchanges that show what the rules do, checked before the rules go live.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use tollgate_sdk::{Event, RawEvent};

use crate::{document::Sheet, rules::Applied, settings::Settings};

/// An exchange, and what the rules make of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// The request, as the client sends it. Its `model` chooses the rules.
    pub request: CaseMessage,
    /// The request, as the upstream gets it.
    #[serde(default)]
    pub expect: Expected,
    /// A response, as the upstream sends it.
    pub response: Option<CaseMessage>,
    /// The response, as the client gets it.
    #[serde(default)]
    pub expect_response: Expected,
    /// A stream's events, as the upstream sends them: JSON, or text such as `[DONE]`.
    #[serde(default)]
    pub events: Vec<Json>,
    /// The events, as the client gets them.
    pub expect_events: Option<Vec<Json>>,
}

/// A message.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaseMessage {
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Json,
}

/// What a message is expected to be. What is left out is not looked at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// Some headers; `null` for one that is gone.
    pub headers: BTreeMap<String, Option<String>>,
    /// The whole body.
    pub body: Option<Json>,
}

/// Every case that comes out otherwise, and the first difference in it.
pub(crate) fn failures(settings: &Settings) -> Vec<String> {
    let failure = |(at, case): (usize, &Case)| {
        let difference = run(settings, case)?;
        Some(format!("/cases/{at}: `{}`: {difference}", case.name))
    };
    settings
        .cases
        .iter()
        .enumerate()
        .filter_map(failure)
        .collect()
}

fn run(settings: &Settings, case: &Case) -> Option<String> {
    let model = case
        .request
        .body
        .pointer("/model")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let mut applied = Applied::to(settings, model);
    let mut request = case.request.sheet();
    applied.request(&mut request, !model.is_empty());
    if let Some(difference) = case.expect.difference(&request) {
        return Some(format!("in the request, {difference}"));
    }
    if let Some(response) = &case.response {
        let mut response = response.sheet();
        applied.response(&mut response, 200);
        if let Some(difference) = case.expect_response.difference(&response) {
            return Some(format!("in the response, {difference}"));
        }
    }
    let expected = case.expect_events.as_ref()?;
    let sent = Json::Array(stream(&mut applied, &case.events));
    let difference = differs(&Json::Array(expected.clone()), &sent, "")?;
    Some(format!("in the events, {difference}"))
}

fn stream(applied: &mut Applied<'_>, events: &[Json]) -> Vec<Json> {
    let mut sent = Vec::new();
    for event in events {
        let data = event
            .as_str()
            .map_or_else(|| event.to_string(), str::to_owned);
        let mut event = Event::from(RawEvent::data(data));
        applied.event(&mut event);
        sent.extend(event.into_sent());
    }
    sent.extend(applied.end());
    let shown = |event: RawEvent| {
        let text = String::from_utf8_lossy(&event.data).into_owned();
        serde_json::from_str(&text)
            .ok()
            .filter(Json::is_object)
            .unwrap_or(Json::String(text))
    };
    sent.into_iter().map(shown).collect()
}

impl CaseMessage {
    fn sheet(&self) -> Sheet {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Sheet {
            headers,
            body: self.body.clone(),
        }
    }
}

impl Expected {
    fn difference(&self, actual: &Sheet) -> Option<String> {
        for (name, expected) in &self.headers {
            let values: Vec<&str> = actual
                .headers
                .iter()
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            let found = (!values.is_empty()).then(|| values.join(", "));
            if found != *expected {
                let show = |value: &Option<String>| {
                    value
                        .as_ref()
                        .map_or("nothing".to_owned(), |value| format!("`{value}`"))
                };
                return Some(format!(
                    "the header `{name}` is {}, expected {}",
                    show(&found),
                    show(expected)
                ));
            }
        }
        differs(self.body.as_ref()?, &actual.body, "")
    }
}

/// The first place in which two documents differ. Numbers are equal by value.
fn differs(expected: &Json, actual: &Json, at: &str) -> Option<String> {
    match (expected, actual) {
        (Json::Object(one), Json::Object(other)) => {
            let missing = other.keys().filter(|name| !one.contains_key(*name));
            one.keys().chain(missing).find_map(|name| {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                both(one.get(name), other.get(name), &at)
            })
        }
        (Json::Array(one), Json::Array(other)) => (0..one.len().max(other.len()))
            .find_map(|index| both(one.get(index), other.get(index), &format!("{at}/{index}"))),
        (Json::Number(one), Json::Number(other)) if one.as_f64() == other.as_f64() => None,
        (one, other) if one == other => None,
        (one, other) => Some(told(Some(one), Some(other), at)),
    }
}

fn both(expected: Option<&Json>, actual: Option<&Json>, at: &str) -> Option<String> {
    match (expected, actual) {
        (Some(expected), Some(actual)) => differs(expected, actual, at),
        _ => Some(told(expected, actual, at)),
    }
}

fn told(expected: Option<&Json>, actual: Option<&Json>, at: &str) -> String {
    let show = |value: Option<&Json>| {
        value.map_or("missing".to_owned(), |value| shorten(&value.to_string()))
    };
    let at = if at.is_empty() { "the whole" } else { at };
    format!("{at} is {}, expected {}", show(actual), show(expected))
}

fn shorten(text: &str) -> String {
    const LETTERS_MAX: usize = 120;
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
