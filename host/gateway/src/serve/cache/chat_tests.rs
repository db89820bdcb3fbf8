use super::*;

fn document(body: &Value) -> KeptAnswer {
    KeptAnswer {
        status: 200,
        headers: Vec::new(),
        body: Bytes::from(body.to_string()),
        form: Form::Document,
    }
}

fn stream(chunks: &[Value]) -> KeptAnswer {
    let mut events = Events {
        top: Map::new(),
        body: Vec::new(),
        ends: Vec::new(),
    };
    chunks
        .iter()
        .for_each(|chunk| events.end(&chunk.to_string()));
    events.end("[DONE]");
    KeptAnswer {
        status: 200,
        headers: Vec::new(),
        body: Bytes::from(events.body),
        form: Form::Stream {
            ends: events.ends,
            ends_with_done: true,
        },
    }
}

fn data(answer: &KeptAnswer) -> Vec<String> {
    let frames = frames(&answer.body).unwrap();
    let data = frames
        .iter()
        .map(|frame| String::from_utf8(frame.data().to_vec()).unwrap());
    data.collect()
}

fn json_of(answer: &KeptAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn answer() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m",
        "system_fingerprint": "fp", "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": { "role": "assistant", "content": "Ebro, Douro é 🙂", "refusal": null },
                "finish_reason": "stop",
                "logprobs": { "content": [{ "token": "E", "logprob": -0.5 }, { "token": "b", "logprob": -1.0 }] },
            },
            {
                "index": 1,
                "message": {
                    "role": "assistant", "content": null,
                    "tool_calls": [
                        { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
                        { "id": "call_2", "type": "function", "function": { "name": "g", "arguments": "" } },
                    ],
                },
                "finish_reason": "tool_calls",
            },
        ],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
    })
}

/// Without fields that are null: a stream says them by saying nothing.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), bare(value)))
            .collect(),
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

#[test]
fn an_answer_made_a_stream_and_an_answer_again_says_the_same() {
    let stream = stream_of(&document(&answer()), true).unwrap();
    let events = data(&stream);
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    for event in &events[..events.len() - 1] {
        let chunk: Value = serde_json::from_str(event).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(
            (&chunk["id"], &chunk["model"]),
            (&json!("chatcmpl-1"), &json!("m"))
        );
    }
    let again = json_of(&document_of(&stream).unwrap());
    assert_eq!(bare(&again), bare(&answer()));
}

#[test]
fn usage_comes_in_an_event_of_its_own_and_only_if_asked_for() {
    let without = stream_of(&document(&answer()), false).unwrap();
    assert!(data(&without).iter().all(|event| !event.contains("usage")));
    assert_eq!(usage_piece(&without), None);
    let with = stream_of(&document(&answer()), true).unwrap();
    let events = data(&with);
    assert_eq!(usage_piece(&with), Some(events.len() - 2));
    let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(
        (&usage["choices"], &usage["usage"]["total_tokens"]),
        (&json!([]), &json!(7))
    );
    let mut unknown = answer();
    unknown.as_object_mut().unwrap().remove("usage");
    assert!(stream_of(&document(&unknown), true).is_none());
    assert!(stream_of(&document(&unknown), false).is_some());
}

#[test]
fn a_long_text_comes_in_events_that_no_limit_forbids() {
    let mut long = answer();
    long["choices"][0]["message"]["content"] = "é🙂".repeat(20_000).into();
    long["choices"][1]["message"]["tool_calls"][0]["function"]["arguments"] =
        "x".repeat(50_000).into();
    let stream = stream_of(&document(&long), false).unwrap();
    assert!(
        data(&stream)
            .iter()
            .all(|event| event.len() < 2 * PIECE_MAX)
    );
    let again = json_of(&document_of(&stream).unwrap());
    long.as_object_mut().unwrap().remove("usage");
    assert_eq!(bare(&again), bare(&long));
}

/// As OpenAI's and vLLM's servers send them.
#[test]
fn the_chunks_of_a_server_are_one_answer() {
    let chunk = |choices: Value| json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": null, "choices": choices });
    let delta = |index: u64, delta: Value, finish: Value| json!([{ "index": index, "delta": delta, "finish_reason": finish, "logprobs": null }]);
    let call = |more: Value| delta(1, json!({ "tool_calls": [more] }), Value::Null);
    let mut chunks = vec![
        chunk(delta(
            0,
            json!({ "role": "assistant", "content": "" }),
            Value::Null,
        )),
        chunk(delta(
            1,
            json!({ "role": "assistant", "content": null }),
            Value::Null,
        )),
        chunk(delta(0, json!({ "content": "Eb" }), Value::Null)),
        chunk(call(
            json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "" } }),
        )),
        chunk(delta(
            0,
            json!({ "content": "ro", "reasoning_content": "hm" }),
            Value::Null,
        )),
        chunk(call(
            json!({ "index": 0, "function": { "arguments": "{\"a\"" } }),
        )),
        chunk(call(
            json!({ "index": 0, "function": { "arguments": ":1}" } }),
        )),
        chunk(delta(0, json!({}), json!("stop"))),
        chunk(delta(1, json!({}), json!("tool_calls"))),
    ];
    chunks.push(json!({ "id": "c", "choices": [], "usage": { "total_tokens": 3 } }));
    let answer = json_of(&document_of(&stream(&chunks)).unwrap());
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["content"], "Ebro");
    assert_eq!(answer["choices"][0]["message"]["reasoning_content"], "hm");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let message = &answer["choices"][1]["message"];
    assert_eq!(message["content"], Value::Null);
    let call = json!({ "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    assert_eq!(message["tool_calls"], json!([call]));
    assert_eq!(answer["usage"]["total_tokens"], 3);
    // Any of them missing its end is no answer.
    chunks.remove(7);
    assert!(document_of(&stream(&chunks)).is_none());
}

#[test]
fn what_is_no_whole_answer_is_not_converted() {
    let finished = |choice: Value| json!({ "choices": [choice] });
    for chunk in [
        json!({}),
        json!([]),
        json!({ "choices": [] }),
        json!({ "choices": null }),
        json!({ "error": { "message": "no" } }),
        finished(json!({ "index": 0, "delta": { "content": "a" }, "finish_reason": null })),
        finished(json!({ "delta": { "content": "a" }, "finish_reason": "stop" })),
        finished(json!({ "index": 1_000_000, "delta": {}, "finish_reason": "stop" })),
        finished(
            json!({ "index": 0, "delta": { "tool_calls": [{ "index": 4_000_000 }] }, "finish_reason": "stop" }),
        ),
        finished(json!("x")),
    ] {
        assert!(
            document_of(&stream(std::slice::from_ref(&chunk))).is_none(),
            "{chunk}"
        );
    }
    for body in [
        json!({}),
        json!({ "choices": [] }),
        finished(json!({ "message": {}, "finish_reason": null })),
        finished(json!({ "message": "x", "finish_reason": "stop" })),
        finished(json!({ "message": { "tool_calls": ["x"] }, "finish_reason": "stop" })),
    ] {
        assert!(stream_of(&document(&body), false).is_none(), "{body}");
    }
    for chunk in ["{", "\"", "nonsense"] {
        let mut answer = stream(&[]);
        answer.body = Bytes::from(format!("data: {chunk}\n\ndata: [DONE]\n\n"));
        assert!(document_of(&answer).is_none());
    }
}
