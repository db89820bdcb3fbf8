//! Values that rules put into messages, made ready to cross the boundary.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::Value;

/// Any JSON value.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(from = "serde_json::Value")]
pub(crate) struct Literal(#[schemars(with = "serde_json::Value")] Value);

impl Literal {
    pub(crate) fn value(&self) -> Value {
        self.0.clone()
    }
}

impl From<serde_json::Value> for Literal {
    fn from(value: serde_json::Value) -> Self {
        Self(value.into())
    }
}

/// The text of a system message.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(from = "String")]
pub(crate) struct SystemMessage {
    /// The whole message, as JSON.
    json: String,
}

impl SystemMessage {
    /// A list of messages with this one in front; `None` if the text is no list.
    pub(crate) fn in_front_of(&self, messages: &str) -> Option<String> {
        let rest = messages.trim_start().strip_prefix('[')?.trim_start();
        let comma = if rest.starts_with(']') { "" } else { "," };
        Some(["[", &self.json, comma, rest].concat())
    }
}

impl From<String> for SystemMessage {
    fn from(text: String) -> Self {
        let json = serde_json::json!({ "role": "system", "content": text }).to_string();
        Self { json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_in_front_and_the_others_stay_byte_for_byte() {
        let message = SystemMessage::from("Be \"brief\".".to_owned());
        let written = r#"{"role":"system","content":"Be \"brief\"."}"#;
        assert_eq!(message.in_front_of(" [ ]"), Some(format!("[{written}]")));
        assert_eq!(
            message.in_front_of(r#"[ {"content" : 1.50} ]"#),
            Some(format!(r#"[{written},{{"content" : 1.50}} ]"#))
        );
        assert_eq!(message.in_front_of("{}"), None);
    }
}
