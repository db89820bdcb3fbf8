//! Cases: exchanges in the settings with what must come of them.
//!
//! A case runs through the very code that edits live traffic, on a draft in memory. The
//! settings are taken only if all of them come out as expected.

mod difference;
mod draft;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::{Event, RawEvent};

use crate::{
    Settings, edit, event,
    ordered::Ordered,
    rules::Rule,
    spelling::{HeaderName, HeaderValue},
};
use difference::difference;
use draft::Draft;

/// An exchange, and what must come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What the case shows; named when it fails.
    pub(crate) name: String,
    /// The name that the target knows the model by, to run the case as for a policy that
    /// is attached to a target. Default: the rule is chosen by the body's `model` alone.
    #[serde(default)]
    model: Option<String>,
    /// The request as it comes.
    pub(crate) request: Sent,
    /// What the request must be after. Default: not looked at.
    #[serde(default)]
    pub(crate) expect: Option<ExpectedRequest>,
    /// The upstream's response. Default: status 200, no headers, `{}`.
    #[serde(default)]
    pub(crate) response: Option<Answered>,
    /// What the response must be after. Default: not looked at.
    #[serde(default)]
    expect_response: Option<Expected>,
    /// The events of a streamed response: JSON, or text such as `[DONE]`. Default: none.
    #[serde(default)]
    pub(crate) events: Vec<serde_json::Value>,
    /// What is sent of them. Default: not looked at.
    #[serde(default)]
    expect_events: Option<Vec<serde_json::Value>>,
}

/// A request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent {
    /// Default: none.
    #[serde(default)]
    pub(crate) headers: Ordered<HeaderName, HeaderValue>,
    /// The JSON body.
    pub(crate) body: serde_json::Value,
}

/// A response.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answered {
    /// Default: 200.
    #[serde(default = "ok")]
    pub(crate) status: u16,
    /// Default: none.
    #[serde(default)]
    headers: Ordered<HeaderName, HeaderValue>,
    /// The JSON body.
    pub(crate) body: serde_json::Value,
}

fn ok() -> u16 {
    200
}

/// What must come of a request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedRequest {
    /// Values of headers, several joined by `, `; `null` for one that must not be there.
    /// Others are not looked at. Default: none.
    #[serde(default)]
    headers: Ordered<HeaderName, Option<String>>,
    /// The whole body; the order of fields is free. Default: not looked at.
    #[serde(default)]
    body: Option<serde_json::Value>,
    /// The code with which the request must be refused. Default: it must not be.
    #[serde(default)]
    pub(crate) refused: Option<String>,
}

/// What must come of a response.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Values of headers, several joined by `, `; `null` for one that must not be there.
    /// Others are not looked at. Default: none.
    #[serde(default)]
    headers: Ordered<HeaderName, Option<String>>,
    /// The whole body; the order of fields is free. Default: not looked at.
    #[serde(default)]
    body: Option<serde_json::Value>,
}

/// Runs every case.
pub(crate) fn check(settings: &Settings) -> Result<(), Vec<String>> {
    let mut mistakes = Vec::new();
    for (place, case) in settings.cases.iter().enumerate() {
        let failed = |what: String| format!("/cases/{place}: case {:?}: {what}", case.name);
        mistakes.extend(case.run(settings).into_iter().map(failed));
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(mistakes)
    }
}

impl Case {
    /// What came out otherwise.
    fn run(&self, settings: &Settings) -> Vec<String> {
        if self.expect.is_none() && self.expect_response.is_none() && self.expect_events.is_none() {
            return vec![
                "it expects nothing: write `expect`, `expect_response` or `expect_events`"
                    .to_owned(),
            ];
        }
        let rule = self.rule(settings);
        let mut failures = Vec::new();
        let mut fail = |part: &str, what: Option<String>| {
            failures.extend(what.map(|what| format!("{part}{what}")));
        };
        fail("", self.run_request(rule));
        if let Some(expected) = &self.expect_response {
            fail("response: ", self.run_response(rule, expected));
        }
        if let Some(expected) = &self.expect_events {
            fail("", self.run_events(rule, expected));
        }
        failures
    }

    fn rule<'a>(&self, settings: &'a Settings) -> Option<&'a Rule> {
        let asked = self
            .request
            .body
            .get("model")
            .and_then(serde_json::Value::as_str);
        settings.rules.find(&[self.model.as_deref(), asked])
    }

    fn run_request(&self, rule: Option<&Rule>) -> Option<String> {
        let mut draft = Draft::new(&self.request.headers, &self.request.body);
        let done = rule.map_or(Ok(()), |rule| edit::request(&rule.request, &mut draft));
        let expected = self.expect.as_ref();
        match (
            done,
            expected.and_then(|expected| expected.refused.as_deref()),
        ) {
            (Err(_), Some(edit::Misfit::CODE)) => None,
            (Err(misfit), Some(code)) => Some(format!(
                "expected a refusal with `{code}`, got one with `{}`: {misfit}",
                edit::Misfit::CODE
            )),
            (Err(misfit), None) => Some(format!("the request is refused: {misfit}")),
            (Ok(()), Some(code)) => Some(format!("expected a refusal with `{code}`, got none")),
            (Ok(()), None) => {
                let expected = expected?;
                draft.difference(&expected.headers, expected.body.as_ref())
            }
        }
    }

    fn run_response(&self, rule: Option<&Rule>, expected: &Expected) -> Option<String> {
        let empty = Answered {
            status: ok(),
            headers: Ordered::default(),
            body: serde_json::json!({}),
        };
        let given = self.response.as_ref().unwrap_or(&empty);
        let mut draft = Draft::new(&given.headers, &given.body);
        if let Some(rule) = rule {
            edit::response(&rule.response, given.status, &mut draft);
        }
        draft.difference(&expected.headers, expected.body.as_ref())
    }

    fn run_events(&self, rule: Option<&Rule>, expected: &[serde_json::Value]) -> Option<String> {
        let mut sent = Vec::new();
        for raw in self.raw_events() {
            let mut event = Event::from(raw);
            let fate = rule.map_or(event::Fate::Kept, |rule| {
                event::edit(&rule.events, &mut event)
            });
            if fate == event::Fate::Kept {
                sent.push(read_event(event.data()));
            }
        }
        let found = expected
            .iter()
            .zip(&sent)
            .enumerate()
            .find_map(|(place, (expected, got))| {
                difference(expected, got).map(|what| format!("event {place}: {what}"))
            });
        let (wanted, got) = (expected.len(), sent.len());
        found.or_else(|| (wanted != got).then(|| format!("expected {wanted} events, got {got}")))
    }

    /// The events as they come from the upstream.
    pub(crate) fn raw_events(&self) -> impl Iterator<Item = RawEvent> {
        self.events.iter().map(|event| match event {
            serde_json::Value::String(text) => RawEvent::data(text.as_str()),
            json => RawEvent::json(json),
        })
    }
}

fn read_event(data: &[u8]) -> serde_json::Value {
    let text = || String::from_utf8_lossy(data).into_owned().into();
    serde_json::from_slice(data).unwrap_or_else(|_| text())
}
