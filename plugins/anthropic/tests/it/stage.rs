//! An exchange through the policy, and what a client would make of a stream.

use anthropic::Anthropic;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, RawEvent, Target,
    testing::{Decided, Exchange, Run, Sent, Session},
};

pub(crate) fn run(client: &str) -> Run<Anthropic> {
    run_with(client, json!({}))
}

pub(crate) fn run_with(client: &str, more: Value) -> Run<Anthropic> {
    let mut settings = more;
    settings["client"] = client.into();
    Run::new(settings)
}

pub(crate) fn target() -> Target {
    Target {
        upstream: "up".to_owned(),
        dialect: "openai".to_owned(),
        model: None,
        attempt: 1,
    }
}

pub(crate) fn exchange(client: &str, body: &Value) -> Exchange {
    let path = match client {
        "openai" => "/v1/chat/completions",
        _ => "/v1/messages",
    };
    Exchange::chat().to("POST", path).body(body.to_string())
}

/// What the upstream is sent, or why nothing is.
pub(crate) fn try_asked(
    run: &Run<Anthropic>,
    client: &str,
    body: &Value,
) -> Result<Value, Box<Decided>> {
    let decided = run.open(exchange(client, body)).attempt(&target());
    match decided.is_next() {
        true => Ok(serde_json::from_slice(decided.body()).unwrap()),
        false => Err(Box::new(decided)),
    }
}

pub(crate) fn asked_with(run: &Run<Anthropic>, client: &str, body: &Value) -> Value {
    match try_asked(run, client, body) {
        Ok(asked) => asked,
        Err(decided) => panic!("{:?}", decided.verdict),
    }
}

/// What the upstream is sent.
pub(crate) fn asked(client: &str, body: &Value) -> Value {
    asked_with(&run(client), client, body)
}

pub(crate) fn plain(client: &str) -> Value {
    match client {
        "openai" => json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }),
        _ => {
            json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] })
        }
    }
}

/// A session whose request was sent.
pub(crate) fn begun(run: &Run<Anthropic>, client: &str) -> Session<Anthropic> {
    begun_with(run, client, &plain(client))
}

pub(crate) fn begun_with(run: &Run<Anthropic>, client: &str, body: &Value) -> Session<Anthropic> {
    let mut session = run.open(exchange(client, body));
    let decided = session.attempt(&target());
    assert!(decided.is_next(), "{:?}", decided.verdict);
    session
}

pub(crate) fn answered_with(run: &Run<Anthropic>, client: &str, answer: &Value) -> Value {
    let decided = begun(run, client).response(Answer::new(200).json(answer));
    assert!(decided.is_next(), "{:?}", decided.verdict);
    serde_json::from_slice(decided.body()).unwrap()
}

/// What the client is answered.
pub(crate) fn answered(client: &str, answer: &Value) -> Value {
    answered_with(&run(client), client, answer)
}

/// As Anthropic sends it.
pub(crate) fn named(event: &Value) -> RawEvent {
    RawEvent::named(event["type"].as_str().unwrap(), event.to_string())
}

pub(crate) fn data(events: &[RawEvent]) -> Vec<Value> {
    let read = |event: &RawEvent| match event.data.as_slice() {
        b"[DONE]" => "[DONE]".into(),
        data => serde_json::from_slice(data).unwrap(),
    };
    events.iter().map(read).collect()
}

/// All that a client is sent for these events, in one batch, and the end.
pub(crate) fn streamed(session: &mut Session<Anthropic>, events: Vec<RawEvent>) -> Vec<Value> {
    let sent = session.events(events);
    let mut all = data(&sent.events);
    if !sent.ended {
        let Sent { events, .. } = session.end();
        all.extend(data(&events));
    }
    all
}

/// A chat completion out of its chunks, as a client would put it together.
pub(crate) fn of_chunks(chunks: &[Value]) -> Value {
    let (done, chunks) = chunks.split_last().expect("some events");
    assert_eq!(done, "[DONE]");
    let first = &chunks[0];
    let mut answer = json!({ "id": first["id"], "object": "chat.completion", "created": first["created"], "model": first["model"] });
    let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
    let mut choice =
        json!({ "index": 0, "message": null, "logprobs": null, "finish_reason": null });
    for chunk in chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        if let Some(usage) = chunk.get("usage") {
            assert_eq!(chunk["choices"], json!([]));
            answer["usage"] = usage.clone();
            continue;
        }
        let [said] = chunk["choices"].as_array().unwrap().as_slice() else {
            panic!("one choice: {chunk}");
        };
        assert_eq!(
            choice["finish_reason"],
            Value::Null,
            "nothing comes after the finish"
        );
        choice["finish_reason"] = said["finish_reason"].clone();
        if let Some(sequence) = said.get("stop_reason") {
            choice["stop_reason"] = sequence.clone();
        }
        add(&mut message, &said["delta"]);
    }
    // The role comes with an empty text, also where no text follows.
    if message["content"] == "" {
        message["content"] = Value::Null;
    }
    choice["message"] = message;
    answer["choices"] = json!([choice]);
    answer
}

fn add(message: &mut Value, delta: &Value) {
    for field in ["content", "reasoning_content"] {
        if let Some(text) = delta[field].as_str() {
            let before = message[field].as_str().unwrap_or_default();
            message[field] = format!("{before}{text}").into();
        }
    }
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        if message["tool_calls"].is_null() {
            message["tool_calls"] = json!([]);
        }
        let calls = message["tool_calls"].as_array_mut().unwrap();
        if index == calls.len() {
            let mut call = call.clone();
            call.as_object_mut().unwrap().remove("index");
            calls.push(call);
        } else {
            let arguments = &mut calls[index]["function"]["arguments"];
            let more = call["function"]["arguments"].as_str().unwrap();
            *arguments = format!("{}{more}", arguments.as_str().unwrap()).into();
        }
    }
}

/// A message out of its events, as Anthropic's clients put it together.
pub(crate) fn of_events(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut open: Option<(u64, String)> = None;
    for event in events {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "message_start" => {
                assert_eq!(message, Value::Null);
                message = event["message"].clone();
            }
            "content_block_start" => {
                assert_eq!(open, None, "one block at a time");
                let blocks = message["content"].as_array_mut().unwrap();
                assert_eq!(index, Some(blocks.len() as u64));
                blocks.push(event["content_block"].clone());
                open = Some((index.unwrap(), String::new()));
            }
            "content_block_delta" => {
                let (at, json) = open.as_mut().expect("an open block");
                assert_eq!(index, Some(*at));
                let block = message["content"]
                    .as_array_mut()
                    .unwrap()
                    .last_mut()
                    .unwrap();
                grow(block, &event["delta"], json);
            }
            "content_block_stop" => {
                let (at, json) = open.take().expect("an open block");
                assert_eq!(index, Some(at));
                if !json.is_empty() {
                    let block = message["content"]
                        .as_array_mut()
                        .unwrap()
                        .last_mut()
                        .unwrap();
                    block["input"] = serde_json::from_str(&json).unwrap();
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => assert_ne!(message["stop_reason"], Value::Null),
            other => panic!("{other}"),
        }
    }
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    message
}

fn grow(block: &mut Value, delta: &Value, json: &mut String) {
    let (field, piece) = match delta["type"].as_str().unwrap() {
        "text_delta" => ("text", "text"),
        "thinking_delta" => ("thinking", "thinking"),
        "signature_delta" => ("signature", "signature"),
        "input_json_delta" => {
            json.push_str(delta["partial_json"].as_str().unwrap());
            return;
        }
        other => panic!("{other}"),
    };
    block[field] = format!(
        "{}{}",
        block[field].as_str().unwrap(),
        delta[piece].as_str().unwrap()
    )
    .into();
}
