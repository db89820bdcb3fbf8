//! Reads a policy's settings and says where a mistake is, as `<JSON pointer>: <what>`.

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_path_to_error::Segment;

/// What a policy's settings may be: whatever serde reads and schemars describes. Every type
/// that derives both is one.
///
/// ```
/// use tollgate_sdk::prelude::*;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// pub struct Settings {
///     /// At most so many.
///     words: u32,
/// }
/// # fn is_one<T: tollgate_sdk::PolicySettings>() {}
/// # is_one::<Settings>();
/// ```
// It has no supertraits: the compiler would name those, and not say what to write.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the settings of a policy",
    label = "it lacks `Deserialize`, `JsonSchema` or both",
    note = "write `#[derive(Deserialize, JsonSchema)]` above `{Self}`; `tollgate_sdk::prelude` has both"
)]
pub trait PolicySettings: Sized + 'static {
    #[doc(hidden)]
    fn read(text: &str) -> Result<Self, String>;
    #[doc(hidden)]
    fn schema() -> String;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + JsonSchema + 'static> PolicySettings for T {
    fn read(text: &str) -> Result<Self, String> {
        parse(text)
    }

    fn schema() -> String {
        schemars::schema_for!(T).as_value().to_string()
    }
}

/// For a policy that has nothing to configure: `{}`, or nothing at all.
///
/// ```
/// use tollgate_sdk::prelude::*;
///
/// struct Idle;
///
/// #[policy]
/// impl Policy for Idle {
///     type Settings = NoSettings;
///
///     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
///         Self
///     }
/// }
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Settings that were left out are an empty object.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = match text.trim() {
        "" | "null" => "{}",
        text => text,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let settings = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| describe(&pointer(error.path()), &error.inner().to_string()))?;
    reader
        .end()
        .map_err(|error| describe("", &error.to_string()))?;
    Ok(settings)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&escape(key)),
            Segment::Enum { variant } => pointer.push_str(&escape(variant)),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// Leaves out serde_json's line and column: the settings come from another file.
fn describe(pointer: &str, message: &str) -> String {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(message, _)| message);
    let pointer = if pointer.is_empty() { "/" } else { pointer };
    format!("{pointer}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Key {
        #[allow(dead_code)]
        hash: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        #[allow(dead_code)]
        keys: Vec<Key>,
    }

    #[test]
    fn a_mistake_is_named_by_its_pointer() {
        let error = parse::<Keys>(r#"{ "keys": [ { "hash": 1 }, { "hash": "x" } ] }"#).unwrap_err();
        assert_eq!(
            error,
            r#"/keys/1/hash: invalid type: string "x", expected u32"#
        );
    }

    #[test]
    fn an_unknown_key_is_named_where_it_stands() {
        let error = parse::<Keys>(r#"{ "keys": [ { "hush": 1 } ] }"#).unwrap_err();
        assert_eq!(error, "/keys/0/hush: unknown field `hush`, expected `hash`");
    }

    #[test]
    fn a_missing_key_is_named_at_its_object() {
        assert_eq!(parse::<Keys>("{}").unwrap_err(), "/: missing field `keys`");
    }

    #[test]
    fn settings_left_out_are_an_empty_object() {
        assert_eq!(parse::<NoSettings>("null"), Ok(NoSettings {}));
        assert_eq!(parse::<NoSettings>(""), Ok(NoSettings {}));
    }
}
