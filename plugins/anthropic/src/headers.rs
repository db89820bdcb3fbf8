//! The headers of a request: whose key it is, and what only one side knows.

use tollgate_sdk::Request;

use crate::settings::{Key, Settings, Side};

const OPENAI_KEY: &str = "authorization";
const ANTHROPIC_KEY: &str = "x-api-key";
const SCHEME: &str = "bearer ";

/// Of OpenAI's clients; they name accounts that Anthropic does not have.
const OPENAI_ONLY: [&str; 2] = ["openai-organization", "openai-project"];
const ANTHROPIC_ONLY: [&str; 3] = [
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
];

pub(crate) fn translate(request: &mut Request, settings: &Settings) {
    match settings.client {
        Side::OpenAi => {
            remove(request, &OPENAI_ONLY);
            request.set_header("anthropic-version", settings.version.as_str());
        }
        Side::Anthropic => remove(request, &ANTHROPIC_ONLY),
    }
    match settings.key {
        Key::Keep => {}
        Key::Drop => remove(request, &[OPENAI_KEY, ANTHROPIC_KEY]),
        Key::Carry => carry_key(request, settings.client),
    }
    request.set_header("content-type", "application/json");
}

/// One that came in the other side's header already stays there.
fn carry_key(request: &mut Request, client: Side) {
    match client {
        Side::OpenAi => {
            let key = request.header_str(OPENAI_KEY);
            let key = key.as_deref().and_then(bearer);
            if let Some(key) = key {
                request.set_header(ANTHROPIC_KEY, key);
            }
            remove(request, &[OPENAI_KEY]);
        }
        Side::Anthropic => {
            if let Some(key) = request.header_str(ANTHROPIC_KEY) {
                request.set_header(OPENAI_KEY, format!("Bearer {key}"));
            }
            remove(request, &[ANTHROPIC_KEY]);
        }
    }
}

fn bearer(value: &str) -> Option<&str> {
    let scheme = value.get(..SCHEME.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME);
    is_bearer.then(|| value[SCHEME.len()..].trim())
}

fn remove(request: &mut Request, names: &[&str]) {
    for name in names {
        request.remove_header(*name);
    }
}
