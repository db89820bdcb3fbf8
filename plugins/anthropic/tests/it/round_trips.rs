//! What both sides can say comes back as it went, and a stream is the answer in pieces.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};
use tollgate_sdk::RawEvent;

use crate::stage::{
    answered_with, asked_with, begun_with, data, named, of_chunks, of_events, plain, run_with,
};

fn both(client: &str) -> tollgate_sdk::testing::Run<anthropic::Anthropic> {
    run_with(
        client,
        json!({ "unsupported": "refuse", "thinking": "pass" }),
    )
}

/// Puts together what is there.
fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let there = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

fn text() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n éß字😀]{1,12}"
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,8}"
}

/// Of a tool's arguments.
fn input() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000..1000_i32).prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(2, 8, 3, |inner| vec(inner, 0..3).prop_map(Value::from));
    vec((word(), inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn text_part() -> impl Strategy<Value = Value> {
    text().prop_map(|text| json!({ "type": "text", "text": text }))
}

fn texts(least: usize) -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::from),
        vec(text_part(), least..4).prop_map(Value::from),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    word()
        .prop_map(|name| json!({ "type": "object", "properties": { name: { "type": "string" } } }))
}

/// A number that both write the same way.
fn share() -> impl Strategy<Value = Value> {
    (0..=16_u8).prop_map(|part| Value::from(f64::from(part) / 16.0))
}

mod openai {
    use super::*;

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

    pub(super) fn call() -> impl Strategy<Value = Value> {
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
            (choice, option::of(any::<bool>()))
                .prop_map(|(choice, parallel)| (Some(choice), parallel)),
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

    pub(super) fn request() -> impl Strategy<Value = Value> {
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

    pub(super) fn answer() -> impl Strategy<Value = Value> {
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
    pub(super) fn chunks(answer: &Value, size: usize) -> Vec<RawEvent> {
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
}

mod messages {
    use super::*;

    fn part() -> impl Strategy<Value = Value> {
        prop_oneof![
            text_part(),
            word().prop_map(|data| json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } })),
            word().prop_map(|name| json!({ "type": "image", "source": { "type": "url", "url": format!("https://example.com/{name}") } })),
        ]
    }

    fn tool_use() -> impl Strategy<Value = Value> {
        (word(), word(), input()).prop_map(|(id, name, input)| json!({ "type": "tool_use", "id": id, "name": name, "input": input }))
    }

    fn calls() -> impl Strategy<Value = Vec<Value>> {
        (vec(text_part(), 0..3), vec((tool_use(), texts(0)), 1..4)).prop_map(|(mut blocks, calls)| {
            let result = |(call, content): &(Value, Value)| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": content });
            let results: Vec<_> = calls.iter().map(result).collect();
            blocks.extend(calls.into_iter().map(|(call, _)| call));
            vec![json!({ "role": "assistant", "content": blocks }), json!({ "role": "user", "content": results })]
        })
    }

    pub(super) fn request() -> impl Strategy<Value = Value> {
        let turn = prop_oneof![
            text().prop_map(|text| vec![json!({ "role": "user", "content": text })]),
            vec(part(), 0..4).prop_map(|parts| vec![json!({ "role": "user", "content": parts })]),
            texts(1).prop_map(|said| vec![json!({ "role": "assistant", "content": said })]),
            calls(),
        ];
        let tool = (word(), schema())
            .prop_map(|(name, schema)| json!({ "name": name, "input_schema": schema }));
        let choice = (
            prop::sample::select(vec!["auto", "any"]),
            option::of(any::<bool>()),
        )
            .prop_map(|(kind, alone)| {
                fields([
                    ("type", Some(kind.into())),
                    ("disable_parallel_tool_use", alone.map(Value::from)),
                ])
            });
        let tools = option::of((vec(tool, 1..3), option::of(choice)));
        (
            1..9999_u64,
            option::of(texts(0)),
            vec(turn, 1..6),
            tools,
            option::of(word()),
        )
            .prop_map(|(most, system, turns, tools, user)| {
                let (tools, choice) =
                    tools.map_or((None, None), |(tools, choice)| (Some(tools.into()), choice));
                fields([
                    ("model", Some("m".into())),
                    ("max_tokens", Some(most.into())),
                    ("system", system),
                    ("messages", Some(turns.concat().into())),
                    ("tools", tools),
                    ("tool_choice", choice),
                    ("metadata", user.map(|user| json!({ "user_id": user }))),
                    ("stream", Some(true.into())),
                ])
            })
    }

    pub(super) fn answer() -> impl Strategy<Value = Value> {
        let thinking = (text(), word()).prop_map(|(text, signature)| json!({ "type": "thinking", "thinking": text, "signature": signature }));
        let reason = prop_oneof![
            prop::sample::select(vec!["end_turn", "max_tokens", "tool_use", "refusal"])
                .prop_map(|reason| (reason, None)),
            text().prop_map(|text| ("stop_sequence", Some(text))),
        ];
        let blocks = (
            option::of(thinking),
            option::of(text_part()),
            vec(tool_use(), 0..3),
        );
        (word(), blocks, reason, any::<[u16; 4]>()).prop_map(|(id, (thinking, text, calls), (reason, sequence), tokens)| {
            let blocks: Vec<_> = thinking.into_iter().chain(text).chain(calls).collect();
            json!({
                "id": id, "type": "message", "role": "assistant", "model": "m", "content": blocks,
                "stop_reason": reason, "stop_sequence": sequence,
                "usage": { "input_tokens": tokens[0], "cache_creation_input_tokens": tokens[1], "cache_read_input_tokens": tokens[2], "output_tokens": tokens[3] },
            })
        })
    }

    /// The answer in pieces of so many characters.
    pub(super) fn events(answer: &Value, size: usize) -> Vec<RawEvent> {
        let mut message = answer.clone();
        message["content"] = json!([]);
        message["usage"]["output_tokens"] = 1.into();
        let mut events = vec![
            json!({ "type": "message_start", "message": message }),
            json!({ "type": "ping" }),
        ];
        for (index, block) in answer["content"].as_array().unwrap().iter().enumerate() {
            let mut started = block.clone();
            let mut deltas = Vec::new();
            let mut cut = |field: &str, kind: &str, piece_field: &str, text: &str| {
                started[field] = if field == "input" {
                    json!({})
                } else {
                    "".into()
                };
                deltas.extend(
                    pieces(text, size)
                        .into_iter()
                        .map(|piece| json!({ "type": kind, piece_field: piece })),
                );
            };
            match block["type"].as_str().unwrap() {
                "text" => cut(
                    "text",
                    "text_delta",
                    "text",
                    block["text"].as_str().unwrap(),
                ),
                "tool_use" => cut(
                    "input",
                    "input_json_delta",
                    "partial_json",
                    &block["input"].to_string(),
                ),
                _ => {
                    cut(
                        "thinking",
                        "thinking_delta",
                        "thinking",
                        block["thinking"].as_str().unwrap(),
                    );
                    started["signature"] = "".into();
                    deltas.push(
                        json!({ "type": "signature_delta", "signature": block["signature"] }),
                    );
                }
            }
            events.push(
                json!({ "type": "content_block_start", "index": index, "content_block": started }),
            );
            events.extend(deltas.into_iter().map(
                |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            ));
            events.push(json!({ "type": "content_block_stop", "index": index }));
        }
        let delta = json!({ "stop_reason": answer["stop_reason"], "stop_sequence": answer["stop_sequence"] });
        events.push(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": answer["usage"]["output_tokens"] } }));
        events.push(json!({ "type": "message_stop" }));
        events.iter().map(named).collect()
    }
}

fn pieces(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// What a client is sent of these events in batches of these sizes, over and over.
fn in_batches(client: &str, events: &[RawEvent], sizes: &[usize]) -> Vec<RawEvent> {
    let mut body = plain(client);
    body["stream"] = true.into();
    if client == "openai" {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let mut session = begun_with(&both(client), client, &body);
    let (mut rest, mut sizes) = (events, sizes.iter().cycle());
    let mut sent = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let said = session.events(batch.to_vec());
        assert!(!said.ended, "{:?}", said.events);
        sent.extend(said.events);
        rest = after;
    }
    sent.extend(session.end().events);
    sent
}

/// Thinking comes in pieces that chat completions have no blocks for.
fn without_blocks(mut completion: Value) -> Value {
    let message = completion["choices"][0]["message"].as_object_mut().unwrap();
    message.remove("thinking_blocks");
    completion
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_request_of_openai_comes_back_from_anthropic(body in openai::request()) {
        let there = asked_with(&both("openai"), "openai", &body);
        prop_assert_eq!(asked_with(&both("anthropic"), "anthropic", &there), body);
    }

    #[test]
    fn a_request_of_anthropic_comes_back_from_openai(body in messages::request()) {
        let there = asked_with(&both("anthropic"), "anthropic", &body);
        prop_assert_eq!(asked_with(&both("openai"), "openai", &there), body);
    }

    #[test]
    fn an_answer_of_openai_comes_back_from_anthropic(answer in openai::answer()) {
        let there = answered_with(&both("anthropic"), "anthropic", &answer);
        prop_assert_eq!(answered_with(&both("openai"), "openai", &there), answer);
    }

    #[test]
    fn an_answer_of_anthropic_comes_back_from_openai(answer in messages::answer()) {
        let there = answered_with(&both("openai"), "openai", &answer);
        prop_assert_eq!(answered_with(&both("anthropic"), "anthropic", &there), answer);
    }

    #[test]
    fn a_stream_of_anthropic_is_the_answer_in_any_batches(
        answer in messages::answer(), size in 1..6_usize, sizes in vec(1..5_usize, 1..4),
    ) {
        let sent = in_batches("openai", &messages::events(&answer, size), &sizes);
        let expected = answered_with(&both("openai"), "openai", &answer);
        prop_assert_eq!(of_chunks(&data(&sent)), without_blocks(expected));
    }

    #[test]
    fn a_stream_of_openai_is_the_answer_in_any_batches(
        answer in openai::answer(), size in 1..6_usize, sizes in vec(1..5_usize, 1..4),
    ) {
        let sent = in_batches("anthropic", &openai::chunks(&answer, size), &sizes);
        let expected = answered_with(&both("anthropic"), "anthropic", &answer);
        prop_assert_eq!(of_events(&data(&sent)), expected);
    }

    #[test]
    fn a_stream_of_anthropic_comes_back_from_openai(answer in messages::answer(), size in 1..6_usize) {
        let there = in_batches("openai", &messages::events(&answer, size), &[3]);
        let back = in_batches("anthropic", &there, &[2]);
        prop_assert_eq!(of_events(&data(&back)), answer);
    }
}
