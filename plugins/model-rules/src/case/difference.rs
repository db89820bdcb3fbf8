//! The first place where two JSON values differ, said in one line.

use serde_json::Value;

const SHOWN_MAX: usize = 120;

/// `<pointer>: expected <this>, got <that>`; numbers are equal if they are in value.
pub(super) fn difference(expected: &Value, got: &Value) -> Option<String> {
    find(expected, got, &mut String::new())
}

fn find(expected: &Value, got: &Value, at: &mut String) -> Option<String> {
    match (expected, got) {
        (Value::Object(wanted), Value::Object(fields)) => {
            let missing = wanted.iter().find_map(|(name, value)| {
                within(at, name, |at| match fields.get(name) {
                    Some(field) => find(value, field, at),
                    None => Some(say(at, Some(value), None)),
                })
            });
            missing.or_else(|| {
                let (name, field) = fields
                    .iter()
                    .find(|(name, _)| !wanted.contains_key(*name))?;
                within(at, name, |at| Some(say(at, None, Some(field))))
            })
        }
        (Value::Array(wanted), Value::Array(items)) => {
            (0..wanted.len().max(items.len())).find_map(|place| {
                let pair = (wanted.get(place), items.get(place));
                within(at, &place.to_string(), |at| match pair {
                    (Some(value), Some(item)) => find(value, item, at),
                    (value, item) => Some(say(at, value, item)),
                })
            })
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        _ if expected == got => None,
        _ => Some(say(at, Some(expected), Some(got))),
    }
}

fn within(
    at: &mut String,
    name: &str,
    look: impl FnOnce(&mut String) -> Option<String>,
) -> Option<String> {
    let length = at.len();
    at.push('/');
    at.push_str(&name.replace('~', "~0").replace('/', "~1"));
    let found = look(at);
    at.truncate(length);
    found
}

fn say(at: &str, expected: Option<&Value>, got: Option<&Value>) -> String {
    let at = if at.is_empty() { "/" } else { at };
    format!("{at}: expected {}, got {}", shown(expected), shown(got))
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_pointer() {
        for (expected, got, said) in [
            (
                json!({ "a": 1 }),
                json!({ "a": 2 }),
                "/a: expected 1, got 2",
            ),
            (json!({ "a": 1 }), json!({}), "/a: expected 1, got nothing"),
            (
                json!({}),
                json!({ "a/b": null }),
                "/a~1b: expected nothing, got null",
            ),
            (
                json!([1, { "b": "x" }]),
                json!([1, { "b": "y" }]),
                r#"/1/b: expected "x", got "y""#,
            ),
            (json!([1]), json!([1, 2]), "/1: expected nothing, got 2"),
            (json!([1]), json!({}), "/: expected [1], got {}"),
        ] {
            assert_eq!(difference(&expected, &got).as_deref(), Some(said));
        }
    }

    #[test]
    fn neither_the_order_of_fields_nor_how_a_number_is_written_is_a_difference() {
        let expected = json!({ "a": 1, "b": [2.0] });
        assert_eq!(difference(&expected, &json!({ "b": [2], "a": 1.0 })), None);
    }
}
