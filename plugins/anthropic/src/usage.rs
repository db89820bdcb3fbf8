//! Tokens, in both ways of counting.
//!
//! OpenAI's `prompt_tokens` have those in them that came from a cache or went to it;
//! Anthropic's `input_tokens` have not.

use serde_json::Value;

use crate::fields::{Object, object};

/// As Anthropic counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_creation: u64,
}

fn count(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

impl Usage {
    /// Takes over what this says; a stream says some at its start and some at its end.
    pub(crate) fn see_anthropic(&mut self, usage: &Value) {
        for (place, name) in [
            (&mut self.input, "input_tokens"),
            (&mut self.output, "output_tokens"),
            (&mut self.cache_read, "cache_read_input_tokens"),
            (&mut self.cache_creation, "cache_creation_input_tokens"),
        ] {
            if let Some(tokens) = count(usage, name) {
                *place = tokens;
            }
        }
    }

    pub(crate) fn of_openai(usage: &Value) -> Self {
        let details = usage.get("prompt_tokens_details").unwrap_or(&Value::Null);
        let cache_read = count(details, "cached_tokens").unwrap_or(0);
        let cache_creation = count(details, "cache_creation_tokens").unwrap_or(0);
        let prompt = count(usage, "prompt_tokens").unwrap_or(0);
        Self {
            input: prompt
                .saturating_sub(cache_read)
                .saturating_sub(cache_creation),
            output: count(usage, "completion_tokens").unwrap_or(0),
            cache_read,
            cache_creation,
        }
    }

    pub(crate) fn to_openai(self) -> Value {
        let prompt = self
            .input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_creation);
        let mut details = Object::default();
        details.put("cached_tokens", self.cache_read);
        if self.cache_creation > 0 {
            details.put("cache_creation_tokens", self.cache_creation);
        }
        object([
            ("prompt_tokens", prompt.into()),
            ("completion_tokens", self.output.into()),
            ("total_tokens", prompt.saturating_add(self.output).into()),
            ("prompt_tokens_details", details.into()),
        ])
    }

    pub(crate) fn to_anthropic(self) -> Value {
        object([
            ("input_tokens", self.input.into()),
            ("cache_creation_input_tokens", self.cache_creation.into()),
            ("cache_read_input_tokens", self.cache_read.into()),
            ("output_tokens", self.output.into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cached_tokens_are_part_of_the_prompt_to_openai_alone() {
        let anthropic = json!({ "input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": 3 });
        let openai = json!({ "prompt_tokens": 112, "completion_tokens": 3, "total_tokens": 115, "prompt_tokens_details": { "cached_tokens": 100, "cache_creation_tokens": 7 } });
        let mut usage = Usage::default();
        usage.see_anthropic(&anthropic);
        assert_eq!(usage.to_openai(), openai);
        assert_eq!(Usage::of_openai(&openai).to_anthropic(), anthropic);
    }

    #[test]
    fn numbers_that_do_not_add_up_never_overflow() {
        let openai =
            json!({ "prompt_tokens": 3, "prompt_tokens_details": { "cached_tokens": u64::MAX } });
        let usage = Usage::of_openai(&openai);
        assert_eq!(usage.to_anthropic()["input_tokens"], 0);
        assert_eq!(usage.to_openai()["prompt_tokens"], u64::MAX);
        assert_eq!(Usage::of_openai(&json!("x")), Usage::default());
    }
}
