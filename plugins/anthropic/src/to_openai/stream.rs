//! A stream of Messages as the chunks of a chat completion, event by event.
//!
//! Nothing is held back. `[DONE]` is sent for `message_stop` and for nothing else: a stream
//! that ended without it is told as an error.

use serde_json::Value;
use tollgate_sdk::RawEvent;

use super::answer::finish_reason;
use crate::{
    at::At,
    chunk::{Broken, read},
    fields::{Fields, Object, object},
    problem::Problem,
    terms::Terms,
    usage::Usage,
};

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// In seconds.
    created: u64,
    wants_usage: bool,
    passes_thinking: bool,
    state: State,
    id: String,
    model: String,
    usage: Usage,
    /// The blocks that were started and not stopped, by their indexes.
    open: Vec<(u64, Block)>,
    calls: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Open,
    /// The client knows why it ended.
    Finished,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    Call {
        index: u64,
        /// Whether any of its arguments were sent.
        began: bool,
    },
    /// Of a kind that a chat completion does not have.
    Other,
}

/// Models have one block open at a time.
const OPEN_MAX: usize = 64;

impl Stream {
    pub(crate) fn new(created: u64, wants_usage: bool, terms: &Terms) -> Self {
        Self {
            created,
            wants_usage,
            passes_thinking: terms.passes_thinking(),
            state: State::Before,
            id: String::new(),
            model: String::new(),
            usage: Usage::default(),
            open: Vec::new(),
            calls: 0,
        }
    }

    /// What the client is sent for one event.
    ///
    /// # Errors
    /// The stream goes no further.
    pub(crate) fn event(&mut self, data: &[u8], out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.state == State::Over {
            return Ok(());
        }
        let said = read(data)?;
        let problem = Problem::of_anthropic(&said, 0);
        let mut event = Fields::of(said, At::Root)?;
        let kind = event.need_text("type")?;
        match (kind.as_str(), self.state) {
            ("error", _) => {
                let broken =
                    problem.map_or_else(|| Broken::new("an error says nothing"), Broken::Said);
                return Err(broken);
            }
            ("message_start", State::Before) => self.start(event.need_object("message")?, out)?,
            ("content_block_start", State::Open) => self.start_block(&mut event, out)?,
            ("content_block_delta", State::Open) => self.delta(&mut event, out)?,
            ("content_block_stop", State::Open) => self.stop_block(&mut event, out)?,
            ("message_delta", State::Open | State::Finished) => self.finish(&mut event, out)?,
            ("message_stop", State::Finished) => self.stop(out),
            (
                "message_start"
                | "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop",
                _,
            ) => return Err(Broken::new(format!("`{kind}` is out of order"))),
            // `ping`, and what is yet to come: clients are to ignore it.
            _ => {}
        }
        Ok(())
    }

    /// The upstream ended its stream.
    ///
    /// # Errors
    /// It should not have.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        match self.state {
            State::Over => Ok(()),
            _ => Err(Broken::new("it ended without `message_stop`")),
        }
    }

    fn start(&mut self, mut message: Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        self.state = State::Open;
        self.id = message.text("id")?.unwrap_or_default();
        self.model = message.text("model")?.unwrap_or_default();
        self.usage
            .see_anthropic(&message.take("usage").unwrap_or_default());
        let role = [("role", "assistant".into()), ("content", "".into())];
        out.push(self.chunk(object(role), Value::Null, None));
        Ok(())
    }

    fn start_block(&mut self, event: &mut Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        let index = index(event)?;
        if self.open.len() >= OPEN_MAX || self.open.iter().any(|(open, _)| *open == index) {
            return Err(Broken::new(
                "a block is started that is open, or too many are",
            ));
        }
        let mut started = event.need_object("content_block")?;
        let block = match started.need_text("type")?.as_str() {
            "text" => {
                self.say("content", started.text("text")?, out);
                Block::Text
            }
            "tool_use" => {
                self.calls += 1;
                self.start_call(self.calls - 1, started, out)?
            }
            "thinking" => {
                if self.passes_thinking {
                    self.say("reasoning_content", started.text("thinking")?, out);
                }
                Block::Thinking
            }
            "redacted_thinking" => {
                if self.passes_thinking {
                    let data = started.take("data").unwrap_or_default();
                    let block = [("type", "redacted_thinking".into()), ("data", data)];
                    out.push(self.thought(object(block)));
                }
                Block::Other
            }
            _ => Block::Other,
        };
        self.open.push((index, block));
        Ok(())
    }

    fn start_call(
        &self,
        index: u64,
        mut started: Fields,
        out: &mut Vec<RawEvent>,
    ) -> Result<Block, Broken> {
        let id = started.need_text("id")?;
        let name = started.need_text("name")?;
        // All of it at once is unusual, and allowed.
        let whole = started.take("input").filter(|input| *input != object([]));
        let arguments = whole.as_ref().map(ToString::to_string).unwrap_or_default();
        let function = [("name", name.into()), ("arguments", arguments.into())];
        let call = object([
            ("index", index.into()),
            ("id", id.into()),
            ("type", "function".into()),
            ("function", object(function)),
        ]);
        out.push(self.call(call));
        let began = whole.is_some();
        Ok(Block::Call { index, began })
    }

    fn delta(&mut self, event: &mut Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        let block = self.open_block(event)?;
        let (_, block) = &mut self.open[block];
        let mut delta = event.need_object("delta")?;
        let kind = delta.need_text("type")?;
        match (kind.as_str(), &mut *block) {
            ("text_delta", Block::Text) => {
                let text = delta.need_text("text")?;
                self.say("content", Some(text), out);
            }
            ("input_json_delta", Block::Call { index, began }) => {
                let arguments = delta.need_text("partial_json")?;
                if !arguments.is_empty() {
                    *began = true;
                    let index = *index;
                    out.push(self.arguments(index, arguments));
                }
            }
            ("thinking_delta", Block::Thinking) if self.passes_thinking => {
                let text = delta.need_text("thinking")?;
                self.say("reasoning_content", Some(text), out);
            }
            ("signature_delta", Block::Thinking) if self.passes_thinking => {
                let signature = delta.need_text("signature")?;
                out.push(self.thought(object([
                    ("type", "thinking".into()),
                    ("thinking", "".into()),
                    ("signature", signature.into()),
                ])));
            }
            (
                "text_delta" | "input_json_delta" | "thinking_delta",
                Block::Text | Block::Call { .. },
            ) => {
                return Err(Broken::new(format!(
                    "a `{kind}` is in another kind of block"
                )));
            }
            // Citations, and what is yet to come.
            _ => {}
        }
        Ok(())
    }

    fn stop_block(&mut self, event: &mut Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        let place = self.open_block(event)?;
        let (_, block) = self.open.swap_remove(place);
        // A tool without arguments is called with an empty object, not with no text.
        if let Block::Call {
            index,
            began: false,
        } = block
        {
            out.push(self.arguments(index, "{}".to_owned()));
        }
        Ok(())
    }

    fn open_block(&self, event: &mut Fields) -> Result<usize, Broken> {
        let index = index(event)?;
        let place = self.open.iter().position(|(open, _)| *open == index);
        place.ok_or_else(|| Broken::new("a block is spoken of that is not open"))
    }

    fn finish(&mut self, event: &mut Fields, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        self.usage
            .see_anthropic(&event.take("usage").unwrap_or_default());
        let mut delta = event.need_object("delta")?;
        let Some(reason) = delta.text("stop_reason")? else {
            return Ok(());
        };
        if self.state == State::Open {
            self.state = State::Finished;
            let sequence = delta.text("stop_sequence")?;
            out.push(self.chunk(object([]), finish_reason(Some(&reason)), sequence));
        }
        Ok(())
    }

    fn stop(&mut self, out: &mut Vec<RawEvent>) {
        self.state = State::Over;
        if self.wants_usage {
            let mut chunk = self.frame(Vec::new());
            chunk.put("usage", self.usage.to_openai());
            out.push(RawEvent::json(&Value::from(chunk)));
        }
        out.push(RawEvent::done());
    }

    fn say(&self, field: &str, text: Option<String>, out: &mut Vec<RawEvent>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.push(self.chunk(object([(field, text.into())]), Value::Null, None));
        }
    }

    fn thought(&self, block: Value) -> RawEvent {
        let delta = object([("thinking_blocks", vec![block].into())]);
        self.chunk(delta, Value::Null, None)
    }

    fn arguments(&self, index: u64, arguments: String) -> RawEvent {
        let function = object([("arguments", arguments.into())]);
        self.call(object([("index", index.into()), ("function", function)]))
    }

    fn call(&self, call: Value) -> RawEvent {
        let delta = object([("tool_calls", vec![call].into())]);
        self.chunk(delta, Value::Null, None)
    }

    fn chunk(&self, delta: Value, finish: Value, stop_sequence: Option<String>) -> RawEvent {
        let mut choice = Object::default();
        choice.put("index", 0);
        choice.put("delta", delta);
        choice.put("logprobs", Value::Null);
        choice.put("finish_reason", finish);
        choice.put_some("stop_reason", stop_sequence);
        RawEvent::json(&Value::from(self.frame(vec![choice.into()])))
    }

    fn frame(&self, choices: Vec<Value>) -> Object {
        let mut frame = Object::default();
        frame.put("id", self.id.as_str());
        frame.put("object", "chat.completion.chunk");
        frame.put("created", self.created);
        frame.put("model", self.model.as_str());
        frame.put("choices", choices);
        frame
    }
}

fn index(event: &mut Fields) -> Result<u64, Broken> {
    let index = event.count("index")?;
    index.ok_or_else(|| event.expected("index", "a whole number").into())
}
