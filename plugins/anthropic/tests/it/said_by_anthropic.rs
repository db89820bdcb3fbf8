//! What Anthropic can say and OpenAI can, too.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use tollgate_sdk::RawEvent;

use crate::{
    stage::named,
    words::{fields, input, pieces, schema, text, text_part, texts, word},
};

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        text_part(),
        word().prop_map(|data| json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } })),
        word().prop_map(|name| json!({ "type": "image", "source": { "type": "url", "url": format!("https://example.com/{name}") } })),
    ]
}

fn tool_use() -> impl Strategy<Value = Value> {
    (word(), word(), input()).prop_map(
        |(id, name, input)| json!({ "type": "tool_use", "id": id, "name": name, "input": input }),
    )
}

fn calls() -> impl Strategy<Value = Vec<Value>> {
    (vec(text_part(), 0..3), vec((tool_use(), texts(0)), 1..4)).prop_map(|(mut blocks, calls)| {
        let result = |(call, content): &(Value, Value)| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": content });
        let results: Vec<_> = calls.iter().map(result).collect();
        blocks.extend(calls.into_iter().map(|(call, _)| call));
        vec![json!({ "role": "assistant", "content": blocks }), json!({ "role": "user", "content": results })]
    })
}

pub(crate) fn request() -> impl Strategy<Value = Value> {
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

pub(crate) fn answer() -> impl Strategy<Value = Value> {
    let thinking = (text(), word()).prop_map(
        |(text, signature)| json!({ "type": "thinking", "thinking": text, "signature": signature }),
    );
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
pub(crate) fn events(answer: &Value, size: usize) -> Vec<RawEvent> {
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
                deltas.push(json!({ "type": "signature_delta", "signature": block["signature"] }));
            }
        }
        events.push(
            json!({ "type": "content_block_start", "index": index, "content_block": started }),
        );
        events.extend(
            deltas.into_iter().map(
                |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            ),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let delta =
        json!({ "stop_reason": answer["stop_reason"], "stop_sequence": answer["stop_sequence"] });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": answer["usage"]["output_tokens"] } }));
    events.push(json!({ "type": "message_stop" }));
    events.iter().map(named).collect()
}
