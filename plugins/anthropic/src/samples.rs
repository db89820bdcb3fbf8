//! Exchanges that the gateway runs in the sandbox before the policy goes live.
//!
//! They are JSON as text: code that puts it together would make the plugin larger.

use tollgate_sdk::{RawEvent, Sample};

use crate::settings::{Settings, Side};

const CHAT: &str = r#"{"model":"sample","messages":[{"role":"user","content":"hello"}]}"#;
const CHAT_WITH_TOOLS: &str = r#"{"model":"sample","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hello"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"look","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"seen"}],"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}]}"#;
const COMPLETION: &str = r#"{"id":"sample","object":"chat.completion","created":1,"model":"sample","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;
const SLOW_DOWN: &str = r#"{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;

const MESSAGE: &str =
    r#"{"model":"sample","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
const MESSAGE_WITH_TOOLS: &str = r#"{"model":"sample","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"hello"},{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"look","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"seen"}]}],"tools":[{"name":"look","input_schema":{"type":"object"}}]}"#;
const ANSWER: &str = r#"{"id":"msg_sample","type":"message","role":"assistant","model":"sample","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}"#;
const OVERLOADED: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
const EVENTS: [(&str, &str); 7] = [
    (
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_sample","type":"message","role":"assistant","model":"sample","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
    ),
    (
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    ),
    ("ping", r#"{"type":"ping"}"#),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
    ),
    (
        "content_block_stop",
        r#"{"type":"content_block_stop","index":0}"#,
    ),
    (
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}"#,
    ),
    ("message_stop", r#"{"type":"message_stop"}"#),
];

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let sample = |name: &str, body: &str, status: u16, answer: &str| {
        let mut sample = Sample::chat(name).expect_forwarded();
        settings.client_path().clone_into(&mut sample.path);
        body.clone_into(&mut sample.body);
        sample.response_status = status;
        answer.clone_into(&mut sample.response_body);
        sample
    };
    match settings.client {
        Side::OpenAi => vec![
            sample("a chat", CHAT, 200, ANSWER),
            sample("a chat with tools", CHAT_WITH_TOOLS, 200, ANSWER),
            sample("a chat that fails", CHAT, 529, OVERLOADED),
            sample("a stream", CHAT, 200, "")
                .events(EVENTS.map(|(name, data)| RawEvent::named(name, data))),
        ],
        Side::Anthropic => vec![
            sample("a message", MESSAGE, 200, COMPLETION),
            sample("a message with tools", MESSAGE_WITH_TOOLS, 200, COMPLETION),
            sample("a message that fails", MESSAGE, 429, SLOW_DOWN),
            sample("a stream", MESSAGE, 200, "")
                .events([RawEvent::text("hi"), RawEvent::finish("stop")]),
        ],
    }
}
