//! Why an answer ended, in both words.

use crate::settings::Side;

/// Anthropic's, then OpenAI's; for either the first row that has it counts.
const TABLE: [(&str, &str); 8] = [
    ("end_turn", "stop"),
    ("max_tokens", "length"),
    ("tool_use", "tool_calls"),
    ("refusal", "content_filter"),
    ("stop_sequence", "stop"),
    ("pause_turn", "stop"),
    ("model_context_window_exceeded", "length"),
    ("tool_use", "function_call"),
];

/// The other side's word. One that nobody knows yet is an end like any other.
pub(crate) fn said_to(side: Side, reason: &str) -> &'static str {
    let (anthropic, openai) = TABLE
        .into_iter()
        .find(|(anthropic, openai)| match side {
            Side::OpenAi => *anthropic == reason,
            Side::Anthropic => *openai == reason,
        })
        .unwrap_or(TABLE[0]);
    match side {
        Side::OpenAi => openai,
        Side::Anthropic => anthropic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_counterpart_and_an_unknown_one_is_an_end() {
        for (anthropic, openai) in TABLE.into_iter().take(7).chain([("new", "stop")]) {
            assert_eq!(said_to(Side::OpenAi, anthropic), openai);
        }
        for (openai, anthropic) in [
            ("stop", "end_turn"),
            ("length", "max_tokens"),
            ("tool_calls", "tool_use"),
            ("function_call", "tool_use"),
            ("content_filter", "refusal"),
            ("new", "end_turn"),
        ] {
            assert_eq!(said_to(Side::Anthropic, openai), anthropic);
        }
    }
}
