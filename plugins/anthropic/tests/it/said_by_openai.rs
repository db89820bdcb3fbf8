//! What OpenAI can say and Anthropic can, too.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use tollgate_sdk::RawEvent;

use crate::words::{fields, input, pieces, schema, share, text, text_part, texts, word};

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        text_part(),
        word().prop_map(|data| json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } })),
        word().prop_map(|name| json!({ "type": "image_url", "image_url": { "url": format!("https://example.com/{name}") } })),
        (word(), option::of(word())).prop_map(|(data, name)| {
            let file = fields([
                ("file_data", Some(format!("data:application/pdf;base64,{data}").into())),
                ("filename", name.map(Value::from)),
            ]);
            json!({ "type": "file", "file": file })
        }),
    ]
}

pub(crate) fn call() -> impl Strategy<Value = Value> {
    (word(), word(), input()).prop_map(|(id, name, input)| {
        json!({ "id": id, "type": "function", "function": { "name": name, "arguments": input.to_string() } })
    })
}

/// A call of tools, and what came of it.
fn calls() -> impl Strategy<Value = Vec<Value>> {
    let said = prop_oneof![
        Just(Value::Null),
        text().prop_map(Value::from),
        vec(text_part(), 2..4).prop_map(Value::from),
    ];
    (said, vec((call(), texts(0)), 1..4)).prop_map(|(said, calls)| {
        let (calls, results): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let tool = |(call, content): (&Value, Value)| json!({ "role": "tool", "tool_call_id": call["id"], "content": content });
        let results: Vec<_> = calls.iter().zip(results).map(tool).collect();
        let mut messages = vec![json!({ "role": "assistant", "content": said, "tool_calls": calls })];
        messages.extend(results);
        messages
    })
}

fn messages() -> impl Strategy<Value = Vec<Value>> {
    let turn = prop_oneof![
        text().prop_map(|text| vec![json!({ "role": "user", "content": text })]),
        vec(part(), 0..4).prop_map(|parts| vec![json!({ "role": "user", "content": parts })]),
        texts(1).prop_map(|said| vec![json!({ "role": "assistant", "content": said })]),
        calls(),
    ];
    (option::of(texts(0)), vec(turn, 1..6)).prop_map(|(system, turns)| {
        let system = system.map(|system| json!({ "role": "system", "content": system }));
        system
            .into_iter()
            .chain(turns.into_iter().flatten())
            .collect()
    })
}

fn tools() -> impl Strategy<Value = Value> {
    let tool = (
        word(),
        option::of(text()),
        schema(),
        option::of(any::<bool>()),
    );
    let tool = tool.prop_map(|(name, description, schema, strict)| {
        let function = fields([
            ("name", Some(name.into())),
            ("description", description.map(Value::from)),
            ("parameters", Some(schema)),
            ("strict", strict.map(Value::from)),
        ]);
        json!({ "type": "function", "function": function })
    });
    let choice = prop_oneof![
        Just(json!("auto")),
        Just(json!("required")),
        word().prop_map(|name| json!({ "type": "function", "function": { "name": name } })),
    ];
    let choice = prop_oneof![
        Just((None, None)),
        Just((Some(json!("none")), None)),
        (choice, option::of(any::<bool>())).prop_map(|(choice, parallel)| (Some(choice), parallel)),
    ];
    (vec(tool, 1..3), choice).prop_map(|(tools, (choice, parallel))| {
        fields([
            ("tools", Some(tools.into())),
            ("tool_choice", choice),
            ("parallel_tool_calls", parallel.map(Value::from)),
        ])
    })
}

fn parameters() -> impl Strategy<Value = Value> {
    let numbers = (
        option::of(share()),
        option::of(share()),
        option::of(1..99_u64),
    );
    let words = (
        option::of(vec(text(), 1..3)),
        option::of(word()),
        option::of(prop::sample::select(vec!["auto", "default"])),
        option::of(prop::sample::select(vec!["low", "medium", "high", "xhigh"])),
    );
    (numbers, words, option::of(schema()), any::<bool>()).prop_map(|(numbers, words, schema, stream)| {
        let format = |schema| json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": schema } });
        fields([
            ("temperature", numbers.0),
            ("top_p", numbers.1),
            ("top_k", numbers.2.map(Value::from)),
            ("stop", words.0.map(Value::from)),
            ("user", words.1.map(Value::from)),
            ("service_tier", words.2.map(Value::from)),
            ("reasoning_effort", words.3.map(Value::from)),
            ("response_format", schema.map(format)),
            ("stream", stream.then_some(true.into())),
            ("stream_options", stream.then(|| json!({ "include_usage": true }))),
        ])
    })
}

pub(crate) fn request() -> impl Strategy<Value = Value> {
    (
        word(),
        1..9999_u64,
        messages(),
        option::of(tools()),
        parameters(),
    )
        .prop_map(|(model, most, messages, tools, parameters)| {
            let mut body =
                json!({ "model": model, "max_completion_tokens": most, "messages": messages });
            for more in [tools.unwrap_or_default(), parameters] {
                for (name, value) in more.as_object().into_iter().flatten() {
                    body[name] = value.clone();
                }
            }
            body
        })
}

pub(crate) fn answer() -> impl Strategy<Value = Value> {
    let reason = prop_oneof![
        prop::sample::select(vec!["stop", "length", "tool_calls", "content_filter"])
            .prop_map(|reason| (reason, None)),
        text().prop_map(|text| ("stop", Some(Value::from(text)))),
    ];
    let tokens = (0..999_u64, 0..999_u64, 0..999_u64);
    (word(), option::of(text()), vec(call(), 0..3), reason, tokens).prop_map(
        |(id, content, calls, (reason, sequence), (fresh, cached, output))| {
            let message = fields([
                ("role", Some("assistant".into())),
                ("content", Some(content.into())),
                ("refusal", Some(Value::Null)),
                ("tool_calls", (!calls.is_empty()).then(|| calls.into())),
            ]);
            let choice = fields([
                ("index", Some(0.into())),
                ("message", Some(message)),
                ("logprobs", Some(Value::Null)),
                ("finish_reason", Some(reason.into())),
                ("stop_reason", sequence),
            ]);
            json!({
                "id": id, "object": "chat.completion", "created": 1_767_225_600, "model": "m", "choices": [choice],
                "usage": {
                    "prompt_tokens": fresh + cached, "completion_tokens": output, "total_tokens": fresh + cached + output,
                    "prompt_tokens_details": { "cached_tokens": cached },
                },
            })
        },
    )
}

/// The answer in pieces of so many characters.
pub(crate) fn chunks(answer: &Value, size: usize) -> Vec<RawEvent> {
    let choice = &answer["choices"][0];
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    if let Some(text) = choice["message"]["content"].as_str() {
        deltas.extend(
            pieces(text, size)
                .into_iter()
                .map(|piece| json!({ "content": piece })),
        );
    }
    for (index, call) in choice["message"]["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let mut start = call.clone();
        start["index"] = index.into();
        start["function"]["arguments"] = "".into();
        deltas.push(json!({ "tool_calls": [start] }));
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let more = |piece| json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] });
        deltas.extend(pieces(arguments, size).into_iter().map(more));
    }
    let mut choices: Vec<_> = deltas
        .into_iter()
        .map(|delta| json!({ "index": 0, "delta": delta, "finish_reason": null }))
        .collect();
    let mut last = choice.clone();
    last["delta"] = json!({});
    choices.push(last);
    let frame = |choices: Value| json!({ "id": answer["id"], "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices });
    let mut chunks: Vec<_> = choices
        .into_iter()
        .map(|choice| frame(json!([choice])))
        .collect();
    let mut usage = frame(json!([]));
    usage["usage"] = answer["usage"].clone();
    chunks.push(usage);
    chunks.iter().map(RawEvent::json).collect()
}
