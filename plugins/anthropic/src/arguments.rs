//! The arguments of a tool call: a text to OpenAI, an object to Anthropic.

use serde_json::{Map, Value};

use crate::{fields::object, json};

/// What a model wrote that is no object stands under this name, as Anthropic advises.
const INVALID: &str = "INVALID_JSON";

pub(crate) fn to_input(arguments: String) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match json::read(arguments.as_bytes()) {
        Some(input @ Value::Object(_)) => input,
        Some(_) | None => object([(INVALID, arguments.into())]),
    }
}

pub(crate) fn of_input(input: &Value) -> String {
    match input {
        Value::Object(fields) if fields.len() == 1 => match fields.get(INVALID) {
            Some(Value::String(arguments)) => arguments.clone(),
            _ => input.to_string(),
        },
        input => input.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_that_are_no_object_are_kept_word_for_word() {
        for arguments in ["{\"a\": 1", "[1]", "null", "call me", "{\"x\":1e999}"] {
            let input = to_input(arguments.to_owned());
            assert_eq!(input, json!({ "INVALID_JSON": arguments }));
            assert_eq!(of_input(&input), arguments);
        }
    }

    #[test]
    fn a_tool_without_arguments_gets_an_empty_object() {
        assert_eq!(to_input(String::new()), json!({}));
        assert_eq!(of_input(&json!({})), "{}");
    }

    #[test]
    fn fields_keep_their_order() {
        let arguments = r#"{"z":1,"a":{"y":[2.5,null],"b":"\n"}}"#;
        assert_eq!(of_input(&to_input(arguments.to_owned())), arguments);
    }
}
