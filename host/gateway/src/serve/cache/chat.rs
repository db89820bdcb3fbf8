//! OpenAI's chat completions: the chunks of a stream made one answer, and the reverse.
//!
//! What an answer says and how it says it are kept: every field, the choices, tool calls,
//! log probabilities, usage. What is not understood as a whole answer is not converted.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_capabilities::{KeptAnswer, cache::Form};

use super::{super::sse::is_done, keep::frames};

/// Choices of an answer, and tool calls of a choice.
const INDEX_MAX: u64 = 127;
/// Of text in one event.
const PIECE_MAX: usize = 8 << 10;

/// Whether a document is a whole answer.
pub(in crate::serve) fn is_whole(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|document| choices(&document).is_some())
}

/// The choices of a whole answer.
fn choices(document: &Value) -> Option<&Vec<Value>> {
    let is_error = document.get("error").is_some_and(|error| !error.is_null());
    let choices = document.get("choices")?.as_array()?;
    let is_finished =
        |choice: &Value| choice["finish_reason"].is_string() && choice["message"].is_object();
    let is_whole = !choices.is_empty() && choices.iter().all(is_finished);
    (is_whole && !is_error).then_some(choices)
}

/// The answer that a stream's chunks are; `None`: they are not, or not all of one.
pub(in crate::serve) fn document_of(answer: &KeptAnswer) -> Option<KeptAnswer> {
    let mut joined = Joined::default();
    for frame in frames(&answer.body)? {
        if frame.event.is_none() {
            continue;
        }
        let data = frame.data();
        if !is_done(&data) {
            joined.add(serde_json::from_slice(&data).ok()?)?;
        }
    }
    let body = joined.finish()?;
    Some(KeptAnswer {
        status: answer.status,
        headers: vec![(
            "content-type".to_owned(),
            Bytes::from_static(b"application/json"),
        )],
        body: Bytes::from(body.to_string()),
        form: Form::Document,
    })
}

#[derive(Default)]
struct Joined {
    /// What all chunks say alike.
    top: Map<String, Value>,
    choices: BTreeMap<u64, Map<String, Value>>,
    usage: Option<Value>,
}

impl Joined {
    fn add(&mut self, chunk: Value) -> Option<()> {
        let Value::Object(mut chunk) = chunk else {
            return None;
        };
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            return None;
        }
        let Some(Value::Array(choices)) = chunk.remove("choices") else {
            return None;
        };
        if let Some(usage) = chunk.remove("usage").filter(Value::is_object) {
            self.usage = Some(usage);
        }
        for (name, value) in chunk {
            let known = self.top.entry(name).or_insert(Value::Null);
            if known.is_null() {
                *known = value;
            }
        }
        choices
            .into_iter()
            .try_for_each(|choice| self.add_choice(choice))
    }

    fn add_choice(&mut self, choice: Value) -> Option<()> {
        let Value::Object(mut choice) = choice else {
            return None;
        };
        let index = choice.remove("index")?.as_u64()?;
        if index > INDEX_MAX {
            return None;
        }
        let known = self.choices.entry(index).or_default();
        if let Some(delta) = choice.remove("delta") {
            let message = known.entry("message").or_insert_with(|| json!({}));
            merge(message, delta, "message")?;
        }
        for (name, value) in choice {
            match name.as_str() {
                "logprobs" => merge(known.entry(name).or_insert(Value::Null), value, "logprobs")?,
                _ if value.is_null() => drop(known.entry(name).or_insert(value)),
                _ => drop(known.insert(name, value)),
            }
        }
        Some(())
    }

    fn finish(mut self) -> Option<Value> {
        self.top
            .insert("object".to_owned(), "chat.completion".into());
        let choices = self.choices.into_iter().map(|(index, mut choice)| {
            let mut whole = Map::new();
            whole.insert("index".to_owned(), index.into());
            let mut message = choice.remove("message").unwrap_or_else(|| json!({}));
            message_finished(&mut message);
            whole.insert("message".to_owned(), message);
            whole.extend(choice);
            Value::Object(whole)
        });
        let choices = Value::Array(choices.collect());
        self.top.insert("choices".to_owned(), choices);
        if let Some(usage) = self.usage {
            self.top.insert("usage".to_owned(), usage);
        }
        let document = Value::Object(self.top);
        self::choices(&document)?;
        Some(document)
    }
}

fn message_finished(message: &mut Value) {
    let Some(message) = message.as_object_mut() else {
        return;
    };
    if !message.contains_key("role") {
        message.insert("role".to_owned(), "assistant".into());
    }
    message.entry("content").or_insert(Value::Null);
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for call in calls.iter_mut().filter_map(Value::as_object_mut) {
            call.remove("index");
        }
    }
}

/// Adds a delta: texts and lists grow, items with an index grow where they are.
fn merge(known: &mut Value, delta: Value, name: &str) -> Option<()> {
    match (&mut *known, delta) {
        (_, Value::Null) => {}
        (Value::String(known), Value::String(more)) => match name {
            "role" | "type" | "id" if !known.is_empty() => {}
            _ => known.push_str(&more),
        },
        (Value::Object(known), Value::Object(more)) => {
            for (name, value) in more {
                let at = known.entry(name.clone()).or_insert(Value::Null);
                merge(at, value, &name)?;
            }
        }
        (Value::Array(known), Value::Array(more)) => {
            more.into_iter()
                .try_for_each(|item| add_item(known, item))?;
        }
        (Value::Null, delta @ Value::Object(_)) => {
            *known = json!({});
            merge(known, delta, name)?;
        }
        (Value::Null, delta @ Value::Array(_)) => {
            *known = json!([]);
            merge(known, delta, name)?;
        }
        (_, other) => *known = other,
    }
    Some(())
}

fn add_item(list: &mut Vec<Value>, item: Value) -> Option<()> {
    let Some(index) = item.get("index").and_then(Value::as_u64) else {
        list.push(item);
        return Some(());
    };
    if index > INDEX_MAX {
        return None;
    }
    let mut same = list.iter_mut().filter(|known| known["index"] == index);
    match (same.next(), item) {
        (Some(known), Value::Object(mut more)) => {
            more.remove("index");
            merge(known, Value::Object(more), "")
        }
        (Some(_), _) => None,
        (None, item) => {
            list.push(item);
            Some(())
        }
    }
}

/// The chunks that an answer could have come in; `None`: it is not a whole one, or lacks
/// the usage that is asked for.
pub(in crate::serve) fn stream_of(answer: &KeptAnswer, wants_usage: bool) -> Option<KeptAnswer> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let choices = choices(&document)?;
    let Value::Object(mut top) = document.clone() else {
        return None;
    };
    top.remove("choices");
    let usage = top.remove("usage").filter(Value::is_object);
    top.insert("object".to_owned(), "chat.completion.chunk".into());
    let mut events = Events {
        top,
        body: Vec::new(),
        ends: Vec::new(),
    };
    for choice in choices {
        events.choice(choice)?;
    }
    if wants_usage {
        events.add(Vec::new(), Some(usage?));
    }
    events.end("[DONE]");
    Some(KeptAnswer {
        status: answer.status,
        headers: vec![(
            "content-type".to_owned(),
            Bytes::from_static(b"text/event-stream"),
        )],
        body: Bytes::from(events.body),
        form: Form::Stream {
            ends: events.ends,
            ends_with_done: true,
        },
    })
}

struct Events {
    top: Map<String, Value>,
    body: Vec<u8>,
    ends: Vec<u32>,
}

impl Events {
    fn end(&mut self, data: &str) {
        self.body.extend_from_slice(b"data: ");
        self.body.extend_from_slice(data.as_bytes());
        self.body.extend_from_slice(b"\n\n");
        // An answer that is kept is far shorter.
        self.ends
            .push(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
    }

    fn add(&mut self, choices: Vec<Value>, usage: Option<Value>) {
        let mut chunk = self.top.clone();
        chunk.insert("choices".to_owned(), Value::Array(choices));
        if let Some(usage) = usage {
            chunk.insert("usage".to_owned(), usage);
        }
        self.end(&Value::Object(chunk).to_string());
    }

    fn delta(&mut self, index: &Value, delta: &Value) {
        let choice = json!({ "index": index, "delta": delta, "finish_reason": null });
        self.add(vec![choice], None);
    }

    fn choice(&mut self, choice: &Value) -> Option<()> {
        let index = choice.get("index").cloned().unwrap_or_else(|| 0.into());
        let mut message = choice["message"].as_object()?.clone();
        let content = message.remove("content").unwrap_or_default();
        let calls = message.remove("tool_calls").unwrap_or_default();
        let text = content.as_str().unwrap_or_default();
        let mut first = message;
        let start = if content.is_string() {
            "".into()
        } else {
            content.clone()
        };
        first.insert("content".to_owned(), start);
        let mut opening = json!({ "index": index, "delta": first, "finish_reason": null });
        if let Some(logprobs) = choice
            .get("logprobs")
            .filter(|logprobs| !logprobs.is_null())
        {
            opening["logprobs"] = logprobs.clone();
        }
        self.add(vec![opening], None);
        for piece in pieces(text) {
            self.delta(&index, &json!({ "content": piece }));
        }
        for (nth, call) in calls.as_array().into_iter().flatten().enumerate() {
            self.call(&index, nth, call)?;
        }
        let mut last = choice.as_object()?.clone();
        last.remove("message");
        last.remove("logprobs");
        last.insert("delta".to_owned(), json!({}));
        self.add(vec![Value::Object(last)], None);
        Some(())
    }

    fn call(&mut self, index: &Value, nth: usize, call: &Value) -> Option<()> {
        let mut first = json!({ "index": nth });
        let fields = call.as_object()?.clone();
        first.as_object_mut()?.extend(fields);
        let arguments = call.pointer("/function/arguments").and_then(Value::as_str);
        if arguments.is_some() {
            first["function"]["arguments"] = "".into();
        }
        self.delta(index, &json!({ "tool_calls": [first] }));
        for piece in pieces(arguments.unwrap_or_default()) {
            let more = json!({ "index": nth, "function": { "arguments": piece } });
            self.delta(index, &json!({ "tool_calls": [more] }));
        }
        Some(())
    }
}

/// A text in pieces that fit into an event.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = text.floor_char_boundary(PIECE_MAX.min(text.len()));
        let (piece, rest) = text.split_at(end);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The event of a stream that says what was used and nothing else: one of its last.
pub(in crate::serve) fn usage_piece(answer: &KeptAnswer) -> Option<usize> {
    const LAST: usize = 3;
    let frames = frames(&answer.body)?;
    let is_usage = |data: &[u8]| {
        let chunk = serde_json::from_slice::<Value>(data).unwrap_or_default();
        let is_bare = chunk["choices"].as_array().is_some_and(Vec::is_empty);
        is_bare && chunk["usage"].is_object()
    };
    let mut last = frames.iter().enumerate().rev().take(LAST);
    let found = last.find(|(_, frame)| frame.event.is_some() && is_usage(&frame.data()));
    found.map(|(at, _)| at)
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
