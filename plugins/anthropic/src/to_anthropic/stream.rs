//! The chunks of a chat completion as a stream of Messages, chunk by chunk.
//!
//! One block is open at a time. Only the end is held back: why the model stopped is said
//! together with the usage, which comes after it. `message_stop` is sent for a stream that
//! said why it stopped, and for no other.

use serde_json::Value;
use tollgate_sdk::{RawEvent, random};

use super::answer::stop_reason;
use crate::{
    at::At,
    chunk::{Broken, read},
    fields::{Fields, object, text_part},
    problem::Problem,
    terms::Terms,
    usage::Usage,
};

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    passes_thinking: bool,
    state: State,
    open: Option<Open>,
    /// How many blocks were started.
    blocks: u64,
    /// The tool calls that were started, by OpenAI's indexes.
    calls: Vec<u64>,
    usage: Usage,
    is_refused: bool,
    /// Why it stopped, and at which text.
    stopped: Option<(String, Option<Value>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Open,
    Over,
}

/// The block that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(u64),
}

/// So many calls no model makes.
const CALLS_MAX: usize = 1024;

impl Stream {
    pub(crate) fn new(terms: &Terms) -> Self {
        Self {
            passes_thinking: terms.passes_thinking(),
            state: State::Before,
            open: None,
            blocks: 0,
            calls: Vec::new(),
            usage: Usage::default(),
            is_refused: false,
            stopped: None,
        }
    }

    /// What the client is sent for one chunk.
    ///
    /// # Errors
    /// The stream goes no further.
    pub(crate) fn event(&mut self, data: &[u8], out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.state == State::Over {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            return self.end(out);
        }
        let said = read(data)?;
        if said.get("error").is_some_and(|error| !error.is_null()) {
            let problem = Problem::of_openai(&said, 0);
            return Err(problem.map_or_else(|| Broken::new("an error says nothing"), Broken::Said));
        }
        let mut chunk = Fields::of(said, At::Root)?;
        let usage = chunk.take("usage");
        if let Some(usage) = &usage {
            self.usage = Usage::of_openai(usage);
        }
        let mut choices = chunk.list("choices")?.unwrap_or_default();
        let place = choices.iter().position(is_first);
        if let Some(place) = place {
            let at = At::Root.field("choices");
            let choice = Fields::of(choices.swap_remove(place), at.item(place))?;
            self.start(&mut chunk, out)?;
            self.choice(choice, out)?;
        } else if usage.is_some() && self.stopped.is_some() {
            return self.end(out);
        }
        Ok(())
    }

    /// The upstream ended its stream, or said all that it has to say.
    ///
    /// # Errors
    /// It should not have.
    pub(crate) fn end(&mut self, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.state == State::Over {
            return Ok(());
        }
        let Some((reason, sequence)) = self.stopped.take() else {
            return Err(Broken::new("it ended without a `finish_reason`"));
        };
        self.close(out);
        self.state = State::Over;
        let (reason, sequence) = stop_reason(Some(&reason), sequence, self.is_refused);
        let delta = [("stop_reason", reason.into()), ("stop_sequence", sequence)];
        out.push(event(
            "message_delta",
            [
                ("delta", object(delta)),
                ("usage", self.usage.to_anthropic()),
            ],
        ));
        out.push(event("message_stop", []));
        Ok(())
    }

    fn start(&mut self, chunk: &mut Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.state != State::Before {
            return Ok(());
        }
        self.state = State::Open;
        let message = object([
            ("id", chunk.text("id")?.unwrap_or_default().into()),
            ("type", "message".into()),
            ("role", "assistant".into()),
            ("model", chunk.text("model")?.unwrap_or_default().into()),
            ("content", Vec::<Value>::new().into()),
            ("stop_reason", Value::Null),
            ("stop_sequence", Value::Null),
            ("usage", self.usage.to_anthropic()),
        ]);
        out.push(event("message_start", [("message", message)]));
        Ok(())
    }

    fn choice(&mut self, mut choice: Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        let reason = choice.text("finish_reason")?;
        let sequence = choice.take("stop_reason");
        if let Some(mut delta) = choice.object("delta")? {
            self.think(&mut delta, out)?;
            self.say(delta.text("content")?, out);
            let refusal = delta.text("refusal")?;
            self.is_refused |= refusal.is_some();
            self.say(refusal, out);
            for call in delta.list("tool_calls")?.unwrap_or_default() {
                self.call(Fields::of(call, At::Root.field("tool_calls"))?, out)?;
            }
        }
        if let Some(reason) = reason {
            self.close(out);
            self.stopped = Some((reason, sequence));
        }
        Ok(())
    }

    fn think(&mut self, delta: &mut Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        let (long, short) = (delta.text("reasoning_content")?, delta.text("reasoning")?);
        let blocks = delta.list("thinking_blocks")?.unwrap_or_default();
        if !self.passes_thinking {
            return Ok(());
        }
        if let Some(text) = long.or(short).filter(|text| !text.is_empty()) {
            self.switch(Open::Thinking, empty_thinking, out);
            out.push(self.delta("thinking_delta", "thinking", text));
        }
        for block in blocks {
            if block
                .get("type")
                .is_some_and(|kind| kind == "redacted_thinking")
            {
                self.close(out);
                self.begin(block, out);
                self.stop(out);
                continue;
            }
            let signature = block.get("signature").and_then(Value::as_str);
            if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
                self.switch(Open::Thinking, empty_thinking, out);
                out.push(self.delta("signature_delta", "signature", signature.to_owned()));
                // What comes after its signature is another thought.
                self.close(out);
            }
        }
        Ok(())
    }

    fn say(&mut self, text: Option<String>, out: &mut Vec<RawEvent>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.switch(Open::Text, || text_part(String::new()), out);
            out.push(self.delta("text_delta", "text", text));
        }
    }

    fn call(&mut self, mut call: Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        let index = call.count("index")?.unwrap_or(0);
        let id = call.text("id")?;
        let function = call.object("function")?;
        let (mut name, mut arguments) = (None, None);
        if let Some(mut function) = function {
            (name, arguments) = (function.text("name")?, function.text("arguments")?);
        }
        if self.open != Some(Open::Call(index)) {
            self.start_call(index, id, name, out)?;
        }
        if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
            out.push(self.delta("input_json_delta", "partial_json", arguments));
        }
        Ok(())
    }

    fn start_call(
        &mut self,
        index: u64,
        id: Option<String>,
        name: Option<String>,
        out: &mut Vec<RawEvent>,
    ) -> Result<(), Broken> {
        if self.calls.len() >= CALLS_MAX || self.calls.contains(&index) {
            return Err(Broken::new(
                "a tool call goes on after something else was said",
            ));
        }
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Broken::new("a tool call has no name"))?;
        let made_up = || format!("toolu_{:016x}", random::next_u64());
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(made_up);
        self.calls.push(index);
        let block = || {
            object([
                ("type", "tool_use".into()),
                ("id", id.into()),
                ("name", name.into()),
                ("input", object([])),
            ])
        };
        self.switch(Open::Call(index), block, out);
        Ok(())
    }

    /// Makes this block the open one.
    fn switch(&mut self, to: Open, block: impl FnOnce() -> Value, out: &mut Vec<RawEvent>) {
        if self.open == Some(to) {
            return;
        }
        self.close(out);
        self.begin(block(), out);
        self.open = Some(to);
    }

    fn begin(&mut self, block: Value, out: &mut Vec<RawEvent>) {
        let index = ("index", self.blocks.into());
        self.blocks += 1;
        out.push(event(
            "content_block_start",
            [index, ("content_block", block)],
        ));
    }

    fn close(&mut self, out: &mut Vec<RawEvent>) {
        if self.open.take().is_some() {
            self.stop(out);
        }
    }

    fn stop(&self, out: &mut Vec<RawEvent>) {
        out.push(event("content_block_stop", [self.index()]));
    }

    fn delta(&self, kind: &str, field: &str, text: String) -> RawEvent {
        let delta = object([("type", kind.into()), (field, text.into())]);
        event("content_block_delta", [self.index(), ("delta", delta)])
    }

    /// Of the block that was started last.
    fn index(&self) -> (&'static str, Value) {
        ("index", self.blocks.saturating_sub(1).into())
    }
}

fn is_first(choice: &Value) -> bool {
    choice
        .get("index")
        .is_none_or(|index| index.is_null() || index == 0)
}

fn empty_thinking() -> Value {
    object([
        ("type", "thinking".into()),
        ("thinking", "".into()),
        ("signature", "".into()),
    ])
}

/// Its name stands in it, too.
fn event<const N: usize>(name: &str, fields: [(&str, Value); N]) -> RawEvent {
    let kind = std::iter::once(("type", name.into()));
    let fields = kind.chain(fields);
    let data = fields.map(|(name, value)| (name.to_owned(), value));
    RawEvent::named(name, Value::Object(data.collect()).to_string())
}
