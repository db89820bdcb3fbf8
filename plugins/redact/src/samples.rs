//! Exchanges that the gateway runs in the sandbox before the policy goes live.

use serde_json::json;
use tollgate_sdk::{RawEvent, Sample};

use crate::{
    Settings,
    rules::{Look, Rule},
    settings::InRequest,
};

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let plain = plain(settings);
    let known = settings.rules.iter().filter_map(|rule| {
        let example = example(rule)?;
        Some([
            asking(settings, &rule.name, example),
            streaming(settings, &rule.name, example),
        ])
    });
    std::iter::once(plain).chain(known.flatten()).collect()
}

fn plain(settings: &Settings) -> Sample {
    expect_forwarded(settings, Sample::chat("a chat with nothing in it"))
}

/// Whether an own pattern refuses it is not known.
fn expect_forwarded(settings: &Settings, sample: Sample) -> Sample {
    let mut rules = settings.rules.iter();
    let is_own = |rule: &Rule| matches!(rule.look, Look::Own(_));
    if settings.request == InRequest::Refuse && rules.any(is_own) {
        sample
    } else {
        sample.expect_forwarded()
    }
}

fn example(rule: &Rule) -> Option<&'static str> {
    match &rule.look {
        Look::For(known) => Some(known.example()),
        Look::Own(_) => None,
    }
}

/// In the request and in the answer.
fn asking(settings: &Settings, name: &str, example: &str) -> Sample {
    let message = json!({ "role": "user", "content": format!("I am {example}.") });
    let answer = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    let sample = Sample::chat(format!("a chat with {name}"))
        .body(&json!({ "model": "sample", "messages": [message] }))
        .response(
            200,
            &json!({ "object": "chat.completion", "choices": [answer] }),
        );
    match settings.request {
        InRequest::Refuse => sample.expect_answer(400),
        InRequest::Replace | InRequest::Leave => sample.expect_forwarded(),
    }
}

/// In the answer, one character an event.
fn streaming(settings: &Settings, name: &str, example: &str) -> Sample {
    let letters = example
        .chars()
        .map(|letter| RawEvent::text(letter.encode_utf8(&mut [0; 4])));
    let end = [RawEvent::finish("stop"), RawEvent::done()];
    let sample = Sample::chat(format!("a stream with {name}")).events(letters.chain(end));
    expect_forwarded(settings, sample)
}
