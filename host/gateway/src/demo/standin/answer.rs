//! What the stand-in says: the request as far as it matters, and the answers' JSON.
//!
//! Answers are an echo: the model's name as it arrived, the last user message in
//! short, and usage in words. The same request always gets the same answer. Knows
//! nothing of connections; how an answer is sent is the script's business.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::behaviour::{Behaviour, UsageReport};

const CREATED: u64 = 1_700_000_000;
const ECHO_CHARACTERS: usize = 120;

/// Which of the text endpoints was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Chat,
    Completion,
}

/// The fields of a request that the stand-in reads.
#[derive(Debug, Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// A JSON string or a list of parts with text, as one text.
fn text_of(raw: Option<&RawValue>) -> Cow<'_, str> {
    let Some(raw) = raw else {
        return Cow::Borrowed("");
    };
    if let Ok(Text(text)) = serde_json::from_str(raw.get()) {
        return text;
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    parts
        .into_iter()
        .filter_map(|part| part.text)
        .collect::<Vec<_>>()
        .join(" ")
        .into()
}

/// What is said, apart from how it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    kind: Kind,
    id: u64,
    model: String,
    mark: String,
    pub(super) said: Said,
    pub(super) include_usage: bool,
    usage: Option<Usage>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    /// The arguments are JSON.
    ToolCall {
        name: String,
        arguments: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    prompt: u64,
    completion: u64,
}

impl<'a> Asked<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// The answer to this request; `id` is the stand-in's number of it, `mark` is
    /// shown as its `system_fingerprint`.
    pub(super) fn answer(&self, kind: Kind, id: u64, mark: &str, behaviour: &Behaviour) -> Answer {
        let prompt = text_of(self.prompt);
        let mut heard: Cow<'_, str> = Cow::Borrowed(&prompt);
        let mut prompt_words = words(&prompt);
        for message in &self.messages {
            let text = text_of(message.content);
            prompt_words += words(&text);
            if message.role == "user" {
                heard = text;
            }
        }
        let said = match self.tool_asked_for(&heard) {
            Some(name) => Said::ToolCall {
                name,
                arguments: json!({ "heard": shorten(&heard) }).to_string(),
            },
            None => Said::Text(say(&self.model, shorten(&heard), behaviour)),
        };
        let completion_words = match &said {
            Said::Text(text) => words(text),
            Said::ToolCall { arguments, .. } => words(arguments),
        };
        let usage = match behaviour.usage {
            UsageReport::Counted => Some(Usage {
                prompt: prompt_words,
                completion: completion_words,
            }),
            UsageReport::Fixed { prompt, completion } => Some(Usage { prompt, completion }),
            UsageReport::None => None,
        };
        Answer {
            kind,
            id,
            model: self.model.clone().into_owned(),
            mark: mark.to_owned(),
            said,
            include_usage: self
                .stream_options
                .as_ref()
                .and_then(|options| options.include_usage)
                == Some(true),
            usage,
        }
    }

    fn tool_asked_for(&self, heard: &str) -> Option<String> {
        let tools = self.tools.filter(|_| heard.contains("call tool"))?;
        let tools: Vec<Tool<'_>> = serde_json::from_str(tools.get()).ok()?;
        tools
            .into_iter()
            .next()
            .map(|tool| tool.function.name.into_owned())
    }
}

pub(super) fn words(text: &str) -> u64 {
    text.split_ascii_whitespace().count() as u64
}

fn shorten(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(ECHO_CHARACTERS)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

fn say(model: &str, heard: &str, behaviour: &Behaviour) -> String {
    let mut text = "x".repeat(behaviour.big);
    if behaviour.big > 0 {
        text.push(' ');
    }
    let echo = format!("{model} heard: {heard}");
    let Some(tokens) = behaviour.tokens else {
        text.push_str(&echo);
        return text;
    };
    let mut words = echo.split_ascii_whitespace();
    for number in 0..tokens {
        if number > 0 {
            text.push(' ');
        }
        match words.next() {
            Some(word) => text.push_str(word),
            None => text.push_str(&format!("t{number}")),
        }
    }
    text
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Answer {
    /// The whole body of a plain answer.
    pub(super) fn body(&self) -> String {
        let (object, prefix) = match self.kind {
            Kind::Chat => ("chat.completion", "chatcmpl"),
            Kind::Completion => ("text_completion", "cmpl"),
        };
        let choice = match (&self.said, self.kind) {
            (Said::Text(text), Kind::Completion) => {
                format!(
                    r#"{{"index":0,"text":{},"logprobs":null,"finish_reason":"stop"}}"#,
                    quoted(text)
                )
            }
            (Said::Text(text), Kind::Chat) => format!(
                r#"{{"index":0,"message":{{"role":"assistant","content":{},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}"#,
                quoted(text)
            ),
            (Said::ToolCall { name, arguments }, _) => format!(
                r#"{{"index":0,"message":{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{}","type":"function","function":{{"name":{},"arguments":{}}}}}]}},"logprobs":null,"finish_reason":"tool_calls"}}"#,
                self.id,
                quoted(name),
                quoted(arguments)
            ),
        };
        let usage = self
            .usage
            .map(|usage| format!(r#","usage":{}"#, usage.json()))
            .unwrap_or_default();
        format!(
            r#"{{"id":"{prefix}-{}","object":"{object}","created":{CREATED},"model":{},"system_fingerprint":{},"choices":[{choice}]{usage}}}"#,
            self.id,
            quoted(&self.model),
            quoted(&self.mark),
        )
    }

    /// What each event of a stream begins with, up to its `choices`.
    pub(super) fn chunk_head(&self) -> String {
        let (object, prefix) = match self.kind {
            Kind::Chat => ("chat.completion.chunk", "chatcmpl"),
            Kind::Completion => ("text_completion", "cmpl"),
        };
        format!(
            r#"{{"id":"{prefix}-{}","object":"{object}","created":{CREATED},"model":{},"system_fingerprint":{},"choices":["#,
            self.id,
            quoted(&self.model),
            quoted(&self.mark),
        )
    }

    /// The choice that opens a stream; text completions have none.
    pub(super) fn opening_choice(&self) -> Option<String> {
        let delta = match (&self.said, self.kind) {
            (_, Kind::Completion) => return None,
            (Said::Text(_), Kind::Chat) => {
                r#"{"role":"assistant","content":"","refusal":null}"#.to_owned()
            }
            (Said::ToolCall { name, .. }, Kind::Chat) => format!(
                r#"{{"role":"assistant","content":null,"tool_calls":[{{"index":0,"id":"call_{}","type":"function","function":{{"name":{},"arguments":""}}}}]}}"#,
                self.id,
                quoted(name)
            ),
        };
        Some(format!(
            r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}"#
        ))
    }

    /// The choice that holds one piece of what is said.
    pub(super) fn piece_choice(&self, piece: &str) -> String {
        let piece = quoted(piece);
        let said = match (&self.said, self.kind) {
            (_, Kind::Completion) => format!(r#""text":{piece}"#),
            (Said::Text(_), Kind::Chat) => format!(r#""delta":{{"content":{piece}}}"#),
            (Said::ToolCall { .. }, Kind::Chat) => {
                format!(
                    r#""delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":{piece}}}}}]}}"#
                )
            }
        };
        format!(r#"{{"index":0,{said},"logprobs":null,"finish_reason":null}}"#)
    }

    /// The choice that ends what is said.
    pub(super) fn closing_choice(&self) -> String {
        let said = match self.kind {
            Kind::Chat => r#""delta":{}"#,
            Kind::Completion => r#""text":"""#,
        };
        let reason = match self.said {
            Said::Text(_) => "stop",
            Said::ToolCall { .. } => "tool_calls",
        };
        format!(r#"{{"index":0,{said},"logprobs":null,"finish_reason":"{reason}"}}"#)
    }

    /// The usage object, if it is to be reported.
    pub(super) fn usage_json(&self) -> Option<String> {
        self.usage.map(Usage::json)
    }

    pub(super) fn said_text(&self) -> &str {
        match &self.said {
            Said::Text(text) => text,
            Said::ToolCall { arguments, .. } => arguments,
        }
    }
}

impl Usage {
    fn json(self) -> String {
        let Self { prompt, completion } = self;
        let total = prompt + completion;
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#
        )
    }
}

/// An error object in the dialect's shape.
pub(super) fn error_body(status: u16, message: &str) -> String {
    let kind = if status < 500 {
        "invalid_request_error"
    } else {
        "server_error"
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": format!("standin_{status}") } })
        .to_string()
}

/// The list of models.
pub(super) fn models_body(models: &[String]) -> String {
    let models = models
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "standin" }))
        .collect::<Vec<_>>();
    json!({ "object": "list", "data": models }).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answer(body: &Value, behaviour: &str) -> Value {
        let body = body.to_string();
        let asked = Asked::parse(body.as_bytes()).expect("parses");
        let answer = asked.answer(
            Kind::Chat,
            7,
            "standin",
            &behaviour.parse().expect("parses"),
        );
        serde_json::from_str(&answer.body()).expect("is JSON")
    }

    #[test]
    fn an_answer_echoes_the_model_and_the_last_user_message_and_counts_words() {
        let answer = answer(
            &json!({ "model": "m \"1\"", "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": [{ "type": "text", "text": "héllo there" }] },
            ]}),
            "",
        );
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            "m \"1\" heard: héllo there"
        );
        assert_eq!(answer["usage"]["prompt_tokens"], 4);
        assert_eq!(answer["usage"]["completion_tokens"], 5);
    }

    #[test]
    fn tokens_set_the_number_of_words() {
        let asked = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        let answer = answer(&asked, "tokens=5");
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            "m heard: hi t3 t4"
        );
        assert_eq!(answer["usage"]["completion_tokens"], 5);
    }

    #[test]
    fn a_tool_is_called_when_asked_for() {
        let asked = json!({
            "model": "m",
            "tools": [{ "type": "function", "function": { "name": "weather", "parameters": {} } }],
            "messages": [{ "role": "user", "content": "please call tool" }],
        });
        let answer = answer(&asked, "");
        let call = &answer["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"], "weather");
        assert_eq!(
            call["function"]["arguments"],
            r#"{"heard":"please call tool"}"#
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn usage_can_be_fixed_or_left_out() {
        let asked = json!({ "model": "m", "messages": [] });
        assert_eq!(answer(&asked, "usage=10/20")["usage"]["total_tokens"], 30);
        assert!(answer(&asked, "usage=none").get("usage").is_none());
    }
}
