//! Fixed exchanges, for pictures and for tests of what is drawn.

use serde_json::{Value, json};

use crate::trace::{
    Attempt, Decision, Edit, Event, EventChange, Events, Read, Step, Tokens, Trace,
};

/// Three exchanges of a policy that keeps answers short: a plain one, one that is refused,
/// and a stream.
pub(super) fn exchanges() -> Vec<Trace> {
    vec![plain(), refused(), stream()]
}

fn base(id: &str, at_ms: u64) -> Trace {
    Trace {
        id: id.to_owned(),
        time_ms: 45_296_000 + at_ms,
        generation: 3,
        route: Some("chat".to_owned()),
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        model: Some("llama-3".to_owned()),
        upstream: Some("vllm".to_owned()),
        status: 200,
        ending: "complete".to_owned(),
        attempts: vec![Attempt {
            upstream: "vllm".to_owned(),
            model: None,
            at_us: 190,
            us: 11_320,
            status: Some(200),
            error: None,
        }],
        usage: Some(Tokens {
            input: 14,
            output: 12,
            cached: 0,
        }),
        first_byte_us: Some(11_610),
        total_us: 11_702,
        ..Trace::default()
    }
}

fn step(hook: &str, at_us: u64, us: u64) -> Step {
    Step {
        policy: "brief".to_owned(),
        plugin: "brief".to_owned(),
        hook: hook.to_owned(),
        at_us,
        us,
        ..Step::default()
    }
}

fn next() -> Option<Decision> {
    Some(Decision {
        verdict: "next".to_owned(),
        ..Decision::default()
    })
}

fn edit(edit: &str, name: &str, before: Option<Value>, after: Value) -> Edit {
    Edit {
        edit: edit.to_owned(),
        name: Some(name.to_owned()),
        before,
        after: Some(after),
    }
}

fn asked(temperature: f64) -> Step {
    Step {
        reads: vec![Read {
            part: "json".to_owned(),
            name: "/temperature".to_owned(),
            value: Some(json!(temperature)),
        }],
        decision: next(),
        edits: vec![
            edit(
                "set-json",
                "/temperature",
                Some(json!(temperature)),
                json!(0.7),
            ),
            edit("set-json", "/max_tokens", None, json!(256)),
        ],
        ..step("on_request", 150, 38)
    }
}

fn plain() -> Trace {
    Trace {
        steps: vec![asked(1.4)],
        ..base("b0c1d2e3", 412)
    }
}

fn refused() -> Trace {
    Trace {
        status: 413,
        ending: "refused".to_owned(),
        error: Some("prompt_too_long".to_owned()),
        upstream: None,
        attempts: Vec::new(),
        usage: None,
        first_byte_us: Some(210),
        total_us: 231,
        steps: vec![Step {
            decision: Some(Decision {
                verdict: "refuse".to_owned(),
                status: Some(413),
                code: Some("prompt_too_long".to_owned()),
                message: Some("This prompt is too long.".to_owned()),
                ..Decision::default()
            }),
            ..step("on_request", 120, 21)
        }],
        ..base("c1d2e3f4", 2_077)
    }
}

fn stream() -> Trace {
    let said = |text: &str| Event {
        name: None,
        data: json!({ "choices": [{ "delta": { "content": text } }] })
            .to_string()
            .into(),
    };
    Trace {
        stream: true,
        total_us: 243_911,
        steps: vec![
            asked(1.0),
            Step {
                events: Some(Events {
                    batches: 14,
                    shown: 14,
                    changed: 1,
                    changes: vec![EventChange {
                        event: 3,
                        action: "replace".to_owned(),
                        before: Some(said("Certainly! The")),
                        after: vec![said("The")],
                    }],
                    ended: false,
                }),
                ..step("on_events", 243_700, 61)
            },
        ],
        ..base("d2e3f4a5", 4_350)
    }
}
