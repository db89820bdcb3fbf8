//! Cases: requests in the settings with where they must go.
//!
//! A case is led by the very code that leads live requests. The settings are taken only if
//! all of them come out as expected.

use std::{cell::Cell, collections::BTreeMap};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use tollgate_sdk::Value;

use tollgate_settings::{Instant, Period};

use crate::{
    asked::{Asked, Source},
    choice::{self, Choice, Session, World},
    refused::Refused,
    settings::Settings,
};

/// A request, and where it must go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What the case shows; named when it fails.
    name: String,
    /// The request.
    request: Given,
    /// What must come of it.
    expect: Expected,
}

/// A request as it comes to the policy.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Given {
    /// The model that it asks for. Default: that of `body`.
    model: Option<String>,
    /// The rest of its JSON body. Default: empty.
    body: BTreeMap<String, Json>,
    /// Default: none.
    headers: BTreeMap<String, String>,
    /// Facts that earlier policies have set. Default: none.
    facts: BTreeMap<String, String>,
    /// The name of its route. Default: none.
    route: String,
    /// When it comes, as RFC 3339 has it. Default: 1970, before any shift.
    at: Option<Instant>,
}

/// What must come of a request; what is not given is not looked at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    /// The name of the rule that leads it. Default: not looked at.
    rule: Option<String>,
    /// The name of the arm that it has. Default: not looked at.
    arm: Option<String>,
    /// The model that it goes to. Default: not looked at.
    model: Option<String>,
    /// The upstream that it goes to by name. Default: not looked at.
    upstream: Option<String>,
    /// The code with which it is refused. Default: it must not be.
    refused: Option<String>,
}

impl Case {
    /// What comes out otherwise than expected.
    pub(crate) fn mistake(&self, settings: &Settings) -> Option<String> {
        let still = Still::at(self.request.at.map_or(0, Instant::ms));
        let led = Asked::new(settings, &self.request)
            .and_then(|mut asked| choice::choose(settings, &mut asked, &still));
        let difference = match (led, &self.expect.refused) {
            (Ok(choice), None) => self.difference(&choice, still.is_drawn.get())?,
            (Ok(_), Some(code)) => format!("expected it to be refused as `{code}`, and it is not"),
            (Err(refused), Some(code)) if refused.code() == code => return None,
            (Err(refused), _) => said(&refused),
        };
        Some(format!("case {:?}: {difference}", self.name))
    }

    fn difference(&self, choice: &Choice<'_>, is_drawn: bool) -> Option<String> {
        let (rule, arm) = choice.by.unzip();
        let Expected {
            rule: by_rule,
            arm: to_arm,
            model,
            upstream,
            ..
        } = &self.expect;
        let asked = self.request.model();
        let found = [
            ("rule", by_rule, rule.map(|rule| rule.name.as_str())),
            ("arm", to_arm, arm.map(|arm| arm.name.as_str())),
            ("model", model, choice.model.as_deref().or(asked)),
            ("upstream", upstream, choice.upstream),
        ];
        let mut looked_at = found
            .into_iter()
            .filter_map(|(what, expected, found)| Some((what, expected.as_deref()?, found)));
        if is_drawn && looked_at.clone().any(|(what, ..)| what != "rule") {
            return Some(
                "it is drawn anew each time: expected something of `by` in the request".to_owned(),
            );
        }
        let (what, expected, found) =
            looked_at.find(|(_, expected, found)| *found != Some(*expected))?;
        Some(match found {
            Some(found) => format!("expected the {what} `{expected}`, found `{found}`"),
            None => format!("expected the {what} `{expected}`, found none"),
        })
    }
}

fn said(refused: &Refused) -> String {
    format!(
        "it is refused as `{}`: {}",
        refused.code(),
        refused.message()
    )
}

impl Given {
    fn model(&self) -> Option<&str> {
        let in_body = || self.body.get("model")?.as_str();
        self.model.as_deref().or_else(in_body)
    }
}

impl Source for Given {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(there, _)| there.eq_ignore_ascii_case(name))?;
        Some(value.clone().into_bytes())
    }

    fn json(&self, pointer: &str) -> Option<Value> {
        if let (Some(model), "/model") = (&self.model, pointer) {
            return Some(model.as_str().into());
        }
        let (first, rest) = match pointer.get(1..)?.split_once('/') {
            Some((first, _)) => (first, &pointer[1 + first.len()..]),
            None => (&pointer[1..], ""),
        };
        let first = first.replace("~1", "/").replace("~0", "~");
        let value = self.body.get(&first)?.pointer(rest)?;
        Some(value.clone().into())
    }

    fn fact(&self, name: &str) -> Option<String> {
        self.facts.get(name).cloned()
    }

    fn route(&self) -> &str {
        &self.route
    }

    fn is_streaming(&self) -> bool {
        self.body.get("stream") == Some(&Json::Bool(true))
    }
}

/// A time that stands still, and a note whether chance was asked.
pub(crate) struct Still {
    now_ms: u64,
    is_drawn: Cell<bool>,
}

impl Still {
    pub(crate) fn at(now_ms: u64) -> Self {
        Self {
            now_ms,
            is_drawn: Cell::new(false),
        }
    }
}

impl World for Still {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn random(&self) -> u64 {
        self.is_drawn.set(true);
        0
    }

    fn recall(&self, _session: &Session<'_>, _lives: Period) -> Option<String> {
        None
    }

    fn remember(&self, _session: &Session<'_>, _arm: &str, _lives: Period) {}
}
